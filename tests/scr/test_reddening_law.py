"""The reddening law: an exact law is recovered, its errors hold, visits do not confound it."""

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.scr.reddening_law import constant_law, fit_law, largest_change
from scrframe.tables.settings import ReddeningSettings

TRUE = np.array([0.042, 0.027, 1.42])


def draw(seed, n=4000, visits=40, noise=0.06, visit_sd=0.06):
    rng = np.random.default_rng(seed)
    visit = rng.integers(0, visits, n)
    colour0 = rng.uniform(0.5, 2.8, n)
    # The mean extinction differs between visits, as between fields of the Galaxy.
    extinction = rng.uniform(0.2, 1.6, visits)[visit] + rng.normal(0, 0.2, n)
    constant = rng.normal(0, visit_sd, visits)
    excess = np.polyval(TRUE, colour0) * extinction + constant[visit] + rng.normal(0, noise, n)
    return colour0, extinction, excess, visit, constant


def test_an_exact_law_is_recovered_exactly():
    colour0, extinction, excess, visit, constant = draw(1, noise=0.0)
    # Without noise, residuals are rounding errors: nothing is to be clipped.
    law = fit_law(colour0, extinction, excess, visit, ReddeningSettings(clip_rounds=1))
    np.testing.assert_allclose(law.coefficients, TRUE, atol=1e-10)
    assert law.offset_mag == pytest.approx(constant[visit].mean(), abs=1e-10)


def test_errors_hold_over_many_draws():
    grid = np.linspace(0.6, 2.7, 5)
    terms = grid[:, None] ** np.array([2, 1, 0])
    pulls = []
    for seed in range(150):
        colour0, extinction, excess, visit, _ = draw(seed)
        law = fit_law(colour0, extinction, excess, visit, ReddeningSettings(clip_sigma=10))
        sigma = np.sqrt(np.einsum("ij,jk,ik->i", terms, law.covariance, terms))
        pulls.append((law.ratio(grid) - np.polyval(TRUE, grid)) / sigma)
    pulls = np.array(pulls)
    # The standard deviation of 150 normal pulls is itself uncertain by 1 / sqrt(300) = 0.058;
    # four of these allow for the extremes over the grid.
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 4 * 0.058)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4 / np.sqrt(150))


def test_one_constant_confounds_the_law_with_the_visits():
    with_visits, without = [], []
    for seed in range(30):
        colour0, extinction, excess, visit, _ = draw(seed)
        grid = np.array([1.5])
        truth = np.polyval(TRUE, grid)
        fit = fit_law(colour0, extinction, excess, visit, ReddeningSettings())
        with_visits.append(fit.ratio(grid) - truth)
        fit = fit_law(colour0, extinction, excess, visit, ReddeningSettings(visit_constants=False))
        without.append(fit.ratio(grid) - truth)
    assert np.std(without) > 3 * np.std(with_visits)


def test_outliers_are_clipped():
    colour0, extinction, excess, visit, _ = draw(2, n=20_000)
    excess[::50] += 2.0
    law = fit_law(colour0, extinction, excess, visit, ReddeningSettings())
    grid = np.linspace(0.6, 2.7, 5)
    np.testing.assert_allclose(law.ratio(grid), np.polyval(TRUE, grid), atol=0.02)


def test_no_spread_in_extinction_is_an_error():
    colour0, _, excess, visit, _ = draw(3)
    with pytest.raises(CalibrationError, match="not determined"):
        fit_law(colour0, np.zeros(len(colour0)), excess, visit, ReddeningSettings())


def test_too_few_detections_are_an_error():
    with pytest.raises(CalibrationError, match="too few"):
        fit_law(np.ones(3), np.ones(3), np.ones(3), np.array([0, 1, 2]), ReddeningSettings())


def test_constant_law_and_change():
    law = constant_law(1.39, 2)
    np.testing.assert_array_equal(law.ratio(np.array([0.0, 3.0])), 1.39)
    other = constant_law(1.40, 2)
    change = largest_change(other, law, np.array([0.5, 2.0]), ReddeningSettings())
    assert change == pytest.approx(0.01)
