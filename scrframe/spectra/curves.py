"""Extinction curves of any R_V, about the mean curve that a survey is dereddened with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial

from scrframe.arrays import FloatArray, IntArray

#: R_V of the mean curve, and the range in which the family was measured.
MEAN_RV, RV_RANGE = 3.1, (2.0, 6.0)
#: Cardelli, Clayton & Mathis (1989, ApJ 345, 245), Eqs. 3: a and b in powers of x - 1.82, and
#: Eqs. 2: factors of x^1.61, with x = 1 / wavelength in 1 / micrometre.
OPTICAL = (
    (1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999),
    (0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002),
)
INFRARED, INFRARED_POWER, INFRARED_BELOW = (0.574, -0.527), 1.61, 1.1


def cardelli(wavelength_nm: FloatArray) -> FloatArray:
    """Return a and b, shape (2, m), of A(wavelength) / A(V) = a + b / R_V; 303-3300 nm."""
    x = 1000 / wavelength_nm
    optical = np.array([polynomial.polyval(x - 1.82, terms) for terms in OPTICAL])
    infrared = np.multiply.outer(INFRARED, x**INFRARED_POWER)
    return np.asarray(np.where(x < INFRARED_BELOW, infrared, optical))


@dataclass(frozen=True)
class CurveFamily:
    """The mean curve times what R_V makes of it: k(R_V) = k (u + v / R_V) s(R_V).

    u + v / R_V is the ratio of the curves of Cardelli, Clayton & Mathis (1989) for R_V and for
    the mean. The size s is such that a fit of the mean curve to a spectrum of free brightness,
    on the paper's grid, returns the same E, so that E keeps its meaning.
    """

    wavelength_nm: FloatArray
    #: The mean curve, in mag per unit E, shape (m,).
    k: FloatArray
    #: u and v, shape (2, m).
    ratio: FloatArray
    #: What u and v add to the E that is returned, shape (2,).
    kept: FloatArray

    @classmethod
    def about(cls, wavelength_nm: FloatArray, k: FloatArray, fitted: IntArray) -> CurveFamily:
        """Return the family about a mean curve, E being fitted at the wavelengths `fitted`."""
        a, b = cardelli(wavelength_nm)
        ratio = np.stack([a, b]) / (a + b / MEAN_RV)
        centred = k[fitted] - k[fitted].mean()
        kept = (ratio * k)[:, fitted] @ centred / (centred @ k[fitted])
        return cls(wavelength_nm, k, ratio, kept)

    def weights(self, rv: FloatArray) -> FloatArray:
        """Return s and s / R_V, shape (n, 2), of R_V of shape (n,): the weights of u and v."""
        parts = np.stack([np.ones(len(rv)), 1 / rv], axis=1)
        return np.asarray(parts / (parts @ self.kept)[:, None])

    def dimming(
        self, k: FloatArray, extinction: FloatArray, rv: FloatArray, at: IntArray | slice
    ) -> FloatArray:
        """Return 10^(0.4 k(R_V) E), shape (n, m).

        Parameters
        ----------
        k : ndarray, shape (m,)
            In place of the mean curve, at the wavelengths `at`.
        extinction, rv : ndarray, shape (n,)
        at : ndarray or slice
            Places in the grid of the family.
        """
        size = (0.4 * np.log(10)) * extinction[:, None] * self.weights(rv)
        exponent = size @ (self.ratio[:, at] * k)
        return np.asarray(np.exp(exponent, out=exponent))

    def excess(self, rv: FloatArray, band_nm: float, reference_nm: float) -> FloatArray:
        """Return k(band) - k(reference) in units of that of the mean curve, shape (n,)."""
        curves = [self.k, *(self.ratio * self.k)]
        mean, u, v = (
            np.interp(band_nm, self.wavelength_nm, each)
            - np.interp(reference_nm, self.wavelength_nm, each)
            for each in curves
        )
        return np.asarray(self.weights(rv) @ np.array([u, v]) / mean)
