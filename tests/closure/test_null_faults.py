"""Injected faults are caught, or declared not testable; clean surveys pass.

On drawn products, which take a second each; SCRFRAME_CLOSURE_SEEDS sets how many are clean.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from scrframe.checks.anomalies.search import search_detections
from scrframe.checks.null_tests.suite import null_tests
from scrframe.checks.run_checks import anomaly_input
from scrframe.checks.samples import as_limits, star_sample, stated_error_mag, visit_sample
from scrframe.config.results import CheckSettings

from .drawn_products import CCD, FIRST, LAST, OTHER, SWAPPED_VISIT, Faults, covariance, draw_run

#: Clean surveys of the quick form; searches for anomalies in each.
QUICK, SEARCHES = 4, 8


def check(run):
    """Return all null tests of drawn products, by name."""
    matrix = covariance(run)
    stars = star_sample(run, matrix)
    checks = null_tests(
        stars, visit_sample(run, matrix, stars), as_limits(CheckSettings(), stated_error_mag(run))
    )
    return {one.name: one for one in checks}


#: What every drawn survey has and its plain calibration leaves: a law that differs between
#: fields, and maps of detectors that means by bin follow in part.
LEFT = {"law_fields", "ccd_map"}


def failed(checks):
    """Return the tests that failed, but for what the calibration leaves anyhow."""
    return {name for name, one in checks.items() if one.verdict == "failed"} - LEFT


def clean_seeds():
    """Return the seeds of clean surveys."""
    return range(101, 101 + max(QUICK, int(os.environ.get("SCRFRAME_CLOSURE_SEEDS", "1"))))


def test_clean_surveys_give_at_most_one_false_alarm_per_hundred_tests():
    alarms, tests = Counter(), 0
    for seed in clean_seeds():
        run = draw_run(seed)
        checks = check(run)
        assert {checks[name].verdict for name in LEFT} == {"failed"}
        alarms.update(failed(checks))
        alarms.update(one.kind for one in search_detections(anomaly_input(run)))
        tests += (
            sum(one.verdict != "not testable" for one in checks.values()) + SEARCHES - len(LEFT)
        )
    assert tests >= 15 * len(clean_seeds())
    assert alarms.total() <= tests / 100, alarms


def test_wrong_law_shows_in_the_residuals_of_stars():
    checks = check(draw_run(1, Faults(law=0.05)))
    # Reddened stars are fainter, so that magnitudes show some of it.
    assert "residual_extinction" in failed(checks) <= {"residual_extinction", "residual_magnitude"}
    assert checks["residual_extinction"].value > 1.5 * checks["residual_magnitude"].value
    # Five per cent of R over the middle nine tenths of E within visits.
    curve = checks["residual_extinction"].detail["curve_mag"]
    span = np.ptp(checks["residual_extinction"].detail["x"])
    assert curve[-1] - curve[0] == pytest.approx(0.05 * 1.4 * span, rel=0.35)


def test_metallicity_gradient_is_absorbed_by_visits_and_said_to_be_untestable():
    checks = check(draw_run(2, Faults(gradient=0.03)))
    assert failed(checks) == set()
    for name in ("visit_longitude", "visit_latitude", "visit_metallicity"):
        assert checks[name].verdict == "not testable"
    assert "noise hides" in checks["visit_longitude"].reason
    assert checks["visit_longitude"].detail["smallest_seen"] > 0.03


def test_metallicity_gradient_shows_in_the_visits_of_a_large_survey():
    checks = check(draw_run(3, Faults(gradient=0.03), pairs=1000, stars=80))
    assert "visit_longitude" in failed(checks)
    error = checks["visit_longitude"].detail["error_mag"]
    assert checks["visit_longitude"].value == pytest.approx(0.9 * 0.03, abs=3 * error)


def test_jump_of_a_ccd_is_named_where_there_are_visits_enough():
    checks = check(draw_run(4, Faults(jump=0.010), pairs=100, stars=3000, exposure_mag=0.006))
    assert failed(checks) == {"ccd_steps"}
    found = checks["ccd_steps"].detail
    assert found["worst_ccd"] == CCD
    assert found["step_mag"] == pytest.approx(0.010, abs=4 * found["error_mag"])
    assert found["mjd_before"] == pytest.approx(0.5 * (FIRST + LAST), abs=200)


def test_jump_below_the_noise_of_a_small_survey_is_said_to_be_untestable():
    check_ = check(draw_run(5, Faults(jump=0.010)))["ccd_steps"]
    assert check_.verdict == "not testable"
    assert check_.detail["smallest_seen"] > 0.010


def test_dead_column_is_named():
    run = draw_run(6, Faults(column=-0.3))
    kinds = [one for one in search_detections(anomaly_input(run)) if one.kind == "bad_column"]
    # Stars of the column lie together elsewhere in the other visits: that is no bad place.
    assert [one.where["ccd"] for one in kinds] == [CCD]
    here = kinds
    assert here[0].where["x1_pix"] <= 1001 and here[0].where["x2_pix"] >= 1012


def test_exchanged_ccds_are_named():
    checks = check(draw_run(7, Faults(swap=True)))
    assert failed(checks) == {"ccd_places"}
    assert checks["ccd_places"].detail["visits"].tolist() == [SWAPPED_VISIT] * 2
    assert sorted(checks["ccd_places"].detail["ccds"].tolist()) == [CCD, OTHER]


def test_drifting_zero_point_is_named():
    checks = check(draw_run(8, Faults(drift=0.04)))
    assert failed(checks) == {"visit_time"}
    found = checks["visit_time"]
    span = 0.9 * 0.04 * (LAST - FIRST) / 365.25
    assert found.value == pytest.approx(span, abs=3 * found.detail["error_mag"])
