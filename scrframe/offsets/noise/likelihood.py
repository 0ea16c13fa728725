"""The restricted likelihood of the noise parameters: score, information and a bounded step.

A star's residuals have the covariance V = diag(D) + tau 11^T, with D the noise variances of
its detections and tau the variance of its own deviation. With w = 1 / D and S = sum(w),
V^-1 = diag(w) - w w^T tau / (1 + tau S), so all that is needed are sums by star.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.offsets.noise.model import NoiseModel

#: No step changes the noise variance at a typical error by more than this factor.
LARGEST_FACTOR = 4.0
#: Nor the logarithm of any star's standard deviation by more than this.
LARGEST_LOG = 1.0
#: Stars without any scatter of their own end here, in mag.
SMALLEST_SCATTER_MAG = 1e-4


@dataclass(frozen=True)
class NoiseData:
    """What the noise parameters are estimated from."""

    #: Differences less all terms, in mag; stars' deviations are in it. Shape (n,).
    residual: FloatArray
    #: Shape (n,).
    star: IntArray
    #: Catalogued errors. Shape (n,).
    error_mag: FloatArray
    #: Shape (s, t).
    covariates: FloatArray
    #: Weight of a star in the likelihood: how surely all of it is normal. Shape (s,).
    clean: FloatArray


class NoiseLikelihood:
    """The restricted likelihood at one noise model, by its derivatives.

    Parameters are scale^2, floor^2 in mag^2 and the coefficients of the scatter.
    """

    def __init__(self, data: NoiseData, model: NoiseModel) -> None:
        self._data = data
        self._stars = len(data.clean)
        self._w = model.variance(data.error_mag)
        np.reciprocal(self._w, out=self._w)
        self._squared = np.square(data.error_mag, dtype=np.float64)
        self._tau = model.star_variance(data.covariates)
        total = self._by_star(self._w)
        self._shrink = 1.0 / (1.0 + self._tau * total)
        #: 1^T V^-1 1 by star.
        self._ones = total * self._shrink

    def _by_star(self, values: FloatArray) -> FloatArray:
        sums = np.bincount(self._data.star, values, minlength=self._stars)
        return np.asarray(sums, dtype=np.float64)

    def quadratic(self, values: FloatArray) -> FloatArray:
        """Return sum over stars of clean a^T V_i a, with a = V^-1 values, shape (2 + t,).

        V_i is the derivative of V by parameter i; `values` have shape (n,).
        """
        star, clean = self._data.star, self._data.clean
        total = self._by_star(self._w * values)
        shared = self._tau * self._shrink * total
        alpha = values - shared[star]
        alpha *= self._w
        alpha *= alpha
        alpha *= clean[star]
        own = self._data.covariates.T @ (2.0 * clean * self._tau * (self._shrink * total) ** 2)
        return np.concatenate([[self._squared @ alpha, alpha.sum()], own])

    def curvature(self) -> tuple[FloatArray, FloatArray]:
        """Return the traces and the expected information.

        Returns
        -------
        trace : ndarray, shape (2 + t,)
            Sum over stars of clean tr(V^-1 V_i).
        information : ndarray, shape (2 + t, 2 + t)
            Half the sum over stars of clean tr(V^-1 V_i V^-1 V_j). What the fitted terms
            cost is left out: a share of about (fitted parameters) / (detections).
        """
        clean, ratio = self._data.clean, self._tau * self._shrink
        weight = clean[self._data.star]
        scaled = self._squared * self._w
        first = np.array([weight @ scaled, weight @ self._w])
        information = self._photometric(weight, scaled)
        weight = (clean * ratio)[self._data.star]
        cubes = [scaled, self._w]
        for i in range(2):
            for j in range(2):
                cube = np.einsum("i,i,i,i->", weight, cubes[i], cubes[j], self._w)
                information[i, j] -= 2.0 * cube
        del weight, cubes
        scaled *= self._w
        squares = [self._by_star(scaled)]
        squares.append(self._by_star(np.square(self._w, out=scaled)))
        first -= [(clean * ratio) @ square for square in squares]
        for i in range(2):
            for j in range(2):
                information[i, j] += (clean * ratio**2 * squares[i]) @ squares[j]
        return self._with_scatter(first, information, squares)

    def score(self, draws: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return score, shape (2 + t,), and expected information, shape (2 + t, 2 + t).

        The derivative of the restricted log likelihood is half of a^T V_i a - tr(P V_i), where
        P = V^-1 - V^-1 Z C Z^T V^-1 and C is the covariance of the fitted terms' errors.

        `draws` is the part with C, shape (2 + t,): `mean_quadratic` of draws Z u, u ~ N(0, C); 0
        leaves it out (maximum likelihood).
        """
        trace, information = self.curvature()
        return 0.5 * (self.quadratic(self._data.residual) + draws - trace), information

    def _photometric(self, weight: FloatArray, scaled: FloatArray) -> FloatArray:
        mixed = np.einsum("i,i,i->", weight, scaled, self._w)
        own = [np.einsum("i,i,i->", weight, part, part) for part in (scaled, self._w)]
        return np.array([[own[0], mixed], [mixed, own[1]]])

    def _with_scatter(
        self, first: FloatArray, photometric: FloatArray, squares: list[FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """Add the coefficients of the scatter, V_k = 2 tau x_k 11^T, and halve."""
        x, size = self._data.covariates, self._data.covariates.shape[1]
        base = 2.0 * self._data.clean * self._tau
        trace = np.concatenate([first, x.T @ (base * self._ones)])
        information = np.empty((2 + size, 2 + size))
        information[:2, :2] = photometric
        for i in range(2):
            cross = x.T @ (base * squares[i] * self._shrink**2)
            information[i, 2:] = information[2:, i] = cross
        own = 2.0 * base * self._tau * self._ones**2
        for k in range(size):
            information[2 + k, 2:] = x.T @ (own * x[:, k])
        return trace, 0.5 * information


def mean_quadratic(likelihood: NoiseLikelihood, draws: Iterable[FloatArray]) -> FloatArray | float:
    """Return the mean of `NoiseLikelihood.quadratic` over draws; 0 if there are none."""
    count = 0
    total: FloatArray | float = 0.0
    for draw in draws:
        total = total + likelihood.quadratic(draw)
        count += 1
    return total / max(count, 1)


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
