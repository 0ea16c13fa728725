"""A linear trend of colour with the features, taken out before a model is trained.

Trees and other local models average over neighbours, and so predict too little contrast
where training stars are few: at the ends of the ranges of colour and metallicity. Fields
of another population than the control field then get biased offsets. The larger part of
the colour is linear in the standardised spectrum; what is left for the model is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LinearTrend:
    """Ridge regression on standardised features, for any colours of fixed training rows.

    Attributes
    ----------
    mean, deviation : ndarray, shape (m,)
        Of the training features.
    projector : ndarray, shape (m, t)
        Takes centred training colours to coefficients.
    leverage : ndarray, shape (t,)
        Weight of each training colour in its own prediction.
    """

    mean: FloatArray
    deviation: FloatArray
    projector: FloatArray
    leverage: FloatArray

    @classmethod
    def on(cls, features: Features, ridge: float) -> LinearTrend:
        """Prepare a trend for training features of shape (t, m).

        Parameters
        ----------
        features : ndarray
        ridge : float
            Added to the diagonal of the normal equations in standardised features; it
            settles directions that the data leave open, such as the sum of a spectrum that
            is standardised to mean zero.
        """
        rows = np.asarray(features, dtype=np.float64)
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        scaled = (rows - mean) / deviation
        normal = scaled.T @ scaled + ridge * np.eye(rows.shape[1])
        projector = np.linalg.solve(normal, scaled.T)
        leverage = np.einsum("tm,mt->t", scaled, projector) + 1 / len(rows)
        return cls(mean, deviation, projector, leverage)

    def predict(self, features: Features, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at features (n, m), given training colours of shape (t,)."""
        coefficients = self.projector @ (colour_mag - colour_mag.mean()) / self.deviation
        constant = colour_mag.mean() - self.mean @ coefficients
        return np.asarray(features @ coefficients + constant)

    def held_out(self, fitted_mag: FloatArray, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at each training row as if fitted without it (exact for ridge).

        Parameters
        ----------
        fitted_mag, colour_mag : ndarray, shape (t,)
            The trend with all training rows, and the training colours.
        """
        return np.asarray(colour_mag - (colour_mag - fitted_mag) / (1 - self.leverage))
