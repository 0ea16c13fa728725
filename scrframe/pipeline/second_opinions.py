"""Other extinctions and curves than the run's own, of which mag_cal_sys counts the effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.config.joint import SystematicSettings
from scrframe.scr.spectra import Standardise, intrinsic_features

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SecondOpinions:
    """What it takes to deredden the sample's stars another way.

    Attributes
    ----------
    flux : ndarray, shape (s, m)
        Observed spectra of the stars, or features that no extinction changes.
    k_mag : ndarray, shape (m,)
        The run's extinction curve, mag per unit E.
    standardise : str or None
        How spectra become features; None for features that no extinction changes.
    extinction : ndarray, shape (s,)
        The run's own E.
    second_extinction : ndarray, shape (s,), or None
        E of a second catalogue; the run's own where it has none.
    second_k_mag : ndarray, shape (m,), or None
        A second curve.
    """

    flux: npt.NDArray[np.floating]
    k_mag: FloatArray
    standardise: Standardise | None
    extinction: FloatArray
    second_extinction: FloatArray | None = None
    second_k_mag: FloatArray | None = None

    def each(self, asked: SystematicSettings) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        """Yield name, curve and extinctions of each alternative that is asked for."""
        own = self.extinction
        if asked.extinction and asked.extinction_scale > 0:
            yield "extinction_scale", self.k_mag, own * (1 + asked.extinction_scale)
        if asked.extinction and asked.extinction_zero > 0:
            yield "extinction_zero", self.k_mag, own + asked.extinction_zero
        if self.second_extinction is not None:
            yield "second_extinction", self.k_mag, self.second_extinction
        if self.second_k_mag is not None:
            yield "second_curve", self.second_k_mag, own

    def features(self, k_mag: FloatArray, extinction: FloatArray) -> npt.NDArray[np.float32]:
        """Return features dereddened with a curve and extinctions, shape (s, m)."""
        if self.standardise is None:
            return np.asarray(self.flux, dtype=np.float32)
        return intrinsic_features(self.flux, k_mag, extinction, self.standardise)
