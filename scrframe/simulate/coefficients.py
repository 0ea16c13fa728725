"""XP coefficients that stand for a given spectrum, their noise, and the noise of E from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.simulate.rows import Rows, RowStore, slices
from scrframe.spectra.xp_operator import BASES, PACKED, XpOperator, packed_indices

#: Step in E between the weights by which spectra are fitted.
E_STEP = 0.25
#: Weight of the paper's grid relative to the sampled one, and of the sampled grid's noisy ends.
PAPER_WEIGHT, END_WEIGHT = 3.0, 0.05
#: Singular values below this fraction of the largest are damped. The bases do not tell all
#: 110 coefficients apart (the operator's rank is about 95).
DAMPING = 1e-6
#: Relative variance of a spectrum against its flux F (1 at magnitude 13): systematic,
#: photons, background. A fit to the S/N of real stars at BP 13, 14 and 15.
VARIANCE_LAW = (1.4e-5, 3.9e-5, 4e-7)
#: The magnitude in each band at which the shipped errors hold.
BP_MAG, RP_MAG = 13.0, 11.95
#: Scatter (in ln) of errors between stars: they were not observed equally often.
ERROR_SCATTER = 0.12
#: Error of E: median at this G_BP, growth per magnitude (ln), scatter between stars (ln).
E_ERROR, E_ERROR_BP, E_ERROR_SLOPE, E_ERROR_SCATTER = 0.014, 13.6, 0.09, 0.19
_BANDS = (slice(0, PACKED), slice(PACKED, 2 * PACKED))
#: Stars by which the noise at each wavelength is judged.
JUDGED = 2**20


@dataclass(frozen=True)
class CoefficientFit:
    """Fits coefficients to sampled spectra by damped, weighted least squares.

    Reddening takes a spectrum slightly out of the range of the operator; weights that
    follow a typical spectrum of the same reddening keep the blue end, where little light is
    left, to about 1e-3.
    """

    #: On the sampled grid, where the spectra are given, and on the paper's.
    sampled: XpOperator
    paper: XpOperator
    #: A typical intrinsic spectrum on the sampled grid. Shape (m,).
    typical: FloatArray
    #: The extinction curve there. Shape (m,).
    k: FloatArray
    _fits: dict[int, FloatArray] = field(default_factory=dict)

    @cached_property
    def at_paper(self) -> npt.NDArray[np.int64]:
        """Indices of the paper's grid in the sampled one."""
        return np.searchsorted(self.sampled.wavelength_nm, self.paper.wavelength_nm)

    def __call__(self, flux: FloatArray, extinction: FloatArray) -> FloatArray:
        """Return coefficients, shape (n, 110), of reddened spectra, shape (n, m).

        Parameters
        ----------
        flux : ndarray, shape (n, m)
            On the sampled grid; the coefficients are those of the same unit.
        extinction : ndarray, shape (n,)
            E, by which the weights are chosen.
        """
        number = np.maximum(np.rint(extinction / E_STEP), 0).astype(np.int64)
        out = np.empty((len(flux), 110))
        for n in np.unique(number).tolist():
            rows = np.flatnonzero(number == n)
            target = np.concatenate([flux[rows], flux[np.ix_(rows, self.at_paper)]], axis=1)
            if n not in self._fits:
                self._fits[n] = self._solve(n * E_STEP)
            out[rows] = target @ self._fits[n]
        return out

    def _solve(self, extinction: float) -> FloatArray:
        """Return the matrix, shape (m + 61, 110), from spectra to coefficients."""
        shape = self.typical * 10 ** (-0.4 * self.k * extinction)
        shape = np.maximum(shape, 1e-3 * shape.max())
        grid = self.sampled.wavelength_nm
        trusted = (grid >= 380) & (grid <= 1000)
        weight = np.concatenate(
            [np.where(trusted, 1.0, END_WEIGHT) / shape, PAPER_WEIGHT / shape[self.at_paper]]
        )
        operator = np.concatenate([stacked(self.sampled), stacked(self.paper)], axis=1)
        weighted = operator * weight
        normal = weighted @ weighted.T
        damping = DAMPING**2 * np.linalg.eigvalsh(normal)[-1]
        normal[np.diag_indices_from(normal)] += damping
        return np.asarray(weight[:, None] * np.linalg.solve(normal, weighted).T)


def stacked(operator: XpOperator) -> FloatArray:
    """Return the operator of both bands, shape (110, m)."""
    return np.concatenate([operator.bp, operator.rp])


@dataclass(frozen=True)
class SpectrumNoise:
    """Errors of XP coefficients and how they correlate."""

    #: Errors of a star of the reference magnitudes. Shape (110,).
    errors: FloatArray
    #: Packed as the archive packs them, BP before RP. Shape (t, 2970).
    correlations: FloatArray
    #: Cholesky factors of the matrices. Shape (t, 2, 55, 55).
    roots: FloatArray

    def draw(self, bp_mag: FloatArray, rp_mag: FloatArray, rng: np.random.Generator) -> XpNoise:
        """Return noise and errors of the coefficients of stars of these magnitudes."""
        number = len(bp_mag)
        which = rng.integers(0, len(self.correlations), number)
        scatter = np.exp(rng.normal(0, ERROR_SCATTER, number))
        all_noise, all_errors = RowStore(2 * BASES), RowStore(2 * BASES)
        for block in slices(number):
            size = scatter[block]
            errors = np.empty((len(size), 2 * BASES))
            for band, magnitude in (
                (slice(BASES), bp_mag[block] - BP_MAG),
                (slice(BASES, None), rp_mag[block] - RP_MAG),
            ):
                errors[:, band] = self.errors[band] * (size * _growth(magnitude))[:, None]
            noise = rng.standard_normal(errors.shape)
            for n, (bp_root, rp_root) in enumerate(self.roots):
                rows = np.flatnonzero(which[block] == n)
                noise[rows, :BASES] = noise[rows, :BASES] @ bp_root.T
                noise[rows, BASES:] = noise[rows, BASES:] @ rp_root.T
            all_noise.add(noise * errors)
            all_errors.add(errors)
        return XpNoise(all_noise.rows(), all_errors.rows(), which)


@dataclass(frozen=True)
class XpNoise:
    """Noise of spectra."""

    #: Of the coefficients. Shape (n, 110).
    noise: Rows
    errors: Rows
    #: Which of the model's correlations hold for each star. Shape (n,).
    correlation_of: IntArray


def load_noise_model() -> SpectrumNoise:
    """Return the shipped model: correlations of two real sources, and their mean."""
    source = resources.files("scrframe.simulate") / "data" / "xp_noise.npz"
    with source.open("rb") as handle, np.load(handle) as stored:
        real = stored["correlations"].astype(np.float64)
        errors = stored["errors_at_13"].astype(np.float64)
    packed = np.concatenate([real, real.mean(axis=0, keepdims=True)])
    roots = np.stack(
        [[np.linalg.cholesky(_matrix(row[part])) for part in _BANDS] for row in packed]
    )
    return SpectrumNoise(errors, packed, roots)


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
    model: SpectrumNoise,
    noise: XpNoise,
    coefficients: Rows,
    paper: XpOperator,
    k_paper: FloatArray,
) -> FloatArray:
    """Return what the noise of spectra does to E, in standard deviations, shape (n,).

    It is what a fit of the curve to the spectrum's noise gives: least squares of d ln F on
    -0.4 ln 10 k, weighted by the noise at each wavelength (of the first `JUDGED` stars), the
    brightness being free. Its standard deviation follows from the errors and correlations of the
    coefficients.

    Parameters
    ----------
    coefficients : ndarray, shape (n, 110)
        Without noise.
    k_paper : ndarray, shape (61,)
        The curve.
    """
    operator = stacked(paper)
    found = np.empty(len(coefficients))
    squared = np.empty((min(len(found), JUDGED), operator.shape[1]))
    for block in slices(len(squared)):
        flux = np.maximum(coefficients[block] @ operator, 1e-30)
        squared[block] = ((noise.noise[block] @ operator) / flux) ** 2
    weight = 1 / np.median(squared, axis=0, overwrite_input=True)
    direction = -weight * (k_paper - np.average(k_paper, weights=weight))
    del squared
    for block in slices(len(found)):
        flux = np.maximum(coefficients[block] @ operator, 1e-30)
        response = (direction / flux) @ operator.T
        projected = np.einsum("ij,ij->i", noise.noise[block], response)
        response *= noise.errors[block]
        variance = np.empty(len(flux))
        for n, (bp_root, rp_root) in enumerate(model.roots):
            rows = np.flatnonzero(noise.correlation_of[block] == n)
            bp, rp = response[rows, :BASES] @ bp_root, response[rows, BASES:] @ rp_root
            variance[rows] = (bp**2).sum(axis=1) + (rp**2).sum(axis=1)
        found[block] = projected / np.sqrt(variance)
    return found


def extinction_errors(bp_mag: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return catalogued errors of E: median 0.014 and 90th percentile 0.019 of bright stars."""
    growth = E_ERROR_SLOPE * (bp_mag - E_ERROR_BP)
    return np.asarray(E_ERROR * np.exp(growth + rng.normal(0, E_ERROR_SCATTER, len(bp_mag))))
