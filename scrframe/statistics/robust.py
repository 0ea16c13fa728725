"""Spread of values: what a standard deviation would be without the outliers.

By the median absolute deviation, or by a Gaussian fitted to the histogram.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.optimize import curve_fit

from scrframe.arrays import FloatArray, IntArray

#: Median of the absolute value of a normal deviate: the upper quartile.
NORMAL_MEDIAN = float(special.ndtri(0.75))
#: Standard deviation of a normal distribution over its median absolute deviation, 1.4826.
MAD_TO_SD = 1 / NORMAL_MEDIAN
#: Efficiency of the median absolute deviation: its error is that of a standard deviation of
#: this share of the values.
MAD_EFFICIENCY = 0.37
#: The median of chi squared with one degree of freedom.
MEDIAN_CHI2 = NORMAL_MEDIAN**2
#: Width of a bin and reach about the median, in mag, of the paper's Fig. 13.
BIN_MAG, REACH_MAG = 0.005, 0.3


def robust_sd(values: npt.NDArray[Any], *, about: float | None = None) -> float:
    """Return the standard deviation as the median absolute deviation tells it.

    Parameters
    ----------
    values : ndarray, any shape
        NaN is left out.
    about : float, optional
        Deviations are from it; by default from the median.

    Returns
    -------
    float
        1.4826 times the median absolute deviation; NaN of no values.
    """
    if not np.isfinite(values).any():
        return np.nan
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(values) if about is None else about
        return float(MAD_TO_SD * np.nanmedian(np.abs(values - middle)))


@dataclass(frozen=True)
class GaussianFit:
    """A histogram, and the Gaussian that fits its counts by least squares.

    Attributes
    ----------
    centre : ndarray, shape (bins,)
        Middle of each bin.
    count : ndarray of int64, shape (bins,)
    height, mean, sigma : float
        Of the Gaussian; NaN where the fit does not converge (hardly any values).
    """

    centre: FloatArray
    count: IntArray
    height: float
    mean: float
    sigma: float


def fit_gaussian(
    values: FloatArray, bin_width: float = BIN_MAG, half_range: float = REACH_MAG
) -> GaussianFit:
    """Fit a Gaussian to the histogram of values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        All finite.
    half_range : float
        Values further from the median are not in the histogram.
    """
    median = float(np.median(values)) if len(values) else 0.0
    steps = max(round(half_range / bin_width), 1)
    edges = median + bin_width * np.arange(-steps, steps + 1)
    count, _ = np.histogram(values, edges)
    centre = 0.5 * (edges[1:] + edges[:-1])
    height = mean = sigma = nan
    if len(values):
        start = (float(np.max(count, initial=1)), median, max(robust_sd(values), bin_width))
        with suppress(RuntimeError, TypeError, ValueError):  # no convergence, or too few bins
            (height, mean, sigma), _ = curve_fit(gaussian, centre, count, p0=start)
    return GaussianFit(centre, count, float(height), float(mean), float(abs(sigma)))


def gaussian(x: FloatArray, height: float, mean: float, sigma: float) -> FloatArray:
    """Return a Gaussian of given height."""
    return np.asarray(height * np.exp(-0.5 * ((x - mean) / sigma) ** 2))
