"""What every backend learns from and is judged by: control stars, and folds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.scr.training import Trend, TrendSettings
from scrframe.statistics.sky import kd_partition, unit_vectors
from scrframe.tables import MatchedStars

#: Sky cells of a fold, where stars suffice: enough cells for a bootstrap, each wide enough that
#: most of its stars are far from a training star.
CELLS_PER_FOLD = 10
#: Stars a cell should hold.
STARS_PER_CELL = 20


@dataclass(frozen=True)
class TrainingSet:
    """What every backend learns from and is judged by, the same for all."""

    #: Of all stars. Shape (s, m).
    features: Features
    #: Rows of the control stars. Shape (n,).
    control: IntArray
    #: Their observed intrinsic colours. Shape (n,).
    colour_mag: FloatArray
    #: By seed; the first random ones serve the control stars' predictions for the offsets.
    folds: tuple[Folds, ...]
    trend: TrendSettings
    seed: int
    threads: int


@dataclass(frozen=True)
class Folds:
    """One assignment of the control stars to folds of both kinds.

    A training holds back one random and one blocked fold together, and its model predicts
    both: half the trainings, on 64 per cent of the stars with five folds.
    """

    #: Number of the seed, from 0.
    seed: int
    #: Fold of each star. Shape (n,).
    random: IntArray
    blocked: IntArray

    @property
    def number(self) -> int:
        """Return the number of folds of a kind."""
        return int(max(self.random.max(), self.blocked.max())) + 1

    def of(self, kind: str) -> IntArray:
        """Return the folds of one kind, shape (n,)."""
        return self.random if kind == "random" else self.blocked


@dataclass(frozen=True)
class ControlStars:
    """What is known of the n control stars besides their colour."""

    #: Variables that residuals are plotted against: ``reference_mag``, ``extinction``, ``ra``,
    #: ``dec`` and, where the catalogue has it, ``xp_snr``. Arrays of shape (n,).
    columns: Mapping[str, FloatArray]
    #: Cell of the sky of each star. Shape (n,).
    block: IntArray

    def likeness(self, predicted_mag: FloatArray) -> FloatArray:
        """Return what a star's error may depend on, shape (n, k)."""
        known = [self.columns[name] for name in ("reference_mag", "xp_snr") if name in self.columns]
        return np.column_stack([*known, predicted_mag])


def control_columns(sample: MatchedStars, control: IntArray) -> dict[str, FloatArray]:
    """Return the variables of control stars, by rows of the stars."""
    names = ("reference_mag", "extinction", "ref_ra", "ref_dec")
    found = {
        name.removeprefix("ref_"): np.asarray(sample.stars[name], dtype=float)[control]
        for name in names
    }
    if "xp_snr" in sample.detections:
        seen, first = np.unique(sample.star, return_index=True)
        place = first[np.searchsorted(seen, control)]
        found["xp_snr"] = np.asarray(sample.detections["xp_snr"], dtype=float)[place]
    return found


def random_folds(stars: int, folds: int, seed: int) -> IntArray:
    """Return the fold of each star, shape (stars,), folds alike in size to one star.

    Raises CalibrationError if there are fewer than two folds, or fewer stars than folds.
    """
    _check(stars, folds)
    order = np.random.default_rng(seed).permutation(stars)
    return np.asarray(order % folds, dtype=np.int64)


def blocked_folds(
    ra_deg: FloatArray, dec_deg: FloatArray, folds: int, seed: int
) -> tuple[IntArray, IntArray]:
    """Return sky cells, and folds of whole cells, alike in number of stars.

    Cells depend on positions and the number of folds alone, so that they serve as groups for
    a bootstrap over several seeds; the seed deals them to folds.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)

    Returns
    -------
    block : ndarray of int64, shape (n,)
        Code of the sky cell of each star, from 0; the same for every seed.
    fold : ndarray of int64, shape (n,)
        Fold of each star; a cell is whole in one fold.

    Raises
    ------
    CalibrationError
        If there are fewer than two folds, or fewer stars than folds.
    """
    _check(len(ra_deg), folds)
    per_fold = np.clip(len(ra_deg) // (folds * STARS_PER_CELL), 1, CELLS_PER_FOLD)
    cells = folds * int(per_fold)
    block = kd_partition(unit_vectors(ra_deg, dec_deg), cells)
    return block, random_folds(cells, folds, seed)[block]


def _check(stars: int, folds: int) -> None:
    if folds < 2:
        raise CalibrationError(f"{folds} folds hold nothing out; ask for 2 or more")
    if stars < folds:
        raise CalibrationError(
            f"{stars} control stars cannot be in {folds} folds; ask for fewer folds, or loosen "
            "the cuts of the control stars"
        )


def detrended(
    features: Features,
    colour_mag: FloatArray,
    train: npt.NDArray[np.bool_],
    settings: TrendSettings,
) -> tuple[FloatArray, FloatArray]:
    """Return the trend of all rows, fitted to the training rows, and what it leaves of those."""
    if settings.shape == "none":
        return np.zeros(len(features)), colour_mag[train]
    trend = Trend.on(features[train], settings).predict(features, colour_mag[train])
    return trend, colour_mag[train] - trend[train]
