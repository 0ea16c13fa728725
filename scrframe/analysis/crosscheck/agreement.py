"""How far the offsets of two runs agree, and what of a difference is noise (paper, Fig. 15).

The errors of two runs on the same stars and magnitudes are not independent: what they share
drops out of a difference. So its error is found from what differs, star by star.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.statistics.robust import robust_sd

#: Standard error of a median over that of a mean, of normal deviates.
MEDIAN_TO_MEAN = float(np.sqrt(np.pi / 2))
#: Chance that any group of all is said to disagree where none does.
FALSE_ALARM = 0.01
#: Differences below this are rounding, in mag.
ROUNDING = 1e-12


@dataclass(frozen=True)
class RunResiduals:
    """Detections behind the offsets of one run, n rows.

    Attributes
    ----------
    group : ndarray of int, shape (n,)
        Number of the visit or exposure that both runs have; -1 for none.
    source_id : ndarray of int64, shape (n,)
        Star of each detection.
    value_mag : ndarray, shape (n,)
        Model less calibrated magnitude; NaN for a detection that takes no part.
    weight : ndarray, shape (n,)
        In the offsets; 0 or NaN for a detection that takes no part.
    """

    group: IntArray
    source_id: IntArray
    value_mag: FloatArray
    weight: FloatArray

    def taking_part(self) -> RunResiduals:
        """Return the detections that count."""
        kept = (self.group >= 0) & np.isfinite(self.value_mag) & (self.weight > 0)
        return RunResiduals(
            self.group[kept], self.source_id[kept], self.value_mag[kept], self.weight[kept]
        )


@dataclass(frozen=True)
class PairedErrors:
    """Error of the difference of two offsets of the same group, g rows.

    Attributes
    ----------
    err_mag : ndarray, shape (g,)
        Standard error; NaN with fewer than two stars.
    stars_a, stars_b, shared : ndarray of int, shape (g,)
        Stars of each run, and of both.
    """

    err_mag: FloatArray
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
    in_a, in_b = np.zeros(len(keys), dtype=bool), np.zeros(len(keys), dtype=bool)
    in_a[place[: len(a.group)]] = True
    in_b[place[len(a.group) :]] = True
    count = np.bincount(group, minlength=groups)
    variance = np.bincount(group, by_star**2, minlength=groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(variance * np.where(count > 1, count / (count - 1.0), np.nan))
    return PairedErrors(
        error,
        np.bincount(group[in_a], minlength=groups),
        np.bincount(group[in_b], minlength=groups),
        np.bincount(group[in_a & in_b], minlength=groups),
    )


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
