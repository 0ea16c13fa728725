"""The Gaussian process: a dense solution, accuracy, errors, the identities of its smoother."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics.pairwise import rbf_kernel

from scrframe.builtin.colour_models.gaussian_process import LINEAR_SCALE, GaussianProcessConfig, fit
from scrframe.errors import CalibrationError

NOISE_MAG = 0.05
QUICK = GaussianProcessConfig(components=4, inducing=60, length_scales=(2.0,))


def surface(features: np.ndarray) -> np.ndarray:
    """A smooth colour of two of the features."""
    return np.sin(2 * features[:, 0]) + 0.5 * features[:, 1] ** 2


def stars(n: int, seed: int, noise: float = NOISE_MAG) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 4)).astype(np.float32)
    return features, surface(features) + rng.normal(0, noise, n)


def dense(
    features: np.ndarray, colour: np.ndarray, query: np.ndarray, scale: float, penalty: float
) -> np.ndarray:
    """Solve the whole Gaussian process with a free constant as one linear system."""
    mean, deviation = features.mean(axis=0, dtype=float), features.std(axis=0, dtype=float)
    plain, at = (features - mean) / deviation, (query - mean) / deviation
    whiten = np.linalg.cholesky(np.linalg.inv(plain.T @ plain / len(plain)))
    gamma = 0.5 / scale**2

    def covariance(rows):
        near = rbf_kernel(rows @ whiten, plain @ whiten, gamma=gamma)
        return near + LINEAR_SCALE**2 * rows @ plain.T

    n = len(colour)
    system = np.block(
        [[covariance(plain) + penalty * np.eye(n), np.ones((n, 1))], [np.ones((1, n)), 0.0]]
    )
    solution = np.linalg.solve(system, np.r_[colour, 0.0])
    return covariance(at) @ solution[:n] + solution[n]


def test_with_all_stars_it_is_the_whole_process():
    features, colour = stars(150, 1)
    query, _ = stars(80, 2)
    config = QUICK.model_copy(update={"inducing": 150})
    model = fit(features, colour, None, config, 1, 1)
    expected = dense(features, colour, query, 2.0, model.chosen["penalty"])
    # Combinations of kernel functions below 1e-10 of the largest are left out.
    assert np.abs(model.predict(query).colour_mag - expected).max() < 1e-4


def test_recovers_a_smooth_function_far_below_the_noise():
    model = fit(*stars(5000, 3), None, GaussianProcessConfig(components=4), 1, 2)
    features, _ = stars(2000, 4)
    error = model.predict(features).colour_mag - surface(features)
    assert np.std(error) < NOISE_MAG / 4
    assert abs(np.mean(error)) < NOISE_MAG / 20


def test_takes_the_length_that_predicts_best():
    features, colour = stars(1000, 5)
    config = QUICK.model_copy(update={"length_scales": (0.02, 2.0, 500.0)})
    assert fit(features, colour, None, config, 1, 1).chosen["length_scale"] == 2.0


def test_far_from_all_stars_the_linear_part_is_left():
    rng = np.random.default_rng(6)
    features = rng.uniform(-1, 1, (2000, 3)).astype(np.float32)
    colour = 0.3 * features[:, 0] + rng.normal(0, 0.01, 2000)
    config = QUICK.model_copy(update={"components": 3})
    far = np.array([[8, 0, 0], [-8, 0, 0]], dtype=np.float32)
    found = fit(features, colour, None, config, 1, 1).predict(far).colour_mag
    assert found == pytest.approx([2.4, -2.4], abs=0.2)


def test_errors_cover_new_observations():
    config = QUICK.model_copy(update={"errors": True})
    model = fit(*stars(1500, 7), None, config, 1, 1)
    features, colour = stars(4000, 8)
    found = model.predict(features)
    pull = (found.colour_mag - colour) / found.err_mag
    # 4000 pulls: the sd is known to 1.1 per cent, the fraction to 0.7 per cent.
    assert np.std(pull) == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(pull) < 1) == pytest.approx(0.683, abs=0.03)
    far = np.full((1, 4), 3, dtype=np.float32)
    assert model.predict(far).err_mag[0] > 3 * np.median(found.err_mag)
    assert fit(*stars(200, 7), None, QUICK, 1, 1).predict(features).err_mag is None


def test_held_out_is_a_refit_without_the_star():
    """A star of weight nought keeps its place among the functions, but teaches nothing."""
    features, colour = stars(80, 9)
    config = QUICK.model_copy(update={"inducing": 80})
    model = fit(features, colour, None, config, 1, 1)
    held_out = model.smoother(features[:1]).held_out(colour)
    values = model.functions(features)
    mix = model.functions.mix()
    for row in (0, 41, 79):
        rest = np.arange(80) != row
        offset = values[rest].mean(axis=0)
        design = (values - offset) @ mix
        normal = design[rest].T @ design[rest] + model.chosen["penalty"] * np.eye(mix.shape[1])
        mean = colour[rest].mean()
        coefficients = np.linalg.solve(normal, design[rest].T @ (colour[rest] - mean))
        assert held_out[row] == pytest.approx(design[row] @ coefficients + mean, abs=1e-6)


def test_smoother_is_the_model_and_linear():
    features, colour = stars(300, 10)
    query, _ = stars(5000, 11)
    model = fit(features, colour, None, QUICK, 1, 2)
    smoother = model.smoother(query)
    assert np.array_equal(smoother.predict(colour), model.predict(query).colour_mag)
    other = np.random.default_rng(12).normal(size=300)
    mixed = smoother.predict(2 * colour - 3 * other)
    parts = 2 * smoother.predict(colour) - 3 * smoother.predict(other)
    assert np.abs(mixed - parts).max() < 1e-8
    assert np.abs(smoother.predict(np.full(300, 1.25)) - 1.25).max() < 1e-12


def test_same_bits_for_any_number_of_threads_and_after_pickling():
    features, colour = stars(700, 13)
    query, _ = stars(10_001, 14)
    config = QUICK.model_copy(update={"errors": True})
    one, two = (fit(features, colour, None, config, 5, threads) for threads in (1, 2))
    again = pickle.loads(pickle.dumps(two))
    for model in (two, again):
        for name in ("colour_mag", "err_mag"):
            first, second = (getattr(each.predict(query), name) for each in (one, model))
            assert first.tobytes() == second.tobytes()
        smooth = model.smoother(query).held_out(colour)
        assert smooth.tobytes() == one.smoother(query).held_out(colour).tobytes()
    other = fit(features, colour, None, config, 6, 1)
    assert not np.array_equal(other.predict(query).colour_mag, one.predict(query).colour_mag)


def test_weights_count():
    features, colour = stars(600, 15)
    both, shifted = np.r_[features, features], np.r_[colour, colour + 1]
    query, _ = stars(100, 16)
    plain = fit(features, colour, None, QUICK, 1, 1).predict(query).colour_mag
    absent = fit(both, shifted, np.r_[np.ones(600), np.zeros(600)], QUICK, 1, 1)
    assert np.abs(absent.predict(query).colour_mag - plain).max() < 1e-6
    heavy = fit(both, shifted, np.r_[np.ones(600), np.full(600, 9)], QUICK, 1, 1)
    assert np.mean(heavy.predict(query).colour_mag - plain) == pytest.approx(0.9, abs=0.02)


def test_bad_input_gets_one_clear_line():
    features, colour = stars(100, 17)
    model = fit(features, colour, None, QUICK, 1, 1)
    broken = features.copy()
    broken[3, 2] = np.nan
    for call in (model.predict, model.smoother):
        with pytest.raises(CalibrationError, match="Gaussian process was trained on 4 features"):
            call(features[:, :3])
        with pytest.raises(CalibrationError, match="1 of 100 stars have features that are not"):
            call(broken)
    with pytest.raises(CalibrationError, match="1 of 100 stars"):
        fit(broken, colour, None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match=r"only 9 stars .* at least 10"):
        fit(features[:9], colour[:9], None, QUICK, 1, 1)
    for wrong in ({"components": 0}, {"inducing": 5}, {"length_scales": (-1.0,)}):
        with pytest.raises(ValidationError):
            GaussianProcessConfig(**wrong)


@pytest.mark.parametrize("setting", [{"components": 2}, {"inducing": 30}, {"length_scales": (5,)}])
def test_every_setting_changes_the_model(setting):
    features, colour = stars(300, 18)
    plain, other = (
        fit(features, colour, None, QUICK.model_copy(update=update), 1, 1).predict(features)
        for update in ({}, setting)
    )
    assert not np.array_equal(plain.colour_mag, other.colour_mag)
