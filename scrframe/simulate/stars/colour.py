"""The intrinsic colour of stars: as a function of the spectrum's shape, or by a passband."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.spectra.passband import synthetic_magnitudes

#: Leading principal components that the colour depends on; on the first few of them it
#: depends by products and cubes too. More would follow the noise of the library.
COMPONENTS, CURVED = 6, 3
#: Strength of the ridge, per star.
RIDGE = 1e-3


@dataclass(frozen=True)
class ColourFunction:
    """C0 of a spectrum: a polynomial of the leading components of its shape.

    What the spectrum does not determine (a real star's scatter about such a function) is no
    part of it, so that with scatter switched off a regression can learn it exactly.

    Attributes
    ----------
    mean : ndarray, shape (m,)
        Mean standardised spectrum.
    basis : ndarray, shape (p, m)
        Components, each divided by the standard deviation of its score.
    weights : ndarray, shape (q,)
        Coefficients of the terms of `_terms`, in mag.
    reach : float
        Scores are bounded smoothly at this many standard deviations.
    """

    mean: FloatArray
    basis: FloatArray
    weights: FloatArray
    reach: float = 4.0

    def __call__(self, flux: FloatArray) -> FloatArray:
        """Return (u - G_BP)_0 in mag, shape (n,), of intrinsic fluxes, shape (n, m)."""
        scores = (standardised(flux) - self.mean) @ self.basis.T
        return np.asarray(_terms(_bounded(scores, self.reach)) @ self.weights)


@dataclass(frozen=True)
class PassbandColour:
    """Colours band - G_BP of spectra, the band's AB magnitude by its passband.

    Attributes
    ----------
    wavelength_nm : ndarray, shape (m,)
        Grid of the spectra.
    band_nm, transmission : ndarray, shape (b,)
        The passband, ascending.
    reference : ndarray, shape (m,)
        Weights of unit sum of G_BP.
    zero_point : float
        G_BP of unit mean flux.
    """

    wavelength_nm: FloatArray
    band_nm: FloatArray
    transmission: FloatArray
    reference: FloatArray
    zero_point: float

    def magnitude(self, flux: FloatArray) -> FloatArray:
        """Return the band's magnitudes, shape (n,), of spectra (n, m) in W m^-2 nm^-1."""
        return synthetic_magnitudes(flux, self.wavelength_nm, self.band_nm, self.transmission, "AB")

    def __call__(self, flux: FloatArray) -> FloatArray:
        """Return band - G_BP in mag, shape (n,), of spectra, shape (n, m)."""
        reference = self.zero_point - 2.5 * np.log10(flux @ self.reference)
        return np.asarray(self.magnitude(flux) - reference)


def standardised(flux: FloatArray) -> FloatArray:
    """Return spectra less their own mean, divided by their own standard deviation."""
    centred = flux - flux.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


def fit_colour_function(flux: FloatArray, colour_mag: FloatArray) -> ColourFunction:
    """Fit the function by ridge regression.

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Intrinsic spectra.
    colour_mag : ndarray, shape (n,)
        Their colours.

    Returns
    -------
    ColourFunction
    """
    shape = standardised(flux)
    mean = shape.mean(axis=0)
    directions = np.linalg.eigh(np.cov(shape.T))[1].T[: -COMPONENTS - 1 : -1]
    # The sign of an eigenvector is arbitrary.
    directions *= np.sign(directions[np.arange(COMPONENTS), np.abs(directions).argmax(1)])[:, None]
    basis = directions / ((shape - mean) @ directions.T).std(axis=0)[:, None]
    function = ColourFunction(mean, basis, np.zeros(0))
    terms = _terms(_bounded((shape - mean) @ basis.T, function.reach))
    normal = terms.T @ terms + RIDGE * len(terms) * np.eye(terms.shape[1])
    weights = np.linalg.solve(normal, terms.T @ colour_mag)
    return ColourFunction(mean, basis, np.asarray(weights, np.float64))


def _bounded(scores: FloatArray, reach: float) -> FloatArray:
    return np.asarray(reach * np.tanh(scores / reach))


def _terms(scores: FloatArray) -> FloatArray:
    row, column = np.triu_indices(CURVED)
    columns = [
        np.ones((len(scores), 1)),
        scores,
        scores[:, row] * scores[:, column],
        scores[:, :CURVED] ** 3,
    ]
    return np.concatenate(columns, axis=1)
