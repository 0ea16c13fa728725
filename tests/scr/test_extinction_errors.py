"""Extinctions with errors: slopes and zero points that injected noise must not move."""

import numpy as np
import pytest

from scrframe.scr.extinction_errors import LEAST_STARS, calibrated_extinctions

FIELDS, STARS, SLOPE = 40, 400, -0.3


def drawn(seed, response):
    """Return E as catalogued, its errors, fields, and magnitudes with a true slope on E.

    A model that dereddens with a wrong E is off by `response` per unit of the error.
    """
    rng = np.random.default_rng(seed)
    field = np.repeat(np.arange(FIELDS), STARS)
    true = rng.uniform(0.3, 1.5, FIELDS)[field] + 0.15 * rng.standard_normal(len(field))
    error = rng.choice([0.05, 0.15], len(field))
    seen = true + error * rng.standard_normal(len(field))

    def difference(extinction):
        return SLOPE * true + response * (extinction - true) + 0.03 * rng.standard_normal(len(true))

    return seen, error, field, difference


def lines(extinction, value, field):
    """Return slope and value at E = 0 of each field, by least squares."""
    fits = [np.polyfit(extinction[field == f], value[field == f], 1) for f in range(FIELDS)]
    return np.array(fits).T


@pytest.mark.parametrize("response", [0.0, 0.15, -0.3])
def test_slopes_and_zero_points_are_those_that_were_put_in(response):
    seen, error, field, difference = drawn(1, response)
    best = calibrated_extinctions(seen, error, field)
    slope, zero = lines(best, difference(best), field)
    for found, true in ((slope, SLOPE), (zero, 0.0)):
        assert abs(found.mean() - true) < 3.3 * found.std() / np.sqrt(FIELDS)
    if response == 0.0:  # as catalogued, the slope is flattened and takes the zero point along
        _, moved = lines(seen, difference(seen), field)
        assert abs(moved.mean()) > 10 * abs(zero.mean())


def test_no_error_changes_nothing_and_too_few_stars_stay():
    seen, error, field, _ = drawn(2, 0.0)
    np.testing.assert_allclose(calibrated_extinctions(seen, 0 * error, field), seen, atol=1e-12)
    few = np.arange(len(seen)) // (LEAST_STARS - 1)
    np.testing.assert_array_equal(calibrated_extinctions(seen, error, few), seen)


def test_what_is_all_noise_becomes_the_weighted_mean_of_the_field():
    rng = np.random.default_rng(3)
    error = np.full(500, 0.2)
    seen = 0.7 + 0.1 * rng.standard_normal(500)
    best = calibrated_extinctions(seen, error, np.zeros(500, dtype=np.int64))
    np.testing.assert_allclose(best, seen.mean(), atol=1e-12)


def test_the_best_guess_is_closer_to_the_truth():
    seen, error, field, _ = drawn(4, 0.0)
    rng = np.random.default_rng(4)  # the same draw again, for the truth
    true = rng.uniform(0.3, 1.5, FIELDS)[field] + 0.15 * rng.standard_normal(len(field))
    best = calibrated_extinctions(seen, error, field)
    expected = 1.0 / np.sqrt(0.15**-2 + error**-2)
    assert np.std((best - true) / expected) == pytest.approx(1.0, abs=0.03)
