"""Directions and partitions of the sky against identities and astropy."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from scrframe.statistics.sky import (
    EqualAreaGrid,
    chord,
    kd_partition,
    position_of,
    tangent_vectors,
    unit_vectors,
)


def test_directions_are_those_of_astropy():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50)
    sky = SkyCoord(ra, dec, unit="deg")
    np.testing.assert_allclose(unit_vectors(ra, dec), sky.cartesian.xyz.T, atol=1e-15)
    np.testing.assert_allclose(position_of(3 * unit_vectors(ra, dec)), (ra, dec), atol=1e-12)
    apart = np.linalg.norm(unit_vectors(ra[0], dec[0]) - unit_vectors(ra[1], dec[1]))
    assert apart == pytest.approx(chord(sky[0].separation(sky[1]).deg), rel=1e-12)


def test_east_and_north_are_where_positions_move():
    ra, dec, step = np.array([10.0, 200.0]), np.array([-30.0, 85.0]), 1e-4
    east, north = tangent_vectors(ra, dec)
    moved = unit_vectors(ra + step / np.cos(np.deg2rad(dec)), dec) - unit_vectors(ra, dec)
    np.testing.assert_allclose(moved / np.deg2rad(step), east, atol=1e-4)
    moved = unit_vectors(ra, dec + step) - unit_vectors(ra, dec)
    np.testing.assert_allclose(moved / np.deg2rad(step), north, atol=1e-5)


@pytest.mark.parametrize("size", [0.5, 0.7])
def test_cells_have_nearly_equal_areas_and_cover_the_sphere(size):
    grid = EqualAreaGrid(size)
    edges = np.deg2rad(np.linspace(-90, 90, len(grid.counts) + 1))
    area = 2 * np.pi * np.diff(np.sin(edges)) / grid.counts
    wanted = np.deg2rad(size) * np.deg2rad(180 / len(grid.counts))
    assert 180 / len(grid.counts) == pytest.approx(size, rel=0.01)
    # The number of cells of a ring is rounded, its edges are all but parallel.
    assert np.all(np.abs(wanted / area - 1) < 0.51 / grid.counts + 1e-4)
    assert np.sum(area * grid.counts) == pytest.approx(4 * np.pi, rel=1e-12)


@pytest.mark.parametrize("size", [0.5, 7.0, 400.0])
def test_a_cell_holds_its_centre_and_its_edges_are_half_a_step_away(size):
    grid = EqualAreaGrid(size)
    cell = np.unique(np.linspace(0, grid.counts.sum() - 1, 5000).astype(np.int64))
    ra, dec = grid.centre(cell)
    np.testing.assert_array_equal(grid.cell(ra, dec), cell)
    ring = np.searchsorted(grid.firsts, cell, side="right") - 1
    for part in (-0.499, 0.499):
        beside = ra + part * 360 / grid.counts[ring]
        np.testing.assert_array_equal(grid.cell(beside, dec), cell)
        above = dec + part * grid.height_deg
        np.testing.assert_array_equal(grid.cell(ra, above), cell)


def test_the_poles_and_the_turn_of_right_ascension():
    grid = EqualAreaGrid(0.5)
    ra = np.array([0.0, 360.0, -360.0, 720.0, np.nextafter(360.0, 0), -1e-20])
    cells = grid.cell(ra, np.full(6, 12.3))
    assert cells[:4].tolist() == [cells[0]] * 4
    assert set(cells) <= {cells[0], cells[0] + grid.counts[204] - 1}
    poles = grid.cell(np.array([10.0, 10.0]), np.array([-90.0, 90.0]))
    assert poles[0] < grid.counts[0] and poles[1] >= grid.firsts[-1]
    assert grid.cell(np.array([np.nan, 1.0]), np.array([1.0, np.inf])).tolist() == [-1, -1]


def test_parts_differ_by_one_point_at_most_for_any_number_of_cells():
    points = np.random.default_rng(1).normal(size=(101, 2))
    for cells in (1, 2, 3, 7, 50, 101):
        count = np.bincount(kd_partition(points, cells))
        assert len(count) == cells
        assert np.ptp(count) <= 1
