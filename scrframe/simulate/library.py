"""The shipped spectra of real stars, mixtures of them, their colours, and what reddens them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.spectra.passband import synthetic_magnitudes

#: Leading principal components that the colour depends on; on the first few of them it
#: depends by products and cubes too. More would follow the noise of the library.
COMPONENTS, CURVED = 6, 3
#: Strength of the ridge, per star.
RIDGE = 1e-3
#: Range of the published curve in nm.
FIRST_NM, LAST_NM = 392.0, 992.0
#: How steeply the published curve goes with the shape that extends it, at either end.
SLOPE = 0.96
#: Effective wavelengths in nm of the u band and of G_BP.
U_NM, BP_NM = 354.0, 511.0
#: A star is a mixture of a library star and two of this many nearest ones.
NEIGHBOURS = 8
#: Concentration of the weights of the three.
CONCENTRATION = 1.5
#: Below this surface gravity a star is a giant.
GIANT_LOGG = 3.5


@dataclass(frozen=True)
class StarLibrary:
    """Intrinsic spectra of unit BP flux on the sampled grid, 336-1020 nm."""

    #: Shape (m,).
    wavelength_nm: FloatArray
    #: Their product is the spectra. Shape (n, p) and (p, m).
    scores: FloatArray
    basis: FloatArray
    #: (u - G_BP)_0 in mag. Shape (n,).
    colour0: FloatArray
    #: Effective temperature (K), log g, [Fe/H]. Shape (n, 3).
    parameters: FloatArray
    #: Weights of unit sum of G_BP, G and G_RP. Arrays of shape (m,).
    passbands: dict[str, FloatArray]
    #: Magnitude of unit mean flux.
    zero_points: dict[str, float]
    #: Shape of an extinction curve of wider range.
    curve_nm: FloatArray
    curve_shape: FloatArray

    def spectra(self, scores: FloatArray) -> FloatArray:
        """Return spectra, shape (n, m), of scores of shape (n, p)."""
        return np.asarray(scores @ self.basis)

    def extended(self, curve: Callable[[FloatArray], FloatArray]) -> ExtendedCurve:
        """Continue an extinction curve known on 392-992 nm over the whole grid."""
        return ExtendedCurve(curve, self.curve_nm, self.curve_shape)

    @cached_property
    def features(self) -> FloatArray:
        """What populations differ in, shape (n, 3): giant or not, [Fe/H], temperature."""
        teff, logg, feh = self.parameters.T
        columns = np.stack([(logg < GIANT_LOGG).astype(float), feh, np.log(teff)], axis=1)
        return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0))

    @cached_property
    def neighbours(self) -> IntArray:
        """The nearest library stars in parameters and shape, shape (n, NEIGHBOURS)."""
        standard = (self.parameters - self.parameters.mean(0)) / self.parameters.std(0)
        shape = self.scores[:, :6] - self.scores[:, :6].mean(0)
        shape = shape / shape.std(0)[0]
        space = np.concatenate([standard, 3 * shape], axis=1)
        nearest = np.asarray(cKDTree(space).query(space, NEIGHBOURS + 1)[1], np.int64)
        return nearest[:, 1:]

    @cached_property
    def mixed_features(self) -> FloatArray:
        """Means of the features of mixtures about each library star, shape (n, 3)."""
        return np.asarray((self.features + 2 * self.features[self.neighbours].mean(axis=1)) / 3)

    def enriched(self, weight: FloatArray, shift_dex: float) -> FloatArray:
        """Return weights, shape (n,), by which mixtures have a mean [Fe/H] higher by `shift_dex`.

        Means of the other features stay. The weights are tilted exponentially, which changes a
        population least for such means (Csiszar 1975, Ann. Probab. 3, 146).
        """
        from scipy.optimize import minimize  # noqa: PLC0415 - for this trait only

        centred = self.mixed_features - np.average(self.mixed_features, axis=0, weights=weight)
        wanted = np.array([0.0, shift_dex / self.parameters[:, 2].std(), 0.0])

        def tilted(tilt: FloatArray) -> tuple[FloatArray, float]:
            # The largest factor is 1, so that none is infinite.
            power = (centred - wanted) @ tilt
            return weight * np.exp(power - power.max()), float(power.max())

        def dual(tilt: FloatArray) -> tuple[float, FloatArray]:
            factor, largest = tilted(tilt)
            missed = np.average(centred, axis=0, weights=factor) - wanted
            # A slight ridge bounds what the library cannot reach.
            ridge = RIDGE * tilt
            return np.log(factor.sum()) + largest + ridge @ tilt / 2, missed + ridge

        found = minimize(dual, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-4})
        return tilted(found.x)[0]

    def mixtures(self, base: IntArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return scores (n, p) and parameters (n, 3) of stars mixed about the base stars."""
        number = len(base)
        pick = rng.integers(0, NEIGHBOURS, (number, 2))
        members = np.column_stack([base, *(self.neighbours[base, pick[:, j]] for j in (0, 1))])
        weights = rng.gamma(CONCENTRATION, 1.0, (number, 3))
        weights /= weights.sum(axis=1, keepdims=True)
        scores = np.zeros((number, self.scores.shape[1]))
        parameters = np.zeros((number, 3))
        for j in range(3):
            scores += weights[:, j, None] * self.scores[members[:, j]]
            parameters += weights[:, j, None] * self.parameters[members[:, j]]
        return scores, parameters


def load_library() -> StarLibrary:
    """Return the shipped library; `scripts/make_simulation_library.py` makes it."""
    source = resources.files("scrframe.simulate") / "data" / "library.npz"
    with source.open("rb") as handle, np.load(handle) as stored:
        raw = {name: stored[name].astype(np.float64) for name in stored.files}
    bands = ("Gbp", "G", "Grp")
    return StarLibrary(
        wavelength_nm=raw["wavelength_nm"],
        scores=raw["scores"],
        basis=raw["basis"],
        colour0=raw["colour0"],
        parameters=np.stack([raw["teff"], raw["logg"], raw["feh"]], axis=1),
        passbands={band: raw[f"passband_{band}"] for band in bands},
        zero_points={band: float(raw[f"zero_point_{band}"][0]) for band in bands},
        curve_nm=raw["curve_nm"],
        curve_shape=raw["curve_shape"],
    )


@dataclass(frozen=True)
class ColourFunction:
    """C0 of a spectrum: a polynomial of the leading components of its shape.

    What the spectrum does not determine (a real star's scatter about such a function) is no
    part of it, so that with scatter switched off a regression can learn it exactly.
    """

    #: Mean standardised spectrum. Shape (m,).
    mean: FloatArray
    #: Components, each divided by the standard deviation of its score. Shape (p, m).
    basis: FloatArray
    #: Coefficients of the terms of `_terms`, in mag. Shape (q,).
    weights: FloatArray
    #: Scores are bounded smoothly at this many standard deviations.
    reach: float = 4.0

    def __call__(self, flux: FloatArray) -> FloatArray:
        """Return (u - G_BP)_0 in mag, shape (n,), of intrinsic fluxes, shape (n, m)."""
        scores = (standardised(flux) - self.mean) @ self.basis.T
        return np.asarray(_terms(_bounded(scores, self.reach)) @ self.weights)


def fit_colour_function(flux: FloatArray, colour_mag: FloatArray) -> ColourFunction:
    """Fit the function by ridge regression.

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Intrinsic spectra.
    colour_mag : ndarray, shape (n,)
        Their colours.
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


def standardised(flux: FloatArray) -> FloatArray:
    """Return spectra less their own mean, divided by their own standard deviation."""
    centred = flux - flux.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std(axis=1, keepdims=True))


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


@dataclass(frozen=True)
class PassbandColour:
    """Colours band - G_BP of spectra, the band's AB magnitude by its passband."""

    #: Grid of the spectra. Shape (m,).
    wavelength_nm: FloatArray
    #: The passband, ascending. Shape (b,).
    band_nm: FloatArray
    transmission: FloatArray
    #: Weights of unit sum of G_BP. Shape (m,).
    reference: FloatArray
    #: G_BP of unit mean flux.
    zero_point: float

    @property
    def mean_nm(self) -> float:
        """Mean wavelength in nm of the transmission."""
        return float(
            np.trapezoid(self.band_nm * self.transmission, self.band_nm)
            / np.trapezoid(self.transmission, self.band_nm)
        )

    def magnitude(self, flux: FloatArray) -> FloatArray:
        """Return the band's magnitudes, shape (n,), of spectra (n, m) in W m^-2 nm^-1."""
        return synthetic_magnitudes(flux, self.wavelength_nm, self.band_nm, self.transmission, "AB")

    def __call__(self, flux: FloatArray) -> FloatArray:
        """Return band - G_BP in mag, shape (n,), of spectra, shape (n, m)."""
        reference = self.zero_point - 2.5 * np.log10(flux @ self.reference)
        return np.asarray(self.magnitude(flux) - reference)


class ExtendedCurve:
    """A curve k(wavelength), continued beyond its ends with the shape of another.

    Parameters
    ----------
    curve : callable
        k in mag per unit E, known on 392-992 nm.
    shape_nm, shape : ndarray
        A curve of wider range, in any unit; `SLOPE` brings it to the unit of `curve`.
    """

    def __init__(
        self, curve: Callable[[FloatArray], FloatArray], shape_nm: FloatArray, shape: FloatArray
    ) -> None:
        self._curve = curve
        self._shape_nm, self._shape = shape_nm, shape

    def __call__(self, wavelength_nm: FloatArray) -> FloatArray:
        """Return k, same shape as `wavelength_nm`, in mag per unit E."""
        inside = np.clip(wavelength_nm, FIRST_NM, LAST_NM)
        beyond = self._at(wavelength_nm) - self._at(inside)
        return np.asarray(self._curve(inside) + SLOPE * beyond)

    def _at(self, wavelength_nm: FloatArray) -> FloatArray:
        return np.asarray(np.interp(wavelength_nm, self._shape_nm, self._shape))


def law_tilt(k_grid: FloatArray, wavelength_nm: FloatArray, colour_slope: float) -> FloatArray:
    """Return t(wavelength) such that the law of a field is k (1 + eps t).

    The tilt is linear in 1 / wavelength, as a change of R_V is to first order. Its pivot is
    such that a fit of the mean curve to a spectrum of free brightness returns the same E,
    and its size such that E(u - G_BP) grows by the fraction eps. So eps acts on XP, G_BP
    and u together, and E keeps its meaning.

    Parameters
    ----------
    k_grid : ndarray, shape (m,)
        The mean curve on `wavelength_nm`, 392-992 nm.
    wavelength_nm : ndarray, shape (m,)
    colour_slope : float
        A typical R = E(u - G_BP) / E of the mean curve.

    Returns
    -------
    ndarray, shape (2,)
        Coefficients (a, b) of t = a / wavelength + b.
    """
    inverse = 1 / wavelength_nm
    centred = k_grid - k_grid.mean()
    pivot = (centred @ (k_grid * inverse)) / (centred @ k_grid)
    k_bp = float(np.interp(BP_NM, wavelength_nm, k_grid))
    k_u = k_bp + colour_slope
    raw = k_u * (1 / U_NM - pivot) - k_bp * (1 / BP_NM - pivot)
    size = colour_slope / raw
    return np.array([size, -size * pivot])
