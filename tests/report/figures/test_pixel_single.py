"""Single stars of a CCD: a dead column stands out, clean CCDs do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_drawn import made_up_run

from scrframe.products.run_data import RunData
from scrframe.report.figures.pixel_single import figure_single_stars, fine_bins
from scrframe.report.figures.strips import LEAST, strips

SIZE = (1000.0, 2000.0)
DEAD = 4


def drawn(seed: int = 0, dead: bool = True, rows: int = 24_000, upper: float = 2000.5) -> RunData:
    """Return a run of six CCDs; stars at x 605 to 620 of CCD 4 lose light up to some y."""
    rng = np.random.default_rng(seed)
    ccd = rng.integers(1, 7, rows).astype(np.int16)
    x, y = rng.uniform(0.5, SIZE[0] + 0.5, rows), rng.uniform(0.5, SIZE[1] + 0.5, rows)
    run = made_up_run(rows=rows, seed=seed + 50, ccd=ccd, x_pix=x, y_pix=y, noise_mag=0.06)
    on = dead & (ccd == DEAD) & (x > 605) & (x < 620) & (y < upper)
    lost = np.where(on, rng.normal(0.10, 0.08, rows), 0.0)
    return replace(run, stars={**run.stars, "delta": run.star("delta") - lost})


def judged(run: RunData):
    return strips(run.ccd, run.star("x_pix"), run.star("y_pix"), run.residual, SIZE)


def test_strips_are_those_of_a_plain_loop():
    run = drawn(rows=6000)
    found = judged(run)
    x, y, value = run.star("x_pix"), run.star("y_pix"), run.residual
    rng = np.random.default_rng(0)
    for row in rng.choice(len(found.ccd), 200, replace=False):
        own = run.ccd == found.ccd[row]
        mine = own & (x >= found.x_pix[0][row]) & (x < found.x_pix[1][row])
        mine &= (y >= found.y_pix[0][row]) & (y < found.y_pix[1][row])
        assert found.count[row] == mine.sum()
        if mine.sum() >= LEAST:
            mean = value[mine].mean() - value[own].mean()
            error = value[own].std(ddof=1) / np.sqrt(mine.sum())
            np.testing.assert_allclose(found.mean_mag[row], mean, atol=1e-12)
            np.testing.assert_allclose(found.mean_sigma[row], mean / error, atol=1e-9)
            np.testing.assert_allclose(found.scatter_mag[row], value[mine].std(ddof=1), rtol=1e-9)
    whole = found.whole & (found.ccd == DEAD)
    for axis in "xy":
        assert found.count[whole & (found.axis == axis)].sum() == (run.ccd == DEAD).sum()


def test_significances_of_clean_ccds_are_normal():
    found = judged(drawn(dead=False))
    for every in (found.mean_sigma, found.scatter_sigma):
        values = every[np.isfinite(every)]
        # Some 4000 strips, each star in four: errors of mean and scatter are below 0.03.
        assert abs(values.mean()) < 0.1
        assert abs(values.std() - 1) < 0.1


def test_hardly_any_clean_run_has_a_strip_that_stands_out():
    worst = [judged(drawn(seed, dead=False)) for seed in range(20)]
    # One in a hundred runs is expected: three of twenty have a chance of one in a thousand.
    assert sum(bool((one.worst_sigma > one.limit).any()) for one in worst) < 3


@pytest.mark.parametrize("upper", [2000.5, 700.0])
def test_a_dead_column_stands_out_in_the_table_where_it_is(upper):
    run = drawn(rows=60_000, upper=upper)
    figure = figure_single_stars(run)
    assert figure.title == f"Single stars on CCD {DEAD}"
    table = figure.data[figure.data["part"] != "bin"]
    worst = table[np.nanargmax(np.abs(table["mean_sigma"]))]
    assert worst["part"].startswith("columns")
    assert worst["x_low"] <= 605
    assert worst["x_high"] >= 620
    assert worst["mean"] < -0.03
    assert worst["y_low"] < upper
    limit = judged(run).limit
    assert abs(worst["mean_sigma"]) > limit
    assert "stand out, most of all x 600.5 to 625.5" in figure.alt
    # Rows cross the column, but no row is odd.
    rows = np.char.startswith(np.asarray(table["part"], dtype=str), "rows")
    assert np.nanmax(np.abs(table["mean_sigma"][rows])) < limit


def test_a_clean_run_says_that_nothing_stands_out():
    figure = figure_single_stars(drawn(seed=1, dead=False))
    assert "No strip stands out" in figure.alt
    assert "the one whose strips" in figure.caption


def test_a_ccd_can_be_asked_for():
    figure = figure_single_stars(drawn(), ccd=2)
    assert figure.title.endswith("CCD 2")
    assert "the one whose strips" not in figure.caption
    assert figure_single_stars(drawn(), ccd=77) is None


def test_fine_bins_hold_all_stars_and_their_means():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0.5, 400.5, 3000), rng.uniform(0.5, 800.5, 3000)
    value = np.where((x < 50.5) & (y > 750.5), 1.0, 0.0)
    bins = fine_bins(x, y, value, (400.0, 800.0))
    assert bins["n_detections"].sum() == 3000
    corner = bins[(bins["x_high"] <= 50.5) & (bins["y_low"] >= 750.5)]
    assert set(corner["mean"]) == {1.0}
    assert np.nansum(bins["mean"]) == len(corner)


def test_a_run_without_places_has_no_figure():
    assert figure_single_stars(made_up_run(rows=500)) is None
