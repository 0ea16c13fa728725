"""The Calibration and Control Samples: match, join, cut, and count at each cut.

A visit that several parts hold is matched as one: a star goes to the nearest of all its
detections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError, ConfigError, DataError
from scrframe.observer import Observer
from scrframe.products.files import load_arrow
from scrframe.products.solution import VisitSeen
from scrframe.run.sample.detections import (
    FirstPass,
    PartRead,
    Ranges,
    ranges_of,
)
from scrframe.run.sample.reference_data import label_of, snr_name
from scrframe.run.sample.visits import merge_visits, refuse_doubles
from scrframe.scr.match import SkyIndex, match_visit, sky_index
from scrframe.statistics.groups import find_sorted
from scrframe.tables import (
    STAGES,
    ColumnTable,
    Detections,
    Extinctions,
    ReferenceStars,
    StarFeatures,
)
from scrframe.tables.cuts import Cut
from scrframe.tables.table import derive

T = TypeVar("T", bound=ColumnTable)
#: Share of a visit's detections that may stand at one place in two parts.
_TWINS = 0.2
#: Visits of so many detections are suspect if so small a share of the usual are reference stars.
_MANY, _FEW = 20, 0.2
#: Columns of the reference stars that only matching needs.
POSITIONS = ("ref_ra", "ref_dec", "ref_epoch", "pmra", "pmdec")


@dataclass
class CutFlow:
    """Counts of detections and stars at each step and cut, in written order."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    #: Least and largest values of what cuts look at, before the cuts of their step.
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, what: str, detections: int, stars: int | None = None) -> None:
        """Note what is left after a step or cut."""
        self.rows.append({"cut": what, "detections": int(detections), "stars": stars})

    def see(self, ranges: Ranges) -> None:
        """Note least and largest values by column."""
        for name, (low, high) in ranges.items():
            least, largest = self.ranges.get(name, (low, high))
            self.ranges[name] = (min(least, low), max(largest, high))

    def left(self, what: str, table: ColumnTable) -> None:
        """Note a table that has ``source_id``."""
        self.add(what, len(table), len(np.unique(table["source_id"])))


def note_first_pass(flow: CutFlow, first: FirstPass, cuts: Sequence[Cut]) -> None:
    """Sum the counts of all parts."""
    totals = np.sum([part.counts for part in first.parts], axis=0)
    for part in first.parts:
        flow.see(part.ranges)
    flow.add("read", totals[0])
    for cut, left in zip(cuts, totals[1:], strict=True):
        flow.add(cut.text, left)


def match_all(
    first: FirstPass,
    stars: ReferenceStars,
    radius_arcsec: float,
    cuts: Sequence[Cut],
    flow: CutFlow,
    observer: Observer,
) -> Detections:
    """Match all visits to reference stars and apply the cuts that need them.

    Detections that are left get the columns of their star. Raises CalibrationError if none is, and
    DataError if an exposure is there under two keys.
    """
    refuse_doubles(first.visits, partial(detections_of, first))
    index = sky_index(stars)
    columns = ColumnTable(
        stars.arrow.select([name for name in stars.names if name not in POSITIONS])
    )
    kept: list[Detections] = []
    sources: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(len(cuts) + 1)]
    found: dict[str, int] = {}
    with observer.step("Matching", len(first.parts)) as done:
        for group in groups(first.parts):
            table = _match(group, index, columns, radius_arcsec)
            for name, number in zip(*np.unique(table["visit"], return_counts=True), strict=True):
                found[str(name)] = int(number)
            sources[0].append(table["source_id"])
            table = derive_for(cuts, table)
            flow.see(ranges_of(table, cuts))
            for number, cut in enumerate(cuts, start=1):
                table = table.filter(cut.evaluate(table))
                sources[number].append(table["source_id"])
            kept.append(table)
            done(len(group))
    _warn_of_strays(first.visits, found, observer)
    for what, ids in zip(["matched", *(cut.text for cut in cuts)], sources, strict=True):
        joined = np.concatenate(ids)
        flow.add(what, len(joined), len(np.unique(joined)))
    return require(Detections.concat(kept), flow)


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


def join(table: T, other: ColumnTable, row: IntArray) -> T:
    """Return a table with the columns of another, by row number."""
    taken = other.arrow.take(row)
    names = [name for name in other.names if name not in table.names]
    return table.with_columns({name: taken.column(name) for name in names})


def require(table: Detections, flow: CutFlow) -> Detections:
    """Return the table if it has rows.

    Raises CalibrationError if it has none; the message tells the cut that left none.
    """
    if len(table):
        return table
    number = next(number for number, row in enumerate(flow.rows) if row["detections"] == 0)
    empty = str(flow.rows[number]["cut"])
    before = flow.rows[number - 1]["detections"] if number else 0
    raise CalibrationError(
        f"no detection is left for the Calibration Sample after: {empty}"
        f"{seen_there(empty, flow.ranges)} ({before:,} were left before)"
    )


def seen_there(text: str, ranges: Ranges) -> str:
    """Return which values a cut met, in words; empty for what is no cut, or has none."""
    try:
        names = Cut(text).names
    except ConfigError:
        return ""
    said = [
        f"{name} is {ranges[name][0]:.6g} to {ranges[name][1]:.6g}"
        for name in names
        if name in ranges
    ]
    return f"; there {', '.join(said)}" if said else ""


def join_extinctions(
    matched: Detections, extinctions: Extinctions, cuts: Sequence[Cut], flow: CutFlow
) -> Detections:
    """Join extinctions by star and apply the cuts that need them."""
    row = find_sorted(extinctions["source_id"], matched["source_id"])
    table = join(matched.filter(row >= 0), extinctions, row[row >= 0])
    table = table.filter(np.isfinite(table["extinction"]))
    flow.left("has an extinction", table)
    return require(_cut(table, cuts, flow), flow)


def join_features(
    matched: Detections, features: StarFeatures, cuts: Sequence[Cut], flow: CutFlow
) -> Detections:
    """Join S/N and flags of the spectra or quantities and apply the cuts that need them."""
    whole = np.asarray(np.isfinite(features.rows).all(axis=1))
    row = find_sorted(features.source_id, matched["source_id"])
    row[(row >= 0) & ~whole[row]] = -1
    found = row[row >= 0]
    table = matched.filter(row >= 0).with_columns(
        {snr_name(features): features.snr[found], "spectrum_flags": features.flags[found]}
    )
    flow.left(label_of(features), table)
    return require(_cut(table, cuts, flow), flow)


def derive_for(cuts: Iterable[Cut], table: T) -> T:
    """Return a table with the derived columns, of any stage, that cuts name."""
    names = {name for cut in cuts for name in cut.names}
    for stage in STAGES:
        table = derive(table, stage, names)
    return table


def _cut(table: Detections, cuts: Sequence[Cut], flow: CutFlow) -> Detections:
    table = derive_for(cuts, table)
    flow.see(ranges_of(table, cuts))
    for cut in cuts:
        table = table.filter(cut.evaluate(table))
        flow.left(cut.text, table)
    return table


def control_mask(
    table: Detections, cuts: Sequence[Cut], note: Callable[[str, int, int], None]
) -> npt.NDArray[np.bool_]:
    """Return which detections of the Calibration Sample are in the Control Sample.

    Raises CalibrationError if none is.
    """
    inside = np.ones(len(table), dtype=bool)
    sources = table["source_id"]
    for cut in cuts:
        inside &= cut.evaluate(table)
        note(cut.text, int(inside.sum()), len(np.unique(sources[inside])))
        if not inside.any():
            raise CalibrationError(
                "selection.control: no star of the Calibration Sample is left in the control"
                f" region after {cut.text!r}{seen_there(cut.text, ranges_of(table, [cut]))}"
            )
    return inside


def sort_detections(table: Detections) -> Detections:
    """Return the detections in the order of visit, ccd, extension and row."""
    codes, labels = table.codes("visit")
    rank = np.argsort(np.argsort(np.array(labels)))[codes]
    return table.take(np.lexsort([table["row"], table["extension"], table["ccd"], rank]))


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
