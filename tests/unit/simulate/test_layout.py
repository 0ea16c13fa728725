"""Fields and dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scrframe.config import SimulationSettings
from scrframe.errors import ConfigError
from scrframe.simulate.layout import CONTROL_B, CONTROL_DEC, CONTROL_RA, galactic, plan
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
