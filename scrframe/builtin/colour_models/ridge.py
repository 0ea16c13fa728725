"""The `ridge` colour model: linear in the spectrum, the floor that others must beat.

The penalised regression on given functions of the features is that of the Gaussian process
too, which is one on kernel functions. Predictions are linear in the training colours, so that
leaving a star out needs no refit: with leverage h of a star in its own prediction f, the
prediction without it is y - (y - f) / (1 - h) (e.g. Hastie et al. 2009, Elements of Statistical
Learning, Eq. 7.64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from threadpoolctl import threadpool_limits

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.training import check_colours, check_features, check_training
from scrframe.plugin import ColourModel, ColourPrediction, FittedColourModel, PluginConfig, hookimpl
from scrframe.version import __version__

#: Rows evaluated at once. Fixed, because matrix products of other shapes round otherwise.
BLOCK = 2048


class RidgeConfig(PluginConfig):
    """Settings of the ridge regression."""

    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
        min_length=1,
        description="Penalties on the squares of the coefficients of standardised features;"
        " the one with the smallest leave-one-out error is taken.",
    )
    errors: bool = Field(False, description="Predict an error for each star.")


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: RidgeConfig,
    seed: int,
    threads: int,
) -> FittedLinear:
    """Train a ridge regression; the result does not depend on the number of threads.

    The contract is that of `scrframe.plugin.colour_model.FitFunction`. Nothing is drawn.
    """
    colour, weight = check_training("ridge regression", features, colour_mag, weights, 10)
    training = Training(np.array(features, dtype=np.float32), colour, weight)
    with one_blas_thread():
        functions = Standardised.on(training.features[weight > 0])
        values = functions(training.features)
        best = regress(values, np.eye(values.shape[1]), training, config.penalties)
    return FittedLinear(
        "ridge regression",
        functions,
        best,
        training,
        {"penalty": best.penalty},
        threads,
        config.errors,
    )


@dataclass(frozen=True)
class Standardised:
    """Features, each less its mean and by its deviation over the training stars."""

    #: Shape (m,).
    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def on(cls, features: Features) -> Standardised:
        """Return the functions for training features of shape (t, m)."""
        mean = features.mean(axis=0, dtype=np.float64)
        deviation = features.std(axis=0, dtype=np.float64)
        return cls(mean, np.where(deviation > 0, deviation, 1.0))

    def __call__(self, features: Features) -> FloatArray:
        """Return the standardised features, shape (n, m)."""
        return np.asarray((features - self.mean) / self.deviation)


#: Functions of the features (n, m), shape (n, r); picklable.
Functions = Callable[[Features], FloatArray]


@dataclass(frozen=True)
class Training:
    """Training stars: features (t, m), colours (t,) in mag and weights (t,)."""

    features: Features
    colour_mag: FloatArray
    weights: FloatArray


@dataclass(frozen=True)
class FittedLinear(FittedColourModel):
    """A penalised linear regression."""

    #: Name of the model, for messages.
    name: str
    functions: Functions
    solution: Penalised
    training: Training
    #: What was chosen on the training stars.
    chosen: Mapping[str, float]
    #: Threads for predictions, which do not depend on their number.
    threads: int
    #: Whether `predict` gives errors.
    errors: bool

    def predict(self, features: Features) -> ColourPrediction:
        """Predict colours in mag of features of shape (n, m), with errors if asked for.

        The error is that of the regression and the scatter of observed colours about it,
        in quadrature.

        Raises CalibrationError if the number of features differs from the training's or a value is
        not finite.
        """
        check_features(self.name, features, self.training.features.shape[1])
        smoother = LinearSmoother(self, features)
        colour = smoother.predict(self.training.colour_mag)
        if not self.errors:
            return ColourPrediction(colour)
        one = 1.0 + 1.0 / self.training.weights.sum()

        def error(values: FloatArray) -> FloatArray:
            return np.asarray(np.sqrt(one + self.solution.leverage(values)))

        return ColourPrediction(colour, self.solution.noise_mag * self.at(features, error))

    def smoother(self, features: Features) -> LinearSmoother:
        """Return predictions of these rows as a function of the training colours.

        Raises CalibrationError if the number of features differs from the training's or a value is
        not finite.
        """
        check_features(self.name, features, self.training.features.shape[1])
        return LinearSmoother(self, features)

    def at(self, features: Features, reduce: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Return a number for each row, shape (n,), from its functions, (n, r)."""
        out = np.empty(len(features))

        def fill(start: int) -> None:
            rows = slice(start, start + BLOCK)
            out[rows] = reduce(self.functions(features[rows]))

        with one_blas_thread(), ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(fill, range(0, len(features), BLOCK)))
        return out


@dataclass(frozen=True)
class LinearSmoother:
    """A regression's predictions of fixed rows as a function of the training colours."""

    model: FittedLinear
    #: The fixed rows. Their functions are evaluated anew each time: for millions of stars they
    #: would take far more memory. Shape (n, m).
    features: Features

    def predict(self, colour_mag: FloatArray) -> FloatArray:
        """Return the predictions, shape (n,), for training colours of shape (t,).

        Raises CalibrationError if the colours are not one finite number for each training row.
        """
        return self._predict(self.features, self._checked(colour_mag))

    def held_out(self, colour_mag: FloatArray) -> FloatArray:
        """Return predictions of the training rows, shape (t,), none from its own colour.

        Exact for the penalty and the functions as they are; both were chosen with all rows.

        Raises CalibrationError if the colours are not one finite number for each training row.
        """
        colour = self._checked(colour_mag)
        training = self.model.training
        fitted = self._predict(training.features, colour)
        leverage = self.model.at(training.features, self.model.solution.leverage)
        own = leverage + 1.0 / training.weights.sum()
        return np.asarray(colour - (colour - fitted) / (1.0 - training.weights * own))

    def _predict(self, features: Features, colour: FloatArray) -> FloatArray:
        model, training = self.model, self.model.training
        constant = float(np.average(colour, weights=training.weights))
        pull = training.weights * (colour - constant)
        offset, root = model.solution.offset, model.solution.root
        moment = np.zeros(len(offset))
        with one_blas_thread():
            for start in range(0, len(colour), BLOCK):
                rows = slice(start, start + BLOCK)
                moment += (model.functions(training.features[rows]) - offset).T @ pull[rows]
            coefficients = root @ (root.T @ moment)
        constant -= float(offset @ coefficients)
        return model.at(features, lambda values: values @ coefficients) + constant

    def _checked(self, colour_mag: FloatArray) -> FloatArray:
        return check_colours(self.model.name, colour_mag, len(self.model.training.colour_mag))


@dataclass(frozen=True)
class Penalised:
    """A regression on the training stars, with the penalty that predicts best."""

    #: Mean of the functions over the training stars. Shape (r,).
    offset: FloatArray
    #: Square root of the inverse of the penalised normal matrix. Shape (r, b).
    root: FloatArray
    penalty: float
    #: Mean square of observed less predicted colours, each without its own star.
    loss_mag2: float
    #: Scatter of observed colours about the regression, for a star of weight one.
    noise_mag: float

    def leverage(self, values: FloatArray) -> FloatArray:
        """Return how much stars of unit weight, functions (n, r), tell of themselves, (n,)."""
        return np.asarray((((values - self.offset) @ self.root) ** 2).sum(axis=1))


def regress(
    values: FloatArray, mix: FloatArray, training: Training, penalties: Iterable[float]
) -> Penalised:
    """Regress colours on ``values @ mix``, with equal penalties on all coefficients.

    Parameters
    ----------
    values : ndarray, shape (t, r)
        The functions at the training stars.
    mix : ndarray, shape (r, b)
        Combinations of the functions in which the penalty is even.
    penalties : iterable of float
        Positive; the one with the smallest leave-one-out error is taken.
    """
    weights = training.weights
    offset = np.average(values, axis=0, weights=weights)
    design = (values - offset) @ mix
    colour = training.colour_mag - np.average(training.colour_mag, weights=weights)
    eigen, vectors = np.linalg.eigh((design.T * weights) @ design)
    eigen = np.maximum(eigen, 0.0)
    rotated = design @ vectors
    moment = rotated.T @ (weights * colour)
    trials = np.array(sorted(penalties))
    shrunk = 1.0 / (eigen[:, None] + trials)
    residual = colour[:, None] - rotated @ (shrunk * moment[:, None])
    own = weights[:, None] * (rotated**2 @ shrunk + 1.0 / weights.sum())
    losses = np.average((residual / (1.0 - own)) ** 2, axis=0, weights=weights)
    best = int(np.argmin(losses))
    noise = weights * residual[:, best] ** 2 / (1.0 - own[:, best])
    return Penalised(
        offset,
        mix @ (vectors * np.sqrt(shrunk[:, best])),
        float(trials[best]),
        float(losses[best]),
        float(np.sqrt(noise.sum() / np.count_nonzero(weights))),
    )


def one_blas_thread() -> threadpool_limits:
    """Return a context in which BLAS has one thread: its sums must not depend on more."""
    return threadpool_limits(limits=1, user_api="blas")


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the ridge regression."""
    yield ColourModel(
        name="ridge",
        summary="Ridge regression on the spectrum: the floor",
        version=__version__,
        config=RidgeConfig,
        fit=fit,
    )
