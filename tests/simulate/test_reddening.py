"""Curves of any R_V: the published ones, what they keep, and what they do to a survey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scrframe.config.simulation import TraitSettings
from scrframe.simulate.coefficients import stacked
from scrframe.simulate.library import BP_NM, U_NM
from scrframe.simulate.sky import SkyTraits
from scrframe.simulate.stars import Spectroscope
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.spectra.curves import MEAN_RV, cardelli

#: R_V varies by 8 per cent.
RV = {"rv_sd": 0.08, "rv_scale": "0.5 deg"}


def test_published_curve() -> None:
    """Table 3 of Cardelli, Clayton & Mathis (1989), to the 0.002 that the formulas fit it."""
    a, b = cardelli(1000 / np.array([2.78, 1.43, 1.11]))
    np.testing.assert_allclose(a, [0.9530, 0.8686, 0.6800], atol=2e-3)
    np.testing.assert_allclose(b, [1.9090, -0.3660, -0.6239], atol=2e-3)


def test_rv_is_what_its_name_says() -> None:
    """A(V) / E(B - V): A(B) / A(V) is 1 + 1 / R_V, with B at 2.27 and V at 1.82 / micrometre."""
    a, b = cardelli(1000 / np.array([2.27, 1.82]))
    np.testing.assert_allclose(a, [1, 1], atol=1e-4)
    np.testing.assert_allclose(b, [1, 0], atol=1e-4)


def test_mean_rv_is_the_mean_curve(spectroscope: Spectroscope) -> None:
    family = spectroscope.family
    np.testing.assert_allclose(family.weights(np.array([MEAN_RV])) @ family.ratio, 1, rtol=1e-12)
    assert family.excess(np.array([MEAN_RV]), U_NM, BP_NM) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("rv", [2.3, 2.9, 3.4, 5.0])
def test_family_keeps_the_extinction(spectroscope: Spectroscope, rv: float) -> None:
    family, fitted = spectroscope.family, spectroscope.fit.at_paper
    extinction = np.array([0.7])
    light = family.dimming(-family.k, extinction, np.array([rv]), slice(None))[0, fitted]
    design = np.stack([np.ones(len(fitted)), -0.4 * np.log(10) * family.k[fitted]], axis=1)
    fitted_e = np.linalg.lstsq(design, np.log(light), rcond=None)[0][1]
    assert fitted_e == pytest.approx(0.7, rel=1e-9)
    # It is the published ratio, but for a size.
    a, b = cardelli(family.wavelength_nm)
    published = (a + b / rv) / (a + b / MEAN_RV)
    made = family.weights(np.array([rv])) @ family.ratio
    assert np.ptp(made[0] / published) < 1e-12


def test_low_rv_is_steeper(spectroscope: Spectroscope) -> None:
    excess = spectroscope.family.excess(np.array([2.5, 3.1, 4.0]), U_NM, BP_NM)
    assert (np.diff(excess) < 0).all()


@pytest.fixture(scope="module")
def dusty(build: Callable[..., SimulatedSurvey], quiet_settings: dict[str, Any]) -> SimulatedSurvey:
    return build(**quiet_settings, traits=RV)


def test_rv_acts_on_spectra_and_band_together(
    dusty: SimulatedSurvey, quiet: SimulatedSurvey, spectroscope: Spectroscope
) -> None:
    """The same stars, whose spectra and slopes follow one R_V, that of their place on the sky."""
    stars, before = dusty.stars, quiet.stars
    bright, old = stars.has_spectrum, before.has_spectrum
    together, rows, places = np.intersect1d(
        stars.ra_deg[bright], before.ra_deg[old], return_indices=True
    )
    assert len(together) > 0.9 * bright.sum()
    star, other = np.flatnonzero(bright)[rows], np.flatnonzero(old)[places]
    np.testing.assert_array_equal(stars.extinction[star], before.extinction[other])
    np.testing.assert_array_equal(stars.bp_mag[star], before.bp_mag[other])
    family = spectroscope.family
    sky = SkyTraits.draw(TraitSettings.model_validate(RV), 5, dusty.layout.control_centre)
    rv = sky.rv(stars.ra_deg[star], stars.dec_deg[star])
    assert rv is not None
    # R_V by the slope in u, which Eq. 4 and the family give.
    law = np.polyval((0.042, 0.027, 1.42), stars.colour0[star])
    np.testing.assert_allclose(stars.slope[star] / law, family.excess(rv, U_NM, BP_NM), rtol=1e-9)
    # And by the spectra: their ratio is that of the curves, up to one constant for each star.
    operator = stacked(spectroscope.fit.paper)
    at = spectroscope.fit.at_paper
    ratio = np.log((stars.coefficients[rows] @ operator) / (before.coefficients[places] @ operator))
    curves = family.weights(rv) @ family.ratio[:, at] - 1
    expected = -0.4 * np.log(10) * stars.extinction[star, None] * curves * family.k[at]
    rest = ratio - expected
    rest -= rest.mean(axis=1, keepdims=True)
    expected -= expected.mean(axis=1, keepdims=True)
    # Coefficients stand for reddened spectra to about 1e-3.
    assert np.sqrt(np.mean(rest**2)) < 0.1 * np.sqrt(np.mean(expected**2))
    assert np.sqrt(np.mean(rest**2)) < 2e-3
