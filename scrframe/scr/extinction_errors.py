"""The best guess of an extinction that has an error, given those of its field.

An E above the mean of its field is above it in part by its error. Taken as it is, it flattens
every slope on E towards that of the error alone, and moves the field's zero point by as much
times the mean E. With S the variance of the true E in the field, the best guess is

    E* = mean + S / (S + error^2) (E - mean)

(regression calibration: Carroll et al. 2006, Measurement Error in Nonlinear Models, ch. 4).
What is left of the error does not depend on E*, so that slopes on E* are unbiased, however
much of the error a dereddened spectrum makes up for.
"""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray, IntArray

#: Fewer stars do not tell the spread of E: theirs stay as they are.
LEAST_STARS = 5


def calibrated_extinctions(
    extinction: FloatArray, error: FloatArray, field: IntArray
) -> FloatArray:
    """Return the best guess of each star's E, given its field's.

    Parameters
    ----------
    extinction, error : ndarray, shape (s,)
        As catalogued; an error that is not finite and positive counts as none.
    field : ndarray of int, shape (s,)
        Code of each star's field, from 0.

    Returns
    -------
    ndarray, shape (s,)
    """
    noise = np.where(np.isfinite(error) & (error > 0), error, 0.0) ** 2
    count = np.bincount(field)
    freedom = np.maximum(count - 1, 1)
    mean = np.bincount(field, extinction) / np.maximum(count, 1)
    # By moments: squares of deviations less what the errors give.
    total = np.bincount(field, (extinction - mean[field]) ** 2) / freedom
    variance = np.maximum(total - np.bincount(field, noise) / np.maximum(count, 1), 0.0)
    spread = variance[field] + noise
    weight = 1.0 / np.maximum(spread, 1e-12)
    mean = np.bincount(field, weight * extinction) / np.maximum(np.bincount(field, weight), 1e-300)
    share = np.where(noise > 0, variance[field] / np.maximum(spread, 1e-300), 1.0)
    best = mean[field] + share * (extinction - mean[field])
    return np.where(count[field] >= LEAST_STARS, best, extinction)
