"""The Calibration Sample as arrays; magnitudes, colours and visit offsets that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.scr.law_design import Fields
from scrframe.tables import ReddeningLaw


@dataclass(frozen=True)
class Observations:
    """The Calibration Sample as plain arrays."""

    #: Per detection, in mag. Shape (n,).
    mag: FloatArray
    mag_err: FloatArray
    reference_mag: FloatArray
    extinction: FloatArray
    #: Row of the star, and code of the visit. Shape (n,).
    star: IntArray
    visit: npt.NDArray[np.integer]
    #: Detections of the Control Sample. Shape (n,).
    in_control: npt.NDArray[np.bool_]
    #: Number of stars.
    stars: int
    #: Detections that train, fit the law and settle the offsets; the others are predicted. Shape
    #: (n,).
    used: npt.NDArray[np.bool_]
    #: Fields of the detections, over which the law may vary.
    fields: Fields | None = None

    @property
    def training_mask(self) -> npt.NDArray[np.bool_]:
        """Return which detections the colours of control stars come from, shape (n,)."""
        return np.asarray(self.in_control & self.used)


def model_magnitudes(
    colour0_mag: FloatArray, law: ReddeningLaw, observations: Observations
) -> FloatArray:
    """Return u_mod = G_BP + C0 + R E by detection (Eq. 2); `colour0_mag` is by star."""
    colour0 = colour0_mag[observations.star]
    return np.asarray(
        observations.reference_mag
        + colour0
        + law.ratio(colour0, observations.extinction) * observations.extinction
    )


def star_colours(
    corrected_mag: FloatArray, ratio: FloatArray, observations: Observations
) -> FloatArray:
    """Return the intrinsic colour of each control star, NaN for the others, shape (s,).

    The mean over a star's control detections of (mag - G_BP) - R E, weighted by the
    inverse square of the photometric errors: stars are trained on, not detections. A star
    none of whose detections is used any more keeps a colour, from all that it has.

    Parameters
    ----------
    corrected_mag, ratio : ndarray, shape (n,)
        Magnitudes with preliminary visit offsets, and R, by detection.
    """
    value = corrected_mag - observations.reference_mag - ratio * observations.extinction
    colour = _weighted_means(value, observations.training_mask, observations)
    missing = np.isnan(colour)
    if missing.any():
        colour[missing] = _weighted_means(value, observations.in_control, observations)[missing]
    return colour


def _weighted_means(
    value: FloatArray, kept: npt.NDArray[np.bool_], observations: Observations
) -> FloatArray:
    weight = observations.mag_err[kept] ** -2.0
    total = np.bincount(
        observations.star[kept], weights=weight * value[kept], minlength=observations.stars
    )
    with np.errstate(invalid="ignore"):
        return total / np.bincount(
            observations.star[kept], weights=weight, minlength=observations.stars
        )


class OffsetState(Protocol):
    """Offsets of the visits as they stand; frozen, so that each round gives a new one."""

    @property
    def offset_mag(self) -> FloatArray:
        """Offset of each detection, less the mean over the training detections, shape (n,)."""

    @property
    def change_mag(self) -> float:
        """Largest change of a visit's offset since the round before."""

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Detections that the next round uses, shape (n,)."""

    def update_offsets(self, model_mag: FloatArray, colour0_mag: FloatArray) -> OffsetState:
        """Return the offsets found with model magnitudes (n,) and colours of stars (s,)."""


@dataclass(frozen=True)
class VisitMeans:
    """The mean difference of each visit less that of the control detections (paper, step iii)."""

    observations: Observations
    #: Shape (v,).
    visit_mag: FloatArray
    change_mag: float = float("inf")

    @classmethod
    def start(cls, observations: Observations) -> VisitMeans:
        """Return offsets of zero."""
        return cls(observations, np.zeros(int(observations.visit.max()) + 1))

    @property
    def offset_mag(self) -> FloatArray:
        """Offset of each detection, shape (n,)."""
        return np.asarray(self.visit_mag[self.observations.visit])

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """All detections that the observations name, shape (n,)."""
        return self.observations.used

    def update_offsets(self, model_mag: FloatArray, colour0_mag: FloatArray) -> VisitMeans:
        """Return the means with other model magnitudes, shape (n,); colours play no part."""
        observations = self.observations
        delta = model_mag - observations.mag
        count = np.bincount(observations.visit)
        mean = np.bincount(observations.visit, weights=delta) / np.maximum(count, 1)
        moved = mean - delta[observations.training_mask].mean()
        change = float(np.max(np.abs(moved - self.visit_mag)))
        return replace(self, visit_mag=moved, change_mag=change)
