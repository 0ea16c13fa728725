"""The shipped spectra of real stars, and stars mixed from neighbours among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.simulate.stars.colour import ColourFunction, fit_colour_function
from scrframe.simulate.stars.curve import ExtendedCurve

#: A star is a mixture of a library star and two of this many nearest ones.
NEIGHBOURS = 8
#: Concentration of the weights of the three.
CONCENTRATION = 1.5
#: Below this surface gravity a star is a giant.
GIANT_LOGG = 3.5


@dataclass(frozen=True)
class StarLibrary:
    """Intrinsic spectra of unit BP flux on the sampled grid, 336-1020 nm.

    Attributes
    ----------
    wavelength_nm : ndarray, shape (m,)
    scores, basis : ndarray, shape (n, p) and (p, m)
        Their product is the spectra.
    colour0 : ndarray, shape (n,)
        (u - G_BP)_0 in mag.
    parameters : ndarray, shape (n, 3)
        Effective temperature (K), log g, [Fe/H].
    passbands : dict of str to ndarray, shape (m,)
        Weights of unit sum of G_BP, G and G_RP.
    zero_points : dict of str to float
        Magnitude of unit mean flux.
    curve_nm, curve_shape : ndarray
        Shape of an extinction curve of wider range.
    """

    wavelength_nm: FloatArray
    scores: FloatArray
    basis: FloatArray
    colour0: FloatArray
    parameters: FloatArray
    passbands: dict[str, FloatArray]
    zero_points: dict[str, float]
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

    def colour_function(self, operator_flux: FloatArray) -> ColourFunction:
        """Fit C0 as a smooth function of the library's spectra, shape (n, 61)."""
        return fit_colour_function(operator_flux, self.colour0)

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
