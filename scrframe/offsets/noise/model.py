"""The noise of detections and the scatter of stars: the model, its covariates, where it starts.

The start is made of robust figures of the residuals before anything is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import robust_sd

#: No detection is taken to be better than this, so that its weight stays finite; in mag.
SMALLEST_SD_MAG = 1e-5
#: Standardised properties end here, so that no star lies far outside the others.
BOUND = 3.0
#: Fewer differences within stars say nothing about the noise.
MIN_DIFFERENCES = 50
#: Bins of catalogued error in which the noise is looked at.
BINS = 8
#: More are thinned out: this is but a start.
ENOUGH = 1_000_000
#: Start values of scale stay in this range, whatever the data.
SCALES = (0.3, 5.0)


@dataclass(frozen=True)
class NoiseModel:
    """Variances of the photometric noise and of the stars' own deviations.

    Repeated detections of a star show only the noise that is independent between
    exposures. What its detections share (an error that two back-to-back exposures have in
    common, variability slower than the exposures) counts as the star's own deviation.
    """

    #: True over catalogued error.
    scale: float
    #: Noise that the catalogue does not know of.
    floor_mag: float
    #: Coefficients of the logarithm of a star's standard deviation (in mag) on the covariates, of
    #: which the first is 1. Shape (t,).
    scatter: FloatArray

    def variance(self, error_mag: FloatArray) -> FloatArray:
        """Return the noise variance in mag^2, shape (n,), of catalogued errors in mag."""
        variance = np.square(error_mag, dtype=np.float64)
        variance *= self.scale**2
        variance += self.floor_mag**2
        return np.maximum(variance, SMALLEST_SD_MAG**2, out=variance)

    def star_variance(self, covariates: FloatArray) -> FloatArray:
        """Return the variance of stars' deviations in mag^2, shape (s,), by covariates (s, t)."""
        return np.asarray(np.exp(2.0 * (covariates @ self.scatter)))


@dataclass(frozen=True)
class CovariateScale:
    """A frozen standardisation: the same property always gives the same covariate."""

    #: Properties, in the order of their covariates.
    names: tuple[str, ...]
    #: Median and robust standard deviation of each property, in its own unit. A spread of 0 (all
    #: stars alike) makes the property's covariates 0.
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    #: Highest power of each property.
    degree: int

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray], degree: int) -> CovariateScale:
        """Measure centre and spread of star properties, each of shape (s,)."""
        measured = [centre_and_spread(values) for values in columns.values()]
        centre = tuple(pair[0] for pair in measured)
        return cls(tuple(columns), centre, tuple(pair[1] for pair in measured), degree)

    def covariates(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the covariates of stars, shape (s, t), from properties of shape (s,).

        They are 1, then by property its powers 1 to `degree`; t = 1 + degree * properties. There
        must be at least the properties in `names`; a value that is not known (NaN) counts as that
        of the typical star.
        """
        stars = len(next(iter(columns.values()))) if columns else 0
        result = np.ones((stars, 1 + self.degree * len(self.names)))
        for i, name in enumerate(self.names):
            base = _standardised(columns[name], self.centre[i], self.spread[i])
            for power in range(1, self.degree + 1):
                result[:, i * self.degree + power] = base**power
        return result


def covariates(columns: Mapping[str, FloatArray], degree: int) -> FloatArray:
    """Return covariates of stars, shape (s, t), standardised on these very stars.

    Columns are properties such as magnitude, extinction or colour, shape (s,); `degree` is the
    highest power of each.
    """
    return CovariateScale.of(columns, degree).covariates(columns)


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


def centre_and_spread(values: FloatArray) -> tuple[float, float]:
    """Return median and robust standard deviation of the finite values; 0, 0 if there are none.

    The standard deviation is 1.4826 times the median absolute deviation (a normal
    distribution's).
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 0.0
    centre = float(np.median(finite))
    return centre, robust_sd(finite)


def _standardised(values: FloatArray, centre: float, spread: float) -> FloatArray:
    if spread == 0.0:
        return np.zeros(len(values))
    scaled = np.clip((np.asarray(values, dtype=np.float64) - centre) / spread, -BOUND, BOUND)
    return np.nan_to_num(scaled, nan=0.0)


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
    found = np.array([robust_sd(differences[rows], about=0.0) for rows in bins]) ** 2
    # Relative errors are the same in all bins; a bin of equal values has none.
    weight = 1.0 / np.maximum(found, 1e-10)
    design = np.column_stack([squares, np.ones(BINS)]) * weight[:, None]
    (slope, floor), *_ = np.linalg.lstsq(design, found * weight, rcond=None)
    if floor <= 0.0 or slope <= 0.0:
        slope, floor = float(np.median(found / squares)), 0.0
    return float(np.clip(np.sqrt(slope), *SCALES)), float(np.sqrt(floor))
