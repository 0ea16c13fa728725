"""What the same stars deviate alike by in two surveys: a correlation, with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.problem import JointFit

#: Resamplings of the groups, and the fewest groups that are resampled.
DRAWS, GROUPS = 200, 8
#: Fewer stars in common say nothing of a correlation.
MIN_COMMON = 100
#: A correlation counts from so many standard errors on, and stays below this.
SIGMAS, LARGEST = 3.0, 0.98


@dataclass(frozen=True)
class StarResiduals:
    """Mean residuals of stars in one survey, each of shape (s,)."""

    #: Of differences less all terms, over the star's detections.
    mean_mag: FloatArray
    #: Of the star's own deviation.
    sd_mag: FloatArray
    #: Of the mean, in mag^2; infinite without detections.
    variance: FloatArray
    #: Probability that the star and all its detections are good.
    good: FloatArray
    #: What is resampled as a whole: where the star is seen first.
    group: IntArray

    @classmethod
    def of(cls, fit: JointFit, group: IntArray) -> StarResiduals:
        """Return those of a fit; `group` is that of each of its exposures, shape (x,)."""
        model, weights = fit.design.model, fit.weights
        total = np.bincount(model.star, weights.detection, minlength=model.stars)
        sums = np.bincount(model.star, weights.detection * fit.residual_mag, minlength=model.stars)
        seen = total > 0
        mean = np.divide(sums, total, out=np.zeros(model.stars), where=seen)
        variance = own_variance(fit)
        noise = np.divide(1.0, total, out=np.full(model.stars, np.inf), where=seen)
        first = np.zeros(model.stars, dtype=np.int64)
        first[model.star[::-1]] = model.exposure[::-1]
        good = np.where(seen & (variance > 0), fit.robust.clean, 0.0)
        return cls(mean, np.sqrt(variance), variance + noise, good, group[first])


def own_variance(fit: JointFit) -> FloatArray:
    """Return the variance of each star's deviation in a solve, shape (s,); 0 if not known."""
    known = fit.weights.star > 0
    return np.divide(fit.robust.star, fit.weights.star, out=np.zeros(len(known)), where=known)


@dataclass(frozen=True)
class Correlation:
    """Correlation of the stars' deviations in two surveys."""

    value: float
    error: float
    #: Stars in common that count.
    common: int

    @property
    def significant(self) -> bool:
        """Whether it is worth sharing."""
        return self.common >= MIN_COMMON and abs(self.value) >= SIGMAS * self.error > 0


def correlate(
    first: StarResiduals, second: StarResiduals, rows: tuple[IntArray, IntArray], seed: int
) -> Correlation:
    """Return the correlation of the deviations of stars in common.

    Each product of two mean residuals is expected to be the correlation times both standard
    deviations; they are weighted by the inverse of their variance. The error is the larger of that
    which the weights promise and that of resampling groups of stars, from `seed`. `rows` are the
    stars in common, as rows of both.
    """
    i, j = rows
    good = first.good[i] * second.good[j]
    i, j, good = i[good > 0], j[good > 0], good[good > 0]
    size = first.sd_mag[i] * second.sd_mag[j]
    weight = good / (first.variance[i] * second.variance[j])
    above = weight * first.mean_mag[i] * second.mean_mag[j] * size
    below = weight * size**2
    if not below.sum() > 0:
        return Correlation(0.0, np.inf, len(i))
    error = 1 / np.sqrt(below.sum())
    group = np.unique(first.group[i], return_inverse=True)[1]
    groups = int(group.max()) + 1
    if groups >= GROUPS:
        sums = np.stack([np.bincount(group, above), np.bincount(group, below)])
        drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), DRAWS)
        top, bottom = sums @ drawn.T
        error = max(error, float(np.std(top / np.maximum(bottom, 1e-300))))
    return Correlation(float(above.sum() / below.sum()), float(error), len(i))


def one_factor(found: Mapping[tuple[int, int], Correlation], members: int) -> FloatArray:
    """Return what each survey follows the common factor by, shape (b,).

    Their products are the correlations, `found` by pairs of the b surveys, the first number the
    smaller: those of two surveys are split evenly, the sign going to the second; of more, they are
    fitted by least squares, weighted by the errors. Surveys without any significant correlation
    have 0.
    """
    value, weight = np.zeros((members, members)), np.zeros((members, members))
    significant = np.zeros(members, dtype=bool)
    for (i, j), each in found.items():
        if each.common < MIN_COMMON or not np.isfinite(each.error):
            continue
        value[i, j] = value[j, i] = np.clip(each.value, -LARGEST, LARGEST)
        weight[i, j] = weight[j, i] = 1 / max(each.error, 1e-6) ** 2
        significant[[i, j]] |= each.significant
    weight *= significant[:, None] & significant
    factor = np.where(significant, np.sqrt(np.abs(value).max(axis=1, initial=0.0)), 0.0)
    signs = _signs(value * weight, significant)
    factor *= signs
    for _ in range(200 if significant.sum() > 2 else 0):
        for b in np.flatnonzero(significant):
            bottom = float(weight[b] @ factor**2)
            if bottom > 0:
                raw = float((weight[b] * value[b]) @ factor) / bottom
                factor[b] = np.clip(raw, -LARGEST, LARGEST)
    return factor


def _signs(strength: FloatArray, significant: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the sign of each survey, from that of the surveys before it."""
    signs = np.ones(len(significant))
    for b in range(1, len(significant)):
        along = float(strength[b, :b] @ signs[:b])
        signs[b] = -1.0 if along < 0 else 1.0
    return signs


def common_stars(sources: Sequence[IntArray], i: int, j: int) -> tuple[IntArray, IntArray]:
    """Return the rows of the stars that two surveys have in common."""
    _, first, second = np.intersect1d(sources[i], sources[j], return_indices=True)
    return first.astype(np.int64), second.astype(np.int64)
