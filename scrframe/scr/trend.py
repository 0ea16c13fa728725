"""A smooth trend of colour with the features, taken out before a model is trained.

Trees and other local models average over neighbours, and so predict too little contrast
where training stars are few: at the ends of the ranges of colour and metallicity. Fields
of another population than the control field then get biased offsets. Most of the colour is
a smooth function of the standardised spectrum; what is left for the model is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray

Shape = Literal["linear", "quadratic", "none"]

#: Rows evaluated at once, so that double-precision work space stays small.
BLOCK = 65_536


@dataclass(frozen=True)
class TrendSettings:
    """How the trend is fitted; see the survey description's `colour_model` block.

    Attributes
    ----------
    shape : {"linear", "quadratic", "none"}
        Linear in all features, or with the products of the leading principal components.
    ridge : float
        Added to the diagonal of the normal equations in standardised features; it settles
        directions that the data leave open, such as the sum of a spectrum that is
        standardised to mean zero.
    components : int
        Number of principal components whose products a quadratic trend has.
    """

    shape: Shape = "linear"
    ridge: float = 0.1
    components: int = 8


@dataclass(frozen=True)
class Basis:
    """Functions of the features: standardised features, and products of components.

    Attributes
    ----------
    mean, deviation : ndarray, shape (m,)
        Of the training features.
    axes : ndarray, shape (m, k)
        From centred features to principal components of unit variance; k is 0 for a
        linear trend.
    low, high : ndarray, shape (k,)
        Range of the training stars, to which components are limited: products must not
        run away for a star unlike any of them.
    """

    mean: FloatArray
    deviation: FloatArray
    axes: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def on(cls, features: FloatArray, components: int) -> Basis:
        """Prepare the functions for training features of shape (t, m)."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        centred = features - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(features))
        # The largest come last; components without variance are left out.
        chosen = np.arange(len(values))[::-1][:components]
        chosen = chosen[values[chosen] > 1e-9 * values.max()]
        axes = vectors[:, chosen] / np.sqrt(values[chosen])
        scores = centred @ axes
        return cls(mean, deviation, axes, scores.min(axis=0), scores.max(axis=0))

    def __call__(self, features: npt.NDArray[np.floating]) -> FloatArray:
        """Return the functions at features (n, m), shape (n, m + k (k + 1) / 2)."""
        centred = features - self.mean
        scores = np.clip(centred @ self.axes, self.low, self.high)
        first, second = np.triu_indices(self.axes.shape[1])
        return np.hstack([centred / self.deviation, scores[:, first] * scores[:, second]])


@dataclass(frozen=True)
class Trend:
    """Ridge regression on a basis, for any colours of fixed training rows.

    Attributes
    ----------
    basis : Basis
    offset : ndarray, shape (b,)
        Mean of the basis over the training rows.
    projector : ndarray, shape (b, t)
        Takes centred training colours to coefficients.
    leverage : ndarray, shape (t,)
        Weight of each training colour in its own prediction.
    """

    basis: Basis
    offset: FloatArray
    projector: FloatArray
    leverage: FloatArray

    @classmethod
    def on(cls, features: Features, settings: TrendSettings) -> Trend:
        """Prepare a trend for training features of shape (t, m)."""
        rows = np.asarray(features, dtype=np.float64)
        basis = Basis.on(rows, settings.components if settings.shape == "quadratic" else 0)
        values = basis(rows)
        offset = values.mean(axis=0)
        centred = values - offset
        normal = centred.T @ centred + settings.ridge * np.eye(centred.shape[1])
        projector = np.linalg.solve(normal, centred.T)
        leverage = np.einsum("tb,bt->t", centred, projector) + 1 / len(rows)
        return cls(basis, offset, projector, leverage)

    def predict(self, features: Features, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at features (n, m), given training colours of shape (t,)."""
        constant = colour_mag.mean()
        coefficients = self.projector @ (colour_mag - constant)
        constant -= self.offset @ coefficients
        trend = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            trend[rows] = self.basis(features[rows]) @ coefficients + constant
        return trend

    def held_out(self, fitted_mag: FloatArray, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at each training row as if fitted without it.

        Exact for a ridge regression on given functions; the functions themselves (means and
        components of the features) know all rows, but no colour.

        Parameters
        ----------
        fitted_mag, colour_mag : ndarray, shape (t,)
            The trend with all training rows, and the training colours.
        """
        return np.asarray(colour_mag - (colour_mag - fitted_mag) / (1 - self.leverage))
