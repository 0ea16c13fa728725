"""Smooth random functions on the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.tables import unit_vectors

WAVES = 64


@dataclass(frozen=True)
class SmoothField:
    """A Gaussian random function on the sky of zero mean and unit variance.

    A sum of plane waves whose wave vectors are normally distributed, so that its
    correlation at an angle d is exp(-d^2 / (2 scale^2)).

    Attributes
    ----------
    wave : ndarray, shape (3, w)
    phase : ndarray, shape (w,)
    """

    wave: FloatArray
    phase: FloatArray

    @classmethod
    def draw(cls, scale_deg: float, rng: np.random.Generator) -> SmoothField:
        """Draw a function that varies over `scale_deg`."""
        return cls(
            rng.normal(0, 1 / np.deg2rad(scale_deg), (3, WAVES)),
            rng.uniform(0, 2 * np.pi, WAVES),
        )

    def __call__(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return the value at positions, shape (n,)."""
        argument = unit_vectors(ra_deg, dec_deg) @ self.wave + self.phase
        # A cosine in single precision is much faster and good to 1e-5.
        waves = np.cos(argument.astype(np.float32))
        return np.asarray(np.sqrt(2 / WAVES) * waves.sum(axis=-1, dtype=np.float64))


@dataclass(frozen=True)
class Sky:
    """The smooth functions that a simulated sky is made of.

    Attributes
    ----------
    dust : SmoothField
        Modulates the extinction within fields.
    hidden : SmoothField
        Scatter of colours that is coherent over degrees.
    law : SmoothField
        Variation of the extinction law.
    populations : tuple of SmoothField
        One for each feature in which populations differ.
    """

    dust: SmoothField
    hidden: SmoothField
    law: SmoothField
    populations: tuple[SmoothField, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sky:
        """Draw a sky."""
        return cls(
            SmoothField.draw(0.7, rng),
            SmoothField.draw(2.0, rng),
            SmoothField.draw(6.0, rng),
            tuple(SmoothField.draw(8.0, rng) for _ in range(3)),
        )
