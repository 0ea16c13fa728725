"""Robust spreads against scipy's, and against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scrframe.statistics.robust import MAD_TO_SD, MEDIAN_CHI2, fit_gaussian, robust_sd


def test_deviations_are_those_of_scipy():
    values = np.random.default_rng(1).normal(0.1, 0.05, (4, 101))
    values[0, :7] = np.nan
    whole = stats.median_abs_deviation(values, axis=None, nan_policy="omit")
    assert robust_sd(values) == MAD_TO_SD * whole
    about = MAD_TO_SD * np.nanmedian(np.abs(values - 0.3))
    assert robust_sd(values, about=0.3) == about


def test_a_normal_distribution_has_its_own_sd_in_spite_of_outliers():
    values = np.random.default_rng(2).normal(0.01, 0.065, 200_000)
    values[:200] = 1e6
    # The standard error is 0.065 * 1.17 / sqrt(2e5) = 0.00017; five of these, and the outliers.
    assert robust_sd(values) == pytest.approx(0.065, abs=0.0012)


@pytest.mark.parametrize("values", [np.array([]), np.full(3, np.nan)])
def test_nothing_has_no_spread(values):
    assert np.isnan(robust_sd(values))


def test_constants_are_those_of_a_normal_distribution():
    constants = [MAD_TO_SD, MEDIAN_CHI2]
    assert constants == pytest.approx([1 / stats.norm.ppf(0.75), stats.chi2.median(1)], rel=1e-12)


def test_a_normal_sample_has_its_own_mean_and_sigma():
    values = np.random.default_rng(1).normal(0.01, 0.065, 200_000)
    fit = fit_gaussian(values)
    # Standard errors are 0.065 / sqrt(2e5) = 0.00015 and 0.0001; five of these.
    assert fit.mean == pytest.approx(0.01, abs=0.0008)
    assert fit.sigma == pytest.approx(0.065, abs=0.0008)
    assert robust_sd(values) == pytest.approx(0.065, abs=0.0012)


def test_outliers_hardly_matter():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 0.06, 100_000), rng.uniform(-3, 3, 2_000)])
    sigma = fit_gaussian(values).sigma
    assert sigma == pytest.approx(0.06, rel=0.02)
    assert np.std(values) > 0.2


def test_no_values_give_nan():
    assert np.isnan(robust_sd(np.array([])))
    assert np.isnan([fit_gaussian(np.array([])).mean, fit_gaussian(np.array([])).sigma]).all()
