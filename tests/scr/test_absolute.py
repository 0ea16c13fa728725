"""The absolute tie: injected shifts come back, within the errors that it states."""

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.scr.absolute import tie

SHIFT = 0.123
SEEDS = 400


def compared(seed, count=300, extra=0.03, slope=0.0):
    """Return calibrated and standard magnitudes, their errors, and colours about 1."""
    rng = np.random.default_rng(seed)
    err, standard_err = rng.uniform(0.005, 0.03, count), rng.uniform(0.005, 0.02, count)
    true, colour = rng.uniform(15, 18, count), rng.normal(1, 0.4, count)
    calibrated = true + rng.normal(0, err)
    standard = true + SHIFT + slope * (colour - 1) + rng.normal(0, np.hypot(standard_err, extra))
    return calibrated, err, standard, standard_err, colour


def pulls(count, extra, order):
    found = []
    for seed in range(SEEDS):
        *data, colour = compared(seed, count, extra, slope=0.05)
        one = tie(*data, colour if order else None, system="AB", order=order, pivot=1.0)
        found.append((one.shift_mag - SHIFT) / one.err_mag)
    return np.array(found)


@pytest.mark.parametrize(
    ("count", "extra", "order"), [(60, 0.03, 0), (300, 0.03, 0), (300, 0.0, 1), (300, 0.03, 1)]
)
def test_an_injected_shift_comes_back_within_its_error(count, extra, order):
    found = pulls(count, extra, order)
    # Standard errors of the mean and of the standard deviation of SEEDS normal numbers.
    assert abs(found.mean()) < 4 / np.sqrt(SEEDS)
    assert abs(found.std() - 1) < max(0.05, 4 / np.sqrt(2 * SEEDS))


def test_gross_outliers_count_for_nothing():
    *data, _ = compared(1)
    bad = np.random.default_rng(2).random(300) < 0.15
    spoilt = [data[0], data[1], data[2] + np.where(bad, 2.0, 0.0), data[3]]
    kept = tie(*(values[~bad] for values in data), system="AB")
    found = tie(*spoilt, system="AB")
    assert bad.sum() <= found.outliers <= bad.sum() + 2
    assert abs(found.shift_mag - kept.shift_mag) < 0.3 * kept.err_mag
    assert found.err_mag < 1.4 * kept.err_mag


def test_equal_errors_and_no_outliers_give_nearly_the_mean():
    rng = np.random.default_rng(3)
    standard = rng.normal(0, 0.02, 500)
    found = tie(np.zeros(500), np.full(500, 0.02), standard, np.zeros(500), system="Vega")
    # The bisquare has 95 per cent of the mean's efficiency: they differ by sqrt(1/0.95 - 1).
    error = 0.02 / np.sqrt(500)
    assert abs(found.shift_mag - standard.mean()) < 4 * error * np.sqrt(1 / 0.95 - 1)
    assert found.err_mag == pytest.approx(error / np.sqrt(0.95), rel=4 / np.sqrt(2 * 500))
    assert found.scatter_mag == pytest.approx(0.02, rel=4 * 1.17 / np.sqrt(500))
    assert found.system == "Vega" and found.count == 500 and found.pivot_mag is None


def test_precise_stars_count_more():
    rng = np.random.default_rng(4)
    err = np.where(np.arange(400) < 200, 0.002, 0.1)
    found = tie(np.zeros(400), err, rng.normal(0, err), np.zeros(400), system="AB")
    assert found.err_mag == pytest.approx(0.002 / np.sqrt(200), rel=0.3)


def test_a_colour_term_comes_back_and_holds_at_its_pivot():
    slopes, errors = [], []
    for seed in range(100):
        found = tie(*compared(seed, slope=0.05), system="AB", order=1)
        slopes.append(found.colour_terms[0])
        errors.append(found.colour_term_errs[0])
    assert abs(np.mean(slopes) - 0.05) < 4 * np.mean(errors) / 10
    assert np.std(slopes) == pytest.approx(np.mean(errors), rel=4 / np.sqrt(200))
    *data, colour = compared(1, slope=0.05)
    here = tie(*data, colour, system="AB", order=1, pivot=1.0)
    there = tie(*data, colour, system="AB", order=1, pivot=3.0)
    moved = there.shift_mag - 2 * there.colour_terms[0]
    assert here.shift_mag == pytest.approx(moved, abs=1e-8)
    assert there.err_mag > 3 * here.err_mag


def test_errors_shared_by_a_group_do_not_average_down():
    *data, _ = compared(5)
    alone = tie(*data, system="AB")
    shared, groups = np.full(300, 0.01), np.arange(300) % 4
    together = tie(*data, system="AB", shared_err=shared, group=np.zeros(300, dtype=int))
    in_four = tie(*data, system="AB", shared_err=shared, group=groups)
    assert together.shift_mag == alone.shift_mag
    assert together.err_mag == pytest.approx(np.hypot(alone.err_mag, 0.01), rel=1e-9)
    assert in_four.err_mag == pytest.approx(np.hypot(alone.err_mag, 0.005), rel=0.05)


def test_stars_that_lack_something_do_not_count():
    *data, colour = compared(6)
    data[0][:3], data[3][3:5], colour[5:9] = np.nan, np.nan, np.nan
    assert tie(*data, system="AB").count == 295
    assert tie(*data, colour, system="AB").count == 291


def test_equal_magnitudes_without_errors():
    none = np.zeros(8)
    found = tie(none, none, np.full(8, 0.5), none, system="AB")
    assert found.shift_mag == pytest.approx(0.5, abs=1e-12)


def test_too_few_stars_or_one_colour_are_refused():
    four = np.zeros(4), np.full(4, 0.01), np.zeros(4), np.zeros(4)
    with pytest.raises(CalibrationError, match=r"only 2 of the stars .* at least 3 are needed"):
        tie(*(values[:2] for values in four), system="AB")
    with pytest.raises(CalibrationError, match="do not fix a colour term of order 1"):
        tie(*four, np.ones(4), system="AB", order=1)
