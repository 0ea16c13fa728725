"""Robust weights: which stars and detections are outliers.

A star is in one of these states, each with its own likelihood of the star's residuals:

- good: its deviation is of the normal population, and all its detections are good;
- star bad: its deviation is anything within a range (a blend, a wrong model magnitude), its
  detections are good and agree with each other;
- detection bad, a state for each: that residual is anything, the rest is good;
- several bad: all its residuals are anything (a strong variable).

The posterior probabilities of the states are exact. Their weights redescend: what is far
off has none, so its influence is bounded. This is a contaminated normal distribution
(Tukey 1960) fitted by expectation and maximisation.

The states know of one bad detection, or of all. Of four detections or more two or three may
be bad: such a star is trimmed iteratively. Where some are bad almost surely, those farthest
from the star's median are set aside and the rest is looked at afresh, until it is in order or
down to half. In the end those set aside are judged against what is left, so that one that was
set aside wrongly gets its weight back. Where half is not in order either, the star keeps no
weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.outliers.states import (
    OutlierRates,
    StateLikelihoods,
    StatePriors,
    blocks,
    fit_rates,
    state_likelihoods,
)
from scrframe.tables.settings import RobustSettings

#: Stars with fewer detections are left to the states, which are exact for up to three.
LEAST_DETECTIONS = 4
#: Probability that detections are bad from which the worst is set aside.
SURE = 0.9
#: In one go a detection of this many is set aside, at least one.
ONE_OF = 10


@dataclass(frozen=True)
class OutlierSettings(RobustSettings):
    """How outliers are found: a bad star or detection is off by up to `span`, in mag."""

    #: Most rounds in which the rates of outliers are fitted in a call.
    rounds: int = 10
    #: Number of stars and detections that the default rates count as much as.
    prior_stars: float = 100.0


@dataclass(frozen=True)
class RobustWeights:
    """Weights of detections and stars."""

    #: Probability that a detection is good; multiplies its inverse noise variance. Shape (n,).
    detection: FloatArray
    #: Probability that a star's deviation is of the normal population and can be seen; multiplies
    #: its inverse variance. Shape (s,).
    star: FloatArray
    #: Probability that a star and all its detections are good. Shape (s,).
    clean: FloatArray
    rates: OutlierRates
    #: Mean weight of the detections.
    kept: float

    def together(self, star: IntArray, least: float = 0.0) -> FloatArray:
        """Return the weight of each detection with that of its star, shape (n,).

        Of a single detection nobody can tell which is bad, it or its star: both weights have the
        same doubt, which counts once. Stars of detections, shape (n,), go from 0 to s - 1; a
        star's own weight counts as `least` at least.
        """
        single = np.bincount(star, minlength=len(self.star)) == 1
        own = np.where(single, 1.0, np.maximum(self.star, least))
        return np.asarray(self.detection * own[star])


def mixture_weights(
    residual: FloatArray,
    star: IntArray,
    variance: FloatArray,
    star_variance: FloatArray,
    current: OutlierRates,
    settings: OutlierSettings,
) -> RobustWeights:
    """Return weights from the posterior probabilities of the states of each star.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        Differences less all terms, in mag.
    star : ndarray of int64, shape (n,)
        Star of each detection, from 0 to s - 1.
    variance : ndarray, shape (n,)
        Of the noise of detections, in mag^2.
    star_variance : ndarray, shape (s,)
        Of the stars' own deviations, in mag^2.
    current : OutlierRates
        Where the rates start.
    """
    residuals = ResidualSample(residual, star, variance, star_variance)
    states = _states(residuals, settings)
    rates = fit_rates(states, current, settings.rounds, settings.prior_stars)
    probabilities = _judge(states, star, rates)
    detection, own = probabilities.detection, probabilities.star
    stars = may_hide_outliers(probabilities, states.count)
    if stars.any():
        rows, part = residuals.of_stars(stars)
        odds = rates.detection / (1.0 - rates.detection) / (2.0 * settings.span)
        detection[rows], own[stars] = trim_outliers(
            part, lambda some: _judge(_states(some, settings), some.star, rates), odds
        )
    kept = float(detection.mean()) if len(detection) else 1.0
    return RobustWeights(detection, own, probabilities.clean, rates, kept)


def require_kept(kept: float, settings: OutlierSettings) -> None:
    """Raise CalibrationError if a mean weight of the detections is below `settings.min_kept`.

    Only settled weights are judged: the first ones are of a model that is not there yet.
    """
    if not kept >= settings.min_kept:
        raise CalibrationError(
            f"the joint solve would keep {100 * kept:.0f} per cent of the detections, of which"
            f" it needs {100 * settings.min_kept:.0f}: the others are no match for the model"
            " within its noise; look at the residuals by visit and by magnitude, correct or"
            " leave out what is wrong, or lower offsets.joint.robust.min_kept"
        )


def _states(residuals: ResidualSample, settings: OutlierSettings) -> StateLikelihoods:
    return state_likelihoods(
        residuals.value,
        residuals.star,
        residuals.variance,
        residuals.star_variance,
        settings.span,
    )


def _judge(states: StateLikelihoods, star: IntArray, rates: OutlierRates) -> StateProbabilities:
    """Return the posterior probabilities of the states."""
    priors = StatePriors.of(rates, int(states.count.max(initial=1)))
    own, clean, some_bad, one_each, lost = np.empty((5, len(states.count)))
    for rows in blocks(len(states.count)):
        count = states.count[rows]
        good = priors.good[count] * states.good[rows]
        prior_one = priors.one[count]
        one = prior_one * states.one[rows]
        several = priors.several[count] * states.several[rows]
        total = good + one + several + priors.bad[count] * states.bad[rows]
        own[rows], clean[rows] = (good + one) / total, good / total
        some_bad[rows] = (one + several) / total
        one_each[rows], lost[rows] = prior_one / total, several / total
    detection = np.empty(len(star))
    for rows in blocks(len(star)):
        owner = star[rows]
        detection[rows] = 1.0 - lost[owner] - one_each[owner] * states.each[rows]
    np.clip(detection, 0.0, 1.0, out=detection)
    return StateProbabilities(detection, own, clean, some_bad)


@dataclass(frozen=True)
class ResidualSample:
    """Residuals of some stars, with their variances in mag^2."""

    #: Of detections. Shape (n,).
    value: FloatArray
    star: IntArray
    variance: FloatArray
    #: Shape (s,).
    star_variance: FloatArray

    def rows(self, rows: npt.NDArray[np.integer]) -> ResidualSample:
        """Return some of the detections, of the same stars."""
        parts = (self.value[rows], self.star[rows], self.variance[rows])
        return ResidualSample(*parts, self.star_variance)

    def of_stars(self, stars: BoolArray) -> tuple[IntArray, ResidualSample]:
        """Return the rows of some stars, and their residuals with these stars only."""
        rows = np.flatnonzero(stars[self.star])
        part = self.rows(rows)
        label = np.cumsum(stars) - 1
        return rows, replace(part, star=label[part.star], star_variance=self.star_variance[stars])


@dataclass(frozen=True)
class StateProbabilities:
    """Probabilities that the states give."""

    #: That a detection is good. Shape (n,).
    detection: FloatArray
    #: That a star's deviation is normal, with no or one bad detection. Shape (s,).
    star: FloatArray
    #: That all is good. Shape (s,).
    clean: FloatArray
    #: That one detection is bad, or several. Shape (s,).
    some_bad: FloatArray


def may_hide_outliers(probabilities: StateProbabilities, count: IntArray) -> BoolArray:
    """Return which stars may have more than one bad detection but good ones too, shape (s,)."""
    return np.asarray((count >= LEAST_DETECTIONS) & (probabilities.some_bad > SURE))


def trim_outliers(
    residuals: ResidualSample, judge: Callable[[ResidualSample], StateProbabilities], odds: float
) -> tuple[FloatArray, FloatArray]:
    """Return weights of detections and stars, the worst detections set aside.

    Parameters
    ----------
    residuals : ResidualSample
        Of the stars that may have several bad detections.
    judge : callable
        Gives the probabilities of the states.
    odds : float
        Prior odds of a bad detection times the density of bad values, in mag^-1.

    Returns
    -------
    detection : ndarray, shape (n,)
    star : ndarray, shape (s,)
    """
    stars = len(residuals.star_variance)
    inside = np.ones(len(residuals.value), dtype=bool)
    count = np.bincount(residuals.star, minlength=stars)
    least, rows, core = count // 2 + 1, np.arange(len(inside)), residuals
    doubtful = np.ones(stars, dtype=bool)
    while True:
        number = np.where(doubtful, np.maximum(1, count // ONE_OF), 0)
        worst = _farthest(core, count, np.minimum(number, count - least))
        inside[rows[worst]] = False
        rows = np.flatnonzero(inside)
        core = residuals.rows(rows)
        probabilities = judge(core)
        count = np.bincount(core.star, minlength=stars)
        doubtful = may_hide_outliers(probabilities, count) & (count > least)
        if not doubtful.any():
            break
    detection = _against_core(residuals, core, probabilities, odds)
    detection[rows] = probabilities.detection
    return detection, probabilities.star


def _farthest(residuals: ResidualSample, count: IntArray, number: IntArray) -> BoolArray:
    """Return a number of detections of each star, those farthest from its median, shape (n,)."""
    last = np.cumsum(count)
    star = residuals.star
    ordered = residuals.value[np.lexsort((residuals.value, star))]
    median = ordered[np.minimum(last - count + count // 2, len(ordered) - 1)]
    distance = np.abs(residuals.value - median[star]) / np.sqrt(residuals.variance)
    order = np.lexsort((distance, star))
    owner = star[order]
    chosen = np.zeros(len(star), dtype=bool)
    chosen[order] = last[owner] - 1 - np.arange(len(order)) < number[owner]
    return chosen


def _against_core(
    residuals: ResidualSample, core: ResidualSample, probabilities: StateProbabilities, odds: float
) -> FloatArray:
    """Return the probability that each detection is good, given the star as the rest shows it."""
    stars = len(residuals.star_variance)
    weight = probabilities.detection / core.variance
    precision = probabilities.star / residuals.star_variance
    precision += np.bincount(core.star, weight, minlength=stars)
    precision = np.maximum(precision, 1e-6)
    mean = np.bincount(core.star, weight * core.value, minlength=stars) / precision
    variance = residuals.variance + (1.0 / precision)[residuals.star]
    square = (residuals.value - mean[residuals.star]) ** 2 / variance
    density = np.exp(-0.5 * square) / np.sqrt(2.0 * np.pi * variance)
    several = probabilities.some_bad - (probabilities.star - probabilities.clean)
    return np.asarray(density / (density + odds) * (1.0 - several)[residuals.star])
