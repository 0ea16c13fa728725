"""Robust weights: which stars and detections are no normal ones.

A star is in one of these states, each with its own likelihood of the star's residuals:

- good: its deviation is of the normal population, and all its detections are good;
- star bad: its deviation is anything within a range (a blend, a wrong model magnitude), its
  detections are good and agree with each other;
- detection bad, a state for each: that residual is anything, the rest is good;
- several bad: all its residuals are anything (a strong variable).

Stars with four detections or more may have two bad ones and good ones too: see
`outlier_peeling`.

The posterior probabilities of the states are exact. Their weights redescend: what is far
off has none, so its influence is bounded. This is a contaminated normal distribution
(Tukey 1960) fitted by expectation and maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.outliers.rates import OutlierRates, StatePriors, fit_rates
from scrframe.offsets.outliers.states import StateLikelihoods, blocks, state_likelihoods
from scrframe.offsets.outliers.trimming import Judged, Residuals, hidden, peel
from scrframe.tables.settings import RobustSettings

__all__ = ["OutlierRates", "OutlierSettings", "RobustWeights", "mixture_weights"]


@dataclass(frozen=True)
class OutlierSettings(RobustSettings):
    """How outliers are found: a bad star or detection is off by up to `span`, in mag.

    Attributes
    ----------
    rounds : int
        Most rounds in which the rates of outliers are fitted in a call.
    prior_stars : float
        Number of stars and detections that the default rates count as much as.
    """

    rounds: int = 10
    prior_stars: float = 100.0


@dataclass(frozen=True)
class RobustWeights:
    """Weights of detections and stars.

    Attributes
    ----------
    detection : ndarray, shape (n,)
        Probability that a detection is good; multiplies its inverse noise variance.
    star : ndarray, shape (s,)
        Probability that a star's deviation is of the normal population and can be seen;
        multiplies its inverse variance.
    clean : ndarray, shape (s,)
        Probability that a star and all its detections are good.
    rates : OutlierRates
    kept : float
        Mean weight of the detections.
    """

    detection: FloatArray
    star: FloatArray
    clean: FloatArray
    rates: OutlierRates
    kept: float

    def together(self, star: IntArray, least: float = 0.0) -> FloatArray:
        """Return the weight of each detection with that of its star, shape (n,).

        Of a single detection nobody can tell which is bad, it or its star: both weights have
        the same doubt, which counts once.

        Parameters
        ----------
        star : ndarray of int64, shape (n,)
            Star of each detection, from 0 to s - 1.
        least : float
            A star's own weight counts as this at least.
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
    settings : OutlierSettings

    Raises
    ------
    CalibrationError
        If less than `settings.min_kept` of the detections keep their weight.
    """
    residuals = Residuals(residual, star, variance, star_variance)
    states = _states(residuals, settings)
    rates = fit_rates(states, current, settings.rounds, settings.prior_stars)
    judged = _judge(states, star, rates)
    detection, own = judged.detection, judged.star
    stars = hidden(judged, states.count)
    if stars.any():
        rows, part = residuals.of_stars(stars)
        odds = rates.detection / (1.0 - rates.detection) / (2.0 * settings.span)
        detection[rows], own[stars] = peel(
            part, lambda some: _judge(_states(some, settings), some.star, rates), odds
        )
    kept = float(detection.mean()) if len(detection) else 1.0
    if not kept >= settings.min_kept:
        raise CalibrationError(
            f"the joint solve would keep {100 * kept:.0f} per cent of the detections, of which"
            f" it needs {100 * settings.min_kept:.0f}: the others are no match for the model"
            " within its noise; look at the residuals by visit and by magnitude, correct or"
            " leave out what is wrong, or lower min_kept"
        )
    return RobustWeights(detection, own, judged.clean, rates, kept)


def _states(residuals: Residuals, settings: OutlierSettings) -> StateLikelihoods:
    return state_likelihoods(
        residuals.value,
        residuals.star,
        residuals.variance,
        residuals.star_variance,
        settings.span,
    )


def _judge(states: StateLikelihoods, star: IntArray, rates: OutlierRates) -> Judged:
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
    return Judged(detection, own, clean, some_bad)
