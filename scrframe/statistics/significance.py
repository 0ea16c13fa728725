"""How surprising the largest of many looks is, in standard deviations of a normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from scrframe.arrays import FloatArray

#: Probability of a false alarm of one search in clean data: ten searches stay at one per hundred.
FALSE_ALARM = 1e-3


def after_trials(z: npt.ArrayLike, trials: float) -> FloatArray:
    """Return significances after a number of independent looks.

    Parameters
    ----------
    z : array_like
        Two-sided significances of single looks, in standard deviations of a normal distribution.
    trials : float
        Number of looks.

    Returns
    -------
    ndarray
        Standard deviations of a normal distribution whose two-sided tail has the probability
        that any of the looks goes as far; 0 where that is likely.
    """
    log_one = np.minimum(special.log_ndtr(-np.abs(np.asarray(z, float))) + np.log(2), 0.0)
    # 1 - (1 - p)^n, which is n p where p is too small for floats
    exact = np.log(
        np.maximum(-np.expm1(trials * np.log1p(-np.exp(np.minimum(log_one, -1e-12)))), 1e-300)
    )
    log_any = np.where(log_one < -30, np.minimum(log_one + np.log(trials), 0.0), exact)
    return np.asarray(np.maximum(-special.ndtri_exp(np.minimum(log_any, -1e-12) - np.log(2)), 0.0))


def significance_limit(false_alarm: float = FALSE_ALARM) -> float:
    """Return the significance after trials that an anomaly needs."""
    return float(stats.norm.isf(false_alarm / 2))


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
