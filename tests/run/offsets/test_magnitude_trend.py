"""What a non-linear detector leaves in residuals counts as a systematic error of its size."""

from types import SimpleNamespace

import numpy as np
import pytest

from scrframe.run.offsets.systematics import magnitude_trend


def variants(mag, visit):
    """Return what the function reads of a run's model: magnitudes and visits of detections."""
    model, observations = SimpleNamespace(model_mag=mag), SimpleNamespace(visit=visit)
    return SimpleNamespace(
        fitted=SimpleNamespace(model=model, observations=observations),
        used=np.ones(len(mag), dtype=bool),
    )


@pytest.mark.parametrize("slope", [0.004, -0.004])
def test_the_size_is_the_slope_times_the_spread_within_visits(slope):
    rng = np.random.default_rng(1)
    visit = rng.integers(0, 20, 40_000)
    depth = np.linspace(-1.5, 1.5, 20)[visit]  # visits of other depths, whose zero points are free
    mag = 17 + depth + rng.normal(0, 0.8, len(visit))
    residual = slope * (mag - 17) + rng.normal(0, 0.06, len(visit))
    weight = np.ones(len(visit))
    # Outliers without weight have no say.
    residual[:400], weight[:400] = 3.0, 0.0
    found = magnitude_trend(variants(mag, visit), residual, weight)
    # The slope's own error, 0.06 / sqrt(40,000), is a tenth of the size.
    assert found == pytest.approx(0.004 * 0.8, abs=4 * 0.06 / np.sqrt(40_000))


def test_magnitudes_that_are_all_alike_say_nothing():
    visit, mag = np.arange(5), np.full(5, 16.0)
    assert magnitude_trend(variants(mag, visit), np.ones(5), np.ones(5)) == 0.0
