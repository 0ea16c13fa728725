"""Estimate the noise of detections and the scatter of stars, by restricted likelihood.

One call moves the parameters by Fisher scoring from residuals at the present fit; the
joint solver calls it once a round. What repeats cannot separate is held, and said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.noise.identifiability import NoiseSettings, Sample, separate
from scrframe.offsets.noise.likelihood import NoiseData, NoiseLikelihood, mean_quadratic
from scrframe.offsets.noise.model import CovariateScale, NoiseModel, covariates
from scrframe.offsets.noise.scoring import (
    covariance,
    moved,
    parameters,
    relative_change,
    scoring_step,
    standard_errors,
)
from scrframe.offsets.noise.start import initial_noise, initial_scale

__all__ = [
    "CovariateScale",
    "NoiseModel",
    "NoiseSettings",
    "NoiseUpdate",
    "covariates",
    "initial_noise",
    "initial_scale",
    "update_noise",
]


@dataclass(frozen=True)
class NoiseUpdate:
    """A noise model after a call, and how well it is known.

    Attributes
    ----------
    model : NoiseModel
    errors : ndarray, shape (2 + t,)
        Standard errors of scale, floor in mag and the coefficients of the scatter; NaN
        where held.
    covariance : ndarray, shape (2 + t, 2 + t)
        Of scale^2, floor^2 in mag^2 and the coefficients; 0 in rows of what is held.
    held : tuple of str
        What could not be estimated, and why, in plain words.
    change : float
        Largest relative change of a standard deviation, of detections or of stars.
    """

    model: NoiseModel
    errors: FloatArray
    covariance: FloatArray
    held: tuple[str, ...]
    change: float


def update_noise(
    residual: FloatArray,
    star: IntArray,
    error_mag: FloatArray,
    covariates: FloatArray,
    clean: FloatArray,
    leverage: Iterable[FloatArray],
    current: NoiseModel,
    settings: NoiseSettings,
) -> NoiseUpdate:
    """Move the noise parameters towards the largest restricted likelihood.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        Differences less all fitted terms, in mag.
    star : ndarray of int64, shape (n,)
        Star of each detection, from 0 to s - 1.
    error_mag : ndarray, shape (n,)
        Catalogued errors.
    covariates : ndarray, shape (s, t)
        The first is 1.
    clean : ndarray, shape (s,)
        Probability that a star and all its detections are normal; its weight here.
    leverage : iterable of ndarray, shape (n,)
        Draws Z u, with u ~ N(0, C) and C the covariance of the fitted terms' errors: the
        fit makes residuals too small by that much. Gone through once.
    current : NoiseModel
    settings : NoiseSettings

    Returns
    -------
    NoiseUpdate
    """
    rows, data = _thinned(
        NoiseData(residual, star, error_mag, covariates, clean), settings.max_stars
    )
    likelihood = NoiseLikelihood(data, current)
    # The draws' part is small; it is taken at the first model of a call.
    draws = mean_quadratic(likelihood, (draw[rows] for draw in leverage))
    sample, model = Sample.of(data), current
    for step in range(settings.steps):
        likelihood = likelihood if step == 0 else NoiseLikelihood(data, model)
        score, information = likelihood.score(draws)
        free, held = separate(information, sample, model, settings)
        score, information = _with_prior(score, information, model, settings)
        move = scoring_step(score, information, free, model, sample.error_mag[1])
        model = moved(model, move, sample.error_mag, covariates)
    spread = covariance(information, free, model, sample.error_mag[1])
    errors = standard_errors(spread, free, model)
    change = relative_change(current, model, sample.error_mag, covariates)
    return NoiseUpdate(model, errors, spread, held, change)


def _thinned(data: NoiseData, most: int) -> tuple[IntArray | slice, NoiseData]:
    """Return the rows of every k-th star, such that there are no more than `most`."""
    stride = -(-len(data.clean) // most)
    if stride <= 1:
        return slice(None), data
    rows = np.flatnonzero(data.star % stride == 0)
    part = NoiseData(
        data.residual[rows],
        data.star[rows] // stride,
        data.error_mag[rows],
        data.covariates[::stride],
        data.clean[::stride],
    )
    return rows, part


def _with_prior(
    score: FloatArray, information: FloatArray, model: NoiseModel, settings: NoiseSettings
) -> tuple[FloatArray, FloatArray]:
    """Add the weak prior on how the scatter depends on the covariates."""
    precision = np.zeros(len(score))
    precision[3:] = settings.slope_prior_sd**-2
    return score - precision * parameters(model), information + np.diag(precision)
