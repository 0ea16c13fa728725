"""Stars of one field: populations, extinction, spectra and magnitudes, on a smooth sky."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import SimulationSettings
from scrframe.simulate.coefficients import CoefficientFit, stacked
from scrframe.simulate.layout import Layout
from scrframe.simulate.library import BP_NM, U_NM, ColourFunction, PassbandColour, StarLibrary
from scrframe.simulate.rows import Rows, RowStore, chosen
from scrframe.simulate.sky import Sky
from scrframe.spectra.curves import CurveFamily
from scrframe.spectra.xp_operator import BASES

#: R = E(u - G_BP) / E of the paper's Eq. 4, highest power of C0 first.
REDDENING_LAW = (0.042, 0.027, 1.42)
#: Magnitudes in G_BP: of stars with a spectrum (mean, scatter, limits), and of fainter ones.
BRIGHT_BP = (13.95, 1.3, 11.0, 16.6)
FAINT_BP = (15.8, 18.6)
#: How populations change from field to field, and per magnitude of E: giants are seen to
#: greater distance and through more dust, and the inner disc is richer in metals. The unit
#: is the scatter of the library: 0.15 of its 0.5 dex is what gradients of the disc amount to.
BY_FIELD = (0.15, 0.15, 0.15)
BY_EXTINCTION = (0.3, 0.2, -0.1)
EXTINCTION_PIVOT, EXTINCTION_BINS = 0.5, (0.15, 0.3, 0.5, 0.7, 0.9, 1.2, 1.6)
#: Extinctions of control fields: lowest, span.
CONTROL_E = (0.04, 0.36)
LEAST_E, MOST_E = 0.04, 2.6
#: Step in dex to which shifts of [Fe/H] are rounded.
METALS_STEP = 0.02


@dataclass(frozen=True)
class Stars:
    """Stars, all arrays of shape (n,) unless said otherwise; magnitudes are true ones."""

    #: At the reference epoch.
    ra_deg: FloatArray
    dec_deg: FloatArray
    #: Field that the star was drawn for; the extinction law goes by it.
    home: IntArray
    has_spectrum: npt.NDArray[np.bool_]
    bp_mag: FloatArray
    g_mag: FloatArray
    rp_mag: FloatArray
    #: E.
    extinction: FloatArray
    #: C0 = (u - G_BP)_0, or that of another band.
    colour0: FloatArray
    #: R = E(u - G_BP) / E, or that of another band.
    slope: FloatArray
    #: Effective temperature (K), log g, [Fe/H]. Shape (n, 3).
    parameters: FloatArray
    #: XP coefficients, without noise, of the stars with a spectrum. Shape (s, 110).
    coefficients: Rows

    def __len__(self) -> int:
        return len(self.ra_deg)

    def take(self, kept: npt.NDArray[np.bool_]) -> Stars:
        """Return the stars where `kept`, shape (n,), is true."""
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        spectra = chosen(columns.pop("coefficients"), kept[self.has_spectrum])
        others = {name: column[kept] for name, column in columns.items()}
        return Stars(coefficients=spectra, **others)

    @classmethod
    def concat(cls, parts: Iterable[Stars]) -> Stars:
        """Stack the stars of several fields, one field at a time."""
        spectra, others = RowStore(2 * BASES), []
        for part in parts:
            spectra.add(np.asarray(part.coefficients))
            others.append(replace(part, coefficients=np.empty((0, 2 * BASES))))
        columns = [item.name for item in fields(cls) if item.name != "coefficients"]
        stacked_columns = {
            name: np.concatenate([getattr(part, name) for part in others]) for name in columns
        }
        return cls(coefficients=spectra.rows(), **stacked_columns)


@dataclass(frozen=True)
class Spectroscope:
    """What turns a library star and its extinction into coefficients and magnitudes."""

    library: StarLibrary
    fit: CoefficientFit
    #: C0 of an intrinsic spectrum on the paper's grid.
    colour: ColourFunction
    #: Coefficients of the variation of the law, see `scrframe.simulate.library.law_tilt`. Shape
    #: (2,).
    tilt: FloatArray
    family: CurveFamily
    #: Colours of another band than u, which then take the place of `colour`.
    band: PassbandColour | None = None

    def law(self, epsilon: float) -> tuple[FloatArray, FloatArray]:
        """Return the curve of a field on the sampled and on the paper's grid."""
        grid = self.fit.sampled.wavelength_nm
        k = self.fit.k * (1 + epsilon * (self.tilt[0] / grid + self.tilt[1]))
        return k, k[self.fit.at_paper]

    def dimming(
        self,
        k: FloatArray,
        extinction: FloatArray,
        rv: FloatArray | None,
        at: IntArray | slice = slice(None),
    ) -> FloatArray:
        """Return 10^(0.4 k E), shape (n, m), for k at the places `at` of the sampled grid.

        With R_V of shape (n,), k is what it makes of the curve.
        """
        if rv is None:
            return dimming(k, extinction)
        return self.family.dimming(k, extinction, rv, at)

    def observe(
        self,
        scores: FloatArray,
        extinction: FloatArray,
        bp_mag: FloatArray,
        epsilon: float,
        rv: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, dict[str, FloatArray]]:
        """Return coefficients (n, 110), C0 (n,) and magnitudes of reddened stars.

        C0 belongs to the spectrum that the coefficients stand for, dereddened, so that it
        is a function of it exactly. The spectra are scaled to the magnitude G_BP.
        """
        k, k_paper = self.law(epsilon)
        flux = self.library.spectra(scores) * self.dimming(-k, extinction, rv)
        flux /= (flux @ self.library.passbands["Gbp"])[:, None]
        magnitudes = {
            band: bp_mag
            + (self.library.zero_points[band] - self.library.zero_points["Gbp"])
            - 2.5 * np.log10(flux @ self.library.passbands[band])
            for band in ("G", "Grp")
        }
        shape = self.fit(flux, extinction)
        size = 10 ** (-0.4 * (bp_mag - self.library.zero_points["Gbp"]))
        if self.band is None:
            clear = self.dimming(k_paper, extinction, rv, self.fit.at_paper)
            colour0 = self.colour((shape @ stacked(self.fit.paper)) * clear)
        else:
            clear = self.dimming(k, extinction, rv)
            colour0 = self.band((shape @ stacked(self.fit.sampled)) * clear)
        return shape * size[:, None], colour0, magnitudes

    def slope(
        self,
        coefficients: FloatArray,
        colour0: FloatArray,
        extinction: FloatArray,
        bp_mag: FloatArray,
        epsilon: float,
        rv: FloatArray | None = None,
    ) -> FloatArray:
        """Return R = E(band - G_BP) / E of stars that `observe` has given, shape (n,).

        In u the paper's law, times 1 + eps and what R_V makes of it; in another band what its
        passband makes of the reddened spectrum.
        """
        if self.band is None:
            law = np.polyval(REDDENING_LAW, colour0) * (1 + epsilon)
            return np.asarray(law * self.excess_in_u(rv), np.float64)
        reddened = self.band.magnitude(coefficients @ stacked(self.fit.sampled)) - bp_mag
        return np.asarray((reddened - colour0) / extinction)

    def excess_in_u(self, rv: FloatArray | None) -> FloatArray | float:
        """Return E(u - G_BP) in units of that of the mean R_V, shape (n,)."""
        return 1.0 if rv is None else self.family.excess(rv, U_NM, BP_NM)


def dimming(k: FloatArray, extinction: FloatArray) -> FloatArray:
    """Return 10^(0.4 k E), shape (n, m), of k of shape (m,) and E of shape (n,)."""
    exponent = np.multiply.outer(extinction, 0.4 * np.log(10) * k)
    return np.asarray(np.exp(exponent, out=exponent))


def draw_stars(
    settings: SimulationSettings,
    spectroscope: Spectroscope,
    sky: Sky,
    layout: Layout,
    field: int,
    place: tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]],
    mean_extinction: float,
    law_excess: float,
    rng: np.random.Generator,
) -> Stars:
    """Draw the stars of a field at given positions.

    Parameters
    ----------
    place : tuple of ndarray, shape (n,)
        Right ascension and declination in deg, and which of them have a spectrum.
    mean_extinction : float
        Of the field, in the unit of the curve.
    law_excess : float
        Fraction eps by which the field's extinction law departs from the mean.
    """
    ra_deg, dec_deg, bright = place
    number = len(ra_deg)
    control = bool(layout.control[field])
    extinction = _extinctions(sky.dust(ra_deg, dec_deg), mean_extinction, control, rng)
    centre = layout.ra_deg[field : field + 1], layout.dec_deg[field : field + 1]
    gradients = np.array([float(f(*centre)[0]) for f in sky.populations])
    metals = sky.traits.metallicity(ra_deg, dec_deg)
    base = _populations(spectroscope.library, settings, gradients, extinction, metals, rng)
    scores, parameters = spectroscope.library.mixtures(base, rng)
    mean, spread, low, high = BRIGHT_BP
    bp = np.clip(rng.normal(mean, spread, number), low, None)
    bp = np.where(bp > high, rng.uniform(mean, high, number), bp)
    # The numbers of faint stars rise as 10^(0.2 m).
    low, high = (10 ** (0.2 * limit) for limit in FAINT_BP)
    bp = np.where(bright, bp, 5 * np.log10(low + rng.uniform(0, 1, number) * (high - low)))
    rv = sky.traits.rv(ra_deg, dec_deg)
    coefficients, colour0, magnitudes = spectroscope.observe(scores, extinction, bp, law_excess, rv)
    slope = spectroscope.slope(coefficients, colour0, extinction, bp, law_excess, rv)
    slope = slope * (1 + sky.traits.law(ra_deg, dec_deg))
    return Stars(
        ra_deg,
        dec_deg,
        np.full(number, field, np.int64),
        bright,
        bp,
        magnitudes["G"],
        magnitudes["Grp"],
        extinction,
        colour0,
        slope,
        parameters,
        coefficients[bright],
    )


def _extinctions(
    dust: FloatArray, mean: float, control: bool, rng: np.random.Generator
) -> FloatArray:
    """Return E of stars: patchy on the sky, and with distance along the line of sight."""
    patchy = np.exp(0.2 * dust)
    depth = rng.beta(2.0, 2.6, len(dust))
    if control:
        return np.asarray(CONTROL_E[0] + CONTROL_E[1] * np.minimum(depth * patchy, 1.0))
    return np.asarray(np.clip(mean * patchy * (0.25 + 1.73 * depth), LEAST_E, MOST_E))


def _populations(
    library: StarLibrary,
    settings: SimulationSettings,
    gradients: FloatArray,
    extinction: FloatArray,
    metals: FloatArray,
    rng: np.random.Generator,
) -> IntArray:
    """Return a library star for each star, from a library tilted by field, by E and by [Fe/H]."""
    place = np.digitize(extinction, EXTINCTION_BINS)
    middle = np.array([0.1, *(np.array(EXTINCTION_BINS[1:]) + EXTINCTION_BINS[:-1]) / 2, 1.8])
    chance = rng.uniform(0, 1, len(extinction))
    shift = np.rint(metals / METALS_STEP).astype(np.int64)
    base = np.zeros(len(extinction), np.int64)
    for n in np.unique(place):
        excess = np.clip(middle[n] - EXTINCTION_PIVOT, -0.5, 0.8)
        tilt = np.array(BY_FIELD) * gradients + np.array(BY_EXTINCTION) * excess
        weight = np.exp(float(settings.population_gradients) * library.features @ tilt)
        for step in np.unique(shift[place == n]):
            tilted = library.enriched(weight, step * METALS_STEP) if step else weight
            rows = np.flatnonzero((place == n) & (shift == step))
            base[rows] = np.searchsorted(np.cumsum(tilted) / tilted.sum(), chance[rows])
    return np.minimum(base, len(library.colour0) - 1)
