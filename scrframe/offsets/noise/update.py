"""Estimate the noise of detections and the scatter of stars, by restricted likelihood.

One call moves the parameters by Fisher scoring from residuals at the present fit; the
joint solver calls it once a round. What the data cannot identify is held, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.offsets.noise.likelihood import (
    NoiseData,
    NoiseLikelihood,
    covariance,
    mean_quadratic,
    moved,
    parameters,
    relative_change,
    scoring_step,
    standard_errors,
)
from scrframe.offsets.noise.model import (
    NoiseModel,
)


@dataclass(frozen=True)
class NoiseSettings:
    """How the noise is estimated."""

    #: Steps of Fisher scoring in a call.
    steps: int = 2
    #: Of more stars every second, third, ... is used: the noise is then known to a thousandth, and
    #: the rest would cost time only.
    max_stars: int = 2_000_000
    #: Clean stars with two or more detections below which scale and floor are held.
    min_repeats: int = 100
    #: Clean stars below which the scatter is held.
    min_stars: int = 30
    #: Scale and floor are held where the noise variance at the median error would have a larger
    #: relative error than this.
    max_relative_error: float = 0.5
    #: The floor is held where it cannot be told from the scale: where scale and floor act on the
    #: likelihood with a larger correlation than this.
    max_correlation: float = 0.99
    #: Coefficients of the scatter, but the first, are drawn to 0 as by a normal prior of this
    #: standard deviation: weak, but it settles covariates that do not vary.
    slope_prior_sd: float = 1.0
    #: Whether scale and floor stay what they are at the start.
    hold_photometry: bool = False


@dataclass(frozen=True)
class NoiseUpdate:
    """A noise model after a call, and how well it is known."""

    model: NoiseModel
    #: Standard errors of scale, floor in mag and the coefficients of the scatter; NaN where held.
    #: Shape (2 + t,).
    errors: FloatArray
    #: Of scale^2, floor^2 in mag^2 and the coefficients; 0 in rows of what is held. Shape (2 + t,
    #: 2 + t).
    covariance: FloatArray
    #: What could not be estimated, and why, in plain words.
    held: tuple[str, ...]
    #: Largest relative change of a standard deviation, of detections or of stars.
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
    """
    rows, data = _thinned(
        NoiseData(residual, star, error_mag, covariates, clean), settings.max_stars
    )
    likelihood = NoiseLikelihood(data, current)
    # The draws' part is small; it is taken at the first model of a call.
    draws = mean_quadratic(likelihood, (draw[rows] for draw in leverage))
    sample, model = NoiseSample.of(data), current
    for step in range(settings.steps):
        likelihood = likelihood if step == 0 else NoiseLikelihood(data, model)
        score, information = likelihood.score(draws)
        free, held = identify(information, sample, model, settings)
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


@dataclass(frozen=True)
class NoiseSample:
    """How much there is to estimate from."""

    #: Sums of `clean` over stars with a detection, and with two or more.
    stars: float
    repeats: float
    #: 5th, 50th and 95th percentile of the catalogued errors. Shape (3,).
    error_mag: FloatArray

    @classmethod
    def of(cls, data: NoiseData) -> NoiseSample:
        """Measure the data."""
        count = np.bincount(data.star, minlength=len(data.clean))
        errors = data.error_mag[:: max(1, len(data.error_mag) // 100_000)]
        percentiles = np.percentile(errors, [5, 50, 95]) if len(errors) else np.ones(3)
        stars, repeats = (float(data.clean[count >= least].sum()) for least in (1, 2))
        return cls(stars, repeats, percentiles)


def identify(
    information: FloatArray, sample: NoiseSample, model: NoiseModel, settings: NoiseSettings
) -> tuple[BoolArray, tuple[str, ...]]:
    """Return which parameters can be estimated, and why the others cannot.

    Parameters
    ----------
    information : ndarray, shape (2 + t, 2 + t)
        Expected information of scale^2, floor^2 and the coefficients of the scatter.
    model : NoiseModel
        What is held where it is.

    Returns
    -------
    free : ndarray of bool, shape (2 + t,)
    reasons : tuple of str
    """
    free = np.ones(len(information), dtype=bool)
    reasons = []
    if sample.stars < settings.min_stars:
        free[2:] = False
        reasons.append(
            f"scatter of the stars held: {sample.stars:.0f} clean stars, of which"
            f" {settings.min_stars} are needed"
        )
    kept = f"photometric scale and floor held at {_values(model)}: "
    if settings.hold_photometry:
        free[:2] = False
        return free, (*reasons, f"{kept}as configured")
    if sample.repeats < settings.min_repeats:
        free[:2] = False
        reasons.append(
            f"{kept}{sample.repeats:.0f} clean stars have two or more detections, of which"
            f" {settings.min_repeats} are needed to separate noise from the stars' own scatter"
        )
        return free, tuple(reasons)
    known = _photometric_information(information, free)
    if not _correlation(known) < settings.max_correlation:
        free[1] = False
        reasons.append(
            f"photometric floor held at {model.floor_mag * 1e3:.3g} mmag: catalogued errors"
            " hardly differ, so that floor and scale cannot be separated"
        )
    error = _relative_error(known, free[:2], float(sample.error_mag[1]), model)
    if not error < settings.max_relative_error:
        free[:2] = False
        reasons.append(
            f"{kept}repeats give the noise variance within {100 * error:.0f} per cent only"
            f" (at most {100 * settings.max_relative_error:.0f} asked)"
        )
    return free, tuple(reasons)


def _values(model: NoiseModel) -> str:
    return f"{model.scale:.3g} and {model.floor_mag * 1e3:.3g} mmag"


def _photometric_information(information: FloatArray, free: BoolArray) -> FloatArray:
    """Return what is left of scale and floor's information once the scatter is free."""
    if not free[2:].any():
        return information[:2, :2]
    cross, own = information[:2, 2:], information[2:, 2:]
    explained = cross @ np.linalg.pinv(own, rcond=1e-12, hermitian=True) @ cross.T
    return np.asarray(information[:2, :2] - explained)


def _correlation(information: FloatArray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = information[0, 1] / np.sqrt(information[0, 0] * information[1, 1])
    return float(np.abs(correlation))


def _relative_error(
    information: FloatArray, free: BoolArray, error_mag: float, model: NoiseModel
) -> float:
    """Return the relative error of the noise variance at a catalogued error."""
    slope = np.array([error_mag**2, 1.0])[free]
    scaled = information[np.ix_(free, free)] / np.outer(slope, slope)
    try:
        variance = float(np.linalg.inv(scaled).sum())
    except np.linalg.LinAlgError:
        return np.inf
    if not 0.0 < variance < np.inf:
        return np.inf
    return float(np.sqrt(variance) / model.variance(np.array([error_mag]))[0])
