"""Offsets of two runs side by side, and what of a difference is noise (paper, Fig. 15).

The errors of two runs on the same stars and magnitudes are not independent: what they share
drops out of a difference. So its error is found from what differs, star by star.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.products.run_data import RunData
from scrframe.statistics.groups import find_sorted
from scrframe.statistics.robust import robust_sd

#: Standard error of a median over that of a mean, of normal deviates.
MEDIAN_TO_MEAN = float(np.sqrt(np.pi / 2))
#: Chance that any group of all is said to disagree where none does.
FALSE_ALARM = 0.01
#: Differences below this are rounding, in mag.
ROUNDING = 1e-12
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

    Raises DataError if they calibrate different bands or have no visit in common.
    """
    if a.band != b.band:
        raise DataError(
            f'run A calibrates band "{a.band}" and run B "{b.band}"; cross-check runs of one band'
        )
    rows = _matched(a.visit_table.visit, b.visit_table.visit)
    if not rows.shape[1]:
        names = [next(iter(data.visit_table.visit), "") for data in (a, b)]
        raise DataError(
            f"the runs have no visit in common: A has {len(a.visit_table)}, the first being"
            f' "{names[0]}", B has {len(b.visit_table)}, the first being "{names[1]}"'
        )
    codes = [
        _numbers(rows[side], len(data.visit_table), data.star("visit_code"))
        for side, data in enumerate((a, b))
    ]
    errors, enough = _errors(a, b, codes, rows.shape[1], min_stars)
    first, second = a.visit_table, b.visit_table
    offset_a, offset_b = first.offset_mag[rows[0]], second.offset_mag[rows[1]]
    err_a, err_b = first.err_mag[rows[0]], second.err_mag[rows[1]]
    agreement = agree(offset_b - offset_a, errors.err_mag, enough)
    visits = VisitRows(
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
    exposures = _exposures(a, b, rows, codes, min_stars)
    return RunDifferences(visits, exposures, dict(_other_levels(a, b)))


@dataclass(frozen=True)
class RunResiduals:
    """Detections behind the offsets of one run, n rows."""

    #: Number of the visit or exposure that both runs have; -1 for none. Shape (n,).
    group: IntArray
    #: Star of each detection. Shape (n,).
    source_id: IntArray
    #: Model less calibrated magnitude; NaN for a detection that takes no part. Shape (n,).
    value_mag: FloatArray
    #: In the offsets; 0 or NaN for a detection that takes no part. Shape (n,).
    weight: FloatArray

    def taking_part(self) -> RunResiduals:
        """Return the detections that count."""
        kept = (self.group >= 0) & np.isfinite(self.value_mag) & (self.weight > 0)
        return RunResiduals(*(column[kept] for column in vars(self).values()))


@dataclass(frozen=True)
class PairedErrors:
    """Error of the difference of two offsets of the same group, g rows."""

    #: Standard error; NaN with fewer than two stars. Shape (g,).
    err_mag: FloatArray
    #: Stars of each run, and of both. Shape (g,).
    stars_a: IntArray
    stars_b: IntArray
    shared: IntArray


def paired_errors(groups: int, a: RunResiduals, b: RunResiduals) -> PairedErrors:
    """Return the errors of the differences (run B less run A) of the offsets of each group.

    An offset is a weighted mean of its detections, and a difference of two a sum over stars;
    a star in both runs enters once, with what its two residuals differ by. The sum of the
    squares of these contributions is the variance, whatever the runs share.
    """
    a, b = a.taking_part(), b.taking_part()
    _, star = np.unique(np.concatenate([a.source_id, b.source_id]), return_inverse=True)
    stars = int(star.max(initial=0)) + 1
    key = np.concatenate([a.group, b.group]) * stars + star
    keys, place = np.unique(key, return_inverse=True)
    part = np.concatenate([-_contributions(groups, a), _contributions(groups, b)])
    by_star = np.bincount(place, part, minlength=len(keys))
    group = keys // stars
    in_a = np.isin(np.arange(len(keys)), place[: len(a.group)])
    in_b = np.isin(np.arange(len(keys)), place[len(a.group) :])
    count = np.bincount(group, minlength=groups)
    variance = np.bincount(group, by_star**2, minlength=groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(variance * np.where(count > 1, count / (count - 1.0), np.nan))
    stars_of = (np.bincount(group[one], minlength=groups) for one in (in_a, in_b, in_a & in_b))
    return PairedErrors(error, *stars_of)


def _contributions(groups: int, run: RunResiduals) -> FloatArray:
    """Return what each detection adds to its group's mean, shape (n,)."""
    total = np.bincount(run.group, run.weight, minlength=groups)
    summed = np.bincount(run.group, run.weight * run.value_mag, minlength=groups)
    share = run.weight / total[run.group]
    return np.asarray(share * (run.value_mag - (summed / np.where(total > 0, total, 1))[run.group]))


@dataclass(frozen=True)
class Agreement:
    """Differences of two runs' offsets (B less A), the survey's constant removed, g rows.

    Attributes
    ----------
    difference_mag, err_mag, significance : ndarray, shape (g,)
        Difference, its error from the stars, and their ratio.
    judged : ndarray of bool, shape (g,)
        Groups with enough stars, which the figures below are of.
    disagrees : ndarray of bool, shape (g,)
        Judged groups whose difference is more than noise of the stars.
    outlying : ndarray of bool, shape (g,)
        Judged groups that differ by more than the others do.
    constant_mag, constant_err_mag : float
        Median difference, which is removed, and its error.
    sd_mag, mad_mag : float
        Standard deviation of the differences; 1.4826 times their median absolute deviation.
    noise_mag, excess_mag : float
        Root of the median squared error, and what the robust scatter has beyond it.
    limit : float
        Significance beyond which a group disagrees, for the number of groups.
    """

    difference_mag: FloatArray
    err_mag: FloatArray
    significance: FloatArray
    judged: BoolArray
    disagrees: BoolArray
    outlying: BoolArray
    constant_mag: float
    constant_err_mag: float
    sd_mag: float
    mad_mag: float
    noise_mag: float
    excess_mag: float
    limit: float


def agree(difference_mag: FloatArray, err_mag: FloatArray, judged: BoolArray) -> Agreement:
    """Judge differences of shape (g,) with their errors; NaN is no difference.

    `judged` says which groups have enough stars.
    """
    judged = judged & np.isfinite(difference_mag)
    values, count = difference_mag[judged], int(judged.sum())
    nan = float("nan")
    constant = float(np.median(values)) if count else nan
    gap = difference_mag - constant
    gap = np.where(np.abs(gap) < ROUNDING, 0.0, gap)
    mad = robust_sd(gap[judged], about=0.0)
    constant_err = MEDIAN_TO_MEAN * mad / np.sqrt(count) if count else nan
    noise = err_mag[judged & np.isfinite(err_mag)]
    noise_mag = float(np.sqrt(np.median(noise**2))) if len(noise) else nan
    excess = float(np.sqrt(max(mad**2 - noise_mag**2, 0.0)))
    significance = ratio(gap, err_mag)
    limit = float(norm.isf(FALSE_ALARM / 2 / max(count, 1)))
    spread = np.hypot(err_mag, excess)
    return Agreement(
        gap,
        err_mag,
        significance,
        judged,
        judged & (np.abs(significance) > limit),
        judged & (np.abs(ratio(gap, spread)) > limit),
        constant,
        float(constant_err),
        float(np.std(values, ddof=1)) if count > 1 else nan,
        mad,
        noise_mag,
        excess,
        limit,
    )


def ratio(difference_mag: FloatArray, err_mag: FloatArray) -> FloatArray:
    """Return differences in units of their errors; 0 where there is no difference."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference_mag == 0, 0.0, difference_mag / err_mag)


def _matched(first: Sequence[Hashable], second: Sequence[Hashable]) -> IntArray:
    """Return the rows of the names that both have, shape (2, r)."""
    place = {name: row for row, name in enumerate(second)}
    pairs = [(i, place[name]) for i, name in enumerate(first) if name in place]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _numbers(rows: IntArray, count: int, code: npt.NDArray[Any]) -> IntArray:
    """Return the number among the common visits of each detection's, -1 for another."""
    number = np.full(count, -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    return np.asarray(number[code])


def _errors(
    a: RunData, b: RunData, groups: Sequence[IntArray], count: int, min_stars: int
) -> tuple[PairedErrors, BoolArray]:
    """Return the errors of differences by group, and which groups have enough stars."""
    residuals = (
        RunResiduals(group, data.star("source_id"), data.residual, data.weight)
        for group, data in zip(groups, (a, b), strict=True)
    )
    errors = paired_errors(count, *residuals)
    return errors, np.minimum(errors.stars_a, errors.stars_b) >= min_stars


def _exposures(
    a: RunData, b: RunData, rows: IntArray, codes: Sequence[IntArray], min_stars: int
) -> ExposureRows | None:
    own_a, own_b = _by_exposure(a, rows[0]), _by_exposure(b, rows[1])
    if own_a is None or own_b is None:
        return None
    keys, first, second = np.intersect1d(own_a[0], own_b[0], return_indices=True)
    if not len(keys):
        return None
    groups = [
        np.where(codes[side] >= 0, find_sorted(keys, codes[side] * SPAN + data.star("ccd")), -1)
        for side, data in enumerate((a, b))
    ]
    errors, enough = _errors(a, b, groups, len(keys), min_stars)
    visit = np.array(a.visit_table.visit, dtype=np.str_)[rows[0]][keys // SPAN]
    term, total = (
        agree(of_b[second] - of_a[first], errors.err_mag, enough)
        for of_a, of_b in zip(own_a[1:], own_b[1:], strict=True)
    )
    return ExposureRows(visit, keys % SPAN, errors, term, total)


def _by_exposure(data: RunData, rows: IntArray) -> tuple[IntArray, FloatArray, FloatArray] | None:
    """Return the offsets of exposures with stars of their own in common visits, shape (x,) each.

    Key, what the CCD adds to its visit, and both together with u_ZP.
    """
    visit_mag, table = data.visit_table.offset_mag, data.exposures
    place = {visit: row for row, visit in enumerate(data.visit_table.visit)}
    if table is not None:
        own = table.count > 0
        ccd, total = table.ccd[own], table.offset_mag[own]
        row = np.array([place[str(name)] for name in table.visit[own]], dtype=np.int64)
        term = total - visit_mag[row]
    else:
        levels = (each for each in data.levels.values() if set(each.labels) == {"visit", "ccd"})
        level = next(levels, None)
        if level is None:
            return None
        ccd, term = np.asarray(level.labels["ccd"], dtype=np.int64), level.offset_mag
        row = np.array([place[str(name)] for name in level.labels["visit"]], dtype=np.int64)
        total = term + visit_mag[row]
    number = _numbers(rows, len(data.visit_table), row)
    kept = (number >= 0) & np.isfinite(total)
    key = number[kept] * SPAN + ccd[kept]
    return key, term[kept], total[kept] + data.zero_point_mag


def _other_levels(a: RunData, b: RunData) -> Iterator[tuple[str, Agreement]]:
    """Yield the corrections that both runs label alike, besides visits and exposures."""
    known = ({"visit"}, {"visit", "ccd"})
    for name, level in a.levels.items():
        other = b.levels.get(name)
        if other is None or {level.role, other.role} != {"correction"}:
            continue
        if set(level.labels) != set(other.labels) or set(level.labels) in known:
            continue
        keys = (
            list(zip(*(each.labels[label].tolist() for label in level.labels), strict=True))
            for each in (level, other)
        )
        rows = _matched(*keys)
        if not rows.shape[1]:
            continue
        difference = other.offset_mag[rows[1]] - level.offset_mag[rows[0]]
        error = np.hypot(level.err_mag[rows[0]], other.err_mag[rows[1]])
        yield name, agree(difference, error, np.ones(rows.shape[1], dtype=bool))
