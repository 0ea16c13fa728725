"""The states of a star: their prior probabilities and likelihoods, and how many are outliers.

With w = 1 / D the inverse noise variances and tau the variance of the star's deviation,
the good state's exponent is sum(w r^2) - tau sum(w r)^2 / (1 + tau sum(w)) (Sherman and
Morrison); a detection is left out by taking its part off the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray

LOG_2PI = float(np.log(2.0 * np.pi))
#: Exponents end here, so that sums stay finite; two states so far above are alike.
LARGEST_EXPONENT = 600.0
#: Rows that are worked on at once: few enough to stay in a processor's cache.
BLOCK = 1 << 16
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
    """Prior probabilities."""

    #: Share of detections that are bad.
    detection: float = 0.01
    #: Share of stars whose own deviation is not of the normal population.
    star: float = 0.01
    #: Share of stars of which all detections are bad.
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


@dataclass(frozen=True)
class StateLikelihoods:
    """Likelihoods of the states by star, each star in its own unit."""

    #: Detections of each star. Shape (s,).
    count: IntArray
    #: Of the states good, star bad and several bad. A bad star with a single detection is a bad
    #: detection, and counts with `several`. Shape (s,).
    good: FloatArray
    bad: FloatArray
    several: FloatArray
    #: Sum over the states in which one detection is bad. Shape (s,).
    one: FloatArray
    #: Of the state in which that detection is bad; 0 for single detections. Shape (n,).
    each: FloatArray


def state_likelihoods(
    residual: FloatArray,
    star: IntArray,
    variance: FloatArray,
    star_variance: FloatArray,
    span_mag: float,
) -> StateLikelihoods:
    """Return the likelihoods of all states.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        In mag.
    star : ndarray of int64, shape (n,)
    variance : ndarray, shape (n,)
        Of the noise of detections, in mag^2.
    star_variance : ndarray, shape (s,)
        Of the stars' deviations, in mag^2.
    span_mag : float
        Bad values have the density 1 / (2 span_mag).
    """
    stars = len(star_variance)
    count = np.bincount(star, minlength=stars)
    sums = _Sums.of(residual, star, variance, stars)
    flat = -float(np.log(2.0 * span_mag))
    states = np.empty((4, stars))
    for rows in blocks(stars):
        states[:, rows] = _whole(sums.rows(rows), count[rows], star_variance[rows], flat)
    good, bad, several, base = states
    each = np.empty(len(residual))
    for rows in blocks(len(residual)):
        each[rows] = _left_out(
            residual[rows], star[rows], variance[rows], star_variance, sums, base
        )
    one = _by_star(star, each, stars)
    return StateLikelihoods(count, good, bad, several, one, each)


def fit_rates(
    states: StateLikelihoods, start: OutlierRates, rounds: int, prior_stars: float
) -> OutlierRates:
    """Fit the rates by expectation and maximisation, the states' likelihoods given.

    There are `rounds` at most; `PRIOR_RATE` counts as much as `prior_stars` stars and detections.
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


def _by_star(star: IntArray, values: FloatArray, stars: int) -> FloatArray:
    return np.asarray(np.bincount(star, values, minlength=stars), dtype=np.float64)


def blocks(length: int) -> Iterator[slice]:
    """Yield the slices that go through rows a block at a time."""
    return (slice(first, first + BLOCK) for first in range(0, length, BLOCK))


@dataclass(frozen=True)
class _Sums:
    """Sums by star of w, w r, w r^2 and log D, each of shape (s,)."""

    weight: FloatArray
    value: FloatArray
    square: FloatArray
    log_variance: FloatArray

    @classmethod
    def of(cls, residual: FloatArray, star: IntArray, variance: FloatArray, stars: int) -> _Sums:
        work = 1.0 / variance
        weight = _by_star(star, work, stars)
        work *= residual
        value = _by_star(star, work, stars)
        work *= residual
        square = _by_star(star, work, stars)
        np.log(variance, out=work)
        return cls(weight, value, square, _by_star(star, work, stars))

    def rows(self, rows: slice) -> _Sums:
        """Return the sums of some stars."""
        return _Sums(
            self.weight[rows], self.value[rows], self.square[rows], self.log_variance[rows]
        )


def _whole(
    sums: _Sums, count: IntArray, star_variance: FloatArray, flat: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the likelihoods of good, star bad, several bad; and what one bad starts from.

    Each star's unit is the largest of the three. The last is a logarithm.
    """
    spread = 1.0 + star_variance * sums.weight
    common = -0.5 * (sums.log_variance + count * LOG_2PI + sums.square)
    good = common + 0.5 * (star_variance * sums.value**2 / spread - np.log(spread))
    with np.errstate(divide="ignore", invalid="ignore"):
        free = sums.value**2 / sums.weight - np.log(sums.weight) + LOG_2PI
    bad = np.where(count > 1, common + 0.5 * free + flat, -np.inf)
    several = count * flat
    unit = np.maximum(np.maximum(good, bad), several)
    base = np.where(count > 1, common + 0.5 * LOG_2PI + flat - unit, -np.inf)
    return np.exp(good - unit), np.exp(bad - unit), np.exp(several - unit), base


def _left_out(
    residual: FloatArray,
    star: IntArray,
    variance: FloatArray,
    star_variance: FloatArray,
    sums: _Sums,
    base: FloatArray,
) -> FloatArray:
    """Return the likelihood with each detection left out of the good ones."""
    weight = 1.0 / variance
    tau = star_variance[star]
    rest = np.maximum(sums.weight[star] - weight, 0.0) * tau
    rest += 1.0
    moment = weight * residual
    exponent = sums.value[star] - moment
    exponent *= exponent
    exponent *= tau
    exponent /= rest
    moment *= residual
    exponent += moment
    exponent *= 0.5
    exponent += base[star]
    np.minimum(exponent, LARGEST_EXPONENT, out=exponent)
    # Determinants outside the exponent save two logarithms.
    return np.asarray(np.exp(exponent, out=exponent) * np.sqrt(variance / rest))


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
