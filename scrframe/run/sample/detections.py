"""First pass: read every catalogue and keep what may calibrate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from scrframe.errors import DataError, told_once
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, SurveyLoader
from scrframe.products.files import load_arrow, save_arrow, seal, sealed
from scrframe.products.solution import VisitSeen
from scrframe.run.inputs import FileState, known_states, unchanged
from scrframe.run.sample.visits import (
    bands_of,
    merge_visits,
    refuse_mixed_bands,
    refuse_twins,
    visits_of,
)
from scrframe.run.workers import run_tasks
from scrframe.run.workspace import Workspace
from scrframe.tables import Footprint
from scrframe.tables.cuts import Cut
from scrframe.tables.table import ColumnTable, derive, plausible

#: Columns by which a detection takes part in the matching.
PLACE = ["visit", "ra", "dec"]


#: Least and largest values by column.
Ranges = Mapping[str, tuple[float, float]]


def ranges_of(table: ColumnTable, cuts: Iterable[Cut]) -> dict[str, tuple[float, float]]:
    """Return the least and the largest finite value of each column of numbers that cuts name."""
    found = {}
    for name in {name for cut in cuts for name in cut.names if name in table}:
        kind = table.arrow.schema.field(name).type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = np.asarray(table[name], dtype=np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                found[name] = (float(values.min()), float(values.max()))
    return found


@dataclass(frozen=True)
class ReadTask:
    """One part to read in a worker."""

    loader: SurveyLoader
    settings: PluginConfig
    part: Part
    columns: tuple[str, ...]
    cuts: tuple[Cut, ...]
    #: Arrow files of the detections that pass the cuts, and of the places of the others.
    target: Path
    others: Path
    #: The files of the part as they were found.
    known: tuple[FileState, ...]


@dataclass(frozen=True)
class PartRead:
    """What became of one part."""

    part: Part
    #: Arrow file of the detections that passed.
    target: Path
    #: Arrow file of the visits and places of those that did not. They take part in the matching: a
    #: star whose own detection was cut must not go to its neighbour's.
    others: Path
    #: Detections read, those of known magnitude and error, those not flagged, and what is left
    #: after each cut.
    counts: tuple[int, ...]
    visits: tuple[VisitSeen, ...]
    #: Why a damaged part was left out.
    error: str | None = None
    #: Bands of its detections, as the survey names them.
    bands: tuple[str, ...] = ()
    #: Least and largest value of what the cuts look at, before any.
    ranges: Ranges = field(default_factory=dict)


def read_part(task: ReadTask) -> PartRead:
    """Read one part, apply the cuts that need no reference star, keep the rest on disk."""
    if sealed(task.target) is None:
        with unchanged(task.part, task.known):
            _read_fresh(task)
        seal(task.target, task.others)
    _, meta = load_arrow(task.target)
    visits = tuple(VisitSeen(**{**visit, "ccds": tuple(visit["ccds"])}) for visit in meta["visits"])
    counts, bands = tuple(meta["counts"]), tuple(meta["bands"])
    ranges = {name: (low, high) for name, (low, high) in meta["ranges"].items()}
    return PartRead(task.part, task.target, task.others, counts, visits, None, bands, ranges)


def read_part_or_reason(task: ReadTask) -> PartRead:
    """Read one part; a damaged one comes back with the reason."""
    try:
        return read_part(task)
    except DataError as error:
        return PartRead(task.part, task.target, task.others, (), (), str(error))


def _read_fresh(task: ReadTask) -> None:
    detections = task.loader.read(task.part, task.settings, task.columns)
    detections = plausible(detections, str(task.part.path))
    visits = [vars(visit) for visit in visits_of(detections)]
    may = np.isfinite(detections["mag"]) & np.isfinite(detections["mag_err"])
    counts = [len(detections), int(may.sum())]
    if "usable" in detections:
        may &= detections["usable"]
    counts.append(int(may.sum()))
    selected = np.flatnonzero(may)
    kept = detections.take(selected)
    kept = derive(kept, "detection", {name for cut in task.cuts for name in cut.names})
    ranges = ranges_of(kept, task.cuts)
    for cut in task.cuts:
        passed = cut.evaluate(kept)
        kept, selected = kept.filter(passed), selected[passed]
        counts.append(len(kept))
    rest = np.delete(np.arange(len(detections)), selected)
    save_arrow(task.others, detections.arrow.select(PLACE).take(rest))
    bands = bands_of(detections)
    meta = {"counts": counts, "visits": visits, "bands": bands, "ranges": ranges}
    save_arrow(task.target, kept.arrow, meta)


@dataclass(frozen=True)
class FirstPass:
    """The catalogues as read."""

    parts: tuple[PartRead, ...]
    skipped: Mapping[str, str]

    @property
    def visits(self) -> list[VisitSeen]:
        """All visits, each once, in the order of the parts."""
        return merge_visits(visit for part in self.parts for visit in part.visits)

    def footprint(self) -> Footprint:
        """Return the sky that the visits cover, with a margin for proper motions."""
        visits = self.visits
        radius = max(visit.radius_deg for visit in visits) + 0.1
        ra = np.array([visit.ra_deg for visit in visits])
        dec = np.array([visit.dec_deg for visit in visits])
        return Footprint(ra, dec, radius)


def first_pass(
    executor: Executor,
    space: Workspace,
    loader: SurveyLoader,
    settings: PluginConfig,
    parts: Sequence[Part],
    columns: tuple[str, ...],
    cuts: tuple[Cut, ...],
    on_bad_file: str,
    observer: Observer,
    files: Mapping[Path, FileState] = MappingProxyType({}),
) -> FirstPass:
    """Read all parts in parallel.

    Raises DataError if a part is damaged and `on_bad_file` is ``stop``, if none is left or none
    holds a detection, or if two parts hold the same visit and the loader does not say that they
    may.
    """
    tasks = [
        ReadTask(
            loader,
            settings,
            part,
            columns,
            cuts,
            space.target("detections", f"{part.key}|{part.fingerprint}"),
            space.target("others", f"{part.key}|{part.fingerprint}"),
            known_states(files, part),
        )
        for part in parts
    ]
    function = read_part_or_reason if on_bad_file == "skip" else read_part
    with observer.step("Reading catalogues", len(tasks)) as done:
        read = run_tasks(executor, function, tasks, done)
    good = tuple(part for part in read if part.error is None)
    skipped = {part.part.key: part.error for part in read if part.error is not None}
    for line in told_once(f"left out {key}: {why}" for key, why in skipped.items()):
        observer.warning(line)
    if not good:
        raise DataError(
            "no catalogue could be read; the last reason: " + list(skipped.values())[-1]
        )
    if not any(part.visits for part in good):
        raise DataError(
            f"no catalogue holds a detection; {len(good)} were read, the first being"
            f" {good[0].part.path}"
        )
    if not loader.visits_span_parts:
        refuse_twins({part.part.key: part.visits for part in good})
    refuse_mixed_bands({part.part.key: part.bands for part in good})
    return FirstPass(good, skipped)
