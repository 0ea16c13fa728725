"""Folds of stars: at random, or by whole cells of the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Cells of the sky and the fold of each.

    Attributes
    ----------
    block : ndarray of int64, shape (n,)
        Code of the sky cell of each star, from 0; the same for every seed.
    fold : ndarray of int64, shape (n,)
        Fold of each star; a cell is whole in one fold.
    """

    block: IntArray
    fold: IntArray


def random_folds(stars: int, folds: int, seed: int) -> IntArray:
    """Return the fold of each star, shape (stars,), folds alike in size to one star.

    Raises
    ------
    CalibrationError
        If there are fewer than two folds, or fewer stars than folds.
    """
    raise NotImplementedError


def blocked_folds(ra_deg: FloatArray, dec_deg: FloatArray, folds: int, seed: int) -> Blocks:
    """Return folds of whole sky cells, alike in number of stars.

    Cells depend on positions and the number of folds alone, so that they serve as groups for
    a bootstrap over several seeds; the seed deals them to folds.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
    folds, seed : int

    Raises
    ------
    CalibrationError
        If there are fewer than two folds, or fewer stars than folds.
    """
    raise NotImplementedError
