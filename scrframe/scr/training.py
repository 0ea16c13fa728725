"""Training and cross-fitting of the colour model on stars (paper, Section 3, step i)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.scr.trend import Trend, TrendSettings


class Prediction(Protocol):
    """Predicted colours."""

    @property
    def colour_mag(self) -> FloatArray:
        """Colours in mag, shape (n,)."""
        ...


class Linear(Protocol):
    """A model whose predictions of fixed rows are linear in its training colours."""

    def predict(self, colour_mag: FloatArray) -> FloatArray:
        """Predict the fixed rows from training colours."""
        ...

    def held_out(self, colour_mag: FloatArray) -> FloatArray:
        """Predict the training rows, none from its own colour."""
        ...


class Fitted(Protocol):
    """A trained model."""

    def predict(self, features: Features) -> Prediction:
        """Predict the colours of features."""
        ...

    def smoother(self, features: Features) -> Linear | None:
        """Return the model as linear in its training colours, where it is."""
        ...


#: How much of a round's work is done; see `ColourPredictor.predict`.
Effort = Literal["trend", "grow", "hold"]
#: Trains a model on features (t, m) and colours (t,).
Fit = Callable[[Features, FloatArray], Fitted]


@dataclass(frozen=True)
class TrainingPlan:
    """Which stars train, which judge, and the folds of cross-fitting; all by star.

    Attributes
    ----------
    train, test : ndarray of int64
        Rows of stars, ascending.
    fold : ndarray of int64, shape (t,)
        Fold of each training star.
    cross_fit : bool
        Whether training stars get predictions that did not see them.
    """

    train: IntArray
    test: IntArray
    fold: IntArray
    cross_fit: bool


def plan_training(
    control: IntArray, test_fraction: float, folds: int, cross_fit: bool, seed: int
) -> TrainingPlan:
    """Split the control stars at random into training and test stars, and into folds.

    Raises
    ------
    CalibrationError
        If there are too few stars to train and to test.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(control))
    tests = round(test_fraction * len(control))
    train, test = np.sort(control[order[tests:]]), np.sort(control[order[:tests]])
    if len(train) < max(10 * folds, 50) or (test_fraction > 0 and len(test) < 2):
        raise CalibrationError(
            f"the Control Sample has {len(control)} stars, too few to train a colour model;"
            " widen selection.control or loosen selection.calibration"
        )
    fold = random.permutation(np.arange(len(train)) % folds)
    return TrainingPlan(train, test, fold, cross_fit)


def nobody_trains(test: IntArray) -> TrainingPlan:
    """Return the plan where colours are known: all control stars, rows of stars, judge."""
    none = np.zeros(0, dtype=np.int64)
    return TrainingPlan(none, test, none, False)


class ColourPredictor:
    """Predicts all stars from the control stars' colours, round after round.

    Features do not change between rounds, only the training colours move a little: a
    linear model keeps its structure, once grown, and has its values estimated anew.

    Parameters
    ----------
    features : ndarray, shape (s, m)
        Features of all stars.
    plan : TrainingPlan
        Who trains.
    fit : callable
        Trains a model.
    trend : TrendSettings, optional
        The trend that is taken out first; by default none.
    """

    def __init__(
        self,
        features: Features,
        plan: TrainingPlan,
        fit: Fit,
        trend: TrendSettings | None = None,
    ) -> None:
        self._features, self._plan, self._fit = features, plan, fit
        self._linear: Linear | None = None
        self._trend: Trend | None = None
        if trend is not None and trend.shape != "none":
            self._trend = Trend.on(features[plan.train], trend)

    @property
    def has_trend(self) -> bool:
        """Whether a trend is taken out, which alone can serve for a first round."""
        return self._trend is not None

    def predict(self, colour_mag: FloatArray, effort: Effort) -> FloatArray:
        """Return colours of all stars, shape (s,).

        Parameters
        ----------
        colour_mag : ndarray, shape (s,)
            Observed intrinsic colours; only those of training stars are used.
        effort : {"trend", "grow", "hold"}
            The trend alone; or with the model, whose structure is grown anew, or stands
            where the model is linear.
        """
        train = self._plan.train
        labels = colour_mag[train]
        if self._trend is None:
            return self._model(labels, regrow=effort == "grow")
        trend = self._trend.predict(self._features, labels)
        rest = labels - trend[train]
        if self._plan.cross_fit:
            trend[train] = self._trend.held_out(trend[train], labels)
        return trend if effort == "trend" else trend + self._model(rest, regrow=effort == "grow")

    def _model(self, labels: FloatArray, *, regrow: bool) -> FloatArray:
        """Return the model's predictions of all stars from the training labels."""
        plan = self._plan
        model = None
        if regrow or self._linear is None:
            model = self._fit(self._features[plan.train], labels)
            self._linear = model.smoother(self._features)
        if self._linear is not None:
            colours = np.array(self._linear.predict(labels))
            if plan.cross_fit:
                colours[plan.train] = self._linear.held_out(labels)
            return colours
        assert model is not None
        colours = np.array(model.predict(self._features).colour_mag)
        if plan.cross_fit:
            colours[plan.train] = self._folds(labels)
        return colours

    def _folds(self, labels: FloatArray) -> FloatArray:
        features = self._features[self._plan.train]
        held_out = np.empty(len(labels))
        for number in np.unique(self._plan.fold):
            inside = self._plan.fold == number
            model = self._fit(features[~inside], labels[~inside])
            held_out[inside] = model.predict(features[inside]).colour_mag
        return held_out


@dataclass(frozen=True)
class TestScore:
    """How well the test stars are predicted (paper, Section 4 and Fig. 3)."""

    r2: float
    dispersion_mag: float
    count: int


def score(predicted_mag: FloatArray, observed_mag: FloatArray) -> TestScore:
    """Return r2 and the standard deviation of predicted less observed colours."""
    difference = predicted_mag - observed_mag
    if len(difference) < 2:
        return TestScore(float("nan"), float("nan"), len(difference))
    variance = np.mean((observed_mag - observed_mag.mean()) ** 2)
    r2 = 1.0 - np.mean(difference**2) / variance if variance > 0 else float("nan")
    return TestScore(float(r2), float(np.std(difference)), len(difference))
