"""Mean magnitudes of stars: against plain loops, and against the distributions they claim."""

import time

import numpy as np
import pytest
from scipy import stats

from scrframe.scr.star_means import StarDetections, star_means

NAMES = (
    "mag",
    "photometric_err",
    "offset_err",
    "systematic_err",
    "count",
    "visits",
    "chi2",
    "dof",
    "probability",
    "variable",
    "one_outlier",
)


def detections(mag, star, visit, err, *, ccd=0, offset=0.0, sys=0.0, weight=1.0):
    """Return detections; the total error holds the photometric one and the offset's."""
    mag = np.asarray(mag, dtype=float)
    whole = {
        name: np.broadcast_to(np.asarray(value, dtype=np.int64), mag.shape)
        for name, value in (("star", star), ("visit", visit), ("ccd", ccd))
    }
    err, offset, sys, weight = (
        np.broadcast_to(np.asarray(value, dtype=float), mag.shape)
        for value in (err, offset, sys, weight)
    )
    return StarDetections(
        mag=mag,
        photometric_err=err,
        offset_err=offset,
        total_err=np.hypot(err, offset),
        systematic_err=sys,
        weight=weight,
        **whole,
    )


def random_detections(rng, size=400, stars=120):
    star = rng.integers(0, stars, size)
    mag = 18 + rng.normal(0, 0.03, size)
    mag[rng.random(size) < 0.05] = np.nan
    mag[rng.random(size) < 0.05] += 1.0
    weight = rng.random(size) * (star % 7 > 0)
    return detections(
        mag,
        star,
        rng.integers(0, 4, size),
        rng.uniform(0.01, 0.05, size),
        ccd=rng.integers(0, 2, size),
        offset=rng.uniform(0.001, 0.02, size),
        sys=rng.uniform(0.001, 0.01, size),
        weight=weight,
    )


def one_star(seen, number, limit):
    """Return the figures of one star by plain loops, and by leaving out each detection."""
    rows = np.flatnonzero((seen.star == number) & np.isfinite(seen.mag))
    if not len(rows):
        return (
            dict.fromkeys(NAMES, np.nan)
            | {"count": 0, "visits": 0, "dof": 0}
            | {
                "variable": False,
                "one_outlier": False,
            }
        )
    robust = seen.weight[rows] if seen.weight[rows].sum() > 0 else np.ones(len(rows))
    weight = robust / seen.photometric_err[rows] ** 2
    share = weight / weight.sum()
    variance = 0.0
    for visit, ccd in {(seen.visit[row], seen.ccd[row]) for row in rows}:
        same = (seen.visit[rows] == visit) & (seen.ccd[rows] == ccd)
        variance += np.sum(share[same] * seen.offset_err[rows][same]) ** 2
    chi2, probability = about_mean(seen, rows)
    visits = len(set(seen.visit[rows]))
    suspect = visits > 1 and probability < limit
    rest = [about_mean(seen, np.delete(rows, index))[1] for index in range(len(rows))]
    one = bool(suspect and len(rows) > 2 and max(rest) >= limit)
    return {
        "mag": np.sum(share * seen.mag[rows]),
        "photometric_err": weight.sum() ** -0.5,
        "offset_err": np.sqrt(variance),
        "systematic_err": np.sum(share * seen.systematic_err[rows]),
        "count": len(rows),
        "visits": visits,
        "chi2": chi2,
        "dof": len(rows) - 1,
        "probability": probability,
        "variable": suspect and not one,
        "one_outlier": one,
    }


def about_mean(seen, rows):
    if len(rows) < 2:
        return np.nan, np.nan
    mean = np.average(seen.mag[rows], weights=seen.total_err[rows] ** -2)
    chi2 = np.sum(((seen.mag[rows] - mean) / seen.total_err[rows]) ** 2)
    return chi2, stats.chi2.sf(chi2, len(rows) - 1)


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_that_of_a_plain_loop(seed):
    seen = random_detections(np.random.default_rng(seed))
    found = star_means(seen, 125, limit=1e-3)
    expected = [one_star(seen, number, 1e-3) for number in range(125)]
    for name in NAMES:
        np.testing.assert_allclose(
            np.asarray(getattr(found, name), dtype=float),
            [float(row[name]) for row in expected],
            rtol=1e-10,
            err_msg=name,
        )
    assert found.variable.any() and found.one_outlier.any()


def test_order_of_detections_does_not_matter():
    seen = random_detections(np.random.default_rng(5))
    mixed = seen.take(np.random.default_rng(6).permutation(len(seen.mag)))
    one, other = star_means(seen, 120), star_means(mixed, 120)
    for name in NAMES:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)


@pytest.mark.parametrize("repeats", [2, 3, 6])
def test_chi2_of_constant_stars_follows_its_distribution(repeats):
    rng = np.random.default_rng(7)
    stars = 4000
    star = np.repeat(np.arange(stars), repeats)
    err, offset = rng.uniform(0.01, 0.05, len(star)), rng.uniform(0.0, 0.02, len(star))
    mag = 17 + rng.normal(0, np.hypot(err, offset))
    visit = np.tile(np.arange(repeats), stars)
    # Robust weights, whatever they are, must not touch chi2.
    seen = detections(mag, star, visit, err, offset=offset, weight=rng.random(len(star)))
    found = star_means(seen, stars)
    assert stats.kstest(found.chi2, stats.chi2(repeats - 1).cdf).pvalue > 0.001
    assert stats.kstest(found.probability, "uniform").pvalue > 0.001


def test_false_alarms_come_at_the_rate_asked_for():
    rng = np.random.default_rng(8)
    stars, limit = 200_000, 1e-3
    star, visit = np.repeat(np.arange(stars), 3), np.tile(np.arange(3), stars)
    seen = detections(18 + rng.normal(0, 0.02, 3 * stars), star, visit, 0.02)
    found = star_means(seen, stars, limit)
    alarms = int((found.variable | found.one_outlier).sum())
    assert abs(alarms - limit * stars) < 4 * np.sqrt(limit * stars)


def test_variables_are_found_and_one_wrong_detection_is_told_apart():
    rng = np.random.default_rng(9)
    stars, repeats = 3000, 5
    star, visit = np.repeat(np.arange(stars), repeats), np.tile(np.arange(repeats), stars)
    mag = 18 + rng.normal(0, 0.02, len(star))
    varies, outlier = star < 1000, (star >= 1000) & (star < 2000) & (visit == 2)
    mag[varies] += rng.normal(0, 0.3, varies.sum())
    mag[outlier] += 0.5
    found = star_means(detections(mag, star, visit, 0.02), stars)
    # Variance is (0.02^2 + 0.3^2) / 0.02^2 = 226 times that of a constant star.
    missed = 1000 * stats.chi2.cdf(stats.chi2.isf(1e-4, repeats - 1) / 226, repeats - 1)
    noticed = (found.variable | found.one_outlier)[:1000].sum()
    assert abs(1000 - noticed - missed) < 4 * np.sqrt(missed)
    # Few vary by chance in one visit alone.
    assert found.variable[:1000].sum() > 950
    assert found.one_outlier[1000:2000].all() and not found.variable[1000:2000].any()
    assert not (found.variable | found.one_outlier)[2000:].any()


def test_one_visit_is_not_enough_to_call_a_star_variable():
    seen = detections([18.0, 19.0, 18.0, 19.0], [0, 0, 1, 1], [0, 0, 0, 1], 0.01, ccd=[0, 1, 0, 0])
    found = star_means(seen, 2)
    assert found.variable.tolist() == [False, True]
    assert found.visits.tolist() == [1, 2]


def test_a_correction_is_shared_within_an_exposure_only():
    same = detections([18.0, 18.0], 0, 0, 0.01, offset=0.02)
    apart = detections([18.0, 18.0], 0, [0, 1], 0.01, offset=0.02)
    assert star_means(same, 1).offset_err[0] == pytest.approx(0.02)
    assert star_means(apart, 1).offset_err[0] == pytest.approx(0.02 / np.sqrt(2))


def test_errors_of_the_mean_hold():
    rng = np.random.default_rng(10)
    stars, repeats = 20_000, 3
    star = np.repeat(np.arange(stars), repeats)
    visit, ccd = np.tile([0, 0, 1], stars), np.zeros(stars * repeats, dtype=int)
    offset = np.repeat(rng.normal(0, 0.015, (stars, 2)), [2, 1], axis=1).ravel()
    mag = 18 + offset + rng.normal(0, 0.02, len(star))
    found = star_means(detections(mag, star, visit, 0.02, ccd=ccd, offset=0.015), stars)
    pull = (found.mag - 18) / np.hypot(found.photometric_err, found.offset_err)
    # The standard error of a standard deviation of n normal numbers is 1 / sqrt(2 n).
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * stars)


def test_a_star_left_out_of_the_solve_still_has_a_mean():
    seen = detections([18.0, 18.2], 0, [0, 1], 0.1, weight=0.0)
    assert star_means(seen, 1).mag[0] == pytest.approx(18.1)


def test_no_detection_at_all():
    found = star_means(detections([], [], [], []), 2)
    assert np.isnan(found.mag).all() and found.count.tolist() == [0, 0]


@pytest.mark.slow
def test_three_million_detections_take_less_than_three_seconds():
    rng = np.random.default_rng(11)
    size, stars = 3_000_000, 1_500_000
    seen = detections(
        rng.normal(18, 1, size),
        rng.integers(0, stars, size),
        rng.integers(0, 3000, size),
        0.02,
        ccd=rng.integers(1, 33, size),
        offset=0.005,
    )
    start = time.process_time()
    found = star_means(seen, stars)
    assert time.process_time() - start < 3
    assert found.count.sum() == size
