"""Maps over the pixels of CCDs: means against plain loops, and places of the drawn bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_drawn import made_up_run
from scipy import stats

from scrframe.products.run_data import LevelData, RunData
from scrframe.report.figures.pixel import figure_pixel_plane, figure_pixel_seasons
from scrframe.report.figures.pixel_maps import (
    before_map,
    bin_edges,
    binned_map,
    bounded,
    level_map,
    season_maps,
    steadiness,
)

SIZE = (512.0, 1028.0)
NOISE = 0.02


def shape_mag(ccd: np.ndarray, x_pix: np.ndarray, y_pix: np.ndarray) -> np.ndarray:
    """Return a map without any symmetry: CCD 2 rises with x and steeply with y, others are flat."""
    rise = 0.03 * (x_pix / SIZE[0] - 0.5) + 0.06 * (y_pix / SIZE[1] - 0.5)
    return np.where(ccd == 2, rise, 0.0)


def drawn(rows: int = 40_000, moves: bool = False, level: bool = True) -> RunData:
    """Return a run whose CCDs 1 to 3 have known maps, which may turn over after a season."""
    rng = np.random.default_rng(8)
    ccd = rng.integers(1, 4, rows).astype(np.int16)
    x, y = rng.uniform(0.5, SIZE[0] + 0.5, rows), rng.uniform(0.5, SIZE[1] + 0.5, rows)
    run = made_up_run(rows=rows, ccd=ccd, x_pix=x, y_pix=y, noise_mag=NOISE)
    season = run.visit_table.season[run.visit_code]
    sign = np.where(moves & (season > season.min()), -1.0, 1.0)
    extra = sign * shape_mag(ccd, x, y)
    stars = {**run.stars, "delta": run.star("delta") + extra}
    if not level:
        return replace(run, stars=stars)
    corner = [
        (c, a, b) for c in (1, 2, 3) for b in (0.5, 256.5, 512.5, 768.5) for a in (0.5, 256.5)
    ]
    number, low_x, low_y = (np.array(one) for one in zip(*corner, strict=True))
    values = shape_mag(number, low_x + 128, low_y + 128)
    labels = {"ccd": number.astype(np.int64), "x_low_pix": low_x, "y_low_pix": low_y}
    one = LevelData(
        "pixel",
        "bin",
        "correction",
        True,
        labels,
        values,
        np.full(24, 0.001),
        np.full(24, NOISE),
        np.full(24, rows // 24),
    )
    column = (np.minimum((x - 0.5) // 256, 1) + 2 * np.minimum((y - 0.5) // 256, 3)).astype(int)
    offset = values[(ccd - 1) * 8 + column]
    stars |= {"offset_pixel": offset, "offset_total": run.star("offset_total") + offset}
    return replace(run, stars=stars, levels={**run.levels, "pixel": one})


def test_a_last_bin_below_half_joins_its_neighbour():
    assert bin_edges(4100, 256).tolist() == [*(0.5 + 256.0 * np.arange(16)), 4100.5]
    assert bin_edges(640, 256).tolist() == [0.5, 256.5, 512.5, 640.5]
    assert bin_edges(100, 256).tolist() == [0.5, 100.5]


def test_means_in_bins_are_those_of_a_plain_loop():
    rng = np.random.default_rng(2)
    ccd, x, y = rng.integers(4, 7, 900), rng.uniform(0.5, 600.5, 900), rng.uniform(0.5, 900.5, 900)
    value = rng.normal(size=900)
    value[::7], x[3] = np.nan, np.nan
    found = binned_map(ccd, x, y, value, (600.0, 900.0), 256.0)
    within, free = 0.0, 0
    for row in range(len(found.ccd)):
        (left, right), (low, high) = (
            (one[0][row], one[1][row]) for one in (found.x_pix, found.y_pix)
        )
        mine = (ccd == found.ccd[row]) & (x >= left) & (x < right) & (y >= low) & (y < high)
        values = value[mine & np.isfinite(value)]
        assert found.count[row] == len(values) >= 5
        np.testing.assert_allclose(found.value_mag[row], values.mean(), rtol=1e-12)
        within, free = within + ((values - values.mean()) ** 2).sum(), free + len(values) - 1
    np.testing.assert_allclose(found.err_mag, np.sqrt(within / free / found.count), rtol=1e-12)
    assert found.count.sum() == np.isfinite(value + x).sum()


def test_residuals_before_the_map_hold_the_map():
    run = drawn()
    np.testing.assert_allclose(
        before_map(run), run.residual + run.star("offset_pixel"), rtol=0, atol=1e-15
    )


def test_an_outlier_counts_to_five_robust_standard_deviations():
    value = np.random.default_rng(1).normal(size=10_001)
    value[0], value[1] = 400.0, np.nan
    middle = np.nanmedian(value)
    reach = 5 * stats.median_abs_deviation(value, scale="normal", nan_policy="omit")
    held = bounded(value)
    assert held[0] == pytest.approx(middle + reach, rel=1e-12)
    assert np.isnan(held[1])
    np.testing.assert_array_equal(held[2:][np.abs(value[2:]) < 4], value[2:][np.abs(value[2:]) < 4])


def test_maps_of_seasons_find_the_injected_map():
    found = season_maps(drawn())
    assert found.bin_pix == 256.0
    assert list(found.maps)[-1] == "all"
    for one in found.maps.values():
        middle_x, middle_y = (0.5 * (side[0] + side[1]) for side in (one.x_pix, one.y_pix))
        # Within a bin the map is a plane, so that its mean is its middle but for the sampling.
        pull = (one.value_mag - shape_mag(one.ccd, middle_x, middle_y)) / one.err_mag
        assert np.abs(pull).max() < 4.5


def test_chi2_tells_maps_that_stand_still_from_maps_that_move():
    # 24 bins in four seasons: the standard deviation of chi2 per degree of freedom is 0.17.
    assert abs(season_maps(drawn()).chi2_per_dof - 1) < 0.6
    assert season_maps(drawn(moves=True)).chi2_per_dof > 5
    assert np.isnan(steadiness([season_maps(drawn()).maps["all"]]))


def test_bins_grow_where_stars_are_few():
    assert season_maps(drawn(rows=900)).bin_pix > 256.0


def test_the_figure_by_season_shows_the_least_even_ccd():
    figure = figure_pixel_seasons(drawn())
    assert 2 in figure.data["ccd"]
    assert set(figure.data["season"]) == {*map(str, np.unique(drawn().visit_table.season)), "all"}


def test_the_map_of_the_plane_is_the_level_with_its_edges():
    run = drawn()
    figure, level = figure_pixel_plane(run), run.levels["pixel"]
    np.testing.assert_array_equal(figure.data["offset"], level.offset_mag)
    np.testing.assert_array_equal(figure.data["x_low"], level.labels["x_low_pix"])
    assert set(figure.data["x_high"]) == {256.5, 512.5}
    assert set(figure.data["y_high"]) == {256.5, 512.5, 768.5, 1028.5}
    assert f"{1000 * level.offset_mag.std():.1f} mmag" in figure.caption


def test_bins_of_a_level_without_detections_stay_empty():
    level = drawn().levels["pixel"]
    count = level.count.copy()
    count[5] = 0
    found = level_map(replace(level, count=count), SIZE)
    assert np.flatnonzero(np.isnan(found.value_mag)).tolist() == [5]


def test_without_a_level_the_plane_shows_residuals():
    figure = figure_pixel_plane(drawn(level=False))
    table = figure.data
    x, y = (0.5 * (table[f"{side}_low"] + table[f"{side}_high"]) for side in "xy")
    pull = (table["offset"] - shape_mag(table["ccd"], x, y)) / table["offset_err"]
    assert np.abs(pull).max() < 4.5
    assert "no level of pixels" in figure.caption


def test_a_run_without_places_has_no_maps():
    run = made_up_run(rows=500)
    assert figure_pixel_plane(run) is None
    assert figure_pixel_seasons(run) is None
