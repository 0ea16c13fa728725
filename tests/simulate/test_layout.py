"""Fields and dates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scrframe.config import SimulationSettings
from scrframe.errors import ConfigError
from scrframe.simulate.layout import CONTROL_B, CONTROL_DEC, CONTROL_RA, Layout, galactic, plan
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.tables import Camera, unit_vectors


def layout(camera: Camera, **values: object):
    return plan(SimulationSettings(**values), camera, np.random.default_rng(14))


def test_detections_of_control_fields_lie_in_the_papers_region(survey: SimulatedSurvey) -> None:
    control = np.flatnonzero(survey.layout.control[survey.layout.visit_field])
    assert len(control) == 2
    for number in control:
        found = survey.visits[number]
        assert (found.ra_deg > CONTROL_RA[0]).all()
        assert (found.ra_deg < CONTROL_RA[1]).all()
        assert (found.dec_deg > CONTROL_DEC[0]).all()
        assert (found.dec_deg < CONTROL_DEC[1]).all()
        assert (galactic(found.ra_deg, found.dec_deg)[1] > CONTROL_B).all()


def test_default_survey_has_fields_that_overlap_and_a_wide_plane(camera: Camera) -> None:
    made = layout(camera, fields=36)
    assert made.control.sum() == 12
    assert np.abs(made.galactic_b[~made.control]).max() < 4
    position = unit_vectors(made.ra_deg, made.dec_deg)
    apart = np.rad2deg(np.arccos(np.clip(position @ position.T, -1, 1)))
    nearest = np.sort(apart, axis=1)[:, 1]
    assert 0.4 < (nearest[~made.control] < 0.9).mean() < 0.8
    assert (nearest > 0.5).all()


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_share_of_overlapping_fields(
    camera: Camera, share: float, least: float, most: float
) -> None:
    made = layout(camera, fields=26, control_fields=6, overlapping_fields=share)
    position = unit_vectors(made.ra_deg, made.dec_deg)[~made.control]
    apart = np.rad2deg(np.arccos(np.clip(position @ position.T, -1, 1)))
    overlapping = (np.sort(apart, axis=1)[:, 1] < 0.9).mean()
    assert least <= overlapping <= most


def test_an_odd_field_overlaps_none(camera: Camera) -> None:
    made = layout(camera, fields=4, control_fields=1, overlapping_fields=1.0)
    assert len(made.ra_deg) == 4
    apart = np.sort(nearest(made))
    assert apart[1] < 0.9 < apart[2]


def nearest(made: Layout) -> np.ndarray:
    """Return the distance of each field that is no control field to its nearest neighbour."""
    position = unit_vectors(made.ra_deg, made.dec_deg)
    pair = cKDTree(position).query(position, k=2)[0][:, 1]
    return np.rad2deg(2 * np.arcsin(pair / 2))[~made.control]


@pytest.mark.parametrize("fields", [400, 772, 2500])
def test_however_many_fields_overlap_as_many_as_asked(camera: Camera, fields: int) -> None:
    # The paper has 772; each field covers 1.2 degrees with its two pointings.
    wide = replace(camera, nx=2 * camera.nx, ny=2 * camera.ny)
    made = layout(wide, fields=fields, overlapping_fields=0.6)
    assert len(set(made.name)) == len(made.name) == fields
    apart = nearest(made)
    paired = apart < 0.8
    assert paired.mean() == pytest.approx(0.6, abs=0.005)
    assert apart.min() > 0.6
    east, north = np.array([588, 660]) / 3600
    extent = 2 * np.array(wide.half_extent()) + (east, north)
    # Not even by their corners: of a field that is alone no other is nearer than its diagonal.
    assert apart[~paired].min() > 0.98 * np.hypot(*extent)


def test_as_many_fields_as_a_region_has_room_for(camera: Camera) -> None:
    large = {**REGION, "other_ra": ["-90 deg", "90 deg"]}
    made = layout(camera, fields=772, control_fields=2, overlapping_fields=0.0, region=large)
    width, height = 2 * np.array(camera.half_extent()) + np.array([588, 660]) / 3600
    assert nearest(made).min() > 0.95 * min(width, height)
    assert (np.abs(made.dec_deg[~made.control] + 20) < 30).all()
    flat = {**large, "other_dec": ["-21 deg", "-20 deg"]}
    with pytest.raises(ConfigError, match="770 fields besides those of the control region have no"):
        layout(camera, fields=772, control_fields=2, region=flat)


def test_dates(camera: Camera) -> None:
    made = layout(camera, fields=36)
    pairs = made.mjd.reshape(-1, 2)
    assert (np.diff(pairs, axis=1) * 24 < 1).all()
    assert (np.diff(pairs, axis=1) > 0).all()
    # From December 2011 to 2018, over several seasons.
    assert made.mjd.min() > 55896
    assert made.mjd.max() < 58484
    assert len(np.unique(np.floor((made.mjd - 55835) / 365.25))) >= 4


def test_second_pointing(camera: Camera) -> None:
    made = layout(camera, fields=2)
    north = (made.visit_dec_deg[1] - made.visit_dec_deg[0]) * 3600
    east = made.visit_ra_deg[1] - made.visit_ra_deg[0]
    assert north == pytest.approx(660, abs=0.5)
    cosine = np.cos(np.deg2rad(made.visit_dec_deg[1]))
    assert east * 3600 * cosine == pytest.approx(-588, abs=0.5)


def test_control_fields_are_as_many_as_there_is_room_for(camera: Camera) -> None:
    wide = replace(camera, nx=4096, ny=4000)
    made = layout(wide, fields=120)
    assert 5 < made.control.sum() < 20
    assert layout(wide, fields=1).control.all()


def test_camera_too_large_for_the_control_region_is_refused(camera: Camera) -> None:
    with pytest.raises(ConfigError, match="control region holds 0 fields, not 1"):
        layout(replace(camera, nx=40000, ny=40000), fields=4)


def test_too_many_control_fields_are_refused(camera: Camera) -> None:
    with pytest.raises(ConfigError, match=r"control region holds \d+ fields, not 200"):
        layout(camera, fields=300, control_fields=200)


#: A region across right ascension 0, of a season.
REGION = {
    "control_ra": ["-8 deg", "8 deg"],
    "control_dec": ["-34 deg", "-30 deg"],
    "other_ra": ["-60 deg", "60 deg"],
    "other_dec": ["-50 deg", "10 deg"],
    "dates": ["60600 d", "60650 d"],
}


def test_fields_of_a_region(camera: Camera) -> None:
    made = layout(camera, fields=30, region=REGION)
    assert made.control.sum() == 10
    turned = np.mod(made.visit_ra_deg + 180, 360) - 180
    control = made.control[made.visit_field]
    assert (np.abs(turned[control]) < 8).all()
    assert (np.abs(made.visit_dec_deg[control] + 32) < 2).all()
    others = np.mod(made.ra_deg + 180, 360)[~made.control] - 180
    assert others.min() > -62 and others.max() < 62
    assert np.ptp(others) > 90
    assert ((made.mjd >= 60600) & (made.mjd < 60651)).all()
    assert (np.diff(made.mjd.reshape(-1, 2), axis=1) * 24 < 1).all()


def test_detections_of_control_fields_lie_in_the_region(build) -> None:
    found = build(fields=3, control_fields=2, region=REGION)
    for number in np.flatnonzero(found.layout.control[found.layout.visit_field]):
        visit = found.visits[number]
        assert (np.abs(np.mod(visit.ra_deg + 180, 360) - 180) < 8).all()
        assert (np.abs(visit.dec_deg + 32) < 2).all()


def test_overlapping_fields_of_a_region(camera: Camera) -> None:
    made = layout(camera, fields=26, control_fields=6, overlapping_fields=1.0, region=REGION)
    position = unit_vectors(made.ra_deg, made.dec_deg)[~made.control]
    apart = np.rad2deg(np.arccos(np.clip(position @ position.T, -1, 1)))
    assert (np.sort(apart, axis=1)[:, 1] < 0.5).all()  # the camera is half a degree wide


def test_region_without_room_is_refused(camera: Camera) -> None:
    small = {**REGION, "control_ra": ["0 deg", "0.3 deg"]}
    with pytest.raises(ConfigError, match="control region holds 0 fields, not 1"):
        layout(camera, fields=3, region=small)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dates": ["60650 d", "60600 d"]}, "has dates from 60650 to 60600"),
        ({"control_dec": ["60 deg", "89 deg"]}, "has control_dec beyond 85 deg"),
    ],
)
def test_wrong_regions_are_refused(change: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationSettings(region={**REGION, **change})


def test_fields_lie_where_they_are_told_to(camera: Camera) -> None:
    # The second and the fourth reach into the control region, as the camera is a degree wide.
    given = [(200.0, -60.0), (107.0, 0.5), (270.0, -25.0), (108.0, 2.9)]
    centres = [(f"{ra} deg", f"{dec} deg") for ra, dec in given]
    made = layout(camera, centres=centres)
    assert made.control.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(made.ra_deg, [107.0, 108.0, 200.0, 270.0])
    np.testing.assert_array_equal(made.dec_deg, [0.5, 2.9, -60.0, -25.0])
    assert len(made.mjd) == 8


def test_a_survey_outside_the_control_region_is_refused(camera: Camera) -> None:
    with pytest.raises(ConfigError, match="no field reaches into the control region"):
        layout(camera, centres=[("200 deg", "-60 deg")])


def test_control_fields_have_a_density_of_their_own(
    build: Callable[..., SimulatedSurvey],
) -> None:
    made = build(fields=2, control_fields=1, density=400.0, control_density=100.0)
    home = np.bincount(made.stars.home[made.stars.has_spectrum], minlength=2)
    # Numbers of stars are Poisson: some 4 sigma of the smaller one.
    assert home[0] / home[1] == pytest.approx(0.25, rel=4 / np.sqrt(home[0]))
