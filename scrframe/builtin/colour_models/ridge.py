"""The `ridge` colour model: linear in the spectrum, the floor that others must beat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.linear import FittedLinear, Training, one_blas_thread, regress
from scrframe.builtin.colour_models.training import check_training
from scrframe.plugin import ColourModel, PluginConfig, hookimpl
from scrframe.version import __version__


class RidgeConfig(PluginConfig):
    """Settings of the ridge regression."""

    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
        min_length=1,
        description="Penalties on the squares of the coefficients of standardised features;"
        " the one with the smallest leave-one-out error is taken.",
    )
    errors: bool = Field(False, description="Predict an error for each star.")


@dataclass(frozen=True)
class Standardised:
    """Features, each less its mean and by its deviation over the training stars.

    Attributes
    ----------
    mean, deviation : ndarray, shape (m,)
    """

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
        best.offset,
        best.root,
        training,
        best.noise_mag,
        {"penalty": best.penalty},
        threads,
        config.errors,
    )


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
