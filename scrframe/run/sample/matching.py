"""Matching of detections to reference stars, in the workers.

A visit that several parts hold is matched as one: a star goes to the nearest of all its
detections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.products.files import load_arrow, save_arrow
from scrframe.products.solution import VisitSeen
from scrframe.run.engines.engine import SerialExecutor, Shared
from scrframe.run.sample.assembly import CutFlow, derive_for, join, require
from scrframe.run.sample.detections import (
    FirstPass,
    PartRead,
    ranges_of,
)
from scrframe.run.sample.visits import merge_visits, refuse_doubles
from scrframe.run.workers import run_tasks
from scrframe.run.workspace import Workspace
from scrframe.scr.match import SkyIndex, match_visit, sky_index
from scrframe.tables import (
    ColumnTable,
    Detections,
    ReferenceStars,
)
from scrframe.tables.cuts import Cut
from scrframe.tables.table import derive

#: Share of a visit's detections that may stand at one place in two parts.
_TWINS = 0.2
#: Visits of so many detections are suspect if so small a share of the usual are reference stars.
_MANY, _FEW = 20, 0.2
#: Columns of the reference stars that only matching needs.
POSITIONS = ("ref_ra", "ref_dec", "ref_epoch", "pmra", "pmdec")


@dataclass(frozen=True)
class StarsToMatch:
    """What all parts are matched to, and the cuts that follow."""

    stars: ReferenceStars
    radius_arcsec: float
    cuts: tuple[Cut, ...]

    @cached_property
    def index(self) -> SkyIndex:
        """The stars by place: each worker makes it once."""
        return sky_index(self.stars)

    @cached_property
    def columns(self) -> ColumnTable:
        """What detections get of their star."""
        names = [name for name in self.stars.names if name not in POSITIONS]
        return ColumnTable(self.stars.arrow.select(names))


@dataclass(frozen=True)
class MatchTask:
    """Parts that share visits, to be matched in a worker."""

    group: tuple[PartRead, ...]
    wanted: Shared[StarsToMatch]
    #: Arrow file of the detections that are left; None keeps them in memory.
    target: Path | None


@dataclass(frozen=True)
class PartsMatched:
    """What is left of some parts."""

    #: In memory, or as an Arrow file.
    left: Detections | Path
    #: Detections that are reference stars, by visit.
    found: Mapping[str, int]
    #: Identifiers of the stars when matched and after each cut, a row a detection.
    sources: tuple[npt.NDArray[np.int64], ...]
    #: Ranges of what the cuts name.
    ranges: Any


def match_parts(task: MatchTask) -> PartsMatched:
    """Match parts that share visits, and apply the cuts that need their stars."""
    wanted = task.wanted.get()
    table = _match(task.group, wanted.index, wanted.columns, wanted.radius_arcsec)
    names, numbers = np.unique(table["visit"], return_counts=True)
    found = {str(name): int(number) for name, number in zip(names, numbers, strict=True)}
    sources = [table["source_id"]]
    table = derive_for(wanted.cuts, table)
    ranges = ranges_of(table, wanted.cuts)
    for cut in wanted.cuts:
        table = table.filter(cut.evaluate(table))
        sources.append(table["source_id"])
    if task.target is None:
        return PartsMatched(table, found, tuple(sources), ranges)
    save_arrow(task.target, table.arrow)
    return PartsMatched(task.target, found, tuple(sources), ranges)


def match_all(
    first: FirstPass,
    stars: ReferenceStars,
    radius_arcsec: float,
    cuts: Sequence[Cut],
    flow: CutFlow,
    observer: Observer,
    executor: Executor | None = None,
    space: Workspace | None = None,
) -> Detections:
    """Match all visits to reference stars and apply the cuts that need them.

    Detections that are left get the columns of their star. Workers other than this process need a
    workspace. Raises CalibrationError if no detection is left, and DataError if an exposure is
    there under two keys.
    """
    refuse_doubles(first.visits, partial(detections_of, first))
    wanted = Shared(
        StarsToMatch(stars, radius_arcsec, tuple(cuts)), space.shared if space else Path()
    )
    here = space is None or executor is None or isinstance(executor, SerialExecutor)
    tasks = [
        MatchTask(group, wanted, None if here else _target(space, group))
        for group in groups(first.parts)
    ]
    with observer.step("Matching", len(tasks)) as done:
        matched = run_tasks(executor or SerialExecutor(), match_parts, tasks, done)
    found = {name: number for each in matched for name, number in each.found.items()}
    for each in matched:
        flow.see(each.ranges)
    _warn_of_strays(first.visits, found, observer)
    for place, what in enumerate(["matched", *(cut.text for cut in cuts)]):
        joined = np.concatenate([each.sources[place] for each in matched])
        flow.add(what, len(joined), len(np.unique(joined)))
    left = (each.left for each in matched)
    tables = (Detections(load_arrow(t)[0]) if isinstance(t, Path) else t for t in left)
    return require(Detections.concat(tables), flow)


def _target(space: Workspace | None, group: Sequence[PartRead]) -> Path | None:
    assert space is not None
    return space.target("matched", "|".join(part.part.key for part in group))


def _warn_of_strays(
    visits: Sequence[VisitSeen], found: Mapping[str, int], observer: Observer
) -> None:
    """Warn of visits of which far fewer detections are reference stars than of others."""
    share = np.array([found.get(visit.key, 0) / visit.detections for visit in visits])
    for visit, own in zip(visits, share, strict=True):
        if visit.detections >= _MANY and own < _FEW * np.median(share):
            observer.warning(
                f"visit {visit.key} ({visit.file}): {found.get(visit.key, 0)} of"
                f" {visit.detections} detections are reference stars, of other visits"
                f" {100 * np.median(share):.0f} per cent: are its date and positions right?"
            )


def _match(
    group: Sequence[PartRead], index: SkyIndex, columns: ColumnTable, radius_arcsec: float
) -> Detections:
    """Match parts that share visits, and join the columns of the stars."""
    detections, row, distance = match_group(group, index, radius_arcsec)
    hit = row >= 0
    matched = join(detections.filter(hit), columns, row[hit])
    return derive(matched.with_columns({"match_distance": distance[hit]}), "reference")


def groups(parts: Sequence[PartRead]) -> Iterator[tuple[PartRead, ...]]:
    """Yield the parts in groups that share no visit, in the order of their first parts."""
    owner: dict[str, int] = {}
    shared = sparse.lil_array((len(parts), len(parts)), dtype=np.int8)
    for number, part in enumerate(parts):
        for visit in part.visits:
            shared[number, owner.setdefault(visit.key, number)] = 1
    found: dict[int, list[PartRead]] = {}
    labels = connected_components(shared, directed=False)[1] if len(parts) else ()
    for label, part in zip(labels, parts, strict=True):
        found.setdefault(int(label), []).append(part)
    yield from map(tuple, found.values())


def match_group(
    group: Sequence[PartRead], index: SkyIndex, radius_arcsec: float
) -> tuple[Detections, IntArray, FloatArray]:
    """Match the detections of parts that share visits.

    Detections that were cut compete for the stars, but are not returned.

    Returns
    -------
    detections : Detections
        Those that passed the cuts so far, part after part, n in all.
    row : ndarray of int64, shape (n,)
        Row of the star in the index, -1 where there is none.
    distance : ndarray, shape (n,)
        In arcsec; NaN where there is none.

    Raises
    ------
    DataError
        If two parts hold the same detections.
    """
    read = [Detections(load_arrow(part.target)[0]) for part in group]
    cut = [ColumnTable(load_arrow(part.others)[0]) for part in group]
    detections = read[0] if len(read) == 1 else Detections.concat(read)
    others = cut[0] if len(cut) == 1 else ColumnTable.concat(cut)
    ra = np.concatenate([detections["ra"], others["ra"]])
    dec = np.concatenate([detections["dec"], others["dec"]])
    visits = merge_visits(visit for part in group for visit in part.visits)
    code = _codes([visit.key for visit in visits], detections, others)
    if len(group) > 1:
        of_part = np.concatenate(
            [np.repeat(np.arange(len(group)), [len(t) for t in tables]) for tables in (read, cut)]
        )
        _refuse_copies(group, [visit.key for visit in visits], code, of_part, ra, dec)
    code = np.where(np.isfinite(ra) & np.isfinite(dec), code, len(visits))
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(visits) + 1))
    row = np.full(len(ra), -1, dtype=np.int64)
    distance = np.full(len(ra), np.nan)
    for number, visit in enumerate(visits):
        here = order[bounds[number] : bounds[number + 1]]
        row[here], distance[here] = match_visit(
            ra[here], dec[here], visit.mjd, index, radius_arcsec
        )
    return detections, row[: len(detections)], distance[: len(detections)]


def detections_of(first: FirstPass, key: str) -> Detections:
    """Return the detections of a visit that passed the cuts, of all parts."""
    parts = [part for part in first.parts if any(visit.key == key for visit in part.visits)]
    table = Detections.concat(Detections(load_arrow(part.target)[0]) for part in parts)
    return table.filter(table["visit"] == key)


def _codes(keys: Sequence[str], *tables: ColumnTable) -> IntArray:
    """Return the number of each detection's visit among `keys`."""
    place = {key: number for number, key in enumerate(keys)}
    found = []
    for table in tables:
        codes, labels = table.codes("visit")
        numbers = np.array([place.get(label, len(keys)) for label in labels], dtype=np.int64)
        found.append(numbers[codes] if len(labels) else np.zeros(0, np.int64))
    return np.concatenate(found)


def _refuse_copies(
    group: Sequence[PartRead],
    keys: Sequence[str],
    code: IntArray,
    of_part: IntArray,
    ra: FloatArray,
    dec: FloatArray,
) -> None:
    """Refuse parts of which one is a copy of another: their visits have the same places."""
    order = np.lexsort([of_part, dec, ra, code])
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for values in (code, ra, dec):
        same &= values[order[1:]] == values[order[:-1]]
    same &= of_part[order[1:]] != of_part[order[:-1]]
    twins = np.bincount(code[order[1:]][same], minlength=len(keys))
    number = np.bincount(code, minlength=len(keys))
    copied = np.flatnonzero(twins > _TWINS * number)
    if len(copied):
        at = np.flatnonzero(same & (code[order[1:]] == copied[0]))[0]
        one, other = (group[of_part[row]].part.key for row in (order[at], order[at + 1]))
        raise DataError(
            f"visit {keys[copied[0]]} has the same detections in {one} and {other};"
            " remove one of them"
        )
