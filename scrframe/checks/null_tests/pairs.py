"""Null tests of stars seen more than once: repeats within fields, overlaps between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.statistics import bounded
from scrframe.checks.verdict import (
    Limit,
    NullTest,
    NullTestResult,
    judge,
    judge_excess,
    untestable,
)
from scrframe.statistics.covariance import Covariance, entries, variances
from scrframe.statistics.groups import codes
from scrframe.statistics.robust import robust_sd

#: Least number of pairs of detections for a pull, and of those with offsets in common.
LEAST_PAIRS, LEAST_COMMON = 100, 5
#: Least number of stars that two fields or visits share, and of such pairs.
LEAST_SHARED, LEAST_GROUPS = 20, 3


@dataclass(frozen=True)
class Repeats:
    """Two detections of a star, in different visits."""

    #: Their rows. Shape (m,).
    first: IntArray
    second: IntArray

    def take(self, rows: BoolArray) -> Repeats:
        """Return some of the pairs."""
        return Repeats(self.first[rows], self.second[rows])


def successive(source: IntArray, chosen: BoolArray) -> Repeats:
    """Return the successive detections of each star among the chosen rows, shape (n,).

    `source`, shape (n,), is the identifier of the star.
    """
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(source[rows], kind="stable")]
    same = source[rows][1:] == source[rows][:-1]
    return Repeats(rows[:-1][same], rows[1:][same])


def repeat_pull(
    test: NullTest,
    mag: FloatArray,
    error: FloatArray,
    group: IntArray,
    pairs: Repeats,
    limit: Limit,
) -> NullTestResult:
    """Test whether repeats differ by as much as the stated errors say.

    The number is by how much the robust standard deviation of difference over error, with
    the mean difference of each group taken out, departs from 1.

    Parameters
    ----------
    mag : ndarray, shape (n,)
        Calibrated magnitudes.
    error : ndarray, shape (n,)
        Errors that are independent between detections, such as those of photometry.
    group : ndarray of int64, shape (m,)
        Repeats with offsets in common, such as those of two exposures.
    limit : Limit
        Without unit.
    """
    difference = mag[pairs.first] - mag[pairs.second]
    pull = difference / np.hypot(error[pairs.first], error[pairs.second])
    good = np.isfinite(pull)
    number = codes(group[good])
    count = np.bincount(number)
    kept = count[number] >= LEAST_COMMON
    if kept.sum() < LEAST_PAIRS:
        return untestable(test, limit, f"{kept.sum()} pairs of detections, {LEAST_PAIRS} needed")
    mean = np.bincount(number, bounded(pull[good])) / count
    # Of n values about their own mean one degree of freedom is lost.
    left = (pull[good] - mean[number]) * np.sqrt(count / np.maximum(count - 1, 1))[number]
    left = left[kept]
    size = robust_sd(left, about=0.0)
    # The median absolute deviation of n normal values has a relative error of 1.1664 / sqrt(n).
    spread = 1.1664 * size / np.sqrt(len(left))
    value = abs(size - 1)
    detail = {"pull_sd": size, "error": spread, "pairs": len(left)}
    chance = float(2 * stats.norm.sf(value / spread))
    return judge(test, value, limit, chance, limit.sigma * spread, detail)


@dataclass(frozen=True)
class Calibrated:
    """Calibrated magnitudes and what is common to their errors."""

    #: Shape (n,).
    mag: FloatArray
    #: In mag: what is each detection's own, and what all of an exposure have in common. Shape
    #: (n,).
    photometric_err: FloatArray
    exposure_err: FloatArray
    #: The visit is a row of `covariance`. Shape (n,).
    visit: IntArray
    ccd: IntArray
    #: Of the visits' offsets, in mag squared. Shape (v, v).
    covariance: Covariance


def differences(
    test: NullTest, stars: Calibrated, group: IntArray, pairs: Repeats, limit: Limit, what: str
) -> NullTestResult:
    """Test whether stars have the same magnitude in two groups of detections, such as fields.

    The number is the root mean square, over pairs of groups, of the mean differences beyond
    their errors.

    Parameters
    ----------
    group : ndarray of int64, shape (n,)
        Field or visit.
    pairs : Repeats
        Those of one group are left out.
    limit : Limit
        In mag.
    what : str
        What the groups are, in the plural, for the reason.
    """
    difference = stars.mag[pairs.first] - stars.mag[pairs.second]
    kept = (group[pairs.first] != group[pairs.second]) & np.isfinite(difference)
    if not kept.any():
        return untestable(test, limit, f"no star is in two {what}")
    rows, difference = pairs.take(kept), bounded(difference[kept])
    ends = np.stack([group[rows.first], group[rows.second]])
    sign = np.where(ends[0] < ends[1], 1.0, -1.0)
    base = int(group.max()) + 1
    key, two = np.unique(ends.min(axis=0) * base + ends.max(axis=0), return_inverse=True)
    count = np.bincount(two)
    enough = count >= LEAST_SHARED
    if enough.sum() < LEAST_GROUPS:
        return untestable(
            test,
            limit,
            f"{enough.sum()} pairs of {what} share {LEAST_SHARED} stars, {LEAST_GROUPS} are needed",
        )
    mean = (np.bincount(two, sign * difference) / count)[enough]
    variance = _variance(stars, rows, two, count)[enough]
    dof = int(enough.sum())
    chi2, scale = float(np.sum(mean**2 / variance)), float(np.mean(variance))
    detail = {
        "chi2": chi2,
        "pairs": dof,
        "rms_mag": float(np.sqrt(np.mean(mean**2))),
        "groups": np.stack([key[enough] // base, key[enough] % base], axis=1),
        "difference_mag": mean,
        "error_mag": np.sqrt(variance),
        "worst": int(np.argmax(mean**2 / variance)),
    }
    return judge_excess(test, chi2, dof, scale, limit, detail)


def _variance(stars: Calibrated, rows: Repeats, two: IntArray, count: IntArray) -> FloatArray:
    """Return the variance of the mean differences, shape (g,).

    Photometry averages over stars, exposures over the exposures, visits hardly at all.
    """
    own = stars.photometric_err[rows.first] ** 2 + stars.photometric_err[rows.second] ** 2
    variance = np.bincount(two, own) / count**2
    a, b = stars.visit[rows.first], stars.visit[rows.second]
    variance_of = variances(stars.covariance)
    common = (variance_of[a] + variance_of[b]) - 2 * entries(stars.covariance, a, b)
    variance += np.bincount(two, common) / count
    for end in (rows.first, rows.second):
        exposure = codes(stars.visit[end] * (int(stars.ccd.max()) + 1) + stars.ccd[end])
        _, part, size = np.unique(
            two * (int(exposure.max()) + 1) + exposure, return_index=True, return_counts=True
        )
        shared = (size * stars.exposure_err[end][part]) ** 2
        variance += np.bincount(two[part], shared, len(count)) / count**2
    return np.asarray(variance)
