"""Where the noise starts: robust figures of the residuals before anything is fitted."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.noise.model import NoiseModel, centre_and_spread

#: Fewer differences within stars say nothing about the noise.
MIN_DIFFERENCES = 50
#: Bins of catalogued error in which the noise is looked at.
BINS = 8
#: More are thinned out: this is but a start.
ENOUGH = 1_000_000
#: Start values of scale stay in this range, whatever the data.
SCALES = (0.3, 5.0)


def initial_scale(residual: FloatArray, star: IntArray, stars: int) -> tuple[float, float]:
    """Return robust standard deviations of star means and of detections within stars, in mag.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        In mag.
    star : ndarray of int64, shape (n,)
    stars : int
        Number of stars, s.

    Returns
    -------
    between, within : float
        1.4826 times the median absolute deviation of star means, and of detections from
        their star's mean, the latter for one detection; NaN without repeats.
    """
    mean, differences, _ = _within(residual, star, stars)
    between = centre_and_spread(mean)[1]
    return between, _spread_about_zero(differences) if len(differences) else float("nan")


def initial_noise(
    residual: FloatArray, star: IntArray, error_mag: FloatArray, shape: tuple[int, int]
) -> NoiseModel:
    """Return a noise model to start from.

    Scale and floor come from the robust spread of repeats about their star's mean in bins
    of catalogued error; without repeats they are 1 and 0. The scatter of the stars is what
    is left of the robust spread of their means, the same for all.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        Differences in mag, best with the offset of their exposure roughly taken off.
    star : ndarray of int64, shape (n,)
    error_mag : ndarray, shape (n,)
        Catalogued errors.
    shape : tuple of int
        Number of stars and of coefficients of the scatter: the shape of the covariates.
    """
    stars, width = shape
    mean, differences, used = _within(residual, star, stars)
    scale, floor = _scale_and_floor(differences, error_mag[used])
    scatter = np.zeros(width)
    model = NoiseModel(scale, floor, scatter)
    total = centre_and_spread(mean)[1] ** 2
    count = np.bincount(star, minlength=stars)
    noise = np.bincount(star, model.variance(error_mag), minlength=stars)[count > 0]
    own = total - float(np.median(noise / count[count > 0] ** 2)) if len(noise) else 0.0
    scatter[0] = 0.5 * np.log(max(own, 0.01 * total, 1e-6))
    return model


def _within(
    residual: FloatArray, star: IntArray, stars: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return means of stars (NaN for none), deviations scaled to one detection, and whose."""
    count = np.bincount(star, minlength=stars)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(star, residual, minlength=stars) / count
    used = np.flatnonzero(count[star] > 1)
    owner = star[used]
    stretch = np.sqrt(count / np.maximum(count - 1.0, 1.0))
    return mean, (residual[used] - mean[owner]) * stretch[owner], used


def _scale_and_floor(differences: FloatArray, error_mag: FloatArray) -> tuple[float, float]:
    """Return scale and floor that make the spread of differences, by bins of error."""
    if len(differences) < MIN_DIFFERENCES:
        return 1.0, 0.0
    stride = max(1, len(differences) // ENOUGH)
    differences, error_mag = differences[::stride], error_mag[::stride]
    bins = np.array_split(np.argsort(error_mag, kind="stable"), BINS)
    squares = np.array([np.median(error_mag[rows]) for rows in bins]) ** 2
    found = np.array([_spread_about_zero(differences[rows]) for rows in bins]) ** 2
    # Relative errors are the same in all bins; a bin of equal values has none.
    weight = 1.0 / np.maximum(found, 1e-10)
    design = np.column_stack([squares, np.ones(BINS)]) * weight[:, None]
    (slope, floor), *_ = np.linalg.lstsq(design, found * weight, rcond=None)
    if floor <= 0.0 or slope <= 0.0:
        slope, floor = float(np.median(found / squares)), 0.0
    return float(np.clip(np.sqrt(slope), *SCALES)), float(np.sqrt(floor))


def _spread_about_zero(differences: FloatArray) -> float:
    return float(1.482602218505602 * np.median(np.abs(differences)))
