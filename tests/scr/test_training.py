"""Splits by star, and predictions of training stars that have not seen themselves."""

from dataclasses import dataclass

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.scr.training import ColourPredictor, plan_training, score


@dataclass
class Answer:
    colour_mag: np.ndarray


class Nearest:
    """Predicts the colour of the nearest training row: a model that remembers perfectly."""

    def __init__(self, features, colour):
        self.features, self.colour = features, colour

    def predict(self, features):
        nearest = np.abs(features[:, :1] - self.features[:, 0]).argmin(axis=1)
        return Answer(self.colour[nearest])

    def smoother(self, features):
        return None


class Mean:
    """The mean of the training colours, as a model linear in them."""

    grown = 0

    def __init__(self, features, colour):
        Mean.grown += 1
        self.colour = colour

    def predict(self, features):
        return Answer(np.full(len(features), self.colour.mean()))

    def smoother(self, features):
        rows = len(features)

        class Linear:
            def predict(self, colour):
                return np.full(rows, colour.mean())

            def held_out(self, colour):
                return (colour.sum() - colour) / (len(colour) - 1)

        return Linear()


def plan(n=400, **changes):
    settings = {"test_fraction": 0.25, "folds": 5, "cross_fit": True, "seed": 1, **changes}
    return plan_training(np.arange(100, 100 + n), **settings)


def test_the_split_is_a_partition_of_the_control_stars():
    split = plan()
    assert len(split.test) == 100
    together = np.sort(np.concatenate([split.train, split.test]))
    np.testing.assert_array_equal(together, np.arange(100, 500))
    assert np.bincount(split.fold).tolist() == [60] * 5


def test_the_split_follows_the_seed():
    np.testing.assert_array_equal(plan(seed=3).test, plan(seed=3).test)
    assert not np.array_equal(plan(seed=3).test, plan(seed=4).test)


def test_too_few_control_stars():
    with pytest.raises(CalibrationError, match="Control Sample has 60 stars"):
        plan(60)


def test_training_stars_do_not_remember_themselves():
    rng = np.random.default_rng(1)
    features = rng.uniform(size=(500, 1)).astype(np.float32)
    noise = rng.normal(size=500)
    split = plan()
    remembered = ColourPredictor(features, plan(cross_fit=False), Nearest)
    crossed = ColourPredictor(features, split, Nearest)
    np.testing.assert_array_equal(
        remembered.predict(noise, "grow")[split.train], noise[split.train]
    )
    seen = crossed.predict(noise, "grow")[split.train]
    # Pure noise: 300 independent pairs correlate by 1 / sqrt(300); four of these.
    assert abs(np.corrcoef(seen, noise[split.train])[0, 1]) < 4 / np.sqrt(300)


def test_a_linear_model_is_grown_once_and_estimated_anew():
    features = np.zeros((500, 1), dtype=np.float32)
    split = plan()
    Mean.grown = 0
    predictor = ColourPredictor(features, split, Mean)
    first = predictor.predict(np.zeros(500), "grow")
    second = predictor.predict(np.ones(500), "hold")
    assert Mean.grown == 1
    assert first.tolist() == [0.0] * 500
    np.testing.assert_allclose(second, 1.0)


def test_score_is_that_of_scikit_learn():
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(2)
    observed = rng.normal(size=200)
    predicted = observed + rng.normal(0, 0.3, 200)
    result = score(predicted, observed)
    assert result.r2 == pytest.approx(r2_score(observed, predicted), rel=1e-12)
    assert result.dispersion_mag == pytest.approx(np.std(predicted - observed), rel=1e-12)
