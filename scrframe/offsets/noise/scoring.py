"""One bounded step of Fisher scoring for the noise parameters."""

from __future__ import annotations

import numpy as np
from scipy.optimize import lsq_linear

from scrframe.arrays import BoolArray, FloatArray
from scrframe.offsets.noise.model import NoiseModel

#: No step changes the noise variance at a typical error by more than this factor.
LARGEST_FACTOR = 4.0
#: Nor the logarithm of any star's standard deviation by more than this.
LARGEST_LOG = 1.0
#: Stars without any scatter of their own end here, in mag.
SMALLEST_SCATTER_MAG = 1e-4


def parameters(model: NoiseModel) -> FloatArray:
    """Return scale^2, floor^2 and the coefficients of the scatter, shape (2 + t,)."""
    return np.concatenate([[model.scale**2, model.floor_mag**2], model.scatter])


def scoring_step(
    score: FloatArray,
    information: FloatArray,
    free: BoolArray,
    model: NoiseModel,
    error_mag: float,
) -> FloatArray:
    """Return the step to the best of the quadratic approximation within bounds.

    Neither scale^2 nor floor^2 becomes negative: the best point may have one of them 0, the
    other then is the best given that. This is a least-squares problem with bounds.

    Parameters
    ----------
    score : ndarray, shape (2 + t,)
    information : ndarray, shape (2 + t, 2 + t)
    free : ndarray of bool, shape (2 + t,)
        The others do not move.
    model : NoiseModel
    error_mag : float
        A typical catalogued error; sets the units of the step.
    """
    step = np.zeros(len(score))
    if not free.any():
        return step
    unit = _unit(model, error_mag)
    lower, upper = np.full(len(score), -LARGEST_LOG), np.full(len(score), LARGEST_LOG)
    lower[:2], upper[:2] = -(parameters(model)[:2] / unit[:2]), LARGEST_FACTOR
    lower[2] = np.clip(np.log(SMALLEST_SCATTER_MAG) - model.scatter[0], -LARGEST_LOG, 0.0)
    scaled = (information * np.outer(unit, unit))[np.ix_(free, free)]
    values, vectors = np.linalg.eigh(scaled)
    root = np.sqrt(np.maximum(values, values[-1] * 1e-14))
    target = vectors.T @ (score * unit)[free] / root
    matrix = root[:, None] * vectors.T
    fit = lsq_linear(matrix, target, (lower[free], upper[free]), method="bvls")
    step[free] = fit.x * unit[free]
    return step


def moved(
    model: NoiseModel, step: FloatArray, errors_mag: FloatArray, covariates: FloatArray
) -> NoiseModel:
    """Return the model after a step, shortened where it would change a variance too much.

    Parameters
    ----------
    model : NoiseModel
    step : ndarray, shape (2 + t,)
    errors_mag : ndarray
        Catalogued errors at which the variance of the noise is looked at.
    covariates : ndarray, shape (s, t)
    """
    variance = model.variance(errors_mag)
    change = (step[0] * errors_mag**2 + step[1]) / variance
    largest = np.abs(covariates @ step[2:]).max(initial=0.0) / LARGEST_LOG
    growth = change.max() / (LARGEST_FACTOR - 1.0)
    fall = -change.min() / (1.0 - 1.0 / LARGEST_FACTOR)
    new = parameters(model) + step / max(1.0, largest, growth, fall)
    scale, floor = np.sqrt(np.maximum(new[:2], 0.0))
    return NoiseModel(float(scale), float(floor), new[2:])


def relative_change(
    before: NoiseModel, after: NoiseModel, errors_mag: FloatArray, covariates: FloatArray
) -> float:
    """Return the largest relative change of a standard deviation, of noise or of scatter."""
    noise = np.sqrt(after.variance(errors_mag) / before.variance(errors_mag)) - 1.0
    scatter = np.expm1(np.abs(covariates @ (after.scatter - before.scatter)).max(initial=0.0))
    return float(max(np.abs(noise).max(), scatter))


def covariance(
    information: FloatArray, free: BoolArray, model: NoiseModel, error_mag: float
) -> FloatArray:
    """Return the covariance of the free parameters, 0 elsewhere, shape (2 + t, 2 + t).

    A direction that the data say nothing of gets a huge variance rather than none.
    """
    result = np.zeros_like(information)
    if not free.any():
        return result
    unit = _unit(model, error_mag)
    scaled = (information * np.outer(unit, unit))[np.ix_(free, free)]
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, values[-1] * 1e-14)) @ vectors.T
    result[np.ix_(free, free)] = inverse * np.outer(unit[free], unit[free])
    return result


def standard_errors(covariance: FloatArray, free: BoolArray, model: NoiseModel) -> FloatArray:
    """Return errors of scale, floor in mag and the coefficients, NaN where held, shape (2 + t,).

    Of a scale or floor near 0 the error is the root of that of its square.
    """
    errors = np.sqrt(np.diag(covariance))
    for i, value in enumerate((model.scale, model.floor_mag)):
        near_zero = np.sqrt(errors[i])
        errors[i] = min(near_zero, errors[i] / (2.0 * value)) if value > 0.0 else near_zero
    return np.where(free, errors, np.nan)


def _unit(model: NoiseModel, error_mag: float) -> FloatArray:
    """Return the change of each parameter that doubles its variance, roughly."""
    variance = float(model.variance(np.array([error_mag]))[0])
    return np.concatenate([[variance / error_mag**2, variance], np.ones(len(model.scatter))])
