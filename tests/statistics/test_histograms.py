"""Gaussians fitted to the histograms of known distributions."""

import numpy as np
import pytest

from scrframe.statistics.histograms import fit_gaussian
from scrframe.statistics.robust import robust_sd


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
