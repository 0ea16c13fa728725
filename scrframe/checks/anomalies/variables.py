"""Stars that vary, judged by their repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from scrframe.arrays import FloatArray
from scrframe.statistics.significance import after_trials, needed

#: Detections from which on one wrong detection is told from a star that varies.
LEAST_DETECTIONS = 3
#: Stars whose median chi2 tells whether the errors are right.
LEAST_STARS = 50


@dataclass(frozen=True)
class StarRepeats:
    """What the repeats of s stars say.

    Attributes
    ----------
    chi2 : ndarray, shape (s,)
        Of the calibrated magnitudes about their mean; NaN where there is none.
    dof : ndarray of int, shape (s,)
        Degrees of freedom.
    detections, visits : ndarray of int, shape (s,)
        With a calibrated magnitude, and the visits that they are in.
    err : ndarray, shape (s,)
        Photometric error of the mean, in mag.
    one_outlier : ndarray of bool, shape (s,)
        Whether a single detection accounts for it.
    """

    chi2: FloatArray
    dof: npt.NDArray[Any]
    detections: npt.NDArray[Any]
    visits: npt.NDArray[Any]
    err: FloatArray
    one_outlier: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Variables:
    """Stars that vary, the most significant first.

    Attributes
    ----------
    star : ndarray of int64, shape (k,)
        Positions of the stars.
    amplitude_mag : ndarray of float64, shape (k,)
        Standard deviation of the star beyond its errors.
    significance : ndarray of float64, shape (k,)
        In standard deviations, after the number of stars tried.
    """

    star: npt.NDArray[np.int64]
    amplitude_mag: FloatArray
    significance: FloatArray


def variable_stars(repeats: StarRepeats, limit: float | None = None) -> Variables:
    """Return the stars that vary.

    A star counts with three detections or more in two visits or more, and where not one detection
    alone is to blame. Where the errors are too small for the stars as a whole, chi2 is divided by
    the ratio of its median to that of its distribution.

    Parameters
    ----------
    repeats : StarRepeats
    limit : float, optional
        Significance after trials that a star needs; by default `needed()`.
    """
    limit = needed() if limit is None else limit
    able = np.isfinite(repeats.chi2) & (repeats.detections >= LEAST_DETECTIONS)
    able &= (repeats.visits >= 2) & (repeats.dof > 0)
    rows = np.flatnonzero(able)
    chi2 = repeats.chi2[rows] / _inflation(repeats, rows)
    local = _normal_from_chi2(chi2, repeats.dof[rows])
    significance = after_trials(local, max(len(rows), 1))
    chosen = np.flatnonzero((significance >= limit) & (local > 0) & ~repeats.one_outlier[rows])
    chosen = chosen[np.argsort(-local[chosen], kind="stable")]
    star = rows[chosen]
    excess = np.maximum(repeats.chi2[star] / repeats.dof[star] - 1, 0)
    amplitude = np.sqrt(excess * repeats.detections[star]) * repeats.err[star]
    return Variables(star.astype(np.int64), amplitude, significance[chosen])


def _inflation(repeats: StarRepeats, rows: npt.NDArray[np.int64]) -> float:
    """Return by how much chi2 is too large as a rule; 1 at least."""
    if len(rows) < LEAST_STARS:
        return 1.0
    usual = special.chdtri(repeats.dof[rows], 0.5)
    return max(1.0, float(np.median(repeats.chi2[rows] / usual)))


def _normal_from_chi2(chi2: FloatArray, dof: npt.NDArray[Any]) -> FloatArray:
    """Return the significance that a normal distribution gives to so large a chi2 (two-sided)."""
    tail = special.chdtrc(dof, chi2)
    # beyond the range of floats: the leading term of the incomplete gamma function
    half = dof / 2
    leading = (half - 1) * np.log(np.maximum(chi2, 1e-9) / 2) - chi2 / 2 - special.gammaln(half)
    log_tail = np.where(tail > 1e-250, np.log(np.maximum(tail, 1e-300)), leading)
    return np.asarray(np.maximum(-special.ndtri_exp(np.minimum(log_tail, -1e-12) - np.log(2)), 0.0))
