"""Offsets of two runs side by side: by visit, by exposure and by level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.analysis.crosscheck.agreement import (
    Agreement,
    PairedErrors,
    RunResiduals,
    agree,
    paired_errors,
    ratio,
)
from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.products.run_data import LevelData, RunData
from scrframe.statistics.groups import find_sorted

#: Numbers of CCDs are below this.
SPAN = 1 << 20


@dataclass(frozen=True)
class VisitRows:
    """Visits of both runs, v rows in the order of run A.

    Attributes
    ----------
    visit, field : ndarray of str, shape (v,)
    mjd : ndarray, shape (v,)
    offset_a_mag, offset_b_mag, err_a_mag, err_b_mag : ndarray, shape (v,)
        Offsets, and the errors that each run states.
    errors : PairedErrors
    agreement : Agreement
    if_independent : ndarray, shape (v,)
        Significance if the stated errors were independent.
    """

    visit: npt.NDArray[np.str_]
    field: npt.NDArray[np.str_]
    mjd: FloatArray
    offset_a_mag: FloatArray
    offset_b_mag: FloatArray
    err_a_mag: FloatArray
    err_b_mag: FloatArray
    errors: PairedErrors
    agreement: Agreement
    if_independent: FloatArray


@dataclass(frozen=True)
class ExposureRows:
    """Exposures (a CCD in a visit) with stars of their own in both runs, e rows.

    Attributes
    ----------
    visit : ndarray of str, shape (e,)
    ccd : ndarray of int, shape (e,)
    errors : PairedErrors
    ccd_term, total : Agreement
        Of what the CCD adds to its visit, and of their sum with u_ZP; without maps.
    """

    visit: npt.NDArray[np.str_]
    ccd: IntArray
    errors: PairedErrors
    ccd_term: Agreement
    total: Agreement


@dataclass(frozen=True)
class RunDifferences:
    """All that a cross-check finds.

    Attributes
    ----------
    visits : VisitRows
    exposures : ExposureRows or None
        None where either run has no offsets by CCD and visit.
    levels : mapping of str to Agreement
        Corrections of other levels that both runs label alike, such as maps; their errors are
        those that the runs state, as if independent.
    """

    visits: VisitRows
    exposures: ExposureRows | None
    levels: Mapping[str, Agreement]


def compare_runs(a: RunData, b: RunData, min_stars: int) -> RunDifferences:
    """Compare two runs by visit, exposure and level.

    Raises
    ------
    DataError
        If they calibrate different bands or have no visit in common.
    """
    if a.band != b.band:
        raise DataError(
            f'run A calibrates band "{a.band}" and run B "{b.band}"; cross-check runs of one band'
        )
    place = {visit: row for row, visit in enumerate(b.visit_table.visit)}
    pairs = [(i, place[v]) for i, v in enumerate(a.visit_table.visit) if v in place]
    if not pairs:
        raise DataError(
            f"the runs have no visit in common: A has {len(a.visit_table)}, the first being"
            f' "{_first(a)}", B has {len(b.visit_table)}, the first being "{_first(b)}"'
        )
    rows = np.array(pairs, dtype=np.int64).T
    codes = tuple(
        _numbers(rows[side], len(data.visit_table), data.star("visit_code"))
        for side, data in enumerate((a, b))
    )
    visits = _visits(a, b, rows, codes, min_stars)
    exposures = _exposures(a, b, rows, codes, min_stars)
    return RunDifferences(visits, exposures, dict(_other_levels(a, b)))


def _first(data: RunData) -> str:
    return data.visit_table.visit[0] if len(data.visit_table) else ""


def _numbers(rows: IntArray, count: int, code: npt.NDArray[Any]) -> IntArray:
    """Return the number among the common visits of each detection's, -1 for another."""
    number = np.full(count, -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    return np.asarray(number[code])


def _residuals(data: RunData, group: IntArray) -> RunResiduals:
    return RunResiduals(group, data.star("source_id"), data.residual, data.weight)


def _visits(
    a: RunData, b: RunData, rows: IntArray, codes: tuple[IntArray, ...], min_stars: int
) -> VisitRows:
    first, second = a.visit_table, b.visit_table
    count = rows.shape[1]
    errors = paired_errors(count, _residuals(a, codes[0]), _residuals(b, codes[1]))
    offset_a, offset_b = first.offset_mag[rows[0]], second.offset_mag[rows[1]]
    enough = np.minimum(errors.stars_a, errors.stars_b) >= min_stars
    agreement = agree(offset_b - offset_a, errors.err_mag, enough)
    err_a, err_b = first.err_mag[rows[0]], second.err_mag[rows[1]]
    return VisitRows(
        np.array(first.visit, dtype=np.str_)[rows[0]],
        first.field[rows[0]],
        first.mjd[rows[0]],
        offset_a,
        offset_b,
        err_a,
        err_b,
        errors,
        agreement,
        ratio(agreement.difference_mag, np.hypot(err_a, err_b)),
    )


def _exposures(
    a: RunData, b: RunData, rows: IntArray, codes: tuple[IntArray, ...], min_stars: int
) -> ExposureRows | None:
    tables = [_by_exposure(data, rows[side]) for side, data in enumerate((a, b))]
    if tables[0] is None or tables[1] is None:
        return None
    keys, first, second = np.intersect1d(tables[0].key, tables[1].key, return_indices=True)
    if not len(keys):
        return None
    groups = [
        np.where(codes[side] >= 0, find_sorted(keys, codes[side] * SPAN + data.star("ccd")), -1)
        for side, data in enumerate((a, b))
    ]
    errors = paired_errors(len(keys), _residuals(a, groups[0]), _residuals(b, groups[1]))
    enough = np.minimum(errors.stars_a, errors.stars_b) >= min_stars
    visit = np.array(a.visit_table.visit, dtype=np.str_)[rows[0]][keys // SPAN]
    term = tables[1].term_mag[second] - tables[0].term_mag[first]
    total = tables[1].total_mag[second] - tables[0].total_mag[first]
    return ExposureRows(
        visit,
        keys % SPAN,
        errors,
        agree(term, errors.err_mag, enough),
        agree(total, errors.err_mag, enough),
    )


@dataclass(frozen=True)
class _Exposures:
    key: IntArray
    term_mag: FloatArray
    total_mag: FloatArray


def _by_exposure(data: RunData, rows: IntArray) -> _Exposures | None:
    """Return the offsets of exposures with stars of their own in common visits."""
    visit_mag = data.visit_table.offset_mag
    place = {visit: row for row, visit in enumerate(data.visit_table.visit)}
    if data.exposures is not None:
        table = data.exposures
        own = table.count > 0
        visit, ccd = table.visit[own], table.ccd[own]
        row = np.array([place[str(name)] for name in visit], dtype=np.int64)
        total = table.offset_mag[own]
        term = total - visit_mag[row]
    else:
        level = next(
            (each for each in data.levels.values() if set(each.labels) == {"visit", "ccd"}), None
        )
        if level is None:
            return None
        ccd = np.asarray(level.labels["ccd"], dtype=np.int64)
        row = np.array([place[str(name)] for name in level.labels["visit"]], dtype=np.int64)
        term = level.offset_mag
        total = term + visit_mag[row]
    number = _numbers(rows, len(data.visit_table), row)
    kept = (number >= 0) & np.isfinite(total)
    key = number[kept] * SPAN + ccd[kept]
    return _Exposures(key, term[kept], total[kept] + data.zero_point_mag)


def _other_levels(a: RunData, b: RunData) -> Iterator[tuple[str, Agreement]]:
    """Yield the corrections that both runs label alike, besides visits and exposures."""
    known = ({"visit"}, {"visit", "ccd"})
    for name, level in a.levels.items():
        other = b.levels.get(name)
        if other is None or {level.role, other.role} != {"correction"}:
            continue
        if set(level.labels) != set(other.labels) or set(level.labels) in known:
            continue
        rows = _matched(level, other)
        if not rows.shape[1]:
            continue
        difference = other.offset_mag[rows[1]] - level.offset_mag[rows[0]]
        error = np.hypot(level.err_mag[rows[0]], other.err_mag[rows[1]])
        yield name, agree(difference, error, np.ones(rows.shape[1], dtype=bool))


def _matched(a: LevelData, b: LevelData) -> IntArray:
    """Return the rows of two levels that have the same labels, shape (2, r)."""
    names = list(a.labels)
    place = {key: row for row, key in enumerate(_keys(b, names))}
    pairs = [(i, place[key]) for i, key in enumerate(_keys(a, names)) if key in place]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _keys(level: LevelData, names: list[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(level.labels[name].tolist() for name in names), strict=True))
