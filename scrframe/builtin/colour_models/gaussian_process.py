"""The `gaussian_process` colour model, on a few principal components of the spectrum.

A sparse Gaussian process: regression on the kernel functions of a subset of the training
stars (subset of regressors; Quinonero-Candela & Rasmussen 2005, JMLR 6, 1939), beside a
linear function of all features, which takes over where no training star is near.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.ridge import (
    FittedLinear,
    Standardised,
    Training,
    one_blas_thread,
    regress,
)
from scrframe.builtin.colour_models.training import check_training
from scrframe.plugin import ColourModel, PluginConfig, hookimpl
from scrframe.version import __version__

#: Prior scatter of a linear coefficient, relative to that of the Gaussian process: the
#: linear part is hardly held back, as most of the colour is linear in the spectrum.
LINEAR_SCALE = 10.0
#: Combinations of kernel functions whose variance relative to the largest is smaller are
#: left out: rounding has its part in them.
SMALLEST = 1e-10
#: Ratio of the variances of noise and Gaussian process; at the best one a factor of two
#: makes little difference.
PENALTIES = tuple(float(10**power) for power in np.arange(-3.0, 3.01, 0.5))


class GaussianProcessConfig(PluginConfig):
    """Settings of the Gaussian process."""

    components: int = Field(6, ge=1, description="Number of principal components of the features.")
    inducing: int = Field(
        200, ge=10, description="Number of training stars whose kernel functions are used."
    )
    length_scales: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (2.5, 5.0, 10.0),
        min_length=1,
        description="Lengths over which the colour varies, in standard deviations of the"
        " components; the one with the smallest leave-one-out error is taken.",
    )
    errors: bool = Field(
        False,
        description="Predict an error for each star. Predictions take about three times as long.",
    )


@dataclass(frozen=True)
class Kernel:
    """Standardised features and squared-exponential functions of principal components."""

    linear: Standardised
    #: From standardised features to components of unit variance, by length scale. Shape (m, k).
    axes: FloatArray
    #: Where the kernel functions are largest, by length scale. Shape (c, k).
    centres: FloatArray

    def __call__(self, features: Features) -> FloatArray:
        """Return the functions at features (n, m), shape (n, m + c)."""
        plain = self.linear(features)
        return np.hstack([plain, self.near(plain @ self.axes)])

    def near(self, scores: FloatArray) -> FloatArray:
        """Return exp(-d^2 / 2) for distances d of scores (n, k) to the centres, (n, c)."""
        # In place: twice as fast as scikit-learn's rbf_kernel, which checks and copies.
        power: FloatArray = scores @ self.centres.T
        power -= 0.5 * (scores**2).sum(axis=1)[:, None]
        power -= 0.5 * (self.centres**2).sum(axis=1)
        np.minimum(power, 0.0, out=power)
        np.exp(power, out=power)
        return power

    def mix(self) -> FloatArray:
        """Return the combinations that are independent a priori, shape (m + c, b)."""
        values, vectors = np.linalg.eigh(self.near(self.centres))
        kept = values > SMALLEST * values.max()
        kernel = vectors[:, kept] / np.sqrt(values[kept])
        width = len(self.axes)
        out = np.zeros((width + len(kernel), width + kernel.shape[1]))
        out[:width, :width] = LINEAR_SCALE * np.eye(width)
        out[width:, width:] = kernel
        return out


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: GaussianProcessConfig,
    seed: int,
    threads: int,
) -> FittedLinear:
    """Train a Gaussian process; the result does not depend on the number of threads.

    The contract is that of `scrframe.plugin.colour_model.FitFunction`. The seed draws the
    stars whose kernel functions are used.
    """
    colour, weight = check_training("Gaussian process", features, colour_mag, weights, 10)
    training = Training(np.array(features, dtype=np.float32), colour, weight)
    with one_blas_thread():
        trials = [
            (kernel, regress(kernel(training.features), kernel.mix(), training, PENALTIES))
            for kernel in _kernels(training, config, seed)
        ]
    number = min(range(len(trials)), key=lambda this: trials[this][1].loss_mag2)
    kernel, best = trials[number]
    return FittedLinear(
        "Gaussian process",
        kernel,
        best,
        training,
        {"length_scale": config.length_scales[number], "penalty": best.penalty},
        threads,
        config.errors,
    )


def _kernels(training: Training, config: GaussianProcessConfig, seed: int) -> Iterable[Kernel]:
    """Yield the kernel of each length scale."""
    usable = np.flatnonzero(training.weights > 0)
    linear = Standardised.on(training.features[usable])
    plain = linear(training.features[usable])
    values, vectors = np.linalg.eigh(plain.T @ plain / len(plain))
    # The largest come last; components without variance are left out.
    chosen = np.arange(len(values))[::-1][: config.components]
    chosen = chosen[values[chosen] > SMALLEST * values.max()]
    axes = vectors[:, chosen] / np.sqrt(values[chosen])
    drawn = np.random.default_rng(seed).permutation(len(plain))[: config.inducing]
    centres = plain[np.sort(drawn)] @ axes
    for scale in config.length_scales:
        yield Kernel(linear, axes / scale, centres / scale)


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the Gaussian process."""
    yield ColourModel(
        name="gaussian_process",
        summary="Sparse Gaussian process on principal components of the spectrum",
        version=__version__,
        config=GaussianProcessConfig,
        fit=fit,
    )
