"""Offsets of CCDs in visits, from either mode, on the focal plane and in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_drawn import camera, made_up_run

from scrframe.products.run_data import LevelData, RunData
from scrframe.report.figures.ccd import (
    ccd_offsets,
    chosen_visits,
    course,
    figure_ccd_maps,
    figure_ccd_time,
    most_moving,
    season_means,
)
from scrframe.tables import ExposureTable

CCDS = np.array([1, 2, 5])
VISITS = 24


def drawn(seed: int = 1) -> tuple[RunData, np.ndarray]:
    """Return a run of mode sequential with its offsets by visit and CCD, rows shuffled."""
    rng = np.random.default_rng(seed)
    ccd = rng.choice(CCDS, 2000).astype(np.int16)
    run = made_up_run(rows=2000, visits=VISITS, ccd=ccd)
    truth = 0.02 * rng.normal(size=(VISITS, len(CCDS)))
    truth[4, 1] = np.nan
    order = rng.permutation(truth.size)
    visit = np.repeat(run.visits, len(CCDS))[order]
    number = np.tile(CCDS, VISITS)[order]
    offset = truth.ravel()[order]
    count = np.where(np.isfinite(offset), 30, 0)
    level = LevelData(
        "ccd",
        "group",
        "correction",
        True,
        {"visit": visit, "ccd": number},
        offset,
        np.full(truth.size, 0.004),
        np.full(truth.size, 0.06),
        count,
    )
    return replace(run, levels={**run.levels, "ccd": level}, camera=camera()), truth


def joint(run: RunData, truth: np.ndarray) -> RunData:
    """Return the same run as mode joint has it: offsets of visit and CCD in one table."""
    level = run.levels["ccd"]
    visit = np.array([run.visits.index(one) for one in level.labels["visit"].tolist()])
    known = np.nan_to_num(level.offset_mag)
    table = ExposureTable(
        level.labels["visit"].copy(),
        level.labels["ccd"].astype(np.int64),
        run.visit_table.offset_mag[visit] + known,
        level.err_mag.copy(),
        level.err_mag.copy(),
        np.where(level.count > 0, "ccd", "visit"),
        level.count.copy(),
    )
    return replace(run, mode="joint", exposures=table, levels={"visit": run.levels["visit"]})


def test_offsets_stand_at_their_visit_and_ccd():
    run, truth = drawn()
    found = ccd_offsets(run)
    assert found.ccd.tolist() == CCDS.tolist()
    np.testing.assert_array_equal(found.offset_mag, truth)
    assert found.count[4, 1] == 0


def test_in_mode_joint_the_visit_is_taken_off():
    run, truth = drawn()
    found = ccd_offsets(joint(run, truth))
    centred = truth - np.nanmean(truth, axis=1, keepdims=True)
    np.testing.assert_allclose(found.offset_mag, centred, atol=1e-15)


def test_a_run_without_such_a_level_has_no_figures():
    run = made_up_run(rows=200)
    assert figure_ccd_maps(run) is None
    assert figure_ccd_time(run) is None


def test_the_first_middle_last_and_widest_visit_are_shown_once_each():
    mjd = np.array([5.0, 1.0, 3.0, 2.0, 4.0])
    offset = np.tile([0.01, -0.01], (5, 1))
    offset[3] *= 4
    assert chosen_visits(mjd, offset) == {"first": 1, "middle": 2, "last": 0, "widest": 3}
    offset[1] *= 9
    assert chosen_visits(mjd, offset) == {"first": 1, "middle": 2, "last": 0}
    offset[1] = np.nan
    assert chosen_visits(mjd, offset)["first"] == 3


def test_the_table_of_maps_tells_offset_and_place():
    run, truth = drawn()
    figure = figure_ccd_maps(run)
    place = dict(zip(camera().ccd.tolist(), camera().xi_deg.tolist(), strict=True))
    for row in figure.data:
        visit, ccd = run.visits.index(row["visit"]), CCDS.tolist().index(row["ccd"])
        np.testing.assert_equal(row["offset"], truth[visit, ccd])
        assert row["xi"] == place[row["ccd"]]
        assert row["mjd"] == run.visit_table.mjd[visit]
    assert "east to the left" in figure.caption
    assert "plain grid" in figure_ccd_maps(replace(run, camera=None)).caption


def test_successive_visits_are_averaged_in_order_of_time():
    rng = np.random.default_rng(4)
    mjd, offset = rng.uniform(0, 900, 23), rng.normal(size=(23, 3))
    offset[rng.uniform(size=offset.shape) < 0.3] = np.nan
    mjd[7] = np.nan
    season = np.where(np.isfinite(mjd), mjd // 300, -1).astype(int)
    found = course(mjd, season, offset, 8)
    order = [one for one in np.argsort(mjd) if np.isfinite(mjd[one])]
    groups = [order[start : start + 3] for start in range(0, 22, 3)]
    assert found.visits.tolist() == [len(one) for one in groups]
    for row, group in enumerate(groups):
        np.testing.assert_allclose(found.mjd[row], mjd[group].mean(), rtol=1e-12)
        assert found.season[row] == season[group[0]]
        for column in range(3):
            values = [v for v in offset[group, column] if np.isfinite(v)]
            expected = np.mean(values) if values else np.nan
            np.testing.assert_allclose(found.offset_mag[row, column], expected, rtol=1e-12)


def test_means_of_seasons_and_their_errors():
    season = np.array([2011, 2011, 2012, 2012, 2012, 2013])
    value = np.array([1.0, 3.0, 2.0, np.nan, 5.0, 7.0])
    date, mean, error, names = season_means(season, value, np.arange(6.0))
    assert names.tolist() == [2011, 2012, 2013]
    np.testing.assert_allclose(date, [0.5, 3.0, 5.0])
    np.testing.assert_allclose(mean, [2.0, 3.5, 7.0])
    # Standard errors of the mean of two values are half of their difference.
    np.testing.assert_allclose(error, [1.0, 1.5, np.nan])


def test_a_ccd_that_jumps_between_seasons_is_shown():
    rng = np.random.default_rng(5)
    offset = 0.01 * rng.normal(size=(60, 12))
    mjd = np.linspace(0, 1000, 60)
    offset[mjd > 500, 8] += 0.03
    found = course(mjd, (mjd // 250).astype(int), offset, 240)
    assert 8 in most_moving(found, 1)


@pytest.mark.parametrize("mode", ["sequential", "joint"])
def test_the_course_in_time_lists_every_visit_and_ccd(mode):
    run, truth = drawn()
    figure = figure_ccd_time(run if mode == "sequential" else joint(run, truth))
    assert len(figure.data) == VISITS * len(CCDS)
    found = ccd_offsets(run if mode == "sequential" else joint(run, truth)).offset_mag
    order = np.argsort(run.visit_table.mjd)
    np.testing.assert_array_equal(figure.data["offset"], found[order].ravel())
    every = found[np.isfinite(found)]
    assert f"{1000 * every.std():.1f} mmag" in figure.caption
