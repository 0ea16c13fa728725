"""Noise of the XP spectra, and of E, which comes from them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.simulate.stars.coefficients import stacked
from scrframe.spectra.xp_operator import BASES, PACKED, XpOperator, packed_indices

#: Relative variance of a spectrum against its flux F (1 at magnitude 13): systematic,
#: photons, background. A fit to the S/N of real stars at BP 13, 14 and 15.
VARIANCE_LAW = (1.4e-5, 3.9e-5, 4e-7)
#: The magnitude in each band at which the shipped errors hold.
BP_MAG, RP_MAG = 13.0, 11.95
#: Scatter (in ln) of errors between stars: they were not observed equally often.
ERROR_SCATTER = 0.12
#: Error of E: median at this G_BP, growth per magnitude (ln), scatter between stars (ln).
E_ERROR, E_ERROR_BP, E_ERROR_SLOPE, E_ERROR_SCATTER = 0.014, 13.6, 0.09, 0.19


@dataclass(frozen=True)
class NoiseModel:
    """Errors of XP coefficients and how they correlate.

    Attributes
    ----------
    errors : ndarray, shape (110,)
        Errors of a star of the reference magnitudes.
    correlations : ndarray, shape (t, 2970)
        Packed as the archive packs them, BP before RP.
    roots : ndarray, shape (t, 2, 55, 55)
        Cholesky factors of the matrices.
    """

    errors: FloatArray
    correlations: FloatArray
    roots: FloatArray

    def draw(self, bp_mag: FloatArray, rp_mag: FloatArray, rng: np.random.Generator) -> XpNoise:
        """Return noise and errors of the coefficients of stars of these magnitudes."""
        number = len(bp_mag)
        which = rng.integers(0, len(self.correlations), number)
        scatter = np.exp(rng.normal(0, ERROR_SCATTER, number))
        errors = np.empty((number, 2 * BASES))
        errors[:, :BASES] = self.errors[:BASES] * (scatter * _growth(bp_mag - BP_MAG))[:, None]
        errors[:, BASES:] = self.errors[BASES:] * (scatter * _growth(rp_mag - RP_MAG))[:, None]
        noise = rng.standard_normal((number, 2 * BASES))
        for n, (bp_root, rp_root) in enumerate(self.roots):
            rows = np.flatnonzero(which == n)
            noise[rows, :BASES] = noise[rows, :BASES] @ bp_root.T
            noise[rows, BASES:] = noise[rows, BASES:] @ rp_root.T
        noise *= errors
        return XpNoise(noise, errors, which)


@dataclass(frozen=True)
class XpNoise:
    """Noise of spectra.

    Attributes
    ----------
    noise, errors : ndarray, shape (n, 110)
        Of the coefficients.
    correlation_of : ndarray of int64, shape (n,)
        Which of the model's correlations hold for each star.
    """

    noise: FloatArray
    errors: FloatArray
    correlation_of: IntArray


def load_noise_model() -> NoiseModel:
    """Return the shipped model: correlations of two real sources, and their mean."""
    source = resources.files("scrframe.simulate") / "data" / "xp_noise.npz"
    with source.open("rb") as handle, np.load(handle) as stored:
        real = stored["correlations"].astype(np.float64)
        errors = stored["errors_at_13"].astype(np.float64)
    packed = np.concatenate([real, real.mean(axis=0, keepdims=True)])
    roots = np.stack(
        [[np.linalg.cholesky(_matrix(row[part])) for part in _BANDS] for row in packed]
    )
    return NoiseModel(errors, packed, roots)


_BANDS = (slice(0, PACKED), slice(PACKED, 2 * PACKED))


def _matrix(packed: FloatArray) -> FloatArray:
    row, column = packed_indices()
    matrix = np.eye(BASES)
    matrix[row, column] = packed
    matrix[column, row] = packed
    return matrix


def _growth(magnitude: FloatArray) -> FloatArray:
    """Return errors in units of those at magnitude 0 (relative to the reference)."""
    flux = 10 ** (-0.4 * magnitude)
    systematic, photons, background = VARIANCE_LAW
    variance = systematic * flux**2 + photons * flux + background
    return np.asarray(np.sqrt(variance / sum(VARIANCE_LAW)))


def extinction_noise(
    model: NoiseModel,
    noise: XpNoise,
    coefficients: FloatArray,
    paper: XpOperator,
    k_paper: FloatArray,
) -> FloatArray:
    """Return what the noise of spectra does to E, in standard deviations, shape (n,).

    It is what a fit of the curve to the spectrum's noise gives: least squares of d ln F on
    -0.4 ln 10 k, weighted by the noise at each wavelength, the brightness being free. Its
    standard deviation follows from the errors and correlations of the coefficients.

    Parameters
    ----------
    coefficients : ndarray, shape (n, 110)
        Without noise.
    k_paper : ndarray, shape (61,)
        The curve.
    """
    operator = stacked(paper)
    flux = np.maximum(coefficients @ operator, 1e-30)
    relative = (noise.noise @ operator) / flux
    weight = 1 / np.median(relative**2, axis=0)
    direction = -weight * (k_paper - np.average(k_paper, weights=weight))
    response = (direction / flux) @ operator.T
    projected = np.einsum("ij,ij->i", noise.noise, response)
    response *= noise.errors
    variance = np.empty(len(flux))
    for n, (bp_root, rp_root) in enumerate(model.roots):
        rows = np.flatnonzero(noise.correlation_of == n)
        bp, rp = response[rows, :BASES] @ bp_root, response[rows, BASES:] @ rp_root
        variance[rows] = (bp**2).sum(axis=1) + (rp**2).sum(axis=1)
    return np.asarray(projected / np.sqrt(variance))


def extinction_errors(bp_mag: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return catalogued errors of E: median 0.014 and 90th percentile 0.019 of bright stars."""
    growth = E_ERROR_SLOPE * (bp_mag - E_ERROR_BP)
    return np.asarray(E_ERROR * np.exp(growth + rng.normal(0, E_ERROR_SCATTER, len(bp_mag))))
