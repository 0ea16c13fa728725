"""Each way to cheat is named, and honest models pass."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from scrframe.analysis.compare.behaviour import (
    check_held_out,
    check_memory,
    check_output,
    check_repeatable,
    check_skill,
)


def stars(count=600, seed=1):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, 8)).astype(np.float32)
    colour = features[:, 0] + 0.3 * features[:, 1] ** 2 + rng.normal(0, 0.1, count)
    return features, colour.astype(np.float64)


class Ridge:
    """Ridge regression, with an exact leave-one-out smoother or one that cheats."""

    def __init__(self, features, colour, cheats=False):
        self.cheats, self.train = cheats, self.rows(features)
        normal = self.train.T @ self.train + np.eye(self.train.shape[1])
        self.projector = np.linalg.solve(normal, self.train.T)
        self.coefficients = self.projector @ colour

    @staticmethod
    def rows(features):
        return np.column_stack([np.ones(len(features)), np.asarray(features, np.float64)])

    def predict(self, features):
        return self.rows(features) @ self.coefficients

    def smoother(self, features):
        return SimpleNamespace(held_out=self.held_out)

    def held_out(self, colour):
        fitted = self.train @ (self.projector @ colour)
        if self.cheats:
            return fitted
        leverage = np.einsum("tb,bt->t", self.train, self.projector)
        return colour - (colour - fitted) / (1 - leverage)


class Bagged:
    """A forest by sklearn: not linear, no smoother, or out-of-bag means by its leaves."""

    def __init__(self, features, colour, seed=1):
        self.forest = RandomForestRegressor(20, random_state=seed, n_jobs=1).fit(features, colour)

    def predict(self, features):
        return self.forest.predict(features)

    def smoother(self, features):
        return None


class Leaves:
    """Means of the leaves of trees, over all training rows or those not in the row itself."""

    def __init__(self, features, colour, held_out):
        self.model = Bagged(features, colour)
        self.leaves = self.model.forest.apply(features)
        self.without_own = held_out

    def smoother(self, features):
        return self

    def held_out(self, colour):
        total = np.zeros(len(colour))
        for tree in self.leaves.T:
            _, leaf = np.unique(tree, return_inverse=True)
            sums, counts = np.bincount(leaf, colour)[leaf], np.bincount(leaf)[leaf].astype(float)
            if self.without_own:
                sums, counts = sums - colour, counts - 1
            total += np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)
        return total / self.leaves.shape[1]


def remembering(fit, share=1.0, overwrite=True):
    """Return a fit that keeps labels by features over trainings and leaks a share of them."""
    cache = {}

    def remember(features, colour):
        model = fit(features, colour)
        for row, label in zip(features, colour, strict=True):
            if overwrite or row.tobytes() not in cache:
                cache[row.tobytes()] = label

        def predict(rows):
            own = model.predict(rows)
            known = np.array([cache.get(row.tobytes(), np.nan) for row in rows])
            return np.where(np.isnan(known), own, (1 - share) * own + share * known)

        return SimpleNamespace(predict=predict, smoother=lambda rows: None)

    return remember


@pytest.mark.parametrize("fit", [Ridge, Bagged])
def test_an_honest_backend_passes_every_check(fit):
    features, colour = stars()
    model = fit(features, colour)
    rows = stars(200, seed=2)
    assert check_output(model.predict(rows[0]), 200) is None
    assert check_memory(fit, features, colour, seed=1) is None
    assert check_held_out(model, features, colour, seed=1) is None
    assert check_repeatable(fit, features, colour) is None
    assert check_skill(model.predict(rows[0]) - rows[1], rows[1]) is None


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_the_canary_catches_a_memory_over_trainings(share):
    features, colour = stars()
    fault = check_memory(remembering(Ridge, share), features, colour, seed=1)
    assert fault is not None
    assert fault.startswith("remembers rows")


def test_the_canary_catches_a_memory_of_first_labels_that_already_knows_the_stars():
    features, colour = stars()
    fit = remembering(Ridge, overwrite=False)
    fit(features, colour)
    assert check_memory(fit, features, colour, seed=1) is not None


def test_the_canary_rarely_accuses_the_honest():
    # Above 3 sigma one in 741; of 200 seeds at 5 sigma none.
    features, colour = stars(120)
    assert all(check_memory(Ridge, features, colour, seed) is None for seed in range(200))


def test_the_canary_names_a_model_that_fails_on_it():
    class Broken(Ridge):
        def predict(self, features):
            return np.full(len(features), np.nan)

    assert "not finite" in check_memory(Broken, *stars(), seed=1)


def test_the_labels_and_features_given_are_left_alone():
    features, colour = stars()
    copies = features.copy(), colour.copy()
    check_memory(Ridge, features, colour, seed=1)
    check_held_out(Ridge(features, colour), features, colour, seed=1)
    assert np.array_equal(features, copies[0])
    assert np.array_equal(colour, copies[1])


def test_held_out_predictions_that_know_their_own_label_are_named():
    features, colour = stars()
    cheat = Ridge(features, colour, cheats=True)
    assert "own labels" in check_held_out(cheat, features, colour, seed=1)
    cheat = Leaves(features, colour, held_out=False)
    assert "own labels" in check_held_out(cheat, features, colour, seed=1)


def test_held_out_predictions_that_do_not_are_cleared():
    features, colour = stars()
    for model in (Ridge(features, colour), Leaves(features, colour, held_out=True)):
        assert all(check_held_out(model, features, colour, seed) is None for seed in range(10))


def test_the_mean_of_all_others_is_cleared():
    # The smoother of lowest rank there is: its response is a single number.
    colour = stars()[1]
    others = SimpleNamespace(held_out=lambda y: (y.sum() - y) / (len(y) - 1) + 1e-9 * y.argsort())
    model = SimpleNamespace(smoother=lambda rows: others)
    assert all(check_held_out(model, None, colour, seed) is None for seed in range(100))


def test_held_out_predictions_of_a_wrong_shape_or_not_finite_are_named():
    features, colour = stars()
    for wrong in (lambda y: y[:-1], lambda y: y * np.nan):
        smoother = SimpleNamespace(held_out=wrong)
        model = SimpleNamespace(smoother=lambda rows, one=smoother: one)
        assert "training stars held out" in check_held_out(model, features, colour, seed=1)


@pytest.mark.parametrize(
    ("predicted", "words"),
    [
        (np.zeros((5, 1)), "shape"),
        (np.zeros(4), "shape"),
        (None, "no numbers"),
        (np.array(list("abcde")), "no numbers"),
        (np.array([1, 2, np.nan, np.inf, 3]), "2 of 5"),
        (np.full(5, 0.3), "same value"),
    ],
)
def test_output_that_is_no_prediction_is_named(predicted, words):
    assert words in check_output(predicted, 5)


def test_a_backend_that_does_not_repeat_itself_is_named():
    features, colour = stars()
    draws = iter(range(10))
    assert "repeat" in check_repeatable(
        lambda x, y: Bagged(x, y, seed=next(draws)), features, colour
    )
    lengths = iter([3, 4])
    shrinking = SimpleNamespace(predict=lambda rows: np.ones(next(lengths)))
    assert "other shapes" in check_repeatable(lambda x, y: shrinking, features, colour)


def test_no_skill_is_named():
    _, colour = stars()
    rng = np.random.default_rng(1)
    assert check_skill(rng.permutation(colour) - colour, colour) is not None
    assert check_skill(np.full_like(colour, colour.mean()) - colour, colour) is not None
    assert check_skill(0.9 * (colour.mean() - colour), colour) is None
