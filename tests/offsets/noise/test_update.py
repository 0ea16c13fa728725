"""The noise: derivatives against dense algebra, injected values recovered, limits stated."""

from dataclasses import replace

import numpy as np
import pytest

from scrframe.offsets.noise.likelihood import NoiseData, NoiseLikelihood, mean_quadratic
from scrframe.offsets.noise.model import (
    CovariateScale,
    NoiseModel,
    covariates,
    initial_noise,
)
from scrframe.offsets.noise.update import NoiseSettings, update_noise

TRUTH = NoiseModel(1.3, 0.006, np.array([np.log(0.065), 0.15, -0.1]))


def drawn(seed, stars, truth=TRUTH, most=4, error_sd=0.6):
    """Return residual, star, error and covariates of stars with 1 to `most` detections."""
    rng = np.random.default_rng(seed)
    star = np.repeat(np.arange(stars), rng.integers(1, most + 1, stars))
    error = np.exp(rng.normal(np.log(0.012), error_sd, len(star)))
    columns = {"mag": rng.uniform(14, 20, stars), "e": rng.exponential(0.5, stars)}
    x = covariates(columns, 1)[:, : len(truth.scatter)]
    own = np.sqrt(truth.star_variance(x)) * rng.normal(size=stars)
    residual = own[star] + np.sqrt(truth.variance(error)) * rng.normal(size=len(star))
    return residual, star, error, x


def settled(residual, star, error, x, start=None, rounds=15, settings=None, clean=None):
    """Return the last update of a noise model from residuals without fitted terms."""
    model = start or initial_noise(residual, star, error, x.shape)
    clean = np.ones(len(x)) if clean is None else clean
    for _ in range(rounds):
        update = update_noise(
            residual, star, error, x, clean, [], model, settings or NoiseSettings()
        )
        model = update.model
    return update


def values(model):
    return np.array([model.scale, model.floor_mag, *model.scatter])


# --- derivatives ---------------------------------------------------------------------------


class Dense:
    """A small mixed model by dense algebra: 3 random and 2 fixed terms over 12 stars."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.star = np.repeat(np.arange(12), [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 2, 5])
        rng.shuffle(self.star)
        n = len(self.star)
        self.error = rng.uniform(0.005, 0.03, n)
        self.x = np.column_stack([np.ones(12), rng.normal(size=12)])
        self.z = rng.normal(size=(n, 5))
        self.prior = np.diag([1 / 0.02**2] * 3 + [0.0] * 2)
        self.y = rng.normal(0, 0.05, n)

    def noise(self, theta):
        """Return V and its derivatives at scale^2, floor^2 and coefficients."""
        same = (self.star[:, None] == self.star).astype(float)
        tau = np.exp(2 * self.x @ theta[2:])[self.star]
        parts = [np.diag(self.error**2), np.eye(len(self.y))]
        total = theta[0] * parts[0] + theta[1] * parts[1] + same * tau
        return total, [*parts, *(same * (2 * tau * column[self.star]) for column in self.x.T)]

    def likelihood(self, theta):
        """Return the restricted log likelihood, up to a constant."""
        inverse = np.linalg.inv(self.noise(theta)[0])
        fixed, random = self.z[:, 3:], self.z[:, :3]
        total = self.noise(theta)[0] + random @ random.T * 0.02**2
        inverse = np.linalg.inv(total)
        projected = fixed.T @ inverse @ fixed
        p = inverse - inverse @ fixed @ np.linalg.solve(projected, fixed.T @ inverse)
        logs = np.linalg.slogdet(total)[1] + np.linalg.slogdet(projected)[1]
        return -0.5 * (logs + self.y @ p @ self.y)

    def fit(self, theta):
        """Return residuals at the solution and draws with exactly its covariance."""
        inverse = np.linalg.inv(self.noise(theta)[0])
        spread = np.linalg.inv(self.z.T @ inverse @ self.z + self.prior)
        residual = self.y - self.z @ spread @ self.z.T @ inverse @ self.y
        draws = self.z @ np.linalg.cholesky(spread) * np.sqrt(5)
        return residual, list(draws.T)


THETA = np.array([1.4, 0.007**2, np.log(0.05), 0.2])


def at(theta):
    return NoiseModel(np.sqrt(theta[0]), np.sqrt(theta[1]), theta[2:])


def test_score_is_the_derivative_of_the_restricted_likelihood():
    dense = Dense()
    residual, draws = dense.fit(THETA)
    data = NoiseData(residual, dense.star, dense.error, dense.x, np.ones(12))
    likelihood = NoiseLikelihood(data, at(THETA))
    score, _ = likelihood.score(mean_quadratic(likelihood, draws))
    for i in range(4):
        # Central differences err by the step squared times the third derivative.
        step = np.zeros(4)
        step[i] = 1e-4 * abs(THETA[i])
        both = dense.likelihood(THETA + step) - dense.likelihood(THETA - step)
        assert score[i] == pytest.approx(both / (2 * step[i]), rel=1e-5)


def test_information_is_half_the_trace_of_products():
    dense = Dense()
    clean = np.linspace(0.1, 1, 12)
    data = NoiseData(dense.y, dense.star, dense.error, dense.x, clean)
    _, information = NoiseLikelihood(data, at(THETA)).score(0.0)
    total, parts = dense.noise(THETA)
    weighted = np.sqrt(clean)[dense.star]
    products = [weighted[:, None] * np.linalg.solve(total, part) * weighted for part in parts]
    # The noise is block diagonal by star, so weights of stars pull out of the traces.
    whole = [np.linalg.solve(total, part) for part in parts]
    expected = [[0.5 * np.trace(a @ b) for b in whole] for a in products]
    np.testing.assert_allclose(information, expected, rtol=1e-10)


def test_a_star_with_weight_0_is_not_there():
    residual, star, error, x = drawn(3, 2_000)
    clean = (np.arange(2_000) < 1_500).astype(float)
    kept = clean[star] > 0
    with_it = NoiseLikelihood(NoiseData(residual, star, error, x, clean), TRUTH).score(0.0)
    data = NoiseData(residual[kept], star[kept], error[kept], x[:1_500], np.ones(1_500))
    for one, other in zip(with_it, NoiseLikelihood(data, TRUTH).score(0.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_of_many_stars_every_kth_is_used():
    residual, star, error, x = drawn(4, 1_000)
    third = star % 3 == 0
    part = residual[third], star[third] // 3, error[third], x[::3]
    leverage = 0.3 * residual
    found = update_noise(
        residual, star, error, x, np.ones(1_000), [leverage], TRUTH, NoiseSettings(max_stars=400)
    )
    expected = update_noise(*part, np.ones(334), [leverage[third]], TRUTH, NoiseSettings())
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-12)
    np.testing.assert_allclose(values(found.model), values(expected.model), rtol=1e-12)


# --- recovery ------------------------------------------------------------------------------


def test_injected_noise_is_recovered():
    update = settled(*drawn(1, 100_000), rounds=6)
    assert np.all(np.abs(values(update.model) - values(TRUTH)) < 3 * update.errors)
    assert np.all(update.errors[:2] < [0.01, 0.001])
    assert update.held == ()
    assert update.change < 1e-8


def test_standard_errors_are_the_scatter_over_seeds():
    seeds = 60
    updates = [settled(*drawn(seed, 3_000), rounds=4) for seed in range(1_000, 1_000 + seeds)]
    found = np.array([values(update.model) for update in updates])
    stated = np.mean([update.errors for update in updates], axis=0)
    # A standard deviation of N values has a relative error of 1 / sqrt(2 N).
    ratio = found.std(axis=0, ddof=1) / stated
    assert np.all(np.abs(ratio - 1) < 3 / np.sqrt(2 * seeds))
    bias = (found.mean(axis=0) - values(TRUTH)) / (stated / np.sqrt(seeds))
    assert np.all(np.abs(bias) < 3)


@pytest.mark.parametrize("corrected", [True, False])
def test_leverage_makes_up_for_what_the_fit_takes(corrected):
    """Each of 50 fields: 40 stars seen twice, two fitted constants.

    The fit takes one of 40 degrees of freedom from stars and noise alike; the corrected
    estimates are those of the analysis of variance.
    """
    fields, stars = 50, 40
    rng = np.random.default_rng(2)
    y = rng.normal(0, 0.03, (fields, stars, 1)) + rng.normal(0, 0.01, (fields, stars, 2))
    y -= y.mean(axis=1, keepdims=True)
    star = np.repeat(np.arange(fields * stars), 2)
    error, x = np.full(len(star), 0.01), np.ones((fields * stars, 1))
    model = NoiseModel(1.0, 0.0, np.array([np.log(0.03)]))
    for _ in range(20):
        tau, noise = np.exp(2 * model.scatter[0]), (0.01 * model.scale) ** 2
        root = np.linalg.cholesky((np.diag([noise, noise]) + tau) / stars)
        # Stars of different fields do not meet, so two draws give the covariance of all.
        draws = [np.tile(np.sqrt(2) * column, fields * stars) for column in root.T]
        leverage = iter(draws) if corrected else []
        clean = np.ones(len(x))
        model = update_noise(
            y.ravel(), star, error, x, clean, leverage, model, NoiseSettings()
        ).model
    degrees = fields * (stars - 1 if corrected else stars)
    within = np.sum((y[..., 0] - y[..., 1]) ** 2) / 2 / degrees
    between = np.sum(y.mean(axis=2) ** 2) / degrees
    assert (0.01 * model.scale) ** 2 == pytest.approx(within, rel=1e-6)
    assert np.exp(2 * model.scatter[0]) == pytest.approx(between - within / 2, rel=1e-6)


@pytest.mark.parametrize("wrong", [0.2, 1.0, 5.0])
def test_a_bad_start_ends_at_the_same(wrong):
    data = drawn(4, 5_000)
    start = NoiseModel(wrong, 0.03 * wrong, np.array([np.log(0.065 * wrong), 0.0, 0.0]))
    expected = settled(*data, start=TRUTH, rounds=30)
    found = settled(*data, start=start, rounds=30)
    np.testing.assert_allclose(values(found.model), values(expected.model), rtol=1e-6)


def test_no_variance_becomes_negative():
    """Without a floor its estimate is 0 about every other time; the scale then stays right."""
    truth = replace(TRUTH, floor_mag=0.0)
    updates = [settled(*drawn(seed, 2_000, truth), rounds=6) for seed in range(30)]
    floors = np.array([update.model.floor_mag for update in updates])
    zeros = np.sum(floors == 0.0)
    assert 15 - 3 * np.sqrt(7.5) < zeros < 15 + 3 * np.sqrt(7.5)
    for update in updates:
        assert np.all(np.isfinite(update.errors))
        # No one of 30 draws is off by 4 errors.
        assert abs(update.model.scale - truth.scale) < 4 * update.errors[0]
        assert update.model.floor_mag**2 < 4 * np.sqrt(update.covariance[1, 1])


def test_the_scale_may_be_0_where_the_catalogue_is_wrong():
    residual, star, _, x = drawn(8, 5_000, NoiseModel(0.0, 0.02, TRUTH.scatter))
    error = np.exp(np.random.default_rng(9).normal(np.log(0.012), 0.6, len(star)))
    update = settled(residual, star, error, x)
    assert 0.0 <= update.model.scale < 3 * update.errors[0]
    # As the scale may be a little off 0 and never below, the floor is that much lower.
    assert update.model.floor_mag == pytest.approx(0.02, abs=5 * update.errors[1])


# --- what cannot be separated -------------------------------------------------------------


def test_without_repeats_scale_and_floor_are_held():
    residual, star, error, x = drawn(5, 20_000, most=1)
    start = initial_noise(residual, star, error, x.shape)
    assert (start.scale, start.floor_mag) == (1.0, 0.0)
    update = settled(residual, star, error, x)
    assert (update.model.scale, update.model.floor_mag) == (1.0, 0.0)
    assert update.held == (
        "photometric scale and floor held at 1 and 0 mmag: 0 clean stars have two or more"
        " detections, of which 100 are needed to separate noise from the stars' own scatter",
    )
    assert np.all(np.isnan(update.errors[:2]))
    assert np.all(update.covariance[:2] == 0)
    # All variance is there all the same: the scatter takes what the noise leaves.
    total = update.model.star_variance(x) + update.model.variance(error)
    true = TRUTH.star_variance(x) + TRUTH.variance(error)
    assert np.mean(total) == pytest.approx(np.mean(true), rel=3 * np.sqrt(2 / 20_000))


def test_equal_errors_hold_the_floor():
    residual, star, error, x = drawn(6, 5_000, error_sd=0.02)
    update = settled(residual, star, error, x, start=replace(TRUTH, floor_mag=0.003))
    assert update.model.floor_mag == 0.003
    (reason,) = update.held
    assert reason.startswith("photometric floor held at 3 mmag: catalogued errors hardly differ")
    # The sum is what repeats give.
    true = TRUTH.variance(np.array([0.012]))[0]
    found = update.model.variance(np.array([0.012]))[0]
    error = 2 * update.errors[0] / update.model.scale * (true - 0.003**2) / true
    assert found / true == pytest.approx(1.0, abs=3 * error)


def test_poor_repeats_hold_the_noise():
    residual, star, error, x = drawn(7, 30)
    update = settled(
        residual,
        star,
        error,
        x,
        start=TRUTH,
        rounds=1,
        settings=NoiseSettings(min_repeats=5, max_relative_error=0.1),
    )
    (reason,) = update.held
    assert reason.startswith("photometric scale and floor held at 1.3 and 6 mmag: repeats give")
    assert (update.model.scale, update.model.floor_mag) == (1.3, 0.006)


def test_few_stars_hold_the_scatter():
    residual, star, error, x = drawn(7, 20)
    update = settled(residual, star, error, x, start=TRUTH, rounds=1)
    np.testing.assert_array_equal(update.model.scatter, TRUTH.scatter)
    assert update.held[0] == ("scatter of the stars held: 20 clean stars, of which 30 are needed")
    assert update.change == 0.0


def test_a_covariate_that_does_not_vary_stays_0():
    residual, star, error, x = drawn(10, 3_000, NoiseModel(1.0, 0.005, np.array([-3.0])))
    update = settled(residual, star, error, np.column_stack([x, np.zeros(len(x))]))
    assert update.model.scatter[1] == pytest.approx(0.0, abs=1e-12)
    # All that is known of it is the weak prior.
    assert update.errors[3] == pytest.approx(NoiseSettings().slope_prior_sd)


def test_stars_without_scatter_of_their_own_do_no_harm():
    truth = NoiseModel(1.0, 0.005, np.array([np.log(1e-6)]))
    update = settled(*drawn(11, 5_000, truth))
    assert np.exp(update.model.scatter[0]) < 0.001
    assert np.all(np.abs(values(update.model)[:2] - [1.0, 0.005]) < 3 * update.errors[:2])


# --- covariates ----------------------------------------------------------------------------


def test_covariates_are_bounded_powers():
    rng = np.random.default_rng(1)
    mag = rng.normal(17, 1, 1_001)
    mag[:3] = [np.nan, 1e9, -1e9]
    x = covariates({"mag": mag, "flat": np.full(1_001, 2.0)}, 2)
    assert x.shape == (1_001, 5)
    np.testing.assert_array_equal(x[:, 0], 1.0)
    np.testing.assert_array_equal(x[:3, 1], [0.0, 3.0, -3.0])
    np.testing.assert_array_equal(x[:, 2], x[:, 1] ** 2)
    np.testing.assert_array_equal(x[:, 3:], 0.0)
    assert np.median(x[1:, 1]) == pytest.approx(0.0, abs=1e-12)


def test_a_frozen_standardisation_gives_a_star_the_same_again():
    rng = np.random.default_rng(2)
    columns = {"mag": rng.normal(17, 1, 500), "e": rng.exponential(0.5, 500)}
    scale = CovariateScale.of(columns, 2)
    part = {name: values[:7] for name, values in columns.items()}
    np.testing.assert_array_equal(scale.covariates(part), scale.covariates(columns)[:7])


def test_no_properties_leave_the_constant():
    assert covariates({"mag": np.ones(4)}, 0).tolist() == [[1.0]] * 4


# --- start ---------------------------------------------------------------------------------


def test_start_is_near_the_truth_in_spite_of_outliers():
    residual, star, error, x = drawn(12, 20_000)
    rng = np.random.default_rng(13)
    hit = rng.random(len(star)) < 0.05
    residual[hit] += rng.uniform(-1, 1, hit.sum())
    start = initial_noise(residual, star, error, x.shape)
    # Up to four detections share an outlier, so 10 per cent of the deviations are off: a
    # median absolute deviation then is off by a quarter at most, a variance by half.
    ratio = start.variance(error) / TRUTH.variance(error)
    assert 0.6 < np.median(ratio) < 1.7
    assert 0.75 < np.exp(start.scatter[0]) / 0.065 < 1.25


def test_start_of_clean_normal_data():
    rng = np.random.default_rng(14)
    star = np.repeat(np.arange(20_000), 2)
    residual = rng.normal(0, 0.06, 20_000)[star] + rng.normal(0, 0.02, 40_000)
    start = initial_noise(residual, star, np.full(40_000, 0.02), (20_000, 1))
    # A median absolute deviation of N normal values has a relative error of 1.17 / sqrt(N); what
    # equal errors leave undecided between scale and floor hardly matters to the scatter.
    assert np.exp(start.scatter[0]) == pytest.approx(0.06, rel=3 * 1.17 / np.sqrt(20_000))
