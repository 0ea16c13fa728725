"""Smooth functions on the sky and the traits that are made of them, measured back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scrframe.config import SimulationSettings
from scrframe.config.base import as_written
from scrframe.config.simulation import TraitSettings
from scrframe.simulate.sky import AT_ONCE, Sky, SkyTraits, TraitField, trait_generator
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.tables import unit_vectors

Build = Callable[..., SimulatedSurvey]
#: Middle of a control region.
CONTROL = np.array([107.0]), np.array([0.0])


def correlation(
    values: np.ndarray, ra_deg: np.ndarray, dec_deg: np.ndarray, apart_deg: tuple[float, float]
) -> float:
    """Return the mean product of values of zero mean at pairs so far apart, over their variance."""
    pairs = cKDTree(unit_vectors(ra_deg, dec_deg)).query_pairs(
        np.deg2rad(apart_deg[1]), output_type="ndarray"
    )
    where = unit_vectors(ra_deg, dec_deg)
    distance = np.rad2deg(np.linalg.norm(where[pairs[:, 0]] - where[pairs[:, 1]], axis=1))
    pairs = pairs[distance > apart_deg[0]]
    return float(np.mean(values[pairs[:, 0]] * values[pairs[:, 1]]) / np.mean(values**2))


def eq_4(colour0: np.ndarray) -> np.ndarray:
    return np.polyval((0.042, 0.027, 1.42), colour0)


@pytest.mark.parametrize(("scale", "dec"), [(0.15, 0.0), (0.5, -60.0)])
def test_field_has_its_scatter_and_scale(scale: float, dec: float) -> None:
    """A patch of 40 by 40 scales: its variance is known to some 5 per cent, 1600 / (2 pi) cells."""
    rng = np.random.default_rng(3)
    ra = (rng.uniform(0, 40 * scale, 6000) / np.cos(np.deg2rad(dec))) % 360
    dec = dec + rng.uniform(0, 40 * scale, 6000) * 0.9
    values = TraitField.draw(0.03, scale, rng)(ra, dec)
    assert values.std() == pytest.approx(0.03, rel=0.15)
    assert abs(values.mean()) < 4 * 0.03 / np.sqrt(1600 / (2 * np.pi))
    values = values - values.mean()
    for low, high in ((0.45, 0.55), (0.95, 1.05), (1.9, 2.1)):
        expected = np.exp(-((low + high) ** 2) / 8)
        found = correlation(values, ra, dec, (low * scale, high * scale))
        assert found == pytest.approx(expected, abs=0.12)


def test_field_over_the_plane_is_that_of_the_sky() -> None:
    field = TraitField.draw(0.02, 0.3, np.random.default_rng(4))
    rng = np.random.default_rng(5)
    xi, eta = rng.uniform(-0.5, 0.5, (2, 4000))
    values = field.on_plane(xi, eta)
    # Half a degree holds some ten cells of the field.
    assert 0.01 < values.std() < 0.03
    near = field.on_plane(xi + 0.01, eta) - values
    # The mean square of a difference is 2 sd^2 (1 - exp(-d^2 / 2 s^2)).
    assert near.std() < 2 * 0.02 * 0.01 / 0.3


def test_many_positions_are_those_of_few() -> None:
    field = TraitField.draw(1.0, 1.0, np.random.default_rng(6))
    ra, dec = np.random.default_rng(7).uniform(0, 20, (2, AT_ONCE + 100))
    whole = field(ra, dec)
    # A cosine in single precision.
    np.testing.assert_allclose(whole[-150:], field(ra[-150:], dec[-150:]), atol=1e-5)


def test_traits_do_not_share_random_numbers() -> None:
    first = SkyTraits.draw(TraitSettings(law_sd=0.03), 5, CONTROL)
    both = SkyTraits.draw(TraitSettings(law_sd=0.03, law_large_sd=0.03), 5, CONTROL)
    ra, dec = np.random.default_rng(8).uniform(0, 20, (2, 500))
    small = first.law(ra, dec)
    large = both.law(ra, dec) - small
    np.testing.assert_allclose(small, both.laws[0](ra, dec), atol=0)
    assert large.any()
    assert abs(np.corrcoef(small, large)[0, 1]) < 0.3
    draws = {
        trait_generator(5, name, branch).random() for name in ("law", "cloud") for branch in (1, 9)
    }
    assert len(draws) == 4


@pytest.fixture(scope="module")
def lawful(build: Build, quiet_settings: dict[str, Any]) -> SimulatedSurvey:
    """Return a survey of overlapping fields whose law varies on the sky by 3 per cent."""
    traits = {"law_sd": 0.03, "law_scale": "0.15 deg"}
    return build(
        **quiet_settings, overlapping_fields=1.0, fields=5, control_fields=1, traits=traits
    )


def test_law_is_measured_back(lawful: SimulatedSurvey) -> None:
    stars = lawful.stars
    excess = stars.slope / eq_4(stars.colour0) - 1
    # Five fields of a third of a square degree hold some 15 / (2 pi 0.15^2) = 100 cells.
    assert excess.std() == pytest.approx(0.03, rel=0.2)
    excess -= excess.mean()
    for low, high in ((0.07, 0.08), (0.14, 0.16)):
        expected = np.exp(-(((low + high) / 0.3) ** 2) / 2)
        found = correlation(excess, stars.ra_deg, stars.dec_deg, (low, high))
        assert found == pytest.approx(expected, abs=0.15)
    # It is the band's alone: spectra are those of the mean law.
    assert np.ptp(excess[stars.home == 0]) > 0.05


def test_law_does_not_know_of_fields(lawful: SimulatedSurvey) -> None:
    """Stars side by side have one law, whichever field drew them, and one in all visits."""
    stars = lawful.stars
    excess = stars.slope / eq_4(stars.colour0) - 1
    pairs = cKDTree(unit_vectors(stars.ra_deg, stars.dec_deg)).query_pairs(
        np.deg2rad(0.015), output_type="ndarray"
    )
    apart = stars.home[pairs[:, 0]] != stars.home[pairs[:, 1]]
    assert apart.sum() > 20
    difference = excess[pairs[apart, 0]] - excess[pairs[apart, 1]]
    # At 0.1 scales the rms of differences is 0.1 sd.
    assert np.sqrt(np.mean(difference**2)) < 0.2 * 0.03
    truth = [lawful.truth(n, "f", f"v{n}").to_pandas() for n in range(len(lawful.visits))]
    by_star = {}
    for rows in truth:
        for source, ratio in zip(rows.source_id, rows.R, strict=True):
            assert by_star.setdefault(source, ratio) == ratio


def test_a_large_law_moves_whole_fields() -> None:
    """A patch of half a degree has one value where the scale is ten times as large."""
    ra, dec = np.random.default_rng(9).uniform(0, 0.5, (2, 200))
    settings = TraitSettings(law_large_sd=0.03)
    values = [SkyTraits.draw(settings, seed, CONTROL).law(ra, dec) for seed in range(60)]
    # The slope of such a field has the scatter sd / scale along either axis.
    assert np.sqrt(np.mean(np.var(values, axis=1))) < 0.03 * 0.5 / 5
    assert np.mean(values, axis=1).std() == pytest.approx(0.03, rel=0.3)


def test_scale_of_hidden_scatter() -> None:
    rng = np.random.default_rng(10)
    ra, dec = rng.uniform(0, 4, (2, 5000))
    settings = SimulationSettings(hidden_scale=as_written("0.1 deg"))
    hidden = Sky.draw(settings, CONTROL, rng).hidden(ra, dec)
    assert correlation(hidden, ra, dec, (0.095, 0.105)) == pytest.approx(np.exp(-0.5), abs=0.12)
    assert abs(correlation(hidden, ra, dec, (0.3, 0.31))) < 0.1


def test_metallicity_is_that_of_the_control_region_there() -> None:
    settings = TraitSettings(metallicity_sd=0.1)
    where = np.array([107.0, 107.5, 112.0, 140.0]), np.zeros(4)
    made = [SkyTraits.draw(settings, seed, CONTROL).metallicity(*where) for seed in range(200)]
    found = np.std(made, axis=0)
    # Given zero at a distance d the scatter is sd sqrt(1 - exp(-d^2 / scale^2)); 200 draws tell
    # it to 5 per cent.
    expected = 0.1 * np.sqrt(1 - np.exp(-((where[0] - 107.0) ** 2) / 25))
    np.testing.assert_allclose(found, expected, rtol=0.2, atol=1e-6)


def test_mean_metallicity_is_measured_back(
    build: Build, quiet: SimulatedSurvey, quiet_settings: dict[str, Any]
) -> None:
    traits = {"metallicity_sd": 0.2, "metallicity_scale": "2 deg"}
    made = build(**quiet_settings, traits=traits)
    sky = SkyTraits.draw(TraitSettings.model_validate(traits), 5, made.layout.control_centre)
    gained, expected = [], []
    for home in range(4):
        here, before = made.stars.home == home, quiet.stars.home == home
        metals = made.stars.parameters[here, 2], quiet.stars.parameters[before, 2]
        gained.append(metals[0].mean() - metals[1].mean())
        expected.append(sky.metallicity(made.stars.ra_deg[here], made.stars.dec_deg[here]).mean())
        # The same chances choose from a tilted library; means of n stars scatter by 0.5 / sqrt(n).
        scatter = 4 / np.sqrt(here.sum())
        assert abs(gained[-1] - expected[-1]) < 0.5 * scatter
        # Stars are of the same kinds otherwise.
        kinds = made.stars.parameters[here], quiet.stars.parameters[before]
        giants = [np.mean(each[:, 1] < 3.5) for each in kinds]
        assert abs(giants[0] - giants[1]) < 0.5 * scatter
        heat = [np.log(each[:, 0]) for each in kinds]
        assert abs(heat[0].mean() - heat[1].mean()) < heat[1].std() * scatter
    assert np.ptp(expected) > 0.1
    # Metal-poor stars are bluer in u.
    bluer = [
        made.stars.colour0[made.stars.home == home].mean()
        - quiet.stars.colour0[quiet.stars.home == home].mean()
        for home in range(4)
    ]
    assert np.corrcoef(bluer, expected)[0, 1] > 0.8
