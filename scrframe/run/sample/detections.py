"""First pass: read every catalogue and keep what may calibrate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, SurveyLoader
from scrframe.products.files import load_arrow, save_arrow
from scrframe.products.solution import VisitSeen
from scrframe.run.workers import run_tasks
from scrframe.run.workspace import Workspace
from scrframe.tables import Detections, Footprint, unit_vectors
from scrframe.tables.cuts import Cut
from scrframe.tables.table import derive, plausible

#: The parts of one exposure differ in date by less, and lie within what any camera sees.
VISIT_DAYS, CAMERA_DEG = 1.0, 15.0
#: Columns by which a detection takes part in the matching.
PLACE = ["visit", "ra", "dec"]


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


@dataclass(frozen=True)
class PartRead:
    """What became of one part."""

    part: Part
    #: Arrow file of the detections that passed.
    target: Path
    #: Arrow file of the visits and places of those that did not. They take part in the matching: a
    #: star whose own detection was cut must not go to its neighbour's.
    others: Path
    #: Detections read, and left after each cut.
    counts: tuple[int, ...]
    visits: tuple[VisitSeen, ...]
    #: Why a damaged part was left out.
    error: str | None = None
    #: Bands of its detections, as the survey names them.
    bands: tuple[str, ...] = ()


def read_part(task: ReadTask) -> PartRead:
    """Read one part, apply the cuts that need no reference star, keep the rest on disk."""
    if not (task.target.exists() and task.others.exists()):
        _read_fresh(task)
    _, meta = load_arrow(task.target)
    visits = tuple(VisitSeen(**{**visit, "ccds": tuple(visit["ccds"])}) for visit in meta["visits"])
    counts, bands = tuple(meta["counts"]), tuple(meta["bands"])
    return PartRead(task.part, task.target, task.others, counts, visits, bands=bands)


def read_part_or_reason(task: ReadTask) -> PartRead:
    """Read one part; a damaged one comes back with the reason."""
    try:
        return read_part(task)
    except DataError as error:
        return PartRead(task.part, task.target, task.others, (), (), str(error))


def _read_fresh(task: ReadTask) -> None:
    detections = task.loader.read(task.part, task.settings, task.columns)
    detections = plausible(detections, f"{task.part.path}: mjd")
    visits = [vars(visit) for visit in visits_of(detections)]
    counts = [len(detections)]
    may = np.isfinite(detections["mag"]) & np.isfinite(detections["mag_err"])
    if "usable" in detections:
        may &= detections["usable"]
    selected = np.flatnonzero(may)
    kept = detections.take(selected)
    kept = derive(kept, "detection", {name for cut in task.cuts for name in cut.names})
    for cut in task.cuts:
        passed = cut.evaluate(kept)
        kept, selected = kept.filter(passed), selected[passed]
        counts.append(len(kept))
    rest = np.delete(np.arange(len(detections)), selected)
    save_arrow(task.others, detections.arrow.select(PLACE).take(rest))
    meta = {"counts": counts, "visits": visits, "bands": bands_of(detections)}
    save_arrow(task.target, kept.arrow, meta)


def bands_of(detections: Detections) -> list[str]:
    """Return the bands that detections name, sorted."""
    codes, labels = detections.codes("band")
    return sorted({labels[code].strip() for code in np.unique(codes)} - {""})


def visits_of(detections: Detections) -> list[VisitSeen]:
    """Describe the visits in a table of detections."""
    codes, labels = detections.codes("visit")
    vectors = unit_vectors(detections["ra"], detections["dec"])
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    seen = []
    for code in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[code] : bounds[code + 1]]
        placed = rows[np.isfinite(vectors[rows]).all(axis=1)]
        if not len(placed):
            raise DataError(f"visit {labels[code]} has no detection with a position")
        centre = vectors[placed].mean(axis=0)
        centre /= np.linalg.norm(centre)
        reach = np.arccos(np.clip((vectors[placed] @ centre).min(), -1, 1))
        first = rows[0]
        fields = np.unique(detections["field"][rows].astype(str)) if "field" in detections else [""]
        if len(fields) > 1:
            raise DataError(
                f"visit {labels[code]} is in the fields {fields[0]} and {fields[1]}; a visit is a"
                " single exposure, of one field"
            )
        if not np.isfinite(detections["mjd"][first]):
            raise DataError(f"visit {labels[code]} has no date (mjd)")
        seen.append(
            VisitSeen(
                key=labels[code],
                file=str(detections["file"][first]),
                field=str(fields[0]),
                mjd=float(detections["mjd"][first]),
                ra_deg=float(np.rad2deg(np.arctan2(centre[1], centre[0])) % 360),
                dec_deg=float(np.rad2deg(np.arcsin(centre[2]))),
                radius_deg=float(np.rad2deg(reach)),
                detections=len(rows),
                ccds=tuple(np.unique(detections["ccd"][rows]).tolist()),
                airmass=_mean(detections["airmass"][rows]) if "airmass" in detections else np.nan,
            )
        )
    return seen


def merge_visits(visits: Iterable[VisitSeen]) -> list[VisitSeen]:
    """Return each visit once, in the order of their first parts.

    What a visit has one of is its first part's; its disc holds those of all parts.

    Raises DataError if parts differ in the date or field of a visit, or lie further apart than
    any camera sees.
    """
    found: dict[str, list[VisitSeen]] = {}
    for visit in visits:
        found.setdefault(visit.key, []).append(visit)
    return [pieces[0] if len(pieces) == 1 else _merged(pieces) for pieces in found.values()]


def _merged(pieces: Sequence[VisitSeen]) -> VisitSeen:
    first = pieces[0]
    for piece in pieces[1:]:
        if abs(piece.mjd - first.mjd) > VISIT_DAYS:
            differs = f"has the date {first.mjd:.5f} in {first.file} and {piece.mjd:.5f} in"
        elif piece.field != first.field:
            differs = f"is in the field {first.field} in {first.file} and {piece.field} in"
        elif _apart_deg(piece, first) > CAMERA_DEG:
            differs = f"is {_apart_deg(piece, first):.0f} deg from where it is in {first.file} in"
        else:
            continue
        raise DataError(
            f"visit {first.key} {differs} {piece.file}: the key of a visit must name a single"
            " exposure"
        )
    count = np.array([piece.detections for piece in pieces], dtype=np.float64)
    vectors = unit_vectors(
        np.array([piece.ra_deg for piece in pieces]), np.array([piece.dec_deg for piece in pieces])
    )
    centre = count @ vectors
    centre /= np.linalg.norm(centre)
    apart = np.rad2deg(np.arccos(np.clip(vectors @ centre, -1, 1)))
    airmass = np.array([piece.airmass for piece in pieces])
    known = np.isfinite(airmass)
    return replace(
        pieces[0],
        ra_deg=float(np.rad2deg(np.arctan2(centre[1], centre[0])) % 360),
        dec_deg=float(np.rad2deg(np.arcsin(centre[2]))),
        radius_deg=float(np.max(apart + [piece.radius_deg for piece in pieces])),
        detections=int(count.sum()),
        ccds=tuple(sorted({ccd for piece in pieces for ccd in piece.ccds})),
        airmass=float(np.average(airmass[known], weights=count[known]))
        if known.any()
        else float("nan"),
    )


def _apart_deg(one: VisitSeen, other: VisitSeen) -> float:
    ends = unit_vectors(
        np.array([one.ra_deg, other.ra_deg]), np.array([one.dec_deg, other.dec_deg])
    )
    return float(np.rad2deg(np.arccos(np.clip(ends[0] @ ends[1], -1, 1))))


def _mean(values: np.ndarray[Any, Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


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
        )
        for part in parts
    ]
    function = read_part_or_reason if on_bad_file == "skip" else read_part
    with observer.step("Reading catalogues", len(tasks)) as done:
        read = run_tasks(executor, function, tasks, done)
    good = tuple(part for part in read if part.error is None)
    skipped = {part.part.key: part.error for part in read if part.error is not None}
    for key, reason in skipped.items():
        observer.warning(f"left out {key}: {reason}")
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
        _refuse_twins(good)
    refuse_mixed_bands({part.part.key: part.bands for part in good})
    return FirstPass(good, skipped)


def refuse_mixed_bands(bands: Mapping[str, Sequence[str]]) -> None:
    """Refuse detections of several bands; `bands` are those of each part."""
    found = {band: key for key, several in bands.items() for band in several}
    if len(found) > 1:
        one, other = sorted(found)[:2]
        raise DataError(
            f"there are detections of the bands {', '.join(sorted(found))} ({one} in {found[one]},"
            f" {other} in {found[other]}); keep one of them by a cut of the loader, such as"
            " rows: [\"filter == 'u'\"]"
        )


def _refuse_twins(parts: Sequence[PartRead]) -> None:
    owner: dict[str, str] = {}
    for part in parts:
        for visit in part.visits:
            other = owner.setdefault(visit.key, part.part.key)
            if other != part.part.key:
                raise DataError(
                    f"visit {visit.key} is in two catalogues, {other} and {part.part.key};"
                    " remove one of them"
                )
