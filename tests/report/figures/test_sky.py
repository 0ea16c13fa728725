"""Maps of a run hold what its arrays say."""

from __future__ import annotations

import numpy as np
import pytest
from run_drawn import assert_drawn, made_up_run

from scrframe.report.figures.sky import figure_control_field, figure_sky_samples
from scrframe.report.figures.visits import figure_visit_sky

FIGURES = (figure_sky_samples, figure_control_field, figure_visit_sky)


@pytest.fixture(scope="module")
def data():
    return made_up_run()


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_is_blank_and_all_is_said(data, figure):
    product = figure(data)
    assert_drawn(product)
    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in product.figure.axes]
    assert any("(deg)" in label for label in labels) or product.figure.get_supxlabel()


def test_samples_add_up_and_keep_their_mean_extinction(data):
    table = figure_sky_samples(data).data
    for name, mask in (
        ("Calibration Sample", np.ones(len(data.ccd), bool)),
        ("Control Sample", data.star("in_control")),
    ):
        rows = table[table["sample"] == name]
        assert rows["n_detections"].sum() == mask.sum()
        mean = np.average(rows["extinction"], weights=rows["n_detections"])
        assert mean == pytest.approx(data.star("extinction")[mask].mean(), rel=1e-12)
        middle = np.average(rows["dec"], weights=rows["n_detections"])
        assert abs(middle - data.star("dec_deg")[mask].mean()) < 1.0


def test_a_run_without_control_stars_shows_the_calibration_sample_alone():
    data = made_up_run(2000, in_control=np.zeros(2000, bool))
    assert set(figure_sky_samples(data).data["sample"]) == {"Calibration Sample"}
    assert figure_control_field(data) is None


def test_control_cells_hold_medians_before_and_after():
    # One field, so that cells are few and each is found again here.
    data = made_up_run(4000, visits=2, in_control=np.ones(4000, bool))
    table = figure_control_field(data).data
    ra, dec = data.star("ra_deg"), data.star("dec_deg")
    half = 0.5 * np.diff(np.unique(table["dec"])).min()
    wide = 0.5 * np.diff(np.unique(table["ra"])).min()
    for row in table[:: len(table) // 20]:
        here = (np.abs(ra - row["ra"]) < wide) & (np.abs(dec - row["dec"]) < half)
        assert here.sum() == row["n_detections"]
        assert row["before"] == pytest.approx(np.median(data.star("delta")[here]), abs=1e-12)
        assert row["after"] == pytest.approx(np.median(data.residual[here]), abs=1e-12)


def test_offsets_of_visits_that_are_taken_out_leave_noise(data):
    table = figure_control_field(data).data
    noise = 0.04 * 1.2533 / np.sqrt(np.asarray(table["n_detections"]))
    assert np.std(table["after"]) == pytest.approx(np.sqrt(np.mean(noise**2)), rel=0.15)
    assert np.std(table["before"]) > 2 * np.std(table["after"])


def test_every_visit_stands_where_it_points(data):
    table = figure_visit_sky(data).data
    visits = data.visit_table
    assert tuple(table["visit"]) == visits.visit
    assert np.array_equal(table["offset"], visits.offset_mag)
    assert np.array_equal(table["ra"], visits.ra_deg)
    # Right ascensions about 0 are drawn without a gap.
    axis = figure_visit_sky(data).figure.axes[0]
    left, right = axis.get_xlim()
    assert 50 < left - right < 90


def test_visits_without_offset_are_left_out():
    data = made_up_run(2000)
    data.visit_table.offset_mag[3] = np.nan
    assert len(figure_visit_sky(data).data) == len(data.visits) - 1
    data.visit_table.offset_mag[1:] = np.nan
    assert figure_visit_sky(data) is None


def test_the_same_run_gives_the_same_bytes():
    one, two = (figure_control_field(made_up_run(3000)).rendered("svg") for _ in range(2))
    assert one == two
