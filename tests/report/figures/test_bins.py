"""Bins and cells of the sky against plain loops and identities."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.report.figures.bins import (
    cell_counts,
    equal_bins,
    ra_start,
    sky_grid,
    unwrap_ra,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def test_equal_bins_hold_like_numbers(rng):
    values = rng.exponential(size=1003)
    values[7] = np.nan
    code, edges = equal_bins(values, 10)
    assert code[7] == -1 and (code[np.isfinite(values)] >= 0).all()
    count = np.bincount(code[code >= 0], minlength=10)
    assert count.sum() == 1002 and np.ptp(count) <= 1
    assert edges[0] == np.nanmin(values) and edges[-1] == np.nanmax(values)


def test_equal_values_stay_in_one_bin():
    code, _ = equal_bins(np.full(50, 3.0), 10)
    assert not code.any()


@pytest.mark.parametrize(
    ("ra", "start"), [([350.0, 359.5, 5.2, 10.9], 350), ([100.0, 290.0], 290), ([7.3], 7)]
)
def test_right_ascension_begins_after_the_widest_gap(ra, start):
    assert ra_start(np.array(ra)) == start


def test_right_ascension_of_the_whole_sky_begins_at_0():
    assert ra_start(np.linspace(0, 360, 2000)) == 0.0


def test_unwrapped_right_ascension_has_no_jump(rng):
    ra = (350 + np.sort(rng.uniform(0, 30, 200))) % 360
    assert (np.diff(unwrap_ra(ra, ra_start(ra))) >= 0).all()


@pytest.mark.parametrize("ra0", [0.0, 120.0, 355.0])
def test_each_position_lies_within_its_cell(rng, ra0):
    ra, dec = (ra0 + rng.uniform(0, 12, 3000)) % 360, rng.uniform(-60, -52, 3000)
    grid = sky_grid(ra, dec, 40)
    middle_ra, middle_dec = grid.centres(grid.cell(ra, dec))
    shrink = np.cos(np.deg2rad((dec.min() + dec.max()) / 2))
    off = (ra - middle_ra + 180) % 360 - 180
    half = grid.side_deg / 2 * (1 + 1e-9)
    assert np.abs(off * shrink).max() <= half and np.abs(dec - middle_dec).max() <= half
    assert max(grid.shape) <= 41


def test_edges_of_many_values_come_from_some_of_them(rng):
    values = rng.normal(size=1_000_000)
    code, _ = equal_bins(values, 8)
    count = np.bincount(code)
    # Edges of 200 000 values are off by at most some sqrt(n) ranks.
    assert len(count) == 8 and np.abs(count - 125_000).max() < 5 * 5 * np.sqrt(200_000 / 4)


def test_cell_counts_are_those_of_numpy(rng):
    x, y = rng.normal(size=(2, 5000))
    x[:5] = np.nan
    x_edges, y_edges = np.linspace(-1, 2, 13), np.linspace(-0.5, 0.7, 8)
    wanted = np.histogram2d(x[5:], y[5:], [x_edges, y_edges])[0]
    assert np.array_equal(cell_counts(x, y, x_edges, y_edges), wanted)
    assert 0 < wanted.sum() < 5000
