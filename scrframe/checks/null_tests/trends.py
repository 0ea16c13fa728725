"""Null tests of residuals and of visit offsets: flat in what they must not depend on.

A residual is `mag_model - mag_cal`. What is constant over a visit is in the visit's offset, so
all is taken less the mean of the visit. Regions, which are fields that lie together, are the
units whose scatter gives the errors: what the model has wrong is alike within degrees. What
the visits absorb no residual shows: their offsets are tested themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from scipy import sparse, stats

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.statistics import GRID, bounded, cluster_fit, line, ranks
from scrframe.checks.verdict import Limit, NullTest, NullTestResult, judge, untestable
from scrframe.statistics.covariance import Covariance, variances
from scrframe.statistics.groups import codes, less_group_mean

#: Least number of regions for a trend of degree 1, 2 and 3, and of detections.
REGIONS_BY_DEGREE = (5, 8, 15)
LEAST_DETECTIONS = 100
#: Least number of CCDs for a comparison.
LEAST_CCDS = 2
#: Least number of groups of visits.
LEAST_GROUPS = 8
#: Above this many groups only the diagonal of their covariance is used: the spread between
#: them rules there, and the whole matrix would cost seconds.
WHOLE_COVARIANCE = 500


@dataclass(frozen=True)
class DetectionResiduals:
    """DetectionResiduals of some detections."""

    #: Model less calibrated magnitude. Shape (n,).
    residual_mag: FloatArray
    #: Numbers from 0. Shape (n,).
    visit: IntArray
    region: IntArray

    def take(self, rows: BoolArray) -> DetectionResiduals:
        """Return some of the detections."""
        return DetectionResiduals(self.residual_mag[rows], self.visit[rows], self.region[rows])


def residual_trend(
    test: NullTest, x: FloatArray, stars: DetectionResiduals, limit: Limit, x_unit: str = ""
) -> NullTestResult:
    """Test whether residuals depend on a quantity within visits.

    A polynomial in the quantity's rank is fitted; the number is the largest departure of that
    curve from its mean over the middle 90 per cent (paper, Fig. 12).

    Parameters
    ----------
    x : ndarray, shape (n,)
        The quantity; detections without it are left out.
    limit : Limit
        In mag.
    x_unit : str
        Unit of the quantity, for the curve in the detail.
    """
    good = np.isfinite(x) & np.isfinite(stars.residual_mag)
    x, rows = x[good], stars.take(good)
    if len(x) < LEAST_DETECTIONS:
        return untestable(test, limit, f"{len(x)} detections, {LEAST_DETECTIONS} are needed")
    region = codes(rows.region)
    regions = int(region.max()) + 1
    degree = int(np.searchsorted(REGIONS_BY_DEGREE, regions, side="right"))
    if degree == 0:
        return untestable(
            test, limit, f"{regions} regions of the sky, {REGIONS_BY_DEGREE[0]} are needed"
        )
    visit = codes(rows.visit)
    curve = np.asarray(legendre.legvander(ranks(x), degree)[:, 1:], dtype=np.float64)
    design = less_group_mean(curve, visit)
    fit = cluster_fit(design, less_group_mean(bounded(rows.residual_mag), visit), region)
    if fit is None:
        return untestable(test, limit, "it varies in too few regions")
    basis = legendre.legvander(GRID, degree)[:, 1:]
    basis -= basis.mean(axis=0)
    curve = basis @ fit.coefficients
    error = np.sqrt(np.einsum("ij,jk,ik->i", basis, fit.covariance, basis))
    seen = stats.t.isf(limit.probability / 2, regions - 1) * np.sqrt(np.mean(error**2))
    detail = {
        "x": np.quantile(x, (GRID + 1) / 2),
        "x_unit": x_unit,
        "curve_mag": curve,
        "curve_err_mag": error,
        "detections": len(x),
        "regions": regions,
        "degree": degree,
    }
    return judge(test, float(np.abs(curve).max()), limit, fit.probability(), float(seen), detail)


def residual_by_ccd(
    test: NullTest, ccd: IntArray, stars: DetectionResiduals, limit: Limit
) -> NullTestResult:
    """Test whether mean residuals differ between CCDs, beyond what regions scatter.

    The number is the standard deviation of the CCDs' means beyond noise, from an analysis of
    variance with the means of a CCD in a region as units; the limit is in mag. `ccd` has shape
    (n,).
    """
    good = np.isfinite(stars.residual_mag)
    rows, number = stars.take(good), np.asarray(ccd)[good]
    names, place = np.unique(number, return_inverse=True)
    if len(names) < LEAST_CCDS:
        return untestable(test, limit, "there is one CCD only")
    residual = less_group_mean(bounded(rows.residual_mag), codes(rows.visit))
    region = codes(rows.region)
    unit = codes(region * len(names) + place)
    count = np.bincount(unit).astype(np.float64)
    mean = np.bincount(unit, residual) / count
    owner = np.zeros(len(count), dtype=np.int64)
    owner[unit] = place
    freedom = len(count) - len(names) - int(region.max())
    if freedom < len(names):
        return untestable(test, limit, f"{int(region.max()) + 1} regions are too few for errors")
    size = np.bincount(owner, count)
    by_ccd = np.bincount(owner, count * mean) / size
    between = float(size @ (by_ccd - np.average(by_ccd, weights=size)) ** 2)
    between /= len(names) - 1
    within = float(count @ (mean - by_ccd[owner]) ** 2) / freedom
    each = (size.sum() - (size**2).sum() / size.sum()) / (len(names) - 1)
    needed = float(stats.f.isf(limit.probability, len(names) - 1, freedom))
    detail = {
        "ccd": names,
        "mean_mag": by_ccd,
        "err_mag": np.sqrt(within / size),
        "detections": len(residual),
    }
    return judge(
        test,
        float(np.sqrt(max(between - within, 0.0) / each)),
        limit,
        float(stats.f.sf(between / within, len(names) - 1, freedom)),
        float(np.sqrt((needed - 1) * within / each)),
        {**detail, "worst_ccd": names[np.argmax(np.abs(by_ccd) * np.sqrt(size))]},
    )


def mean_difference(
    test: NullTest, chosen: BoolArray, stars: DetectionResiduals, limit: Limit
) -> NullTestResult:
    """Test whether two kinds of stars have the same mean residual within visits.

    The first kind is `chosen`, shape (n,), the others are the second; the limit is in mag.
    """
    good = np.isfinite(stars.residual_mag)
    rows, first = stars.take(good), chosen[good]
    if min(first.sum(), (~first).sum()) < LEAST_DETECTIONS:
        return untestable(
            test, limit, f"{first.sum()} detections of one kind, {(~first).sum()} of the other"
        )
    residual = bounded(rows.residual_mag)
    visit, region = codes(rows.visit), codes(rows.region)
    if region.max() + 1 < REGIONS_BY_DEGREE[0]:
        return untestable(
            test, limit, f"{region.max() + 1} regions of the sky, {REGIONS_BY_DEGREE[0]} are needed"
        )
    design = less_group_mean(first.astype(np.float64)[:, None], visit)
    fit = cluster_fit(design, less_group_mean(residual, visit), region)
    if fit is None:
        return untestable(test, limit, "too few regions hold stars of both kinds")
    error = float(np.sqrt(fit.covariance[0, 0]))
    seen = float(stats.t.isf(limit.probability / 2, fit.clusters - 1)) * error
    detail = {
        "difference_mag": float(fit.coefficients[0]),
        "error_mag": error,
        "detections": int(first.sum()),
        "others": int((~first).sum()),
        "regions": fit.clusters,
    }
    value = abs(float(fit.coefficients[0]))
    return judge(test, value, limit, fit.probability(), seen, detail)


def visit_trend(
    test: NullTest,
    x: FloatArray,
    offset_mag: FloatArray,
    covariance: Covariance,
    group: IntArray,
    limit: Limit,
    x_unit: str = "",
    others: tuple[FloatArray, ...] = (),
) -> NullTestResult:
    """Test whether the offsets of visits depend on a quantity.

    A line in the quantity's rank goes through the means of groups of visits, with their
    covariance and the spread that visits have anyhow; the number is the range of the line
    over the middle 90 per cent of the ranks.

    Parameters
    ----------
    x : ndarray, shape (v,)
        The quantity by visit; visits without it are left out.
    offset_mag : ndarray, shape (v,)
        Fitted offsets; NaN where there is none.
    covariance : ndarray or csr_array, shape (v, v)
        Of the offsets, in mag squared.
    group : ndarray of int64, shape (v,)
        Visits that are no independent witnesses, such as those of one field, share a number.
    limit : Limit
        In mag.
    x_unit : str
        Unit of the quantity.
    others : tuple of ndarray, shape (v,)
        What may go with the quantity and change offsets by right, such as the date: lines in
        them are fitted along. Those that are not known of all visits are left out.
    """
    good = np.isfinite(x) & np.isfinite(offset_mag) & np.isfinite(variances(covariance))
    if good.sum() < LEAST_GROUPS:
        return untestable(test, limit, f"{good.sum()} visits, {LEAST_GROUPS} are needed")
    number = codes(group[good])
    share = 1 / np.bincount(number)[number]
    means = sparse.csr_array((share, (number, np.arange(len(number)))))
    quantity, offset = np.asarray(means @ x[good]), np.asarray(means @ offset_mag[good])
    if len(offset) < LEAST_GROUPS or len(np.unique(quantity)) < 2:
        what = f"{len(offset)} independent groups of visits, {LEAST_GROUPS} are needed"
        same = "it is the same for all visits"
        return untestable(test, limit, what if len(offset) < LEAST_GROUPS else same)
    if len(offset) > WHOLE_COVARIANCE:
        spread = np.asarray(means**2 @ variances(covariance)[good])
    else:
        rows = np.flatnonzero(good)
        some = covariance[rows][:, rows]
        if isinstance(some, sparse.csr_array):
            spread = (means @ some @ means.T).toarray()
        else:
            spread = np.asarray(means @ np.asarray(means @ some.T).T)
    beside = [
        ranks(np.asarray(means @ other[good])) for other in others if np.isfinite(other[good]).all()
    ]
    beside = [other for other in beside if np.ptp(other) > 0]
    fit = line(ranks(quantity), offset, spread, np.array(beside).T if beside else None)
    span = float(GRID[-1] - GRID[0])
    seen = float(stats.t.isf(limit.probability / 2, fit.freedom)) * fit.error * span
    detail = {
        "x_unit": x_unit,
        "x": quantity,
        "offset_mag": offset,
        "groups": len(offset),
        "range_mag": fit.slope * span,
        "error_mag": fit.error * span,
        "spread_mag": fit.spread,
    }
    return judge(test, abs(fit.slope) * span, limit, fit.probability(), seen, detail)
