"""Held-out data: overlaps that are cut and predicted.

Restricted likelihood judges how well a model describes the differences, not whether it puts
them into the right term. The same star seen from two fields tells that: its own colour, its
law and whatever lies at its place of the sky drop out of the difference, and what is left
are the two fields' corrections and noise. The solve is repeated without the stars that
several fields share, and must predict them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.offsets.joint.mixed_model import MixedModel, Weights, correction_values

#: Where more of the stars are seen by several fields, only some of them are held out.
MOST_CUT, HELD_SHARE = 0.5, 0.3
#: Stars that an overlap needs to count, and overlaps that a verdict needs.
MIN_STARS, MIN_OVERLAPS = 10, 6


@dataclass(frozen=True)
class Overlaps:
    """Pairs of detections of a star in two fields, by overlap.

    Attributes
    ----------
    first, second : ndarray of int64, shape (k,)
        Rows of the detections.
    overlap : ndarray of int64, shape (k,)
        Code of the pair of fields, from 0.
    held : ndarray of bool, shape (s,)
        Stars that are held out.
    """

    first: IntArray
    second: IntArray
    overlap: IntArray
    held: BoolArray

    @property
    def number(self) -> int:
        """Return the number of overlaps."""
        return int(self.overlap.max()) + 1 if len(self.overlap) else 0


def find_overlaps(star: IntArray, field: npt.NDArray[np.integer], stars: int) -> Overlaps:
    """Pair each star's first detections in each field with those in the next of its fields.

    Parameters
    ----------
    star : ndarray of int64, shape (n,)
    field : ndarray of int, shape (n,)
        Code of each detection's field, or of its visit where fields have no names.
    stars : int
        Number of stars, s.
    """
    order = np.lexsort((field, star))
    key = star[order].astype(np.int64) * (int(field.max(initial=0)) + 1) + field[order]
    once = order[np.unique(key, return_index=True)[1]]
    same = star[once[1:]] == star[once[:-1]]
    first, second = once[:-1][same], once[1:][same]
    shared = np.zeros(stars, dtype=bool)
    shared[star[first]] = True
    seen = np.bincount(star, minlength=stars) > 0
    if shared.sum() > MOST_CUT * seen.sum():
        shared &= np.random.default_rng(0).random(stars) < HELD_SHARE
    kept = shared[star[first]]
    first, second = first[kept], second[kept]
    pair = field[first].astype(np.int64) * (int(field.max(initial=0)) + 1) + field[second]
    _, code, count = np.unique(pair, return_inverse=True, return_counts=True)
    enough = count >= MIN_STARS
    chosen = enough[code]
    place = np.cumsum(enough) - 1
    return Overlaps(first[chosen], second[chosen], place[code[chosen]], shared)


def without_held(model: MixedModel, weights: Weights, overlaps: Overlaps) -> Weights:
    """Return weights that leave the held-out stars' detections out of a solve."""
    kept = np.where(overlaps.held[model.star], 0.0, weights.detection)
    return Weights(kept, weights.star, weights.loading)


@dataclass(frozen=True)
class Verdict:
    """How much better a model predicts the overlaps than another.

    Attributes
    ----------
    overlaps : int
    before_mag, after_mag : float
        Root mean square of the overlaps' differences left by the two models.
    significance : float
        Of the decrease of their squares, in standard deviations; negative is worse.
    """

    overlaps: int
    before_mag: float
    after_mag: float
    significance: float


def judge(
    overlaps: Overlaps,
    weights: Weights,
    delta_mag: FloatArray,
    before: tuple[MixedModel, FloatArray],
    after: tuple[MixedModel, FloatArray],
) -> Verdict | None:
    """Compare how two models predict what was held out; None where overlaps are too few.

    Parameters
    ----------
    overlaps : Overlaps
    weights : Weights
        With the held-out detections in.
    delta_mag : ndarray, shape (n,)
    before, after : tuple of MixedModel and ndarray, shape (p,)
        The models with their parameters from a solve without what is held out.
    """
    if overlaps.number < MIN_OVERLAPS:
        return None
    variance = 1 / np.maximum(weights.detection, 1e-6)
    noise = 1 / (variance[overlaps.first] + variance[overlaps.second])
    total = np.maximum(np.bincount(overlaps.overlap, noise), 1e-12)
    left = []
    for model, parameters in (before, after):
        residual = delta_mag - correction_values(model, parameters)
        difference = residual[overlaps.first] - residual[overlaps.second]
        left.append(np.bincount(overlaps.overlap, noise * difference) / total)
    squares = [values**2 - 1 / total for values in left]
    # Each overlap counts by its error; what all have in common is no reason to prefer one.
    common = max(float(np.median(squares[0])), 0.0)
    weight = 1 / (1 / total + common)
    change = weight * (squares[0] - squares[1])
    spread = float(np.sqrt(np.sum(change**2)))
    rms = [float(np.sqrt(max(np.average(each, weights=weight), 0.0))) for each in squares]
    significance = float(np.sum(change)) / spread if spread > 0 else 0.0
    return Verdict(overlaps.number, rms[0], rms[1], significance)
