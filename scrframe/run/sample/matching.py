"""Which detections are which reference stars, visit by visit.

A visit that several parts hold is matched as one: a star goes to the nearest of all its
detections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.run.sample.detections import PartRead, load_detections, load_others, merge_visits
from scrframe.scr.match import SkyIndex, match_visit
from scrframe.tables import ColumnTable, Detections

#: Share of a visit's detections that may stand at one place in two parts.
_TWINS = 0.2


def groups(parts: Sequence[PartRead]) -> Iterator[tuple[PartRead, ...]]:
    """Yield the parts in groups that share no visit, in the order of their first parts."""
    group_of = list(range(len(parts)))
    owner: dict[str, int] = {}

    def root(number: int) -> int:
        while group_of[number] != number:
            group_of[number] = group_of[group_of[number]]
            number = group_of[number]
        return number

    for number, part in enumerate(parts):
        for visit in part.visits:
            one, other = root(owner.setdefault(visit.key, number)), root(number)
            group_of[max(one, other)] = min(one, other)
    found: dict[int, list[PartRead]] = {}
    for number, part in enumerate(parts):
        found.setdefault(root(number), []).append(part)
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
    read = [load_detections(part) for part in group]
    cut = [load_others(part) for part in group]
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
