"""The statistics of null tests on drawn data: right size on clean ones, and they see faults."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scrframe.checks.null_tests.detectors import ccd_places, ccd_steps
from scrframe.checks.null_tests.pairs import Calibrated, differences, repeat_pull, successive
from scrframe.checks.null_tests.trends import (
    DetectionResiduals,
    mean_difference,
    residual_by_ccd,
    residual_trend,
    visit_trend,
)
from scrframe.checks.statistics import bounded, cluster_fit, line
from scrframe.checks.verdict import Limit, NullTest

TEST = NullTest("test", "Test")
LIMIT = Limit(0.010, 3.3)
FIELDS, CCDS = 16, 8
DRAWS = 200


def stars(rng, fields=FIELDS, each=60, field_slope=0.02, skew=True):
    """Draw residuals of stars in fields: scatter 60 mmag, 2 per cent wrong, slopes by field."""
    # Fields are as unequal as real ones, in numbers and in their range of x.
    size = rng.integers(each // 2, 2 * each, fields)
    field = np.repeat(np.arange(fields), size)
    x = rng.exponential(0.3 if skew else 0.1, len(field)) * rng.uniform(0.3, 2, fields)[field]
    residual = rng.normal(0, 0.06, len(field)) + field_slope * rng.normal(size=fields)[field] * x
    residual[rng.random(len(field)) < 0.02] += rng.normal(0, 1)
    visit = 2 * field + rng.integers(0, 2, len(field))
    return x, DetectionResiduals(residual, visit, field)


def chances(draw):
    return np.array([draw(np.random.default_rng(seed)) for seed in range(DRAWS)])


def assert_honest(probabilities):
    """Probabilities of clean data come as often as they say, or more seldom."""
    for level in (0.05, 0.01):
        # 99.9 per cent of all experiments with exact probabilities stay below this count.
        allowed = stats.binom.ppf(0.999, DRAWS, level)
        assert np.sum(probabilities < level) <= allowed, (level, np.sum(probabilities < level))


def test_trend_of_clean_data_is_as_likely_as_stated():
    def chance(rng):
        x, rows = stars(rng)
        return residual_trend(TEST, x, rows, LIMIT).detail["probability"]

    found = chances(chance)
    assert_honest(found)
    assert np.median(found) < 0.75  # nor are they far too careful


def test_trend_is_measured():
    rng = np.random.default_rng(1)
    x, rows = stars(rng, each=400, field_slope=0.0)
    u = stats.rankdata(x) / len(x) * 2 - 1
    rows = DetectionResiduals(rows.residual_mag + 0.02 * u, rows.visit, rows.region)
    check = residual_trend(TEST, x, rows, LIMIT)
    assert check.verdict == "failed"
    error = np.max(check.detail["curve_err_mag"])
    assert check.value == pytest.approx(0.9 * 0.02, abs=4 * error)
    assert check.detail["curve_mag"][-1] > 0 > check.detail["curve_mag"][0]


def test_trend_of_a_constant_by_visit_is_invisible():
    rng = np.random.default_rng(2)
    x, rows = stars(rng)
    shift = rng.normal(0, 0.06, rows.visit.max() + 1)
    residual = bounded(rows.residual_mag)
    moved = DetectionResiduals(residual + shift[rows.visit], rows.visit, rows.region)
    still = DetectionResiduals(residual, rows.visit, rows.region)
    # Bounding changes little more than nothing: the shifts are as large as the scatter.
    one, two = (residual_trend(TEST, x, each, LIMIT) for each in (moved, still))
    assert one.value == pytest.approx(two.value, abs=np.max(two.detail["curve_err_mag"]))


def test_trend_that_is_significant_but_small_passes():
    rng = np.random.default_rng(3)
    x, rows = stars(rng, each=4000, field_slope=0.0)
    u = stats.rankdata(x) / len(x) * 2 - 1
    rows = DetectionResiduals(rows.residual_mag + 0.004 * u, rows.visit, rows.region)
    check = residual_trend(TEST, x, rows, LIMIT)
    assert check.detail["probability"] < 1e-4
    assert check.verdict == "passed"


@pytest.mark.parametrize(("fields", "each"), [(3, 200), (16, 3)])
def test_too_little_data_are_not_testable(fields, each):
    x, rows = stars(np.random.default_rng(4), fields, each)
    check = residual_trend(TEST, x, rows, LIMIT)
    assert check.verdict == "not testable" and np.isnan(check.value)
    assert "needed" in check.reason


def test_noise_above_the_limit_is_not_testable():
    x, rows = stars(np.random.default_rng(5), each=20, field_slope=0.0)
    check = residual_trend(TEST, x, rows, Limit(0.002))
    assert check.verdict == "not testable" and "noise hides" in check.reason


def test_ccds_of_clean_data_are_as_likely_as_stated():
    def chance(rng):
        _, rows = stars(rng)
        ccd = rng.integers(1, CCDS + 1, len(rows.visit))
        return residual_by_ccd(TEST, ccd, rows, LIMIT).detail["probability"]

    found = chances(chance)
    assert_honest(found)
    assert np.median(found) < 0.75


def test_ccd_that_stands_out_is_named():
    rng = np.random.default_rng(6)
    _, rows = stars(rng, each=300)
    ccd = rng.integers(1, CCDS + 1, len(rows.visit))
    shifted = rows.residual_mag + 0.04 * (ccd == 3)
    check = residual_by_ccd(TEST, ccd, DetectionResiduals(shifted, rows.visit, rows.region), LIMIT)
    assert check.verdict == "failed"
    assert check.detail["worst_ccd"] == 3
    spread = 0.04 * np.std(np.arange(1, CCDS + 1) == 3, ddof=1)
    assert check.value == pytest.approx(spread, rel=0.3)


def test_difference_of_kinds():
    def chance(rng):
        _, rows = stars(rng)
        return mean_difference(TEST, rng.random(len(rows.visit)) < 0.2, rows, LIMIT).detail[
            "probability"
        ]

    assert_honest(chances(chance))
    rng = np.random.default_rng(7)
    _, rows = stars(rng, each=400)
    chosen = rng.random(len(rows.visit)) < 0.2
    moved = DetectionResiduals(rows.residual_mag + 0.02 * chosen, rows.visit, rows.region)
    check = mean_difference(TEST, chosen, moved, LIMIT)
    assert check.verdict == "failed"
    error = check.detail["error_mag"]
    assert check.detail["difference_mag"] == pytest.approx(0.02, abs=4 * error)


def visits(rng, number, spread=0.06, error=0.005):
    """Draw offsets of visits, two a field, with a common error."""
    common = np.repeat(rng.normal(0, spread, number // 2), 2)
    covariance = error**2 * (np.eye(number) + 0.5)
    own, shared = rng.normal(0, error, number), rng.normal(0, error * np.sqrt(0.5))
    offset = common + own + shared
    return offset, covariance, np.repeat(np.arange(number // 2), 2)


def test_visits_of_clean_data_are_as_likely_as_stated():
    def chance(rng):
        offset, covariance, group = visits(rng, 40, spread=rng.choice([0.0, 0.06]))
        x = np.repeat(rng.exponential(1, 20), 2)
        date = np.repeat(rng.random(20), 2)
        check = visit_trend(TEST, x, offset, covariance, group, LIMIT, others=(date,))
        return check.detail["probability"]

    found = chances(chance)
    assert_honest(found)
    assert np.median(found) < 0.75


def test_gradient_shows_in_visits_where_there_are_enough():
    for number, verdict in ((3000, "failed"), (40, "not testable")):
        rng = np.random.default_rng(8)
        offset, covariance, group = visits(rng, number)
        x = np.linspace(-1, 1, number // 2)[group]
        check = visit_trend(TEST, x, offset + 0.02 * x, covariance, group, LIMIT)
        assert check.verdict == verdict
        error = check.detail["error_mag"]
        assert check.detail["range_mag"] == pytest.approx(0.036, abs=4 * error)


def test_line_is_generalised_least_squares():
    rng = np.random.default_rng(9)
    x = rng.normal(size=30)
    root = rng.normal(size=(30, 30))
    covariance = root @ root.T
    # Far less than its errors: no spread is left to find.
    fit = line(x, 1e-3 * root @ rng.normal(size=30), covariance)
    inverse = np.linalg.inv(covariance)
    design = np.column_stack([np.ones(30), x])
    expected = np.sqrt(np.linalg.inv(design.T @ inverse @ design)[1, 1])
    assert fit.error == pytest.approx(expected, rel=0.01)


def test_jackknife_of_equal_clusters_is_the_scatter_of_their_means():
    rng = np.random.default_rng(10)
    cluster = np.repeat(np.arange(12), 30)
    values = rng.normal(size=360) + rng.normal(size=12)[cluster]
    fit = cluster_fit(np.ones((360, 1)), values, cluster)
    means = values.reshape(12, 30).mean(axis=1)
    assert fit.covariance[0, 0] == pytest.approx(np.var(means, ddof=1) / 12)
    expected = stats.ttest_1samp(means, 0.0).pvalue
    assert fit.probability() == pytest.approx(expected)


def repeats(rng, pull=1.0, shift=0.0):
    """Draw stars in two visits of a field, each on one of four CCDs, errors by exposure."""
    count, fields = 3000, 12
    field = rng.integers(0, fields, count)
    ccd = rng.integers(0, 4, (2, count))
    offsets = rng.normal(0, 0.005, (2 * fields, 4))
    visit = np.stack([2 * field, 2 * field + 1])
    error = rng.uniform(0.005, 0.03, (2, count))
    mag = rng.normal(15, 1, count) + pull * error * rng.normal(size=(2, count))
    mag = mag + offsets[visit, ccd] + shift * np.array([[0], [1]]) * (field % 2)
    flat = [array.ravel() for array in (mag, error, visit, ccd)]
    source = np.tile(np.arange(count), 2)
    pairs = successive(source, np.ones(2 * count, dtype=bool))
    exposure = np.full(2 * count, 0.005)
    calibrated = Calibrated(
        flat[0], flat[1], exposure, flat[2], flat[3], np.zeros((2 * fields,) * 2)
    )
    return calibrated, pairs


def test_successive_detections_of_a_star():
    pairs = successive(np.array([7, 5, 7, 7, 5]), np.array([1, 1, 0, 1, 1], dtype=bool))
    assert sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 3), (1, 4)]


@pytest.mark.parametrize(("pull", "verdict"), [(1.0, "passed"), (1.5, "failed"), (0.6, "failed")])
def test_pull_of_repeats(pull, verdict):
    stars, pairs = repeats(np.random.default_rng(11), pull)
    group = (stars.visit * 4 + stars.ccd)[pairs.first] * 100 + stars.ccd[pairs.second]
    check = repeat_pull(TEST, stars.mag, stars.photometric_err, group, pairs, Limit(0.25))
    assert check.verdict == verdict
    error = check.detail["error"]
    assert check.detail["pull_sd"] == pytest.approx(pull, abs=4 * error)


def test_differences_of_visits():
    def chance(rng):
        stars, pairs = repeats(rng)
        return differences(TEST, stars, stars.visit, pairs, LIMIT, "visits").detail["probability"]

    found = chances(chance)
    assert_honest(found)
    assert np.median(found) < 0.75
    stars, pairs = repeats(np.random.default_rng(12), shift=0.04)
    check = differences(TEST, stars, stars.visit, pairs, LIMIT, "visits")
    assert check.verdict == "failed"
    assert check.value == pytest.approx(0.04 / np.sqrt(2), rel=0.2)
    alone = differences(TEST, stars, np.zeros(len(stars.mag), np.int64), pairs, LIMIT, "fields")
    assert alone.verdict == "not testable" and alone.reason == "no star is in two fields"


def camera(rng):
    """Draw stars in 6 visits of a camera of 3 x 3 CCDs, across RA 0, pointings dithered."""
    visit = np.repeat(np.arange(6), 9 * 20)
    ccd = np.tile(np.repeat(np.arange(9), 20), 6)
    east = (ccd % 3 + rng.random(len(ccd))) * 0.1 + rng.normal(0, 0.2, 6)[visit]
    north = (ccd // 3 + rng.random(len(ccd))) * 0.1 - 60
    return (east / np.cos(np.radians(north)) % 360, north), visit, ccd + 1


def test_swapped_ccds_are_named():
    position, visit, ccd = camera(np.random.default_rng(13))
    clean = ccd_places(TEST, position, visit, ccd, Limit(0.5))
    assert clean.verdict == "passed"
    swapped = ccd.copy()
    swapped[(visit == 4) & (ccd == 2)] = 7
    swapped[(visit == 4) & (ccd == 7)] = 2
    check = ccd_places(TEST, position, visit, swapped, Limit(0.5))
    assert check.verdict == "failed"
    assert check.detail["visits"].tolist() == [4, 4]
    assert sorted(check.detail["ccds"].tolist()) == [2, 7]


def test_steps_of_clean_ccds_are_as_likely_as_stated():
    """Also where all CCDs drift."""

    def chance(rng):
        time = np.sort(rng.uniform(0, 2000, 60))
        phase, period = rng.uniform(0, 6, 16), rng.uniform(1500, 3000, 16)
        drift = 0.01 * np.sin(6.28 * time[:, None] / period + phase)
        offset = rng.normal(0, 0.02, 16) + rng.normal(0, 0.012, (60, 16)) + drift
        offset[rng.random(offset.shape) < 0.05] = np.nan
        return ccd_steps(TEST, offset, time, LIMIT).detail["probability"]

    assert_honest(chances(chance))


def test_step_of_a_ccd_is_named_where_noise_allows():
    for noise, verdict in ((0.004, "failed"), (0.03, "not testable")):
        rng = np.random.default_rng(14)
        time = np.arange(80.0)
        offset = rng.normal(0, noise, (80, 32))
        offset[50:, 9] -= 0.012
        check = ccd_steps(TEST, offset, time, LIMIT)
        assert check.verdict == verdict
        if verdict == "failed":
            assert check.detail["worst_ccd_place"] == 9
            assert check.detail["mjd_before"] == pytest.approx(49, abs=2)
            error = check.detail["error_mag"]
            assert check.detail["step_mag"] == pytest.approx(-0.012, abs=4 * error)
