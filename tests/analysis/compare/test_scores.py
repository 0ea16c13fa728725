"""Dispersions against an independent library; trends against injected ones."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from scrframe.analysis.compare.scores import ResidualTrend, binned, disperse


def test_dispersion_agrees_with_other_libraries():
    rng = np.random.default_rng(1)
    observed = rng.normal(1, 0.3, 500)
    predicted = observed + 0.05 * rng.standard_t(3, 500) + 0.02
    found = disperse(predicted, observed)
    residual = predicted - observed
    assert found.sd_mag == pytest.approx(np.std(residual), rel=1e-12)
    assert found.mad_mag == pytest.approx(
        stats.median_abs_deviation(residual, scale="normal"), rel=1e-12
    )
    assert found.bias_mag == pytest.approx(np.mean(residual), rel=1e-12)
    assert found.r2 == pytest.approx(r2_score(observed, predicted), rel=1e-12)
    assert found.count == 500


def test_dispersion_pools_seeds_and_leaves_out_what_is_not_finite():
    observed = np.array([1.0, 2.0, 3.0])
    predicted = np.array([[1.1, 2.0, np.nan], [0.9, 2.2, 3.0]])
    residual = np.array([0.1, 0.0, -0.1, 0.2, 0.0])
    found = disperse(predicted, observed)
    assert (found.count, found.bias_mag) == (5, pytest.approx(residual.mean()))
    assert found.sd_mag == pytest.approx(residual.std())


def test_dispersion_of_nothing_is_not_a_number():
    found = disperse(np.full(3, np.nan), np.zeros(3))
    assert found.count == 0
    assert np.isnan([found.sd_mag, found.mad_mag, found.bias_mag, found.r2]).all()
    assert np.isnan(disperse(np.zeros(3), np.ones(3)).r2)


def test_bins_hold_like_numbers_of_stars_and_equal_values_share_one():
    rng = np.random.default_rng(1)
    value = rng.lognormal(size=1200)
    found = binned(rng.normal(size=1200), value, "extinction")
    assert found.count.tolist() == [100] * 12
    assert np.all(np.diff(found.centre) > 0)
    few = binned(rng.normal(size=1200), rng.integers(3, size=1200).astype(float), "season")
    assert few.centre.tolist() == [0, 1, 2]
    assert few.count.sum() == 1200


def test_stars_without_a_value_are_left_out():
    value = np.array([1.0, 2.0, np.nan, 4.0])
    assert binned(np.ones(4), value, "x", bins=1).count.tolist() == [3]
    assert binned(np.ones(4), np.full(4, np.nan), "x").count.size == 0
    assert np.isnan(binned(np.ones(4), np.full(4, np.nan), "x").rms_mag)


def test_errors_of_means_are_those_of_independent_stars():
    rng = np.random.default_rng(1)
    residual = rng.normal(0, 0.06, 1200)
    found = binned(residual, np.arange(1200.0), "x")
    expected = [stats.sem(part) for part in np.split(residual, 12)]
    np.testing.assert_allclose(found.err_mag, expected, rtol=1e-12)


def test_errors_of_means_count_what_neighbours_share():
    # Each sky cell shares a shift of 0.02 mag; 40 cells give 400 trials of a mean.
    rng = np.random.default_rng(1)
    pulls, plain = [], []
    for _ in range(400):
        block = rng.integers(40, size=800)
        residual = rng.normal(0, 0.02, 40)[block] + rng.normal(0, 0.05, 800)
        value = rng.normal(size=800)
        with_blocks = binned(residual, value, "x", bins=2, block=block)
        pulls.append(with_blocks.mean_mag[0] / with_blocks.err_mag[0])
        without = binned(residual, value, "x", bins=2)
        plain.append(without.mean_mag[0] / without.err_mag[0])
    # Student's t with 39 degrees of freedom has sd 1.027; 4 standard errors of an sd.
    assert abs(np.std(pulls) - 1.027) < 4 / np.sqrt(2 * 400)
    assert np.std(plain) > 1.3


def test_a_bin_in_one_sky_cell_has_the_error_of_independent_stars():
    residual = np.array([0.1, 0.3, 0.2, 0.5])
    found = binned(residual, np.arange(4.0), "x", bins=1, block=np.zeros(4, dtype=int))
    assert found.err_mag[0] == pytest.approx(stats.sem(residual))


@pytest.mark.parametrize("slope", [0.0, 0.02])
def test_rms_of_a_trend_is_without_its_noise(slope):
    rng = np.random.default_rng(1)
    squares = []
    for _ in range(100):
        value = rng.uniform(-1, 1, 2400)
        residual = slope * value + rng.normal(0, 0.06, 2400)
        squares.append(binned(residual, value, "colour").rms_mag ** 2)
    # Means of 12 equal bins of a line have mean square slope^2 / 3 (1 - 1/144); noise alone
    # would add (0.06)^2 / 200 = (4.2 mmag)^2.
    expected = slope * np.sqrt((1 - 1 / 144) / 3)
    if slope:
        assert np.sqrt(np.mean(squares)) == pytest.approx(expected, rel=0.02)
    else:
        assert np.sqrt(np.mean(squares)) < 0.06 / np.sqrt(200) / 2
        assert np.mean(np.array(squares) == 0) > 0.3


def test_largest_sigma_of_no_trend_is_as_large_as_said():
    rng = np.random.default_rng(1)
    found = np.array(
        [binned(rng.normal(size=1200), np.arange(1200.0), "x").largest_sigma for _ in range(600)]
    )
    # 12 normal means exceed 2.86 in one of 20 cases; those of 100 stars have wider tails.
    assert 0.02 < np.mean(found > 2.9) < 0.08


def test_seeds_are_averaged_star_by_star():
    residual = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = binned(residual, np.array([0.0, 1.0]), "x", bins=1)
    assert isinstance(found, ResidualTrend)
    assert found.mean_mag.tolist() == [2.5]
