"""The noise of detections and the scatter of stars, as the joint solve sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.offsets.model import FloatArray

#: No detection is taken to be better than this, so that its weight stays finite; in mag.
SMALLEST_SD_MAG = 1e-5


@dataclass(frozen=True)
class NoiseModel:
    """Variances of the photometric noise and of the stars' own deviations.

    Repeated detections of a star show only the noise that is independent between
    exposures. What its detections share (an error that two back-to-back exposures have in
    common, variability slower than the exposures) counts as the star's own deviation.

    Attributes
    ----------
    scale : float
        True over catalogued error.
    floor_mag : float
        Noise that the catalogue does not know of.
    scatter : ndarray, shape (t,)
        Coefficients of the logarithm of a star's standard deviation (in mag) on the
        covariates, of which the first is 1.
    """

    scale: float
    floor_mag: float
    scatter: FloatArray

    def variance(self, error_mag: FloatArray) -> FloatArray:
        """Return the noise variance in mag^2, shape (n,), of catalogued errors in mag."""
        variance = np.square(error_mag, dtype=np.float64)
        variance *= self.scale**2
        variance += self.floor_mag**2
        return np.maximum(variance, SMALLEST_SD_MAG**2, out=variance)

    def star_variance(self, covariates: FloatArray) -> FloatArray:
        """Return the variance of the stars' own deviations in mag^2, shape (s,).

        Parameters
        ----------
        covariates : ndarray, shape (s, t)
        """
        return np.asarray(np.exp(2.0 * (covariates @ self.scatter)))
