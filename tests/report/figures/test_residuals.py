"""Residuals against magnitude, colour and extinction: medians against numpy's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_drawn import made_up_run
from scipy import stats

from scrframe.report.figures.residuals import binned, figure_residuals

NOISE = 0.05


def rows_of(figure, variable: str, residual: str):
    table = figure.data
    return table[(table["variable"] == variable) & (table["residual"] == residual)]


def test_medians_and_errors_are_numpy_s():
    rng = np.random.default_rng(6)
    star = np.sort(rng.integers(0, 2500, 6000))
    share = 1 / np.bincount(star)[star]
    value, residual = rng.uniform(0, 1.1, 6000), rng.standard_t(3, 6000)
    residual[::11], value[5] = np.nan, np.nan
    edges = np.linspace(0, 1, 6)
    found = binned(value, residual, share, edges)
    for row in range(5):
        mine = (value >= edges[row]) & (value < edges[row + 1]) & np.isfinite(residual)
        median = np.median(residual[mine])
        spread = stats.median_abs_deviation(residual[mine], scale="normal")
        error = np.sqrt(np.pi / 2) * spread / np.sqrt(share[mine].sum())
        assert found.detections[row] == mine.sum()
        np.testing.assert_allclose(
            [found.median_mag[row], found.spread_mag[row], found.err_mag[row]],
            [median, spread, error],
            rtol=1e-12,
        )


def test_errors_of_medians_go_with_stars_not_detections():
    rng = np.random.default_rng(7)
    edges = np.array([0.0, 1.0])
    value, own = rng.uniform(size=2000), rng.normal(size=2000)
    once = binned(value, own, np.ones(2000), edges)
    thrice = binned(np.repeat(value, 3), np.repeat(own, 3), np.full(6000, 1 / 3), edges)
    assert thrice.detections[0] == 6000
    np.testing.assert_allclose(thrice.err_mag, once.err_mag, rtol=1e-12)


def test_a_bin_of_few_stars_has_no_median():
    found = binned(np.full(29, 0.5), np.zeros(29), np.ones(29), np.array([0.0, 1.0]))
    assert found.detections[0] == 29
    assert np.isnan(found.median_mag[0])


def test_a_slope_on_extinction_is_seen_after_but_visits_are_gone():
    run = made_up_run(noise_mag=NOISE)
    slope = 0.02
    stars = {**run.stars, "delta": run.star("delta") + slope * run.star("extinction")}
    figure = figure_residuals(replace(run, stars=stars))
    table = rows_of(figure, "extinction", "after")
    assert len(table) == 16
    middle = 0.5 * (table["low"] + table["high"])
    good = np.isfinite(table["median"])
    pull = (table["median"] - slope * middle)[good] / table["median_err"][good]
    assert good.sum() >= 8
    assert np.abs(pull).max() < 4.5
    before = rows_of(figure, "extinction", "before")
    assert np.nanmedian(before["scatter"]) > 1.2 * np.nanmedian(table["scatter"])


def test_without_trends_medians_agree_with_zero():
    figure = figure_residuals(made_up_run(noise_mag=NOISE))
    for variable in ("magnitude", "colour", "extinction"):
        table = rows_of(figure, variable, "after")
        good = np.isfinite(table["median"])
        pull = table["median"][good] / table["median_err"][good]
        assert np.abs(pull).max() < 4.5


def test_colour_is_that_of_the_model():
    run = made_up_run()
    table = rows_of(figure_residuals(run), "colour", "after")
    ratio = run.law.ratio(run.star("colour0"), run.star("extinction"))
    colour = run.star("colour0") + ratio * run.star("extinction")
    low, high = np.quantile(colour, [0.0005, 0.9995])
    assert table["low"][0] == pytest.approx(low, abs=1e-9)
    assert table["high"][-1] == pytest.approx(high, abs=1e-9)


def test_a_run_with_hardly_any_residual_has_no_figure():
    assert figure_residuals(made_up_run(rows=20, visits=2)) is None
