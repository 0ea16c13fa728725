"""Features of a colour model: intrinsic spectra, or stellar parameters.

Spectra are dereddened and standardised (paper, Sections 2.2 and 3, step i); parameters are
those of classic Stellar Colour Regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError

Standardise = Literal["per_star", "per_wavelength", "none"]
#: Rows handled at once, so that double-precision work space stays small.
BLOCK = 65_536


def intrinsic_features(
    flux: npt.NDArray[np.floating],
    k_mag: FloatArray,
    extinction: FloatArray,
    standardise: Standardise,
) -> npt.NDArray[np.float32]:
    """Deredden and standardise spectra into features of a colour model.

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Observed fluxes, one row a star.
    k_mag : ndarray, shape (m,)
        Extinction curve on the same grid, mag per unit E.
    extinction : ndarray, shape (n,)
        E of each star.
    standardise : {"per_star", "per_wavelength", "none"}
        Over what mean and standard deviation are taken. ``none`` keeps the shape but
        still divides by each star's mean, for brightness must not enter.

    Returns
    -------
    ndarray of float32, shape (n, m)

    Raises
    ------
    CalibrationError
        If a feature is not finite (a star without flux or without extinction).
    """
    features = np.empty(flux.shape, dtype=np.float32)
    for start in range(0, len(flux), BLOCK):
        rows = slice(start, start + BLOCK)
        intrinsic = deredden(flux[rows], k_mag, extinction[rows])
        if standardise == "per_star":
            intrinsic = standardise_rows(intrinsic)
        else:
            intrinsic = intrinsic / intrinsic.mean(axis=1, keepdims=True)
        features[rows] = intrinsic
    if standardise == "per_wavelength":
        mean, deviation = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
        features = ((features - mean) / deviation).astype(np.float32)
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise CalibrationError(f"{bad} stars have spectra that are not finite after dereddening")
    return features


def deredden(
    flux: npt.NDArray[np.floating], k_mag: FloatArray, extinction: FloatArray
) -> FloatArray:
    """Return intrinsic fluxes F0 = F 10^(0.4 k E).

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Observed fluxes.
    k_mag : ndarray, shape (m,)
        Extinction curve, mag per unit E.
    extinction : ndarray, shape (n,)
        E of each star.
    """
    return np.asarray(flux * np.exp((0.4 * np.log(10.0)) * extinction[:, None] * k_mag))


def standardise_rows(flux: FloatArray) -> FloatArray:
    """Return each row less its mean, over its standard deviation (F' of the paper)."""
    centred = flux - flux.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


@dataclass(frozen=True)
class ColumnScale:
    """Brings quantities of different units to one scale, column by column.

    Nothing is dereddened, and no mean is taken over the quantities of one star: they are not
    of one kind, and none of them depends on the star's brightness.
    """

    #: Of the stars that the scale was laid through. Shape (m,).
    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def on(cls, values: FloatArray) -> ColumnScale:
        """Lay the scale through stars, shape (n, m); what does not vary keeps its unit."""
        deviation = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return values, shape (n, m), less the mean, over the standard deviation.

        Raises CalibrationError if a value is not finite.
        """
        features = ((values - self.mean) / self.deviation).astype(np.float32)
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        if bad:
            raise CalibrationError(f"{bad} stars have parameters that are not finite")
        return features
