"""Errors of single predictions, and whether they cover what they should.

Conformal prediction (Vovk et al. 2005; Mondrian and cross-conformal forms) takes a star's error
from the held-out residuals of stars alike, whatever the backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.sky import kd_partition

#: Shares of a normal distribution within one and two standard deviations.
WITHIN_1, WITHIN_2 = float(2 * ndtr(1.0) - 1), float(2 * ndtr(2.0) - 1)
#: Shares at which the curve of calibration is taken.
CURVE = np.arange(1, 20) / 20
#: Cells of stars alike at most: more of them follow noise.
MOST_CELLS = 64


@dataclass(frozen=True)
class Coverage:
    """How often residuals lie within their errors.

    Attributes
    ----------
    within_1, within_2 : float
        Share of residuals within one and two errors.
    expected_1, expected_2 : float
        The same of a normal distribution, 0.683 and 0.954.
    pull_sd : float
        Standard deviation of residual over error.
    median_err_mag : float
    count : int
    expected, found : ndarray, shape (k,)
        The curve of calibration: share that a normal distribution has within as many errors,
        and share found.
    """

    within_1: float
    within_2: float
    expected_1: float
    expected_2: float
    pull_sd: float
    median_err_mag: float
    count: int
    expected: FloatArray
    found: FloatArray


def conformal_errors(
    residual_mag: FloatArray, fold: IntArray, columns: FloatArray, least: int = 200
) -> FloatArray:
    """Return the error of each star from residuals of other folds of stars alike.

    The error is the half width that holds 68.3 per cent of those residuals, with the correction
    for their finite number. Stars alike share a cell of the columns.

    Parameters
    ----------
    residual_mag : ndarray, shape (n,)
        Out-of-fold residuals.
    fold : ndarray of int64, shape (n,)
    columns : ndarray, shape (n, k)
        What the error may depend on: magnitude, predicted colour, S/N; no label. Only the order
        of the values counts.
    least : int
        Fewest stars in a cell, where there are as many.

    Returns
    -------
    ndarray, shape (n,)
        NaN where a cell has too few residuals of other folds.
    """
    cells = max(1, min(len(fold) // least, MOST_CELLS))
    ranks = np.argsort(np.argsort(columns, axis=0, kind="stable"), axis=0)
    cell = kd_partition(ranks.astype(np.float64), cells)
    error = np.empty(len(fold))
    for one in np.unique(fold):
        held = fold == one
        error[held] = _half_widths(np.abs(residual_mag[~held]), cell[~held], cells)[cell[held]]
    return error


def _half_widths(size_mag: FloatArray, cell: IntArray, cells: int) -> FloatArray:
    """Return by cell what 68.3 per cent of further residuals will not exceed, shape (cells,).

    Of n residuals that is the one at place (n + 1) 0.683, rounded up; NaN where there are too
    few.
    """
    order = np.lexsort([size_mag, cell])
    count = np.bincount(cell, minlength=cells)
    place = np.ceil((count + 1) * WITHIN_1).astype(np.int64)
    first = np.cumsum(count) - count
    found = np.full(cells, np.nan)
    enough = (place <= count) & (count > 0)
    found[enough] = size_mag[order][first[enough] + place[enough] - 1]
    return found


def coverage(residual_mag: FloatArray, err_mag: FloatArray) -> Coverage:
    """Compare residuals with their errors, arrays of any one shape.

    Where either is not finite or the error is not positive, the star is left out.
    """
    good = np.isfinite(residual_mag) & np.isfinite(err_mag) & (err_mag > 0)
    pull = np.asarray(residual_mag[good] / err_mag[good])
    share = partial(_share_within, np.sort(np.abs(pull)))
    return Coverage(
        within_1=float(share(1.0)),
        within_2=float(share(2.0)),
        expected_1=WITHIN_1,
        expected_2=WITHIN_2,
        pull_sd=float(pull.std()) if pull.size else np.nan,
        median_err_mag=float(np.median(err_mag[good])) if pull.size else np.nan,
        count=pull.size,
        expected=CURVE,
        found=share(ndtri(0.5 + CURVE / 2)),
    )


def _share_within(size: FloatArray, limit: npt.ArrayLike) -> FloatArray:
    """Return the share of sorted sizes that do not exceed each limit."""
    if not size.size:
        return np.full(np.shape(limit), np.nan)
    return np.asarray(np.searchsorted(size, limit, side="right") / size.size)
