"""The statistics behind null tests and searches for anomalies.

Fits whose errors hold with few, unequal groups of stars; and how surprising the largest of many
looks is, in standard deviations of a normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import robust_sd

#: DetectionResiduals count up to this many robust standard deviations; outliers have no say beyond.
CLIP = 3.0
#: Ranks run from -1 to 1; sizes of trends are those over the middle nine tenths.
GRID = np.linspace(-0.9, 0.9, 19)


@dataclass(frozen=True)
class ClusterFit:
    """A linear fit whose covariance comes from leaving out clusters."""

    #: Shape (p,).
    coefficients: FloatArray
    #: Shape (p, p).
    covariance: FloatArray
    clusters: int

    def probability(self) -> float:
        """Return the probability of coefficients so far from zero by chance.

        Hotelling's T squared with one degree of freedom less than there are clusters.
        """
        p, g = len(self.coefficients), self.clusters
        squared = float(self.coefficients @ np.linalg.solve(self.covariance, self.coefficients))
        return float(stats.f.sf(squared * (g - p) / (p * (g - 1)), p, g - p))


def bounded(values: FloatArray) -> FloatArray:
    """Return values (n,) with those beyond `CLIP` robust standard deviations set to that bound."""
    middle = np.median(values)
    reach = CLIP * robust_sd(values)
    return np.asarray(np.clip(values, middle - reach, middle + reach))


def ranks(values: FloatArray) -> FloatArray:
    """Return the ranks of values (n,), evenly from -1 to 1: no value has undue leverage."""
    rank = stats.rankdata(values)
    return np.asarray((2 * rank - 1) / len(values) - 1)


def cluster_fit(design: FloatArray, values: FloatArray, cluster: IntArray) -> ClusterFit | None:
    """Fit values by least squares, with the covariance from a jackknife over clusters.

    The jackknife that leaves out a cluster at a time errs on the large side where clusters are few
    and unequal, where the usual robust errors are too small (Bell & McCaffrey 2002, Survey
    Methodology 28, 169). None if one cluster alone determines a coefficient.

    Parameters
    ----------
    design : ndarray, shape (n, p)
    values : ndarray, shape (n,)
    cluster : ndarray of int64, shape (n,)
        Numbers from 0.
    """
    p, groups = design.shape[1], int(cluster.max()) + 1
    normal = np.empty((groups, p, p))
    right = np.empty((groups, p))
    for row in range(p):
        right[:, row] = np.bincount(cluster, design[:, row] * values, groups)
        for column in range(row + 1):
            sums = np.bincount(cluster, design[:, row] * design[:, column], groups)
            normal[:, row, column] = normal[:, column, row] = sums
    whole, all_right = normal.sum(axis=0), right.sum(axis=0)
    # The ridge is for rounding only: a column that vanishes without a cluster must not count.
    left = whole - normal
    least = np.linalg.eigvalsh(left).min()
    if groups <= p + 1 or least < 1e-6 * np.linalg.eigvalsh(whole).max():
        return None
    each = np.linalg.solve(left, (all_right - right)[:, :, None])[:, :, 0]
    departure = each - each.mean(axis=0)
    covariance = (groups - 1) / groups * departure.T @ departure
    return ClusterFit(np.linalg.solve(whole, all_right), covariance, groups)


@dataclass(frozen=True)
class Line:
    """A straight line through the values of groups."""

    slope: float
    error: float
    #: Standard deviation of the groups about the line beyond their errors.
    spread: float
    #: Degrees of freedom.
    freedom: int

    def probability(self) -> float:
        """Return the probability of a slope so far from zero by chance."""
        return float(2 * stats.t.sf(abs(self.slope) / self.error, self.freedom))


def line(
    x: FloatArray, values: FloatArray, covariance: FloatArray, others: FloatArray | None = None
) -> Line:
    """Fit a line to values that scatter by their covariance and by an unknown spread besides.

    By generalised least squares; the spread is the one for which chi2 equals its degrees of
    freedom (Paule & Mandel 1982, J. Res. NBS 87, 377).

    Parameters
    ----------
    x, values : ndarray, shape (g,)
    covariance : ndarray, shape (g, g) or (g,)
        The latter are variances of independent values.
    others : ndarray, shape (g, k), optional
        Further quantities, fitted along and not reported.
    """
    design = np.column_stack([np.ones(len(x)), x, *([] if others is None else others.T)])
    freedom = len(x) - design.shape[1]
    power = covariance
    if covariance.ndim > 1:
        power, axes = np.linalg.eigh(covariance)
        design, values = axes.T @ design, axes.T @ values
    least = 1e-6 * max(float(np.var(values)), np.finfo(float).tiny)
    power = np.maximum(power, 0.0)

    def fit(spread2: float) -> tuple[FloatArray, FloatArray, float]:
        weight = 1 / (power + spread2)
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        found = inverse @ (design.T @ (weight * values))
        return found, inverse, float(weight @ (values - design @ found) ** 2)

    top = 10 * float(np.sum(values**2)) + least
    spread2 = least
    if fit(least)[2] > freedom:
        spread2 = float(optimize.brentq(lambda s: fit(s)[2] - freedom, least, top))
    found, inverse, _ = fit(spread2)
    return Line(float(found[1]), float(np.sqrt(inverse[1, 1])), float(np.sqrt(spread2)), freedom)


#: Probability of a false alarm of one search in clean data: ten searches stay at one per hundred.
FALSE_ALARM = 1e-3
#: The significance after trials that an anomaly needs.
LIMIT = float(stats.norm.isf(FALSE_ALARM / 2))


def after_trials(z: npt.ArrayLike, trials: float) -> FloatArray:
    """Return significances after a number of independent looks.

    Those of single looks, `z`, are two-sided, in standard deviations of a normal distribution; so
    are the new ones, whose tail has the probability that any of the looks goes as far; 0 where
    that is likely.
    """
    log_one = np.minimum(special.log_ndtr(-np.abs(np.asarray(z, float))) + np.log(2), 0.0)
    # 1 - (1 - p)^n, which is n p where p is too small for floats
    exact = np.log(
        np.maximum(-np.expm1(trials * np.log1p(-np.exp(np.minimum(log_one, -1e-12)))), 1e-300)
    )
    log_any = np.where(log_one < -30, np.minimum(log_one + np.log(trials), 0.0), exact)
    return np.asarray(np.maximum(-special.ndtri_exp(np.minimum(log_any, -1e-12) - np.log(2)), 0.0))


def normal_scores(values: npt.NDArray[Any]) -> FloatArray:
    """Return values by rank as a normal distribution would have them (van der Waerden).

    Sums of them are normal whatever the tails of the values, so outliers cannot alarm.
    """
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values)) + 0.5
    return np.asarray(special.ndtri(rank / max(len(values), 1)))


def normal_from_t(t: npt.ArrayLike, dof: float) -> FloatArray:
    """Return what a normal distribution calls as unlikely as Student's t with `dof`."""
    values = np.asarray(t, float)
    log_tail = np.log(np.maximum(stats.t.sf(np.abs(values), max(dof, 1.0)), 1e-300))
    return np.asarray(np.sign(values) * np.maximum(-special.ndtri_exp(log_tail), 0.0))
