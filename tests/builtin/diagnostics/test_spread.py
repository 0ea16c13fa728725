"""The spread of known distributions."""

import numpy as np
import pyarrow as pa
import pytest

from scrframe.builtin.diagnostics.spread import SpreadConfig, compute_spread


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
