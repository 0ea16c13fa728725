"""Spectra, coefficients and colours of simulated stars."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.simulate.coefficients import stacked
from scrframe.simulate.library import standardised
from scrframe.simulate.stars import REDDENING_LAW, Spectroscope, dimming


def some_stars(spectroscope: Spectroscope, number: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    base = rng.integers(0, len(spectroscope.library.colour0), number)
    return spectroscope.library.mixtures(base, rng)[0]


def test_library_is_of_unit_brightness_and_real_colours(spectroscope: Spectroscope) -> None:
    library = spectroscope.library
    flux = library.spectra(library.scores)
    np.testing.assert_allclose(flux @ library.passbands["Gbp"], 1, atol=2e-4)
    colour = library.zero_points["Gbp"] - library.zero_points["Grp"]
    bp_rp = colour + 2.5 * np.log10(flux @ library.passbands["Grp"])
    # G_BP - G_RP of dwarfs of 5500-5700 K: 0.80-0.90 (the Sun's, at 5772 K, is 0.82).
    teff, logg, _ = library.parameters.T
    suns = (teff > 5500) & (teff < 5700) & (logg > 4)
    assert np.median(bp_rp[suns]) == pytest.approx(0.85, abs=0.05)


def test_no_two_mixtures_are_alike(spectroscope: Spectroscope) -> None:
    scores = some_stars(spectroscope, 2000)
    flux = standardised(spectroscope.library.spectra(scores))
    order = np.argsort(flux[:, 100])
    assert np.abs(np.diff(flux[order], axis=0)).max(axis=1).min() > 1e-4


@pytest.mark.parametrize(("extinction", "limit"), [(0.0, 5e-4), (0.5, 1e-3), (1.0, 1e-3)])
def test_coefficients_stand_for_the_spectrum(
    spectroscope: Spectroscope, extinction: float, limit: float
) -> None:
    scores = some_stars(spectroscope, 500)
    e = np.full(len(scores), extinction)
    fit = spectroscope.fit
    flux = spectroscope.library.spectra(scores)
    coefficients = fit(flux * dimming(-fit.k, e), e)
    k = spectroscope.law(0.0)[1]
    back = (coefficients @ stacked(fit.paper)) * dimming(k, e)
    relative = back / flux[:, fit.at_paper] - 1
    assert np.sqrt((relative**2).mean()) < limit


def test_colour_is_a_function_of_what_the_coefficients_show(spectroscope: Spectroscope) -> None:
    scores = some_stars(spectroscope, 300)
    rng = np.random.default_rng(5)
    e, bp = rng.uniform(0.1, 1.5, 300), rng.uniform(12, 16, 300)
    epsilon = 0.03
    coefficients, colour, _ = spectroscope.observe(scores, e, bp, epsilon)
    flux = coefficients @ stacked(spectroscope.fit.paper)
    intrinsic = flux * dimming(spectroscope.law(epsilon)[1], e)
    np.testing.assert_allclose(spectroscope.colour(intrinsic), colour, atol=1e-9)
    # Brightness does not matter, and reddening does not change the intrinsic colour.
    bare = spectroscope.observe(scores, np.zeros(300), bp, 0.0)[1]
    np.testing.assert_allclose(colour, bare, atol=0.003)


def test_colour_is_near_that_of_real_stars(spectroscope: Spectroscope) -> None:
    library = spectroscope.library
    flux = library.spectra(library.scores)[:, spectroscope.fit.at_paper]
    residual = spectroscope.colour(flux) - library.colour0
    # Real colours scatter by some 0.07 about a smooth function of the spectrum's shape.
    assert residual.std() < 0.08
    assert residual.var() / library.colour0.var() < 0.04


def test_magnitudes_are_those_of_the_reddened_spectrum(spectroscope: Spectroscope) -> None:
    scores = some_stars(spectroscope, 50)
    bp = np.full(50, 14.0)
    library = spectroscope.library
    spread = []
    for extinction in (0.01, 2.0):
        e = np.full(50, extinction)
        coefficients, _, bands = spectroscope.observe(scores, e, bp, 0.0)
        flux = coefficients @ stacked(spectroscope.fit.sampled)
        mag = library.zero_points["Gbp"] - 2.5 * np.log10(flux @ library.passbands["Gbp"])
        # The coefficients fit the sampled spectrum to about 1e-3.
        np.testing.assert_allclose(mag, 14.0, atol=0.005)
        reddened = library.spectra(scores) * dimming(-spectroscope.fit.k, e)
        absorbed = -2.5 * np.log10(reddened @ library.passbands["Gbp"]) / extinction
        spread.append(absorbed.mean())
        assert (bands["Grp"] < bands["G"]).all()
    # A broad band bends: its absorption per unit E falls as E grows.
    assert spread[1] < spread[0] - 0.1


def test_law_is_the_papers() -> None:
    assert np.polyval(REDDENING_LAW, 2.0) == pytest.approx(0.042 * 4 + 0.027 * 2 + 1.42)
