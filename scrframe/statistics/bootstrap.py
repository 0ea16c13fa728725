"""A statistic of residuals under a bootstrap that draws whole groups of them.

Draws depend on the seed and the number of groups alone, so that the statistics of two
backends are under the same draws and may be subtracted draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import MAD_TO_SD, robust_sd

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
