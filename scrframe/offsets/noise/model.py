"""The noise of detections and the scatter of stars, as the joint solve sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray

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


#: Standardised properties end here, so that no star lies far outside the others.
BOUND = 3.0


@dataclass(frozen=True)
class CovariateScale:
    """A frozen standardisation: the same property always gives the same covariate.

    Attributes
    ----------
    names : tuple of str
        Properties, in the order of their covariates.
    centre, spread : tuple of float
        Median and robust standard deviation of each property, in its own unit. A spread of
        0 (all stars alike) makes the property's covariates 0.
    degree : int
        Highest power of each property.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    degree: int

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray], degree: int) -> CovariateScale:
        """Measure centre and spread of star properties, each of shape (s,)."""
        measured = [centre_and_spread(values) for values in columns.values()]
        centre = tuple(pair[0] for pair in measured)
        return cls(tuple(columns), centre, tuple(pair[1] for pair in measured), degree)

    def covariates(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the covariates of stars, shape (s, t).

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (s,)
            At least the properties in `names`; a value that is not known (NaN) counts as
            that of the typical star.

        Returns
        -------
        ndarray, shape (s, t)
            First 1, then by property its powers 1 to `degree`; t = 1 + degree * properties.
        """
        stars = len(next(iter(columns.values()))) if columns else 0
        result = np.ones((stars, 1 + self.degree * len(self.names)))
        for i, name in enumerate(self.names):
            base = _standardised(columns[name], self.centre[i], self.spread[i])
            for power in range(1, self.degree + 1):
                result[:, i * self.degree + power] = base**power
        return result


def covariates(columns: Mapping[str, FloatArray], degree: int) -> FloatArray:
    """Return covariates of stars, shape (s, t), standardised on these very stars.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (s,)
        Properties such as magnitude, extinction or colour.
    degree : int
        Highest power of each.
    """
    return CovariateScale.of(columns, degree).covariates(columns)


def centre_and_spread(values: FloatArray) -> tuple[float, float]:
    """Return median and robust standard deviation of the finite values; 0, 0 if there are none.

    The standard deviation is 1.4826 times the median absolute deviation (a normal
    distribution's).
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 0.0
    centre = float(np.median(finite))
    return centre, float(1.482602218505602 * np.median(np.abs(finite - centre)))


def _standardised(values: FloatArray, centre: float, spread: float) -> FloatArray:
    if spread == 0.0:
        return np.zeros(len(values))
    scaled = np.clip((np.asarray(values, dtype=np.float64) - centre) / spread, -BOUND, BOUND)
    return np.nan_to_num(scaled, nan=0.0)
