"""What visits, detectors and seasons do beside their offsets, measured back from magnitudes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scrframe.config import SimulationSettings
from scrframe.simulate.layout import Layout, plan, season_phase
from scrframe.simulate.offsets import draw_offsets
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.simulate.systematics import Systematics, draw_systematics
from scrframe.tables import Camera

Build = Callable[..., SimulatedSurvey]
#: Settings without the three levels of offsets.
BARE = {"visit_sd": 0.0, "ccd_sd": 0.0, "pixel_sd": 0.0}


def drawn(camera: Camera, **traits: Any) -> tuple[Layout, Systematics]:
    settings = SimulationSettings(fields=150, control_fields=3, traits=traits)
    layout = plan(settings, camera, np.random.default_rng(11))
    return layout, draw_systematics(settings, layout, camera)


def observed(survey: SimulatedSurvey) -> pd.DataFrame:
    """Return truth and observation of all stars' detections."""
    parts = []
    for number, found in enumerate(survey.visits):
        seen = np.flatnonzero(found.star >= 0)
        rows = survey.truth(number, "file", f"{number}").to_pandas()
        xi, eta = survey.camera.to_plane(found.place, found.x, found.y)
        rows["number"], rows["place"] = number, found.place[seen]
        rows["xi"], rows["eta"] = xi[seen], eta[seen]
        rows["mag"] = survey.visit(number).detections["mag"].to_numpy()[seen]
        rows["bp"] = survey.stars.bp_mag[found.star[seen]]
        parts.append(rows)
    rows = pd.concat(parts, ignore_index=True)
    rows["colour"] = rows.mag_true - rows.bp
    return rows


@pytest.fixture(scope="module")
def everything(build: Build, quiet_settings: dict[str, Any]) -> SimulatedSurvey:
    """Return a survey without noise but with offsets and all traits of visits."""
    traits = {
        "gradient": 0.05,
        "cloud_sd": 0.03,
        "cloud_share": 0.5,
        "ccd_colour": 0.01,
        "season_colour": 0.005,
        "extinction_colour": -0.03,
        "nonlinearity": 0.002,
        "season_pattern_sd": 0.006,
    }
    return build(**quiet_settings, traits=traits)


def test_truth_is_the_whole_of_it(everything: SimulatedSurvey) -> None:
    rows = observed(everything)
    off = rows.mag_true - rows.mag
    own = rows.offset_colour + rows.offset_linearity
    np.testing.assert_allclose(off, rows.offset_total + own, atol=1e-12)
    total = rows.offset_visit + rows.offset_ccd + rows.offset_pixel
    np.testing.assert_allclose(rows.offset_total, total, atol=1e-15)
    assert rows.offset_colour.std() > 0.003


def test_truth_is_in_its_gauge(everything: SimulatedSurvey) -> None:
    rows = observed(everything)
    assert abs(rows.offset_visit.sum()) < 1e-9
    assert rows.groupby("number").offset_visit.nunique().eq(1).all()
    assert rows.groupby(["number", "ccd"]).offset_ccd.nunique().eq(1).all()
    assert rows.groupby("number").offset_ccd.sum().abs().max() < 1e-9
    assert rows.groupby("number").offset_focal.sum().abs().max() < 1e-9
    assert rows.groupby("ccd").offset_pixel.sum().abs().max() < 1e-9


def test_traits_of_visits_change_magnitudes_alone(
    everything: SimulatedSurvey, quiet: SimulatedSurvey
) -> None:
    assert everything.catalogue.table.equals(quiet.catalogue.table)
    assert np.array_equal(everything.catalogue.coefficients, quiet.catalogue.coefficients)
    for number in range(len(quiet.visits)):
        one, other = everything.visit(number).detections, quiet.visit(number).detections
        for name in ("ccd", "x", "y", "ra", "dec", "classification"):
            assert one[name].equals(other[name])
        names = [name for name in other.column_names if not name.startswith("mag")]
        assert one.select(names).equals(other.select(names))
    # What is switched on beside a trait leaves its own draws as they are.
    assert "offset_focal" not in quiet.truth(0, "f", "v").column_names


def test_planes(everything: SimulatedSurvey, camera: Camera) -> None:
    rows = observed(everything)
    flat = 0
    for _, visit in rows.groupby("number"):
        design = np.stack([np.ones(len(visit)), visit.xi, visit.eta], axis=1)
        flat += np.linalg.lstsq(design, visit.offset_focal, rcond=None)[1][0] < 1e-20
    # Clouds are in every second visit, and add to its plane.
    assert flat == len(everything.visits) // 2
    _, systematics = drawn(camera, gradient=0.05)
    slope = systematics.surfaces.slope  # type: ignore[union-attr]
    # Of 300 draws: the rms is known to 4 per cent, the mean cosine to 0.06.
    assert np.sqrt(np.mean(np.sum(slope**2, axis=1))) == pytest.approx(0.05, rel=0.15)
    turn = 2 * np.arctan2(slope[:, 1], slope[:, 0])
    assert abs(np.cos(turn).mean()) < 0.2
    assert abs(np.sin(turn).mean()) < 0.2


def test_clouds(camera: Camera) -> None:
    _, systematics = drawn(camera, cloud_sd=0.03, cloud_share=0.2, cloud_scale="0.1 deg")
    surfaces = systematics.surfaces
    assert surfaces is not None
    xi, eta = np.random.default_rng(3).uniform(-0.4, 0.4, (2, 400))
    values = np.array([surfaces(number, xi, eta) for number in range(300)])
    cloudy = values.std(axis=1) > 0
    assert cloudy.sum() == 60
    # Sixty skies of some ten cells each: their rms is known to 3 per cent.
    values = values[cloudy]
    assert np.sqrt(np.mean(values**2)) == pytest.approx(0.03, rel=0.12)
    beside = np.array([surfaces(n, xi + 0.1, eta) for n in np.flatnonzero(cloudy)])
    assert np.mean(values * beside) / 0.03**2 == pytest.approx(np.exp(-0.5), abs=0.12)
    # Skies of different visits have nothing in common.
    assert abs(np.mean(values[:-1] * values[1:])) / 0.03**2 < 0.15
    _, again = drawn(camera, cloud_sd=0.03, cloud_share=0.2, cloud_scale="0.1 deg", gradient=0.1)
    plane = again.surfaces.slope @ [xi, eta]  # type: ignore[union-attr]
    both = np.array([again.surfaces(n, xi, eta) for n in np.flatnonzero(cloudy)])  # type: ignore[misc]
    np.testing.assert_allclose(both - plane[cloudy], values, atol=1e-12)


def test_colour_terms_are_measured_back(everything: SimulatedSurvey) -> None:
    rows = observed(everything)
    rows["rest"] = rows.mag_true - rows.mag - rows.offset_total - rows.offset_linearity
    slopes = np.empty((len(everything.visits), len(everything.camera.ccd)))
    for (number, place), part in rows.groupby(["number", "place"]):
        slopes[number, place], constant = np.polyfit(part.colour, part.rest, 1)
        # A line that is zero at colour 2.
        assert constant == pytest.approx(-2.0 * slopes[number, place], abs=1e-9)
    by_visit, by_ccd = slopes.mean(axis=1), slopes.mean(axis=0) - slopes.mean()
    np.testing.assert_allclose(slopes, by_visit[:, None] + by_ccd, atol=1e-9)
    assert by_ccd.std() == pytest.approx(0.01, rel=1e-6)
    # CCDs have no part in the mean: seasons and airmasses are left.
    layout = everything.layout
    by_season = pd.Series(by_visit - 0.03 * (layout.airmass - layout.airmass.mean()))
    assert by_season.groupby(season_phase(layout.mjd)[0]).std().fillna(0).max() < 1e-9


def test_colour_terms_of_seasons_and_air(camera: Camera) -> None:
    layout, seasonal = drawn(camera, season_colour=0.004)
    assert seasonal.colours is not None
    by_season = pd.Series(seasonal.colours.by_visit).groupby(season_phase(layout.mjd)[0])
    assert by_season.nunique().eq(1).all()
    assert by_season.first().mean() == pytest.approx(0, abs=1e-15)
    assert by_season.first().std(ddof=0) == pytest.approx(0.004, rel=1e-9)
    layout, airy = drawn(camera, extinction_colour=-0.03)
    assert airy.colours is not None
    assert ((layout.airmass >= 1) & (layout.airmass < 2)).all()
    assert layout.airmass.std() > 0.1
    # A blue star of colour 1 in much air loses light: 0.03 mag per airmass are to be taken off.
    off = [airy.colours(n, np.zeros(1, int), np.ones(1))[0] for n in range(len(layout.airmass))]
    np.testing.assert_allclose(off, -0.03 * (layout.airmass - layout.airmass.mean()), atol=1e-15)


def test_what_is_no_star_has_no_colour(everything: SimulatedSurvey) -> None:
    found, terms = everything.visits[0], everything.terms[0]
    assert terms.colour is not None
    assert not terms.colour[found.star < 0].any()
    assert terms.colour[found.star >= 0].all()


def test_magnitudes_are_not_linear(everything: SimulatedSurvey) -> None:
    rows = observed(everything)
    rest = rows.mag_true - rows.mag - rows.offset_total - rows.offset_colour
    slope, constant = np.polyfit(rows.mag_true - 17, rest, 1)
    assert slope == pytest.approx(-0.002, rel=1e-6)
    assert constant == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(rest, -0.002 * (rows.mag_true - 17), atol=1e-11)


def test_patterns_of_seasons(camera: Camera) -> None:
    settings = SimulationSettings(fields=60, control_fields=3, traits={"season_pattern_sd": 0.006})  # type: ignore[arg-type]
    layout = plan(settings, camera, np.random.default_rng(11))
    offsets = draw_offsets(settings, layout, camera, np.random.default_rng(12))
    by_season = offsets.by_season
    assert by_season is not None
    rng = np.random.default_rng(13)
    place = rng.integers(0, 4, 20000)
    pixel = rng.uniform(0.5, 1024.5, 20000), rng.uniform(0.5, 1000.5, 20000)
    seasons = season_phase(layout.mjd)[0]
    values = {}
    for visit, season in enumerate(seasons[:40]):
        found = by_season(visit, place, *pixel)
        # One pattern for each season; random places tell its scatter to a per cent.
        np.testing.assert_array_equal(values.setdefault(season, found), found)
        assert found.std() == pytest.approx(0.006, rel=0.05)
        for number in range(4):
            assert abs(found[place == number].mean()) < 0.0005
    assert len(values) > 3
    # Ten shapes on each of four detectors have nothing in common between seasons.
    other = np.corrcoef(list(values.values())) - np.eye(len(values))
    assert np.abs(other).max() < 0.7
    # The static pattern is as it was.
    plain = draw_offsets(
        SimulationSettings(fields=60, control_fields=3), layout, camera, np.random.default_rng(12)
    )
    np.testing.assert_array_equal(plain.pattern(place, *pixel), offsets.pattern(place, *pixel))
