"""Spread of values: what a standard deviation would be without the outliers, and how sure it is.

By the median absolute deviation, or by a Gaussian fitted to the histogram; and under a bootstrap
that draws whole groups of values. Draws depend on the seed and the number of groups alone, so that
the statistics of two backends are under the same draws and may be subtracted draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

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
    """Return 1.4826 times the median absolute deviation, a standard deviation; NaN of no values.

    Parameters
    ----------
    values : ndarray, any shape
        NaN is left out.
    about : float, optional
        Deviations are from it; by default from the median.
    """
    if not np.isfinite(values).any():
        return np.nan
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(values) if about is None else about
        return float(MAD_TO_SD * np.nanmedian(np.abs(values - middle)))


@dataclass(frozen=True)
class GaussianFit:
    """A histogram, and the Gaussian that fits its counts by least squares."""

    #: Middle of each bin. Shape (bins,).
    centre: FloatArray
    #: Shape (bins,).
    count: IntArray
    #: Of the Gaussian; NaN where the fit does not converge (hardly any values).
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
        from scipy.optimize import curve_fit  # noqa: PLC0415 - slow to import

        start = (float(np.max(count, initial=1)), median, max(robust_sd(values), bin_width))
        with suppress(RuntimeError, TypeError, ValueError):  # no convergence, or too few bins
            (height, mean, sigma), _ = curve_fit(gaussian, centre, count, p0=start)
    return GaussianFit(centre, count, float(height), float(mean), float(abs(sigma)))


def gaussian(x: FloatArray, height: float, mean: float, sigma: float) -> FloatArray:
    """Return a Gaussian of given height."""
    return np.asarray(height * np.exp(-0.5 * ((x - mean) / sigma) ** 2))


Statistic = Literal["sd", "mad", "rms"]
#: Draws worked on at once, so that work space stays small.
BATCH = 100
#: The grid on which medians of draws are found: cells, and half its width in MADs.
GRID_CELLS, GRID_REACH = 2048, 8.0
#: Halvings that find a median absolute deviation; the last is far below a cell.
HALVINGS = 20


def statistic_of(residual_mag: FloatArray, statistic: Statistic) -> FloatArray:
    """Return the statistic of residuals of shape (seeds, n) by seed, shape (seeds,)."""
    if statistic == "mad":
        return np.array([robust_sd(values) for values in residual_mag])
    if statistic == "sd":
        return np.asarray(residual_mag.std(axis=1))
    return np.asarray(np.sqrt(np.mean(residual_mag**2, axis=1)))


def drawn(
    residual_mag: FloatArray, index: IntArray, statistic: Statistic, draws: int, seed: int
) -> FloatArray:
    """Return the statistic of each draw, averaged over seeds, shape (draws,).

    Parameters
    ----------
    residual_mag : ndarray, shape (seeds, n)
    index : ndarray, shape (n,)
        Group of each residual, from 0 without gaps.
    statistic : {"sd", "mad", "rms"}
    """
    groups = int(index.max()) + 1
    work = _medians if statistic == "mad" else _moments
    of_weights = [work(one, index, groups, statistic) for one in residual_mag]
    found = [
        np.mean([function(weights) for function in of_weights], axis=0)
        for weights in _weights(groups, draws, seed)
    ]
    return np.concatenate(found)


def _weights(groups: int, draws: int, seed: int) -> Iterator[FloatArray]:
    """Yield how often each group is in each draw, shape (batch, groups)."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, BATCH):
        rows = min(BATCH, draws - start)
        chosen = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * groups)
        yield counts.reshape(rows, groups).astype(np.float64)


def _moments(
    residual_mag: FloatArray, index: IntArray, groups: int, statistic: Statistic
) -> Callable[[FloatArray], FloatArray]:
    """Return the function that takes weights of groups to standard deviation or rms."""
    # About the mean of all, for a large constant would cost digits.
    middle = float(residual_mag.mean()) if statistic == "sd" else 0.0
    left = residual_mag - middle
    sums = np.column_stack(
        [np.bincount(index, weight, minlength=groups) for weight in (None, left, left**2)]
    )

    def of(weights: FloatArray) -> FloatArray:
        # Not by BLAS, whose bits may depend on the number of its threads.
        count, first, second = np.einsum("dg,gk->kd", weights, sums)
        square = second / count
        if statistic == "sd":
            square = square - (first / count) ** 2
        return np.asarray(np.sqrt(np.maximum(square, 0.0)))

    return of


def _medians(
    residual_mag: FloatArray, index: IntArray, groups: int, statistic: Statistic
) -> Callable[[FloatArray], FloatArray]:
    """Return the function that takes weights of groups to 1.4826 MAD, read off a fine grid.

    Sorting anew in each draw would take a thousand times as long; the cells are far finer than
    the scatter of the draws.
    """
    spread = robust_sd(residual_mag)
    if not spread > 0:
        return lambda weights: np.zeros(len(weights))
    low = float(np.median(residual_mag)) - GRID_REACH * spread
    width = 2 * GRID_REACH * spread / GRID_CELLS
    cell = np.clip((residual_mag - low) / width, 0, GRID_CELLS - 1).astype(np.int64)
    ones = np.ones(len(cell))
    table = sparse.csr_array((ones, (index, cell)), shape=(groups, GRID_CELLS)).T.tocsr()

    def of(weights: FloatArray) -> FloatArray:
        below = np.zeros((len(weights), GRID_CELLS + 1))
        np.cumsum(np.asarray(table @ weights.T).T, axis=1, out=below[:, 1:])
        return MAD_TO_SD * width * _deviations(below)

    return of


def _deviations(below: FloatArray) -> FloatArray:
    """Return the median absolute deviation in cells, given counts below each edge, (draws,)."""
    rows, half = np.arange(len(below)), below[:, -1] / 2
    edge = np.sum(below <= half[:, None], axis=1) - 1
    edge = np.minimum(edge, below.shape[1] - 2)
    middle = edge + (half - below[rows, edge]) / (below[rows, edge + 1] - below[rows, edge])

    def share(place: FloatArray) -> FloatArray:
        place = np.clip(place, 0, below.shape[1] - 1)
        lower = np.minimum(place.astype(np.int64), below.shape[1] - 2)
        start = below[rows, lower]
        return np.asarray(start + (place - lower) * (below[rows, lower + 1] - start))

    least, most = np.zeros(len(below)), np.full(len(below), float(below.shape[1]))
    for _ in range(HALVINGS):
        trial = (least + most) / 2
        inside = share(middle + trial) - share(middle - trial)
        least = np.where(inside < half, trial, least)
        most = np.where(inside < half, most, trial)
    return np.asarray((least + most) / 2)
