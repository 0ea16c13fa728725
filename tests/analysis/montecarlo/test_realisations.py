"""Realisations of the input against what propagation of errors says."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.analysis.montecarlo.realisations import (
    InputErrors,
    TrainedColours,
    draw,
    label_errors,
    star_errors,
    summarise_errors,
)
from scrframe.errors import CalibrationError
from scrframe.scr.training import TrainingPlan, TrendSettings

NO_TREND = TrendSettings("none")


class Plane:
    """Least squares: predictions are linear in features and in training colours."""

    def __init__(self, features, colour):
        self.solution = np.linalg.lstsq(np.asarray(features, dtype=float), colour)[0]

    def predict(self, features):
        return type("Prediction", (), {"colour_mag": features @ self.solution})

    def smoother(self, features):
        return None


def errors(stars, label=0.0, reference=0.0, extinction=0.0, noise=0.0):
    return InputErrors(*(np.full(stars, each) for each in (label, reference, extinction, noise)))


def plan(train, folds=4, cross_fit=True):
    rows = np.asarray(train)
    return TrainingPlan(rows, np.zeros(0, dtype=np.int64), np.arange(len(rows)) % folds, cross_fit)


class TestDraw:
    flux = np.linspace(1, 3, 2000 * 5).reshape(2000, 5).astype(np.float32)

    def test_no_errors_change_nothing(self):
        found = draw(self.flux, errors(2000), 1, 0)
        assert np.array_equal(found.flux, self.flux)
        for values in (found.label_mag, found.reference_mag, found.extinction):
            assert not values.any()

    def test_errors_have_the_size_asked_for(self):
        found = draw(self.flux, errors(2000, 0.02, 0.003, 0.014, 0.01), 1, 0)
        for values, size in (
            (found.label_mag, 0.02),
            (found.reference_mag, 0.003),
            (found.extinction, 0.014),
            ((found.flux / self.flux - 1).ravel(), 0.01),
        ):
            # Five standard errors of a standard deviation, and of a mean.
            assert abs(values.std() / size - 1) < 5 / np.sqrt(2 * len(values))
            assert abs(values.mean()) < 5 * size / np.sqrt(len(values))

    def test_a_realisation_follows_from_its_number_alone(self):
        made = errors(2000, 0.02, 0.003, 0.014, 0.01)
        one, again, other = (draw(self.flux, made, 1, number) for number in (3, 3, 4))
        assert np.array_equal(one.flux, again.flux)
        assert np.array_equal(one.extinction, again.extinction)
        assert not np.any(one.extinction == other.extinction)

    def test_sets_of_errors_share_their_draws(self):
        small, large = (
            draw(self.flux, errors(2000, size, size, size, size), 1, 0) for size in (0.01, 0.03)
        )
        assert np.allclose(3 * small.reference_mag, large.reference_mag, rtol=1e-12)


def test_error_of_a_weighted_mean():
    weight, sigma = np.array([1.0, 3.0, 2.0]), np.array([0.1, 0.2, 0.4])
    found = label_errors(sigma, weight, np.array([0, 0, 2]), 4)
    expected = np.sqrt(0.1**2 + (3 * 0.2) ** 2) / 4
    assert found == pytest.approx([expected, 0, 0.4, 0], rel=1e-12)


class TestTrainedColours:
    random = np.random.default_rng(5)
    features = random.normal(size=(60, 3)).astype(np.float32)
    labels = features @ np.array([0.3, -0.2, 0.1]) + random.normal(0, 0.05, 60)

    @pytest.mark.parametrize("trend", [NO_TREND, TrendSettings("linear", 1e-3)])
    def test_training_stars_are_predicted_by_models_without_them(self, trend):
        made = plan(range(40))
        trained = TrainedColours(self.features, self.labels, made, Plane, trend)
        before = trained.predict(self.features)
        moved = self.labels.copy()
        moved[made.train[made.fold == 1]] += 7.0
        after = TrainedColours(self.features, moved, made, Plane, trend).predict(self.features)
        same = np.isclose(before, after, rtol=0, atol=1e-9)
        # Only stars of the fold that moved are blind to it.
        assert np.array_equal(np.flatnonzero(same), made.train[made.fold == 1])

    def test_of_a_linear_model_predictions_are_the_least_squares_ones(self):
        made = plan(range(40), cross_fit=False)
        found = TrainedColours(self.features, self.labels, made, Plane, NO_TREND)
        rows = self.features.astype(float)
        expected = rows @ np.linalg.lstsq(rows[:40], self.labels[:40])[0]
        assert np.allclose(found.predict(self.features), expected, rtol=0, atol=1e-9)

    def test_colours_that_are_not_finite_are_refused(self):
        features = self.features.copy()
        made = plan(range(40))
        trained = TrainedColours(features, self.labels, made, Plane, NO_TREND)
        features[50] = np.nan
        with pytest.raises(CalibrationError, match="no finite colour for 1 stars"):
            trained.predict(features)


class TestSummary:
    def test_scatter_of_normal_changes(self):
        sigma = np.linspace(0.01, 0.03, 4000)
        change = np.random.default_rng(2).normal(0, 1, (10, 4000)) * sigma
        error = star_errors(change)
        # The mean variance over stars is unbiased, with 9 degrees of freedom each.
        assert np.mean(error**2 / sigma**2) == pytest.approx(1, abs=5 * np.sqrt(2 / 9 / 4000))
        found = summarise_errors(change, error)
        assert found.sd_mag == pytest.approx(np.sqrt(np.mean(sigma**2)), rel=0.03)
        assert found.percentile_90_mag == np.percentile(error, 90)
        assert found.median_mag == np.median(error)

    def test_no_changes(self):
        found = summarise_errors(np.zeros((3, 5)), np.zeros(5))
        assert set(vars(found).values()) == {0.0}
