"""Differences of two backends on the same stars, with intervals, and the ranking of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Verdict = Literal["better", "worse", "not told apart"]
Statistic = Literal["sd", "mad", "rms"]


@dataclass(frozen=True)
class Difference:
    """A figure of one backend less that of another.

    Attributes
    ----------
    value, low, high : float
        The difference and its interval, mag; below zero the first is better.
    verdict : {"better", "worse", "not told apart"}
        Of the first; not told apart when the interval holds zero.
    """

    value: float
    low: float
    high: float
    verdict: Verdict


def paired(
    first: FloatArray,
    second: FloatArray,
    group: IntArray,
    statistic: Statistic = "sd",
    draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> Difference:
    """Compare the residuals of two backends.

    Parameters
    ----------
    first, second : ndarray, shape (n,) or (seeds, n)
        Residuals of the same stars (or visits ...) in the same order; all finite. The
        statistic is taken by seed and averaged.
    group : ndarray of int64, shape (n,)
        Sky cell or visit: what is drawn as a whole, the same for both backends.
    statistic : {"sd", "mad", "rms"}
    draws : int
        Of the bootstrap, which gives the standard error.
    seed : int
        Of the draws; nothing else decides them, so that further backends change nothing.
    level : float
        Of the interval.
    """
    raise NotImplementedError


def rank(
    residuals: Mapping[str, FloatArray],
    group: IntArray,
    statistic: Statistic = "sd",
    draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> tuple[tuple[tuple[str, ...], ...], dict[tuple[str, str], Difference]]:
    """Rank backends as far as the data tell them apart.

    Parameters
    ----------
    residuals : mapping of str to ndarray, shape (seeds, n)
        By name of backend.
    group, statistic, draws, seed :
        As for `paired`.
    level : float
        Chance that no pair of equal backends at all is told apart (Holm 1979).

    Returns
    -------
    ranking : tuple of tuple of str
        Best first. Each backend of a group is told apart from each of every other group; within
        a group they stand in the order of their statistic.
    pairs : dict of (str, str) to Difference
        Each pair once, the one with the smaller statistic first; the verdict is Holm's, the
        interval that of a single pair.
    """
    raise NotImplementedError
