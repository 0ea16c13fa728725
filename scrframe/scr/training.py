"""Training and cross-fitting of the colour model on stars (paper, Section 3, step i).

A smooth trend of colour with the features is taken out first. Trees and other local models
average over neighbours, and so predict too little contrast where training stars are few: at
the ends of the ranges of colour and metallicity. Fields of another population than the
control field then get biased offsets. Most of the colour is a smooth function of the
standardised spectrum; what is left for the model is small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.errors import CalibrationError

Shape = Literal["linear", "quadratic", "none"]
#: Rows evaluated at once, so that double-precision work space stays small.
BLOCK = 65_536
#: How much of a round's work is done; see `ColourPredictor.predict`.
Effort = Literal["trend", "grow", "hold"]


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


@dataclass(frozen=True)
class TrainingPlan:
    """Which stars train, which judge, and the folds of cross-fitting; all by star."""

    #: Rows of stars, ascending.
    train: IntArray
    test: IntArray
    #: Fold of each training star. Shape (t,).
    fold: IntArray
    #: Whether training stars get predictions that did not see them.
    cross_fit: bool


def plan_training(
    control: IntArray, test_fraction: float, folds: int, cross_fit: bool, seed: int
) -> TrainingPlan:
    """Split the control stars at random into training and test stars, and into folds.

    Raises CalibrationError if there are too few stars to train and to test.
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


def no_training(test: IntArray) -> TrainingPlan:
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
            known = self._features[self._plan.train]
            held_out = np.empty(len(labels))
            for number in np.unique(self._plan.fold):
                inside = self._plan.fold == number
                model = self._fit(known[~inside], labels[~inside])
                held_out[inside] = model.predict(known[inside]).colour_mag
            colours[plan.train] = held_out
        return colours


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


@dataclass(frozen=True)
class TrendSettings:
    """How the trend is fitted; see the survey description's `colour_model` block.

    Attributes
    ----------
    shape : {"linear", "quadratic", "none"}
        Linear in all features, or with the products of the leading principal components.
    ridge : float
        Added to the diagonal of the normal equations in standardised features; it settles
        directions that the data leave open, such as the sum of a spectrum that is
        standardised to mean zero.
    components : int
        Number of principal components whose products a quadratic trend has.
    """

    shape: Shape = "linear"
    ridge: float = 0.1
    components: int = 8


@dataclass(frozen=True)
class Basis:
    """Functions of the features: standardised features, and products of components."""

    #: Of the training features. Shape (m,).
    mean: FloatArray
    deviation: FloatArray
    #: From centred features to principal components of unit variance; k is 0 for a linear trend.
    #: Shape (m, k).
    axes: FloatArray
    #: Range of the training stars, to which components are limited: products must not run away for
    #: a star unlike any of them. Shape (k,).
    low: FloatArray
    high: FloatArray

    @classmethod
    def on(cls, features: FloatArray, components: int) -> Basis:
        """Prepare the functions for training features of shape (t, m)."""
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        centred = features - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(features))
        # The largest come last; components without variance are left out.
        chosen = np.arange(len(values))[::-1][:components]
        chosen = chosen[values[chosen] > 1e-9 * values.max()]
        axes = vectors[:, chosen] / np.sqrt(values[chosen])
        scores = centred @ axes
        return cls(mean, deviation, axes, scores.min(axis=0), scores.max(axis=0))

    def __call__(self, features: npt.NDArray[np.floating]) -> FloatArray:
        """Return the functions at features (n, m), shape (n, m + k (k + 1) / 2)."""
        centred = features - self.mean
        scores = np.clip(centred @ self.axes, self.low, self.high)
        first, second = np.triu_indices(self.axes.shape[1])
        return np.hstack([centred / self.deviation, scores[:, first] * scores[:, second]])


@dataclass(frozen=True)
class Trend:
    """Ridge regression on a basis, for any colours of fixed training rows."""

    basis: Basis
    #: Mean of the basis over the training rows. Shape (b,).
    offset: FloatArray
    #: Takes centred training colours to coefficients. Shape (b, t).
    projector: FloatArray
    #: Weight of each training colour in its own prediction. Shape (t,).
    leverage: FloatArray

    @classmethod
    def on(cls, features: Features, settings: TrendSettings) -> Trend:
        """Prepare a trend for training features of shape (t, m)."""
        rows = np.asarray(features, dtype=np.float64)
        basis = Basis.on(rows, settings.components if settings.shape == "quadratic" else 0)
        values = basis(rows)
        offset = values.mean(axis=0)
        centred = values - offset
        normal = centred.T @ centred + settings.ridge * np.eye(centred.shape[1])
        projector = np.linalg.solve(normal, centred.T)
        leverage = np.einsum("tb,bt->t", centred, projector) + 1 / len(rows)
        return cls(basis, offset, projector, leverage)

    def predict(self, features: Features, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at features (n, m), given training colours of shape (t,)."""
        constant = colour_mag.mean()
        coefficients = self.projector @ (colour_mag - constant)
        constant -= self.offset @ coefficients
        trend = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            trend[rows] = self.basis(features[rows]) @ coefficients + constant
        return trend

    def held_out(self, fitted_mag: FloatArray, colour_mag: FloatArray) -> FloatArray:
        """Return the trend at each training row as if fitted without it.

        Exact for a ridge regression on given functions; the functions themselves (means and
        components of the features) know all rows, but no colour.

        Parameters
        ----------
        fitted_mag, colour_mag : ndarray, shape (t,)
            The trend with all training rows, and the training colours.
        """
        return np.asarray(colour_mag - (colour_mag - fitted_mag) / (1 - self.leverage))


#: Trains a model on features (t, m) and colours (t,).
Fit = Callable[[Features, FloatArray], Fitted]
