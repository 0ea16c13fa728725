"""The LightGBM backend: accuracy, determinism, clear errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from scrframe.builtin.colour_models.lightgbm import LightGbmConfig, fit
from scrframe.errors import CalibrationError, PluginError

NOISE_MAG = 0.05
QUICK = LightGbmConfig(num_trees=40, learning_rate=0.1)

try:
    import lightgbm  # noqa: F401
except OSError as missing:  # the OpenMP runtime is no Python package
    pytest.skip(f"LightGBM cannot be loaded: {missing}", allow_module_level=True)


def surface(features: np.ndarray) -> np.ndarray:
    """A smooth colour of two of the features."""
    return np.sin(2 * features[:, 0]) + 0.5 * features[:, 1] ** 2


def stars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 6)).astype(np.float32)
    return features, surface(features) + rng.normal(0, NOISE_MAG, n)


@pytest.fixture(scope="module")
def trained():
    features, colour = stars(2000, 1)
    return features, colour, fit(features, colour, None, QUICK, seed=7, threads=1)


def test_recovers_a_smooth_function_within_the_noise():
    config = LightGbmConfig(num_trees=150, learning_rate=0.1, feature_fraction=1.0)
    model = fit(*stars(5000, 1), None, config, seed=1, threads=1)
    features, _ = stars(2000, 2)
    error = model.predict(features).colour_mag - surface(features)
    assert np.std(error) < NOISE_MAG
    assert abs(np.mean(error)) < NOISE_MAG / 10


def test_same_bits_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr("scrframe.builtin.colour_models.lightgbm.ROWS_PER_THREAD", 1000)
    # Above 1,024 rows LightGBM splits its sums among threads unless told not to.
    features, colour = stars(5000, 3)
    weights = np.random.default_rng(4).uniform(0.5, 2, 5000)
    query, _ = stars(20_001, 5)
    few = QUICK.model_copy(update={"num_trees": 15})  # two threads on a busy machine are slow
    one, two = (fit(features, colour, weights, few, 5, threads) for threads in (1, 2))
    used = [model.booster.params["num_threads"] for model in (one, two)]
    assert used == [1, 2]
    assert one.predict(query).colour_mag.tobytes() == two.predict(query).colour_mag.tobytes()
    other = fit(features, colour, weights, few, 6, 1)
    assert not np.array_equal(other.predict(query).colour_mag, one.predict(query).colour_mag)


def test_a_row_does_not_depend_on_its_neighbours(trained):
    _, _, model = trained
    query, _ = stars(500, 8)
    colour = model.predict(query).colour_mag
    order = np.random.default_rng(9).permutation(len(query))
    assert np.array_equal(model.predict(query[order]).colour_mag, colour[order])
    assert model.predict(query[:0]).colour_mag.shape == (0,)


def test_is_no_linear_smoother(trained):
    features, _, model = trained
    assert model.smoother(features) is None
    assert model.predict(features).err_mag is None


def test_weights_count():
    features, colour = stars(600, 20)
    both, shifted = np.r_[features, features], np.r_[colour, colour + 1]
    query, _ = stars(100, 21)
    plain = fit(features, colour, None, QUICK, 1, 1).predict(query).colour_mag
    absent = fit(both, shifted, np.r_[np.ones(600), np.zeros(600)], QUICK, 1, 1)
    assert np.array_equal(absent.predict(query).colour_mag, plain)
    # Both kinds lie at the same places and no star is left out, so each leaf holds both.
    whole = QUICK.model_copy(update={"bagging_fraction": 1.0})
    ones, nines = np.ones(600), np.full(600, 9)
    equal = fit(both, shifted, np.r_[ones, ones], whole, 1, 1).predict(query).colour_mag
    heavy = fit(both, shifted, np.r_[ones, nines], whole, 1, 1).predict(query).colour_mag
    # The mean moves from 0.5 to 0.9 at the start, before any tree.
    assert np.mean(heavy - equal) == pytest.approx(0.4, abs=0.01)


def test_pickling_keeps_predictions(trained):
    _, _, model = trained
    query, _ = stars(100, 22)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(query).colour_mag, model.predict(query).colour_mag)


def test_training_is_quiet(capfd):
    features, colour = stars(60, 23)
    fit(features, colour, None, QUICK, 1, 1).predict(features)
    assert capfd.readouterr() == ("", "")


def test_bad_input_gets_one_clear_line(trained):
    features, colour, model = trained
    with pytest.raises(CalibrationError, match="trained on 6 features"):
        model.predict(features[:, :5])
    broken = features[:50].copy()
    broken[3, 2] = np.inf
    with pytest.raises(CalibrationError, match="1 of 50 stars have features that are not"):
        model.predict(broken)
    with pytest.raises(CalibrationError, match="1 of 50 stars"):
        fit(broken, colour[:50], None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match=r"only 19 stars .* at least 20"):
        fit(features[:19], colour[:19], None, QUICK, 1, 1)
    with pytest.raises(ValidationError):
        LightGbmConfig(num_leafs=3)


def test_a_library_that_does_not_load_is_said(monkeypatch, trained):
    features, colour, _ = trained
    monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
    with pytest.raises(PluginError, match="LightGBM cannot be loaded"):
        fit(features, colour, None, QUICK, 1, 1)


@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": 0.2},
        {"num_leaves": 7},
        {"min_data_in_leaf": 80},
        {"feature_fraction": 1.0},
        {"bagging_fraction": 1.0},
        {"lambda_l2": 50.0},
        {"max_bin": 20},
    ],
)
def test_every_setting_changes_the_model(setting, trained):
    features, colour, model = trained
    other = fit(features, colour, None, QUICK.model_copy(update=setting), 7, 1)
    assert not np.array_equal(
        other.predict(features).colour_mag, model.predict(features).colour_mag
    )
