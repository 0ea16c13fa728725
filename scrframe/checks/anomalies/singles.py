"""What a single detection says: its residual beyond what the star has in its other detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.statistics.robust import robust_sd

IntArray = npt.NDArray[Any]

#: Bins of the stated error in which the true one is measured, and pairs that a bin needs.
ERROR_BINS, BIN_PAIRS = 10, 200
#: Residuals count up to so many standard deviations when they predict another detection.
CLIP = 4.0


@dataclass(frozen=True)
class SingleResiduals:
    """Residuals of n detections, each without what its star has in common.

    Attributes
    ----------
    value : ndarray of float64, shape (n,)
        Residual less that expected from the star's other detections, in mag.
    sigma : ndarray of float64, shape (n,)
        Its standard deviation in mag: photometric for stars seen often, that of the stars about
        the model for those seen once.
    """

    value: FloatArray
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
