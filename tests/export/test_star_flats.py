"""Star flats hold all that a correction varies by over a detector, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import scrframe
from scrframe.errors import ConfigError, DataError
from scrframe.export.pixels import PixelGrid, RowsByExposure, SkyPlaces

#: What curvature within a pixel adds to the gradient's half pixel, with terms of some hundredths.
CURVATURE_MAG = 1e-5


@pytest.fixture(scope="module")
def run(small_run):
    return scrframe.open_run(small_run)


@pytest.fixture(scope="module")
def sequential(small_sequential):
    return scrframe.open_run(small_sequential)


def away_from_edges(stars, side: float = 100) -> np.ndarray:
    """Return which stars lie in the same bin as the middle of their pixel."""
    inside = [
        np.abs((np.array(stars[axis]) - 0.5) % side - side / 2) < side / 2 - 1
        for axis in ("x_pix", "y_pix")
    ]
    return np.all(inside, axis=0)


def half_pixel(flat, x, y) -> np.ndarray:
    """Return by how much a flat may differ between positions and the middles of their pixels."""
    column, row = (np.floor(at - 0.5).astype(int) for at in (x, y))
    slopes = [np.abs(each[row, column]) for each in np.gradient(flat.mag)]
    return 0.5 * sum(slopes) + CURVATURE_MAG


def test_zero_point_and_flat_are_the_correction_of_every_star(run):
    """Maps by season, bins and surfaces of visits: the whole of what the catalogue got."""
    stars = run.stars()
    zero_point = {(row["visit"], row["ccd"]): row["zero_point"] for row in run.zero_points()}
    inside = away_from_edges(stars) & (stars["x_pix"] < 399) & (stars["y_pix"] < 299)
    tested = 0
    for visit in run.visits["visit"].tolist():
        for ccd in (1, 2):
            here = (stars["visit"] == visit) & (stars["ccd"] == ccd) & inside
            flat = run.star_flat(ccd, visit=visit)
            assert set(flat.levels) == {"map", "fine", "surface"} and flat.left_out == ()
            x, y = (np.array(stars[axis][here]) for axis in ("x_pix", "y_pix"))
            whole = zero_point[visit, ccd] + flat.at(x, y)
            off = np.abs(whole - np.array(stars["offset_total"][here]))
            assert np.all(off < half_pixel(flat, x, y))
            assert np.ptp(flat.mag) > 0.03  # what is tested is no trifle
            tested += here.sum()
    assert tested > 300


def test_a_season_has_its_own_maps_but_no_surface_of_a_visit(run):
    seasons = sorted(set(run.visits["season"].tolist()))
    flats = [run.star_flat(1, season=season, binning=10) for season in seasons]
    assert all(set(flat.levels) == {"map", "fine"} for flat in flats)
    assert flats[0].left_out == ("surface",)
    assert np.abs(flats[0].mag - flats[1].mag).max() > 1e-6
    with pytest.raises(
        ConfigError, match=f"differ from season to season: name one of {seasons[0]}"
    ):
        run.star_flat(1)
    visit = next(v for v, s in run.visits.iterrows("visit", "season") if s == seasons[0])
    whole = run.star_flat(1, visit=str(visit), binning=10)
    assert whole.season == seasons[0] and np.abs(whole.mag - flats[0].mag).max() > 1e-6


def test_mode_sequential_has_its_bins(sequential):
    stars = sequential.stars()
    for ccd in (1, 2):
        flat = sequential.star_flat(ccd)
        here = (stars["ccd"] == ccd) & away_from_edges(stars)
        x, y = (np.array(stars[axis][here]) for axis in ("x_pix", "y_pix"))
        assert np.array_equal(flat.at(x, y), stars["offset_pixel"][here], equal_nan=True)
        assert flat.mag.shape == (300, 400)


def test_errors_and_counts(run):
    season = int(run.visits["season"][0])
    flat = run.star_flat(2, season=season, binning=50)
    stars, visits = run.stars(), run.visits
    of_season = dict(zip(visits["visit"], visits["season"], strict=True))
    here = [
        ccd == 2 and used and of_season[visit] == season
        for visit, ccd, used in stars.iterrows("visit", "ccd", "in_solve")
    ]
    assert flat.count.sum() == sum(here)
    assert (flat.err_mag > 0).all()
    np.testing.assert_allclose(flat.factor, 10 ** (-0.4 * flat.mag))
    np.testing.assert_allclose(flat.factor_err / flat.factor, flat.err_mag / 1.0857362, rtol=1e-6)


def test_what_is_not_there_is_said(run):
    with pytest.raises(DataError, match="knows no CCD 9; there are 1, 2"):
        run.star_flat(9)
    with pytest.raises(DataError, match="knows no season 1999; there are"):
        run.star_flat(1, season=1999)
    with pytest.raises(DataError, match="knows no visit nowhere"):
        run.star_flat(1, visit="nowhere")
    with pytest.raises(ConfigError, match="whole numbers from 1 on"):
        run.star_flat(1, season=int(run.visits["season"][0]), binning=0)


def test_squares_of_pixels_and_their_middles():
    grid = PixelGrid((10, 4), 4)
    assert grid.size == (1, 3)
    assert grid.centres(0).tolist() == [2.5, 6.5, 9.5] and grid.centres(1).tolist() == [2.5]
    counts = grid.counts(np.array([0.5, 4.49, 4.5, 10.4, 12.6]), np.array([1, 4.4, 2, 3, 1.0]))
    assert counts.tolist() == [[2, 1, 1]]


def test_places_of_pixels_are_those_of_the_stars(run):
    """To a tenth of a pixel of 3 arcsec: the noise of positions, and the sky's curvature."""
    data = run._products.data()
    places = SkyPlaces.of(data, RowsByExposure.of(data), 1, 0)
    here = (data.ccd == 1) & (data.visit_code == 0)
    x, y, ra, dec = (data.star(name)[here] for name in ("x_pix", "y_pix", "ra_deg", "dec_deg"))
    found = places.of_pixels(x, y)
    east = (found[0] - ra) * np.cos(np.deg2rad(dec))
    assert np.hypot(east, found[1] - dec).max() * 3600 < 0.3


def test_rows_of_exposures(run):
    data = run._products.data()
    rows = RowsByExposure.of(data)
    for ccd in (1, 2):
        assert np.array_equal(np.sort(rows.of_ccd(ccd)), np.flatnonzero(data.ccd == ccd))
        for visit in range(len(data.visits)):
            here = np.flatnonzero((data.ccd == ccd) & (data.visit_code == visit))
            assert np.array_equal(np.sort(rows.of_ccd(ccd, visit)), here)
    assert len(rows.of_ccd(9)) == 0
