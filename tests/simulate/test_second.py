"""Another survey of the stars of a simulated one: what both have in common, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.config import SimulationSettings
from scrframe.config.simulation import BandSettings, TraitSettings
from scrframe.simulate.second import draw_survey, in_second_band
from scrframe.simulate.sky import SkyTraits
from scrframe.simulate.survey import build_survey

PASSBAND = ((395.0, 0.0), (415.0, 1.0), (535.0, 1.0), (555.0, 0.0))
SMALL = {"fields": 2, "density": 3000.0, "seed": 5, "outliers": 0.0, "variables": 0.0}
SHARE = 0.6


def drawn(camera, curve, name="u", **changes):
    return draw_survey(SimulationSettings(**SMALL, **changes), camera, curve, band=name)


@pytest.fixture(scope="module")
def first(camera, curve):
    return drawn(camera, curve)


@pytest.fixture(scope="module")
def green(camera, curve):
    band = BandSettings(passband=PASSBAND)
    return drawn(camera, curve, "g", shared_scatter=SHARE, band=band)


@pytest.fixture(scope="module")
def other(camera, curve):
    """Return another survey in the same band."""
    return drawn(camera, curve, "u", shared_scatter=SHARE)


def scatter(survey):
    """Return what spectra do not show of the stars' magnitudes, shape (n,)."""
    stars = survey.stars
    return survey.traits.mag_true - stars.bp_mag - stars.colour0 - stars.slope * stars.extinction


def test_without_a_share_a_survey_is_what_it_was(camera, curve, first):
    same = build_survey(SimulationSettings(**SMALL), camera, curve, band="u")
    assert same.catalogue.table.equals(first.catalogue.table)
    for name in ("mag", "mag_err", "x", "ra"):
        seen = [survey.visit(0).detections[name] for survey in (same, first)]
        np.testing.assert_array_equal(*seen)


def test_catalogues_of_stars_are_the_same(first, green, other):
    for survey in (green, other):
        assert survey.catalogue.table.equals(first.catalogue.table)
        np.testing.assert_array_equal(survey.catalogue.coefficients, first.catalogue.coefficients)


def test_scatter_has_the_share_in_common_and_the_size_that_is_asked_for(first, green, other):
    for survey in (green, other):
        correlation = np.corrcoef(scatter(first), scatter(survey))[0, 1]
        assert correlation == pytest.approx(SHARE, abs=4 / np.sqrt(len(first.stars)))
        assert np.std(scatter(survey)) == pytest.approx(0.05, rel=0.05)


def test_offsets_and_noise_have_nothing_in_common(first, other):
    assert not any(np.any(np.isin(a, b)) for a, b in zip(first.noise, other.noise, strict=True))
    ccds = [
        np.array(
            [
                term.ccd[found.place == place].mean()
                for found, term in zip(s.visits, s.terms, strict=True)
                for place in range(4)
            ]
        )
        for s in (first, other)
    ]
    assert abs(np.corrcoef(*ccds)[0, 1]) < 4 / np.sqrt(len(ccds[0]))
    assert all(
        not np.any(np.isin(a.visit, b.visit)) for a, b in zip(first.terms, other.terms, strict=True)
    )


def test_in_the_same_band_true_colours_and_law_are_the_same(first, other):
    np.testing.assert_array_equal(other.stars.colour0, first.stars.colour0)
    np.testing.assert_array_equal(other.stars.slope, first.stars.slope)


def test_colours_of_another_band_are_those_of_a_survey_drawn_in_it(camera, curve, green):
    """Of the same stars, found by their places: a survey in that band draws them itself."""
    settings = SimulationSettings(**SMALL, band=BandSettings(passband=PASSBAND))
    own = build_survey(settings, camera, curve, band="g").stars
    places = {place: n for n, place in enumerate(zip(own.ra_deg, own.dec_deg, strict=True))}
    mine = green.stars
    pairs = [
        (n, places[place])
        for n, place in enumerate(zip(mine.ra_deg, mine.dec_deg, strict=True))
        if place in places and mine.has_spectrum[n]
    ]
    i, j = np.array(pairs).T
    assert len(i) > 300
    np.testing.assert_allclose(mine.colour0[i], own.colour0[j], atol=1e-9)
    np.testing.assert_allclose(mine.slope[i], own.slope[j], atol=1e-7)


def test_stars_without_a_spectrum_have_the_colours_of_those_with_one(green):
    stars = green.stars
    known = stars.has_spectrum
    for values in (stars.colour0, stars.slope):
        low, high = np.quantile(values[known], [0.001, 0.999])
        inside = (values[~known] > low - 0.05) & (values[~known] < high + 0.05)
        assert inside.mean() > 0.99


def test_traits_of_the_sky_are_those_of_both_bands(camera, curve, spectroscope, first, green):
    """A star departs from both laws at once; visits have planes of their own."""
    traits = {"law_sd": 0.03, "law_scale": "0.5 deg", "rv_sd": 0.05, "gradient": 0.05}
    varied = drawn(camera, curve, traits=traits)
    settings = {**SMALL, "traits": traits, "shared_scatter": SHARE, "band": {"passband": PASSBAND}}
    varied_green = in_second_band(varied, SimulationSettings(**settings), curve)
    sky = SkyTraits.draw(
        TraitSettings.model_validate(traits), SMALL["seed"], first.layout.control_centre
    )
    # The same stars, but for some that no visit has seen.
    _, new, old = np.intersect1d(varied.stars.ra_deg, first.stars.ra_deg, return_indices=True)
    red = varied.stars.has_spectrum[new] & (varied.stars.extinction[new] > 0.2)
    new, old = new[red], old[red]
    where = varied.stars.ra_deg[new], varied.stars.dec_deg[new]
    law, rv = 1 + sky.law(*where), sky.rv(*where)
    in_u = varied.stars.slope[new] / np.polyval((0.042, 0.027, 1.42), varied.stars.colour0[new])
    before = first.stars.slope[old] / np.polyval((0.042, 0.027, 1.42), first.stars.colour0[old])
    excess = spectroscope.family.excess(rv, 354.0, 511.0)
    np.testing.assert_allclose(in_u / before, law * excess, rtol=1e-9)
    # In the green band spectra make the slope: the curve at its mean wavelength, nearly, and
    # intrinsic colours are what they were but for the fit of coefficients to spectra.
    in_green = varied_green.stars.slope[new] / green.stars.slope[old]
    excess = spectroscope.family.excess(rv, 475.0, 511.0)
    assert np.corrcoef(in_green / law, excess)[0, 1] > 0.95
    bluer = varied_green.stars.colour0[new] - green.stars.colour0[old]
    assert np.sqrt(np.mean(bluer**2)) < 1e-4
    assert not np.isin(varied.terms[0].focal, varied_green.terms[0].focal).any()
