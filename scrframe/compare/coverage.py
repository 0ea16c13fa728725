"""Errors of single predictions, and whether they cover what they should.

Conformal prediction (Vovk et al. 2005; Mondrian and cross-conformal forms) takes a star's error
from the held-out residuals of stars alike, whatever the backend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
    """
    raise NotImplementedError


def coverage(residual_mag: FloatArray, err_mag: FloatArray) -> Coverage:
    """Compare residuals with their errors, arrays of any one shape.

    Where either is not finite or the error is not positive, the star is left out.
    """
    raise NotImplementedError
