"""Histograms about the median, and the Gaussians that fit them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import nan

import numpy as np
from scipy.optimize import curve_fit

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import robust_sd

#: Width of a bin and reach about the median, in mag, of the paper's Fig. 13.
BIN_MAG, REACH_MAG = 0.005, 0.3


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


def gaussian(x: FloatArray, height: float, mean: float, sigma: float) -> FloatArray:
    """Return a Gaussian of given height."""
    return np.asarray(height * np.exp(-0.5 * ((x - mean) / sigma) ** 2))


def fit_gaussian(
    values: FloatArray, bin_width: float = BIN_MAG, half_range: float = REACH_MAG
) -> GaussianFit:
    """Fit a Gaussian to the histogram of values.

    Parameters
    ----------
    values : ndarray, shape (n,)
        All finite.
    bin_width : float
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
