"""The spread of known distributions."""

import numpy as np
import pyarrow as pa
import pytest

from scrframe.builtin.diagnostics.spread import (
    SpreadConfig,
    compute_spread,
    fit_gaussian,
)
from scrframe.statistics.robust import robust_sd


def test_a_normal_sample_has_its_own_mean_and_sigma():
    values = np.random.default_rng(1).normal(0.01, 0.065, 200_000)
    mean, sigma = fit_gaussian(values, SpreadConfig())
    # Standard errors are 0.065 / sqrt(2e5) = 0.00015 and 0.0001; five of these.
    assert mean == pytest.approx(0.01, abs=0.0008)
    assert sigma == pytest.approx(0.065, abs=0.0008)
    assert robust_sd(values) == pytest.approx(0.065, abs=0.0012)


def test_outliers_hardly_matter():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 0.06, 100_000), rng.uniform(-3, 3, 2_000)])
    _, sigma = fit_gaussian(values, SpreadConfig())
    assert sigma == pytest.approx(0.06, rel=0.02)
    assert np.std(values) > 0.2


def test_uncorrected_stars_count_before_but_not_after():
    rng = np.random.default_rng(3)
    model = rng.normal(17, 1, 5000)
    observed = model + rng.normal(0.1, 0.09, 5000)
    corrected = model + rng.normal(0, 0.06, 5000)
    corrected[:100] = np.nan
    result = compute_spread(
        pa.table({"mag_model": model, "mag_obs": observed, "mag_cal": corrected}), SpreadConfig()
    )
    assert result["before"]["count"] == 5000
    assert result["after"]["count"] == 4900
    assert result["after"]["gaussian_sigma_mag"] == pytest.approx(0.06, rel=0.06)


def test_no_values_give_nan():
    assert np.isnan(robust_sd(np.array([])))
    assert np.isnan(fit_gaussian(np.array([]), SpreadConfig())).all()
