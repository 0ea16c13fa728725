"""How many stars and detections are no normal ones: prior probabilities and their fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.outliers.states import StateLikelihoods

#: What the rates are drawn to, weakly: clean data lose next to nothing.
PRIOR_RATE = 1e-4
#: Rates stay in this range: clean data still bound a rare outlier, and a bad start cannot call
#: most of the data bad.
LEAST, MOST = 1e-4, 0.2
#: Rates are fitted on at most this many stars, evenly taken.
ENOUGH = 1_000_000
#: Relative change of the rates that is none.
SETTLED = 0.01


@dataclass(frozen=True)
class OutlierRates:
    """Prior probabilities.

    Attributes
    ----------
    detection : float
        Share of detections that are bad.
    star : float
        Share of stars whose own deviation is not of the normal population.
    several : float
        Share of stars of which all detections are bad.
    """

    detection: float = 0.01
    star: float = 0.01
    several: float = 0.01


@dataclass(frozen=True)
class StatePriors:
    """Prior probabilities of the states by number of detections, each shape (most + 1,).

    `one` is of each of the states with one bad detection. Whatever else may happen, such as
    two bad detections of four, is in `several`, so that the states add up to 1. Of a single
    detection nobody can tell which is bad, it or its star: it is good or `several`.
    """

    good: FloatArray
    bad: FloatArray
    one: FloatArray
    several: FloatArray

    @classmethod
    def of(cls, rates: OutlierRates, most: int) -> StatePriors:
        """Return the priors of stars with up to `most` detections."""
        count = np.arange(most + 1, dtype=np.float64)
        fine = (1.0 - rates.several) * (1.0 - rates.detection) ** count
        good, bad = (1.0 - rates.star) * fine, rates.star * fine
        one = good * rates.detection / (1.0 - rates.detection)
        bad[:2] = one[:2] = 0.0
        several = np.maximum(1.0 - good - bad - count * one, 0.0)
        return cls(good, bad, one, several)


def fit_rates(
    states: StateLikelihoods, start: OutlierRates, rounds: int, prior_stars: float
) -> OutlierRates:
    """Fit the rates by expectation and maximisation, the states' likelihoods given.

    Parameters
    ----------
    states : StateLikelihoods
    start : OutlierRates
    rounds : int
        Most rounds.
    prior_stars : float
        Number of stars and detections that `PRIOR_RATE` counts as much as.
    """
    taken = np.flatnonzero(states.count > 0)
    taken = taken[:: max(1, len(taken) // ENOUGH)]
    most = int(states.count.max(initial=1))
    count = states.count[taken]
    likelihood = [part[taken] for part in (states.good, states.bad, states.one, states.several)]
    rates = start
    for _ in range(rounds):
        priors = StatePriors.of(rates, most)
        table = (priors.good, priors.bad, priors.one, priors.several)
        parts = [prior[count] * part for prior, part in zip(table, likelihood, strict=True)]
        total = np.add.reduce(parts)
        before, rates = rates, _shares(count, [part / total for part in parts], rates, prior_stars)
        if _change(before, rates) < SETTLED:
            break
    return rates


def _shares(
    count: IntArray, states: list[FloatArray], rates: OutlierRates, prior_stars: float
) -> OutlierRates:
    """Return the rates that the states' posterior probabilities give."""
    _, bad, one, several = states
    single = count == 1
    # A bad single detection is shared out as the rates stand.
    doubtful = float(several[single].sum())
    present = np.array([rates.detection, rates.star, rates.several])
    found = np.array([one.sum(), bad.sum(), several[~single].sum()])
    found += doubtful * present / present.sum()
    normal = 1.0 - np.where(single, 0.0, several)
    trials = np.array([count @ normal, normal.sum(), len(count)])
    shares = (found + prior_stars * PRIOR_RATE) / (trials + prior_stars)
    return OutlierRates(*(float(share) for share in np.clip(shares, LEAST, MOST)))


def _change(before: OutlierRates, after: OutlierRates) -> float:
    pairs = (
        (before.detection, after.detection),
        (before.star, after.star),
        (before.several, after.several),
    )
    return max(abs(new / old - 1.0) for old, new in pairs)
