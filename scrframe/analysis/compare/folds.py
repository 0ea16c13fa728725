"""Folds of stars: at random, or by whole cells of the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.statistics.sky import kd_partition, unit_vectors

#: Sky cells of a fold, where stars suffice: enough cells for a bootstrap, each wide enough that
#: most of its stars are far from a training star.
CELLS_PER_FOLD = 10
#: Stars a cell should hold.
STARS_PER_CELL = 20


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
    _check(stars, folds)
    order = np.random.default_rng(seed).permutation(stars)
    return np.asarray(order % folds, dtype=np.int64)


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
    _check(len(ra_deg), folds)
    per_fold = np.clip(len(ra_deg) // (folds * STARS_PER_CELL), 1, CELLS_PER_FOLD)
    cells = folds * int(per_fold)
    block = kd_partition(unit_vectors(ra_deg, dec_deg), cells)
    return Blocks(block, random_folds(cells, folds, seed)[block])


def _check(stars: int, folds: int) -> None:
    if folds < 2:
        raise CalibrationError(f"{folds} folds hold nothing out; ask for 2 or more")
    if stars < folds:
        raise CalibrationError(
            f"{stars} control stars cannot be in {folds} folds; ask for fewer folds, or loosen "
            "the cuts of the control stars"
        )
