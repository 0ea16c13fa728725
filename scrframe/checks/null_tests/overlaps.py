"""Null tests of zero points by overlaps of fields.

A solution that ties fields by the stars that both have leaves these no difference. What the model
says of the two fields may still disagree with them: the mean residual of the stars that one field
has alone, less that of the other, must be the difference of the shared stars. Offsets drop out,
and with them the scatter that zero points have anyhow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from scrframe.arrays import FloatArray, IntArray
from scrframe.checks.null_tests.inputs import StarSample
from scrframe.checks.null_tests.pairs import successive
from scrframe.checks.statistics import bounded, cluster_fit
from scrframe.checks.verdict import (
    Limit,
    NullTest,
    NullTestResult,
    judge,
    judge_excess,
    untestable,
)
from scrframe.statistics.groups import codes

#: Stars that two fields must share, and that each must have alone.
LEAST_SHARED, LEAST_OWN = 20, 50
#: Least number of pairs of fields for a size, and of regions of the sky for a trend.
LEAST_PAIRS, LEAST_REGIONS = 6, 5
#: What the disagreement is tested against: key, words, unit.
OVERLAP_QUANTITIES = (
    ("extinction", "mean extinction E", "mag"),
    ("colour", "mean colour", "mag"),
    ("airmass", "airmass", ""),
    ("time", "time", "d"),
    ("hour", "time in the night", "h"),
)


@dataclass(frozen=True)
class Tensions:
    """Differences of two fields by the model, less those by shared stars."""

    #: Numbers of the two fields. Shape (k, 2).
    fields: IntArray
    #: In mag, and the variance that the scatter of stars gives. Shape (k,).
    mean_mag: FloatArray
    variance: FloatArray


def field_tensions(stars: StarSample) -> Tensions:
    """Return what the model and shared stars disagree by, for all pairs of fields with enough."""
    usable = stars.solved & np.isfinite(stars.left_mag)
    pairs = successive(stars.source, usable)
    ends = np.stack([stars.field[pairs.first], stars.field[pairs.second]])
    apart = ends[0] != ends[1]
    pairs, ends = pairs.take(apart), ends[:, apart]
    base = int(stars.field.max(initial=0)) + 1
    key = ends.min(axis=0) * base + ends.max(axis=0)
    left = np.full(len(usable), np.nan)
    if usable.any():
        left[usable] = bounded(stars.left_mag[usable])
    rows_of = _rows_by_field(stars.field, usable)
    found = []
    for name in np.unique(key):
        mine = key == name
        low, high = divmod(int(name), base)
        shared = np.unique(stars.source[pairs.first[mine]])
        if len(shared) < LEAST_SHARED:
            continue
        sides = [_split(stars.source, left, rows_of[one], shared) for one in (low, high)]
        if min(side[2] for side in sides) < LEAST_OWN:
            continue
        first, second = sides
        mean = (first[0] - second[0]) - (first[1] - second[1])
        found.append((low, high, mean, first[3] + second[3]))
    table = np.array(found, dtype=np.float64).reshape(-1, 4)
    return Tensions(table[:, :2].astype(np.int64), table[:, 2], table[:, 3])


def _rows_by_field(field: IntArray, usable: np.ndarray) -> dict[int, IntArray]:
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(field[rows], kind="stable")]
    names, first = np.unique(field[rows], return_index=True)
    return dict(zip(names.tolist(), np.split(rows, first[1:]), strict=True))


def _split(
    source: IntArray, left: FloatArray, rows: IntArray, shared: IntArray
) -> tuple[float, float, int, float]:
    """Return a field's mean of own and of shared stars, the former's number and variance."""
    both = np.isin(source[rows], shared)
    own = left[rows[~both]]
    number = len(np.unique(source[rows[~both]]))
    if number < LEAST_OWN or not both.any():
        return 0.0, 0.0, 0, 0.0
    return float(own.mean()), float(left[rows[both]].mean()), number, float(own.var()) / number


def tension_size(test: NullTest, found: Tensions, limit: Limit) -> NullTestResult:
    """Test how much the model disagrees with overlaps beyond the scatter of stars.

    The number is the root mean square over pairs of fields, of one field; the limit is in mag.
    """
    number = len(found.mean_mag)
    if number < LEAST_PAIRS:
        return untestable(test, limit, _few(number))
    chi2 = float(np.sum(found.mean_mag**2 / found.variance))
    scale = float(np.mean(found.variance)) / 2
    detail = {
        "chi2": chi2,
        "pairs": number,
        "fields": found.fields,
        "difference_mag": found.mean_mag,
        "error_mag": np.sqrt(found.variance),
    }
    return judge_excess(test, chi2, number, scale, limit, detail)


def tension_trend(
    test: NullTest,
    quantity: FloatArray,
    found: Tensions,
    region: IntArray,
    limit: Limit,
    x_unit: str = "",
) -> NullTestResult:
    """Test whether the model disagrees with overlaps the more, the more fields differ in something.

    The number is the slope times what fields that overlap usually differ by (root mean square): a
    trend is not carried on to differences that no overlap has.

    Parameters
    ----------
    quantity : ndarray, shape (f,)
        By field, NaN where it is not known.
    found : Tensions
    region : ndarray of int64, shape (f,)
        Fields of a region are no independent witnesses.
    limit : Limit
        In mag.
    x_unit : str
        Unit of the quantity.
    """
    if len(found.mean_mag) < LEAST_PAIRS:
        return untestable(test, limit, _few(len(found.mean_mag)))
    step = quantity[found.fields[:, 0]] - quantity[found.fields[:, 1]]
    good = np.isfinite(step)
    if not good.any() or not np.any(step[good]):
        return untestable(test, limit, "fields that overlap do not differ in it")
    mean, variance = found.mean_mag[good], found.variance[good]
    cluster = codes(region[found.fields[good, 0]])
    regions = int(cluster.max()) + 1
    if regions < LEAST_REGIONS:
        return untestable(test, limit, f"{regions} regions of the sky, {LEAST_REGIONS} are needed")
    weight = 1 / np.sqrt(variance + max(float(np.mean(mean**2 - variance)), 0.0))
    fit = cluster_fit((step[good] * weight)[:, None], mean * weight, cluster)
    if fit is None:
        return untestable(test, limit, "fields that overlap differ in it in one region")
    span = float(np.sqrt(np.mean(step[good] ** 2)))
    error = float(np.sqrt(fit.covariance[0, 0])) * span
    value = float(fit.coefficients[0]) * span
    seen = float(stats.t.isf(limit.probability / 2, regions - 1)) * error
    detail = {
        "x_unit": x_unit,
        "effect_mag": value,
        "usual_difference": span,
        "error_mag": error,
        "pairs": len(mean),
        "regions": regions,
    }
    return judge(test, abs(value), limit, fit.probability(), seen, detail)


def _few(number: int) -> str:
    return f"{number} pairs of fields share {LEAST_SHARED} stars, {LEAST_PAIRS} are needed"
