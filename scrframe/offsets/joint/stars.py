"""Stars' own deviations, integrated out: products with V^-1, their means, draws of them.

With D the weights of a star's detections and tau that of its deviation, A = D - D 1 1^T D /
(tau + sum of D) star by star. Where stars of several surveys are one source, l the loadings of
its detections and t ~ N(0, 1) what they have in common, V^-1 = A - A l l^T A / (1 + l^T A l);
elsewhere V^-1 is A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.mixed_model import MixedModel, Weights

Numbers = npt.NDArray[np.integer]

#: Inverse variances in 1/mag^2 below which nothing is known of a star; robust weights go so far.
NO_INFORMATION = 1e-100


def star_solve(model: MixedModel, weights: Weights, values: FloatArray) -> FloatArray:
    """Return V^-1 v by detection, shape (n,), of values by detection, shape (n,)."""
    total = _by_star(model, weights.detection)
    mean = _ratio(_by_star(model, weights.detection * values), weights.star + total)
    solved = mean[model.star]  # in place from here on: as long as the detections
    np.subtract(values, solved, out=solved)
    solved *= weights.detection
    common = common_terms(model, weights)
    return solved if common is None else common.subtracted(solved, values)


def weighted(model: MixedModel, weights: Weights, values: FloatArray) -> FloatArray:
    """Return Z^T V^-1 v, shape (p,), of values by detection, shape (n,)."""
    return model.adjoint(star_solve(model, weights, values))


def star_means(
    model: MixedModel, weights: Weights, residual: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of each star's deviation, given residuals by detection.

    Both have shape (s,), in mag and mag^2; the mean is 0 and the variance infinite for a
    star without any weight. What a star has in common with others of its source is part of
    its deviation.
    """
    precision = weights.star + _by_star(model, weights.detection)
    mean = _ratio(_by_star(model, weights.detection * residual), precision)
    variance = np.full(model.stars, np.inf)
    np.divide(1.0, precision, out=variance, where=precision > 0)
    common = common_terms(model, weights)
    if common is not None:
        mean = mean + common.share * common.mean(residual)[common.source]
        variance = variance + common.share**2 * common.factor[common.source]
    return mean, variance


def noise_draw(model: MixedModel, weights: Weights, random: np.random.Generator) -> FloatArray:
    """Return V^-1 (s + e) for a draw of stars' deviations and noise, shape (n,).

    Written so that no variance appears: that of an outlier is next to infinite.
    """
    star, stars = model.star, model.stars
    noise = random.standard_normal(len(star))  # in place from here on
    noise *= np.sqrt(weights.detection)
    own = np.sqrt(weights.star) * random.standard_normal(stars)
    total = weights.star + np.bincount(star, weights.detection, minlength=stars)
    known = total > 0
    share = (own - np.bincount(star, noise, minlength=stars)) / np.where(known, total, 1.0)
    drawn = share[star]
    drawn *= weights.detection
    drawn += noise
    common = common_terms(model, weights)
    return drawn if common is None else common.drawn(drawn, weights, random)


@dataclass(frozen=True)
class CommonTerms:
    """The terms of rank one by source; s stars of g sources."""

    #: Shape (s,).
    source: IntArray
    #: loading * tau / (tau + sum of D): times a detection's weight it is A l. Shape (s,).
    share: FloatArray
    #: 1 / (1 + l^T A l), the variance of t given all detections; 0 of sources that have nothing in
    #: common with any detection. Shape (g,).
    factor: FloatArray
    #: Shape (n,).
    star: IntArray
    #: Shape (n,).
    weight: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Return the mean of t given values by detection, shape (g,)."""
        sums = np.bincount(self.star, self.weight * values, minlength=len(self.source))
        products = np.bincount(self.source, self.share * sums, minlength=len(self.factor))
        return np.asarray(self.factor * products)

    def subtracted(self, solved: FloatArray, values: FloatArray) -> FloatArray:
        """Return V^-1 v of values v, shape (n,), from A v, `solved`."""
        by_star = self.share * self.mean(values)[self.source]
        return np.asarray(solved - self.weight * by_star[self.star])

    def drawn(
        self, solved: FloatArray, weights: Weights, random: np.random.Generator
    ) -> FloatArray:
        """Return V^-1 x of a draw x with what is common, from A x without it, shape (n,)."""
        assert weights.loading is not None
        normal = random.standard_normal(len(self.factor))
        along = self.weight * self.share[self.star]
        whole = solved + along * normal[self.source][self.star]
        products = np.bincount(self.star, whole, minlength=len(self.source))
        products = np.bincount(self.source, weights.loading * products)
        mean = self.factor * products
        return np.asarray(whole - along * mean[self.source][self.star])

    def rows(
        self,
        order: Numbers,
        begins: IntArray,
        first: IntArray,
        weight: FloatArray,
        stars: tuple[int, int],
    ) -> tuple[sparse.csr_array, FloatArray]:
        """Return A l by source over some detections, and the factor of each.

        Parameters
        ----------
        order : ndarray of int, shape (s,)
            Stars, those of a source together.
        begins : ndarray of int64, shape (g + 1,)
            Where each source begins in `order`.
        first : ndarray of int64, shape (k + 1,)
            Where each of the stars begins among the detections.
        weight : ndarray, shape (m,)
            Of these detections.
        stars : (int, int)
            The stars are those of the order from the first up to, not with, the second.
        """
        low, high = stars
        own = begins[np.searchsorted(begins, low) : np.searchsorted(begins, high) + 1] - low
        here = order[low:high]
        factor = self.factor[self.source[here[own[:-1]]]]
        values = weight * np.repeat(self.share[here], np.diff(first))
        shape = (len(factor), len(weight))
        rows = sparse.csr_array((values, np.arange(len(weight)), first[own]), shape=shape)
        kept = np.flatnonzero(factor)
        return sparse.csr_array(rows[kept]), factor[kept]


def common_terms(model: MixedModel, weights: Weights) -> CommonTerms | None:
    """Return the terms by source; None where nothing is shared."""
    if model.source is None or weights.loading is None:
        return None
    total = np.bincount(model.star, weights.detection, minlength=model.stars)
    precision = weights.star + total
    inverse = np.divide(1.0, precision, out=np.zeros(model.stars), where=precision > 0)
    share = weights.loading * weights.star * inverse
    products = np.bincount(model.source, weights.loading * share * total)
    factor = np.where(products > 0, 1 / (1 + products), 0.0)
    return CommonTerms(model.source, share, factor, model.star, weights.detection)


def by_source(source: IntArray, seen_in: Numbers) -> tuple[Numbers, IntArray]:
    """Return stars, shape (s,), with those of a source together, and where each begins, (g + 1,).

    `source` counts from 0, none left out. `seen_in` is the first exposure of each star: sources
    come in the order of theirs. Both have shape (s,).
    """
    sources = int(source.max(initial=-1)) + 1
    earliest = np.full(sources, np.iinfo(np.int64).max)
    np.minimum.at(earliest, source, seen_in)
    place = np.empty(sources, dtype=np.int64)
    place[np.argsort(earliest, kind="stable")] = np.arange(sources)
    order = np.lexsort((np.arange(len(source)), place[source]))
    count = np.bincount(place[source], minlength=sources)
    return order, np.concatenate([[0], np.cumsum(count)])


def _by_star(model: MixedModel, values: FloatArray) -> FloatArray:
    return np.asarray(np.bincount(model.star, values, minlength=model.stars), dtype=np.float64)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, 0 where both are 0 or nearly so: no weight, no information."""
    return np.divide(above, below, out=np.zeros(len(below)), where=below > NO_INFORMATION)
