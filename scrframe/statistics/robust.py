"""How surprising the largest of many looks is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from scrframe.arrays import FloatArray

#: Probability of a false alarm of one search in clean data: ten searches stay at one per hundred.
FALSE_ALARM = 1e-3
#: 1.4826 times the median absolute deviation is the standard deviation of a normal distribution.
MAD = 1.4826
#: Efficiency of the median absolute deviation: its error is that of a standard deviation of
#: this share of the values.
MAD_EFFICIENCY = 0.37


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


def needed(false_alarm: float = FALSE_ALARM) -> float:
    """Return the significance after trials that an anomaly needs."""
    return float(stats.norm.isf(false_alarm / 2))


def normal_scores(values: npt.NDArray[Any]) -> FloatArray:
    """Return values by rank as a normal distribution would have them (van der Waerden).

    Sums of them are normal whatever the tails of the values, so outliers cannot alarm.
    """
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = np.arange(len(values)) + 0.5
    return np.asarray(special.ndtri(rank / max(len(values), 1)))


def robust_sd(values: npt.NDArray[Any], axis: int | None = None) -> Any:
    """Return the standard deviation from the median absolute deviation, or NaN."""
    if not np.isfinite(values).any():
        return np.nan
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(values, axis=axis, keepdims=axis is not None)
        return MAD * np.nanmedian(np.abs(values - middle), axis=axis)


def normal_from_t(t: npt.ArrayLike, dof: float) -> FloatArray:
    """Return what a normal distribution calls as unlikely as Student's t with `dof`."""
    values = np.asarray(t, float)
    log_tail = np.log(np.maximum(stats.t.sf(np.abs(values), max(dof, 1.0)), 1e-300))
    return np.asarray(np.sign(values) * np.maximum(-special.ndtri_exp(log_tail), 0.0))


#: From the median absolute deviation to the standard deviation of a normal distribution.
MAD_TO_SD = 1.4826


def mad(residual_mag: FloatArray) -> FloatArray:
    """Return 1.4826 times the median absolute deviation along the last axis."""
    middle = np.median(residual_mag, axis=-1, keepdims=True)
    return np.asarray(MAD_TO_SD * np.median(np.abs(residual_mag - middle), axis=-1))
