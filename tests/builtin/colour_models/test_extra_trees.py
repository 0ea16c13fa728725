"""Extremely randomised trees: what differs from the random forest, whose code they share."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.tree import ExtraTreeRegressor

from scrframe.builtin.colour_models.extra_trees import ExtraTreesConfig, fit
from scrframe.errors import CalibrationError

NOISE_MAG = 0.05
QUICK = ExtraTreesConfig(trees=30)


def surface(features: np.ndarray) -> np.ndarray:
    """A smooth colour of two of the features."""
    return np.sin(2 * features[:, 0]) + 0.5 * features[:, 1] ** 2


def stars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 12)).astype(np.float32)
    return features, surface(features) + rng.normal(0, NOISE_MAG, n)


@pytest.fixture(scope="module")
def trained():
    features, colour = stars(2000, 1)
    return features, colour, fit(features, colour, None, QUICK, seed=7, threads=2)


def test_recovers_a_smooth_function_within_the_noise():
    config = ExtraTreesConfig(trees=50, max_features=1.0)
    forest = fit(*stars(5000, 1), None, config, seed=1, threads=2)
    features, _ = stars(2000, 2)
    error = forest.predict(features).colour_mag - surface(features)
    assert np.std(error) < NOISE_MAG
    assert abs(np.mean(error)) < NOISE_MAG / 10


def test_thresholds_are_random_and_features_are_not_rounded(trained):
    _, _, forest = trained
    assert all(isinstance(tree.splits, ExtraTreeRegressor) for tree in forest.trees)
    assert forest.grid is None
    rounded = fit(*stars(300, 3), None, QUICK.model_copy(update={"steps": 32}), 1, 1)
    assert rounded.grid is not None


def test_same_bits_for_any_number_of_threads_and_after_pickling():
    features, colour = stars(700, 4)
    query, _ = stars(20_001, 5)
    config = QUICK.model_copy(update={"errors": True})
    one, two = (fit(features, colour, None, config, 5, threads) for threads in (1, 2))
    again = pickle.loads(pickle.dumps(two))
    for model in (two, again):
        for name in ("colour_mag", "err_mag"):
            first, second = (getattr(each.predict(query), name) for each in (one, model))
            assert first.tobytes() == second.tobytes()
        smooth = model.smoother(query).held_out(colour)
        assert smooth.tobytes() == one.smoother(query).held_out(colour).tobytes()
    other = fit(features, colour, None, config, 6, 2)
    assert not np.array_equal(other.predict(query).colour_mag, one.predict(query).colour_mag)


def test_smoother_agrees_with_the_forest(trained):
    _, colour, forest = trained
    query, _ = stars(900, 6)
    smoother = forest.smoother(query)
    assert np.abs(smoother.predict(colour) - forest.predict(query).colour_mag).max() < 1e-12
    assert np.abs(smoother.predict(np.full(2000, 1.25)) - 1.25).max() < 1e-12


def test_held_out_uses_no_star_s_own_colour(trained):
    features, colour, forest = trained
    smoother = forest.smoother(features[:1])
    before = smoother.held_out(colour)
    for row in (0, 17, 1999):
        moved = colour.copy()
        moved[row] += 10
        after = smoother.held_out(moved)
        assert after[row] == before[row]
        assert not np.array_equal(after, before)


def test_bad_input_gets_one_clear_line(trained):
    features, colour, forest = trained
    with pytest.raises(CalibrationError, match="forest of extra trees was trained on 12 features"):
        forest.predict(features[:, :5])
    with pytest.raises(
        CalibrationError, match="forest of extra trees was trained on colours of shape"
    ):
        forest.smoother(features[:1]).predict(colour[:-1])
    broken = features[:50].copy()
    broken[3, 2] = np.nan
    with pytest.raises(CalibrationError, match="1 of 50 stars"):
        fit(broken, colour[:50], None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match=r"only 4 stars .* at least 10"):
        fit(features[:4], colour[:4], None, QUICK, 1, 1)
    with pytest.raises(ValidationError):
        ExtraTreesConfig(trees=5)
