"""Slopes of the colour excess on E in bins of intrinsic colour, as the law's own fit has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figures.bins import equal_bins, ratio
from scrframe.statistics.robust import robust_sd

#: Bins of C0 with a slope each, and the fewest detections in one.
SLOPE_BINS, SLOPE_LEAST = 16, 100
#: Fewest detections of a field in a bin that give a slope.
GROUP_LEAST = 5
#: Residuals beyond this many standard deviations are left out of the slopes.
CLIP_SIGMA = 4.0


@dataclass(frozen=True)
class ColourSlopes:
    """Slopes of the colour excess on E in bins of intrinsic colour, one row a bin.

    Attributes
    ----------
    colour0_mag, extinction_mag : ndarray, shape (b,)
        Mean C0 and mean E of the bin.
    slope, err : ndarray, shape (b,)
        Slope in mag per unit E, see `colour_slopes`, and its error.
    law, law_err : ndarray, shape (b,)
        The law's own slope, fitted to R E of the same detections, and the error of R.
    detections : ndarray of int64, shape (b,)
    """

    colour0_mag: FloatArray
    extinction_mag: FloatArray
    slope: FloatArray
    err: FloatArray
    law: FloatArray
    law_err: FloatArray
    detections: IntArray


def colour_slopes(data: RunData, rows: IntArray) -> ColourSlopes:
    """Fit the slope of the colour excess on E in bins of C0, as the law's own fit does.

    Each field (else each visit) has an intercept and a slope of its own in each bin; the bin's
    slope is their mean, weighted by the inverse variances that noise and the variation of
    slopes between fields, where the law has it, give.

    Parameters
    ----------
    data : RunData
    rows : ndarray of int, shape (m,)
        Detections that take part, with finite E, C0 and residuals; those whose residual is
        an outlier are left out, and others count by their robust weight.
    """
    residual = data.residual[rows]
    middle = np.median(residual)
    sigma = robust_sd(residual)
    rows = rows[np.abs(residual - middle) <= max(CLIP_SIGMA * sigma, 1e-12)]
    e, c = data.star("extinction")[rows], data.star("colour0")[rows]
    by_law = data.law.ratio(c, e) * e
    bins = max(1, min(SLOPE_BINS, len(rows) // SLOPE_LEAST))
    code, _ = equal_bins(c, bins)
    bins = int(code.max()) + 1
    group, groups = _groups(data, rows)
    part = code * groups + group
    weight = data.weight[rows]
    parts = np.full(bins * groups, np.nan), np.full(bins * groups, np.nan)
    for values, one in zip(parts, (by_law - data.residual[rows], by_law), strict=True):
        one_slope, sxx = _lines(part, e, one, weight, bins * groups)
        values[:] = one_slope
    many = np.bincount(part, weight > 0, bins * groups) >= GROUP_LEAST
    own = 0.0 if data.law.slopes is None else data.law.slopes.sd
    usable = many & (sxx > 0)
    variance = max(sigma, 1e-9) ** 2 / np.where(usable, sxx, 1.0) + own**2
    share = np.where(usable, 1 / variance, 0.0).reshape(bins, groups)
    total = share.sum(axis=1)
    slope, law = (
        ratio(np.sum(share * np.nan_to_num(values).reshape(bins, groups), axis=1), total)
        for values in parts
    )
    detections = np.bincount(code, minlength=bins)
    colour0, extinction = (ratio(np.bincount(code, values), detections) for values in (c, e))
    law_err = np.sqrt(data.law.variance(colour0, extinction))
    err = np.sqrt(ratio(np.ones(bins), total))
    return ColourSlopes(colour0, extinction, slope, err, law, law_err, detections)


def _lines(
    code: IntArray, x: FloatArray, y: FloatArray, weight: FloatArray, groups: int
) -> tuple[FloatArray, FloatArray]:
    """Return the least-squares slope of each group, with an intercept each, and Sxx."""
    total = np.bincount(code, weight, groups)
    x_off = x - ratio(np.bincount(code, weight * x, groups), total)[code]
    pull = weight * np.nan_to_num(x_off)
    sxx = np.asarray(np.bincount(code, pull * np.nan_to_num(x_off), groups), dtype=np.float64)
    return ratio(np.bincount(code, pull * y, groups), sxx), sxx


def _groups(data: RunData, rows: IntArray) -> tuple[IntArray, int]:
    """Return the field, or else the visit, of detections and the number of these."""
    visit = data.visit_code[rows].astype(np.int64)
    if len(data.fields) < 2:
        return visit, len(data.visits)
    names, field = np.unique(data.visit_table.field, return_inverse=True)
    return field[visit].astype(np.int64), len(names)
