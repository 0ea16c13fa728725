"""Null tests of the fitted visit offsets: what the visits absorb, no residual shows."""

from __future__ import annotations

import numpy as np
from scipy import sparse, stats

from scrframe.arrays import FloatArray, IntArray
from scrframe.checks.judge import Limit, Named, judge, untestable
from scrframe.checks.statistics import GRID, line, ranks
from scrframe.checks.verdict import Check
from scrframe.statistics.groups import codes

#: Least number of groups of visits.
LEAST_GROUPS = 8
#: Above this many groups only the diagonal of their covariance is used: the spread between
#: them rules there, and the whole matrix would cost seconds.
WHOLE_COVARIANCE = 500


def visit_trend(
    test: Named,
    x: FloatArray,
    offset_mag: FloatArray,
    covariance: FloatArray,
    group: IntArray,
    limit: Limit,
    x_unit: str = "",
    others: tuple[FloatArray, ...] = (),
) -> Check:
    """Test whether the offsets of visits depend on a quantity.

    A line in the quantity's rank goes through the means of groups of visits, with their
    covariance and the spread that visits have anyhow; the number is the range of the line
    over the middle 90 per cent of the ranks.

    Parameters
    ----------
    test : Named
    x : ndarray, shape (v,)
        The quantity by visit; visits without it are left out.
    offset_mag : ndarray, shape (v,)
        Fitted offsets; NaN where there is none.
    covariance : ndarray, shape (v, v)
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
    good = np.isfinite(x) & np.isfinite(offset_mag) & np.isfinite(np.diag(covariance))
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
        spread = np.asarray(means**2 @ np.diag(covariance)[good])
    else:
        spread = np.asarray(means @ np.asarray(means @ covariance[np.ix_(good, good)].T).T)
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
