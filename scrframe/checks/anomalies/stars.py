"""What stars say by their repeats: residuals of single detections, and which stars vary.

The residual of a detection is taken beyond what the star has in its other detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from scrframe.arrays import BoolArray, FloatArray
from scrframe.checks.statistics import LIMIT, after_trials
from scrframe.statistics.robust import robust_sd

IntArray = npt.NDArray[Any]
#: Bins of the stated error in which the true one is measured, and pairs that a bin needs.
ERROR_BINS, BIN_PAIRS = 10, 200
#: DetectionResiduals count up to so many standard deviations when they predict another detection.
CLIP = 4.0
#: Detections from which on one wrong detection is accounted from a star that varies.
LEAST_DETECTIONS = 3
#: Stars whose median chi2 tells whether the errors are right.
LEAST_STARS = 50


@dataclass(frozen=True)
class SingleResiduals:
    """DetectionResiduals of n detections, each without what its star has in common."""

    #: Residual less that expected from the star's other detections, in mag. Shape (n,).
    value: FloatArray
    #: Its standard deviation in mag: photometric for stars seen often, that of the stars about the
    #: model for those seen once. Shape (n,).
    sigma: FloatArray

    def clipped(self, most: float = 3.0) -> FloatArray:
        """Return the values cut at `most` standard deviations, in mag."""
        return np.clip(self.value, -most * self.sigma, most * self.sigma)


def single_residuals(residual: FloatArray, err: FloatArray, star: IntArray) -> SingleResiduals:
    """Take from each residual what the star's other detections lead to expect.

    A star's deviation from the model is the same in all its detections, and some four times the
    photometric noise; what is left tells of the detector. The expectation is the weighted mean of
    the others, shrunk by the scatter of the stars.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        Model less calibrated magnitude in mag, finite.
    err : ndarray, shape (n,)
        Stated photometric error in mag, positive. Its scale is measured from repeats.
    star : ndarray of int, shape (n,)
        Number of the star, from 0.
    """
    sigma = err * _error_scale(residual, err, star)
    spread = robust_sd(residual) if len(residual) else 0.0
    scatter = np.sqrt(max(spread**2 - float(np.median(sigma**2)), 0.0)) if len(residual) else 0.0
    limited = np.clip(residual - np.median(residual), -CLIP * spread, CLIP * spread)
    weight = 1 / sigma**2
    stars = int(star.max()) + 1 if len(star) else 0
    others = np.bincount(star, weight, stars)[star] - weight
    sums = np.bincount(star, weight * limited, stars)[star] - weight * limited
    alone = np.bincount(star, minlength=stars)[star] < 2
    others[alone], sums[alone] = 0.0, 0.0
    # scatter^2 / (scatter^2 + 1 / others), times the mean of the others
    damping = 1 + scatter**2 * others
    value = residual - scatter**2 * sums / damping
    return SingleResiduals(value, np.sqrt(sigma**2 + scatter**2 / damping))


def _error_scale(residual: FloatArray, err: FloatArray, star: IntArray) -> FloatArray:
    """Return true over stated error of each detection, from successive detections of a star."""
    order = np.argsort(star, kind="stable")
    first, second = order[:-1], order[1:]
    same = star[first] == star[second]
    first, second = first[same], second[same]
    if len(first) < BIN_PAIRS:
        return np.ones(len(err))
    pull = (residual[second] - residual[first]) / np.hypot(err[first], err[second])
    bins = max(min(ERROR_BINS, len(first) // BIN_PAIRS), 1)
    edges = np.unique(np.quantile(err[first], np.arange(1, bins) / bins))
    place = np.searchsorted(edges, err[first])
    scale = np.array([robust_sd(pull[place == one]) for one in range(len(edges) + 1)])
    usual = robust_sd(pull) or 1.0
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, usual)
    return np.asarray(scale[np.searchsorted(edges, err)])


@dataclass(frozen=True)
class StarRepeats:
    """What the repeats of s stars say."""

    #: Of the calibrated magnitudes about their mean; NaN where there is none. Shape (s,).
    chi2: FloatArray
    #: Degrees of freedom. Shape (s,).
    dof: npt.NDArray[Any]
    #: With a calibrated magnitude, and the visits that they are in. Shape (s,).
    detections: npt.NDArray[Any]
    visits: npt.NDArray[Any]
    #: Photometric error of the mean, in mag. Shape (s,).
    err: FloatArray
    #: Whether a single detection accounts for it. Shape (s,).
    one_outlier: BoolArray


@dataclass(frozen=True)
class Variables:
    """Stars that vary, the most significant first."""

    #: Positions of the stars. Shape (k,).
    star: npt.NDArray[np.int64]
    #: Standard deviation of the star beyond its errors. Shape (k,).
    amplitude_mag: FloatArray
    #: In standard deviations, after the number of stars tried. Shape (k,).
    significance: FloatArray


def variable_stars(repeats: StarRepeats, limit: float = LIMIT) -> Variables:
    """Return the stars that vary, more significantly than the limit after trials.

    A star counts with three detections or more in two visits or more, and where not one detection
    alone is to blame. Where the errors are too small for the stars as a whole, chi2 is divided by
    the ratio of its median to that of its distribution.
    """
    able = np.isfinite(repeats.chi2) & (repeats.detections >= LEAST_DETECTIONS)
    able &= (repeats.visits >= 2) & (repeats.dof > 0)
    rows = np.flatnonzero(able)
    chi2 = repeats.chi2[rows]
    if len(rows) >= LEAST_STARS:  # by how much chi2 is too large as a rule
        chi2 = chi2 / max(1.0, float(np.median(chi2 / special.chdtri(repeats.dof[rows], 0.5))))
    local = _normal_from_chi2(chi2, repeats.dof[rows])
    significance = after_trials(local, max(len(rows), 1))
    chosen = np.flatnonzero((significance >= limit) & (local > 0) & ~repeats.one_outlier[rows])
    chosen = chosen[np.argsort(-local[chosen], kind="stable")]
    star = rows[chosen]
    excess = np.maximum(repeats.chi2[star] / repeats.dof[star] - 1, 0)
    amplitude = np.sqrt(excess * repeats.detections[star]) * repeats.err[star]
    return Variables(star.astype(np.int64), amplitude, significance[chosen])


def _normal_from_chi2(chi2: FloatArray, dof: npt.NDArray[Any]) -> FloatArray:
    """Return the significance that a normal distribution gives to so large a chi2 (two-sided)."""
    tail = special.chdtrc(dof, chi2)
    # beyond the range of floats: the leading term of the incomplete gamma function
    half = dof / 2
    leading = (half - 1) * np.log(np.maximum(chi2, 1e-9) / 2) - chi2 / 2 - special.gammaln(half)
    log_tail = np.where(tail > 1e-250, np.log(np.maximum(tail, 1e-300)), leading)
    return np.asarray(np.maximum(-special.ndtri_exp(np.minimum(log_tail, -1e-12) - np.log(2)), 0.0))
