"""Splits by star, and predictions of training stars that have not seen themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.scr.training import ColourPredictor, Trend, TrendSettings, plan_training, score


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


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8))).astype(np.float32)
    return features, features @ rng.normal(size=8) + 0.7 + rng.normal(0, 0.1, 200)


def test_the_trend_is_a_ridge_regression(data):
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    features, colour = data
    scaler = StandardScaler().fit(features[:150].astype(float))
    reference = Ridge(alpha=0.5).fit(scaler.transform(features[:150].astype(float)), colour[:150])
    trend = Trend.on(features[:150], TrendSettings("linear", 0.5))
    expected = reference.predict(scaler.transform(features.astype(float)))
    np.testing.assert_allclose(trend.predict(features, colour[:150]), expected, atol=1e-9)


def test_held_out_predictions_are_those_without_the_row(data):
    features, colour = data
    trend = Trend.on(features, TrendSettings("linear", 1e-9))
    held = trend.held_out(trend.predict(features, colour), colour)
    for row in (0, 17, 199):
        rest = np.delete(np.arange(200), row)
        alone = Trend.on(features[rest], TrendSettings("linear", 1e-9))
        expected = alone.predict(features[row : row + 1], colour[rest])[0]
        assert held[row] == pytest.approx(expected, abs=1e-6)


def test_features_that_sum_to_zero_are_no_problem():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 10))
    features = (features - features.mean(axis=1, keepdims=True)).astype(np.float32)
    colour = features @ np.arange(10.0)
    trend = Trend.on(features, TrendSettings("linear", 1e-3))
    np.testing.assert_allclose(trend.predict(features, colour), colour, atol=1e-3)


def test_a_quadratic_function_of_the_leading_components_is_recovered():
    rng = np.random.default_rng(4)
    hidden = rng.normal(size=(500, 3))
    features = (hidden @ rng.normal(size=(3, 12))).astype(np.float32)
    colour = hidden[:, 0] ** 2 - hidden[:, 0] * hidden[:, 2] + hidden[:, 1]
    quadratic = Trend.on(features, TrendSettings("quadratic", 1e-6, 3))
    # Float32 features carry the function to some 1e-6.
    np.testing.assert_allclose(quadratic.predict(features, colour), colour, atol=1e-4)
    linear = Trend.on(features, TrendSettings("linear", 1e-6))
    assert np.std(linear.predict(features, colour) - colour) > 0.5


def test_products_do_not_run_away_beyond_the_training_stars():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    colour = features[:, 0].astype(float) ** 2
    trend = Trend.on(features, TrendSettings("quadratic", 1e-6, 4))
    far = np.array([[100.0, 0, 0, 0]], dtype=np.float32)
    # The square itself would be 10,000; four components at 3.3 sd together make about 44.
    assert abs(trend.predict(far, colour)[0]) < 60


class Constant:
    """A model that knows only the mean of its training colours."""

    def __init__(self, features, colour):
        self.mean = colour.mean()

    def predict(self, features):
        class Answer:
            colour_mag = np.full(len(features), self.mean)

        return Answer()

    def smoother(self, features):
        return None


def test_a_model_on_top_of_a_trend_extends_beyond_the_training_range():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(600, 4)).astype(np.float32)
    features[500:] += 5
    colour = features @ np.array([0.3, -0.1, 0.2, 0.0]) + 1.0
    plan = plan_training(np.arange(500), 0.25, 5, True, 1)
    plain = ColourPredictor(features, plan, Constant).predict(colour, "grow")
    trended = ColourPredictor(features, plan, Constant, TrendSettings("linear", 1e-6)).predict(
        colour, "grow"
    )
    assert np.abs(plain - colour)[500:].min() > 1
    np.testing.assert_allclose(trended, colour, atol=1e-5)
