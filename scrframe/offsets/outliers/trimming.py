"""Stars with several bad detections among many: set the worst aside, look again.

The states of a star know of one bad detection, or of all. Of many detections two or three
may be bad. So where some are bad almost surely, those farthest from the star's median are
set aside and the rest is looked at afresh, until it is in order or down to half. In the end
those set aside are judged against what is left, so that one that was set aside wrongly gets
its weight back. Where half is not in order either, the star keeps no weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray, IntArray

#: Stars with fewer detections are left to the states, which are exact for up to three.
LEAST_DETECTIONS = 4
#: Probability that detections are bad from which the worst is set aside.
SURE = 0.9
#: In one go a detection of this many is set aside, at least one.
ONE_OF = 10


@dataclass(frozen=True)
class Residuals:
    """Residuals of some stars, with their variances in mag^2.

    Attributes
    ----------
    value, variance : ndarray, shape (n,)
    star : ndarray of int64, shape (n,)
    star_variance : ndarray, shape (s,)
    """

    value: FloatArray
    star: IntArray
    variance: FloatArray
    star_variance: FloatArray

    def rows(self, rows: npt.NDArray[np.integer]) -> Residuals:
        """Return some of the detections, of the same stars."""
        parts = (self.value[rows], self.star[rows], self.variance[rows])
        return Residuals(*parts, self.star_variance)

    def of_stars(self, stars: BoolArray) -> tuple[IntArray, Residuals]:
        """Return the rows of some stars, and their residuals with these stars only."""
        rows = np.flatnonzero(stars[self.star])
        part = self.rows(rows)
        label = np.cumsum(stars) - 1
        return rows, replace(part, star=label[part.star], star_variance=self.star_variance[stars])


@dataclass(frozen=True)
class Judged:
    """Probabilities that the states give.

    Attributes
    ----------
    detection : ndarray, shape (n,)
        That a detection is good.
    star : ndarray, shape (s,)
        That a star's deviation is normal, with no or one bad detection.
    clean : ndarray, shape (s,)
        That all is good.
    some_bad : ndarray, shape (s,)
        That one detection is bad, or several.
    """

    detection: FloatArray
    star: FloatArray
    clean: FloatArray
    some_bad: FloatArray


def hidden(judged: Judged, count: IntArray) -> BoolArray:
    """Return which stars may have more than one bad detection but good ones too, shape (s,)."""
    return np.asarray((count >= LEAST_DETECTIONS) & (judged.some_bad > SURE))


def peel(
    residuals: Residuals, judge: Callable[[Residuals], Judged], odds: float
) -> tuple[FloatArray, FloatArray]:
    """Return weights of detections and stars, the worst detections set aside.

    Parameters
    ----------
    residuals : Residuals
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
        judged = judge(core)
        count = np.bincount(core.star, minlength=stars)
        doubtful = hidden(judged, count) & (count > least)
        if not doubtful.any():
            break
    detection = _against_core(residuals, core, judged, odds)
    detection[rows] = judged.detection
    return detection, judged.star


def _farthest(residuals: Residuals, count: IntArray, number: IntArray) -> BoolArray:
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


def _against_core(residuals: Residuals, core: Residuals, judged: Judged, odds: float) -> FloatArray:
    """Return the probability that each detection is good, given the star as the rest shows it."""
    stars = len(residuals.star_variance)
    weight = judged.detection / core.variance
    precision = judged.star / residuals.star_variance
    precision += np.bincount(core.star, weight, minlength=stars)
    precision = np.maximum(precision, 1e-6)
    mean = np.bincount(core.star, weight * core.value, minlength=stars) / precision
    variance = residuals.variance + (1.0 / precision)[residuals.star]
    square = (residuals.value - mean[residuals.star]) ** 2 / variance
    density = np.exp(-0.5 * square) / np.sqrt(2.0 * np.pi * variance)
    several = judged.some_bad - (judged.star - judged.clean)
    return np.asarray(density / (density + odds) * (1.0 - several)[residuals.star])
