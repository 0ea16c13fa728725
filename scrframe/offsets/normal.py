"""Normal equations of the mixed model, with every star's own deviation integrated out.

With D the weights of a star's detections and tau that of its deviation, the inverse of the
star's covariance is W = D - D 1 1^T D / (tau + sum of D); V^-1 is W star by star. All of it
stays linear in the number of detections: no matrix by detection or star is ever dense.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.model import FloatArray, IntArray, MixedModel, Term, Weights

#: Detections that are worked on at once: bounds the memory.
CHUNK = 3_000_000


@dataclass(frozen=True)
class StarOrder:
    """Detections in the order of their stars, stars that lie together close together.

    It depends on the model alone: make it once for all rounds of a fit.

    Attributes
    ----------
    detection : ndarray of int64, shape (n,)
        Rows of the model in the order of their stars.
    star : ndarray of int64, shape (s,)
        The stars in that order.
    first : ndarray of int64, shape (s + 1,)
        Where each star begins in `detection`.
    """

    detection: IntArray
    star: IntArray
    first: IntArray

    @classmethod
    def of(cls, model: MixedModel) -> StarOrder:
        """Sort a model's detections by star, and stars by their first exposure."""
        by_star = _grouped(model.star, model.stars)
        first = np.concatenate([[0], np.cumsum(np.bincount(model.star, minlength=model.stars))])
        count = np.diff(first)
        exposures = model.by_exposure.shape[0]
        place = np.full(model.stars, exposures)
        place[count > 0] = model.exposure[by_star[first[:-1][count > 0]]]
        star = _grouped(place, exposures + 1)
        ends = np.cumsum(count[star])
        shift = first[:-1][star] - (ends - count[star])
        detection = by_star[np.arange(len(by_star)) + np.repeat(shift, count[star])]
        return cls(detection, star, np.concatenate([[0], ends]))

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of stars of the order, of about `CHUNK` detections each."""
        targets = np.arange(CHUNK, len(self.detection), CHUNK)
        inner = np.searchsorted(self.first, targets)
        bounds = np.unique(np.concatenate([[0], inner, [len(self.star)]]))
        yield from pairwise(bounds.tolist())


def normal_matrix(
    model: MixedModel, weights: Weights, order: StarOrder | None = None
) -> sparse.csc_array:
    """Return Z^T V^-1 Z, shape (p, p), in mag^-2.

    Parameters
    ----------
    model : MixedModel
    weights : Weights
    order : StarOrder, optional
        The model's, where it is at hand.

    Raises
    ------
    CalibrationError
        If a weight is negative or not finite.
    """
    _check(weights)
    order = StarOrder.of(model) if order is None else order
    used = np.bincount(model.star, weights.detection > 0, minlength=model.stars)
    total = _by_star(model, weights.detection)
    # A star seen once acts as one detection with both variances: no product of pairs.
    share = np.where(used > 1, 0.0, 1.0)
    factor = 1.0 - share + share * _ratio(weights.star, weights.star + total)
    single = weights.detection * factor[model.star]
    pairs = np.where(used > 1, _ratio(np.ones(model.stars), weights.star + total), 0.0)
    sums = _Sums(model)
    for low, high in order.chunks():
        sums.add(order, low, high, weights.detection, single, pairs)
    return sums.matrix()


def star_solve(model: MixedModel, weights: Weights, values: FloatArray) -> FloatArray:
    """Return V^-1 v by detection, shape (n,), of values by detection, shape (n,)."""
    weighted_values = weights.detection * values
    total = _by_star(model, weights.detection)
    mean = _ratio(_by_star(model, weighted_values), weights.star + total)
    return np.asarray(weighted_values - weights.detection * mean[model.star])


def weighted(model: MixedModel, weights: Weights, values: FloatArray) -> FloatArray:
    """Return Z^T V^-1 v, shape (p,), of values by detection, shape (n,)."""
    return model.adjoint(star_solve(model, weights, values))


def star_means(
    model: MixedModel, weights: Weights, residual: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of each star's deviation, given residuals by detection.

    Both have shape (s,), in mag and mag^2; the mean is 0 and the variance infinite for a
    star without any weight.
    """
    precision = weights.star + _by_star(model, weights.detection)
    mean = _ratio(_by_star(model, weights.detection * residual), precision)
    variance = np.full(model.stars, np.inf)
    np.divide(1.0, precision, out=variance, where=precision > 0)
    return mean, variance


def prior_matrix(model: MixedModel, sd: Mapping[str, float]) -> sparse.csc_array:
    """Return the block diagonal of precision / sd^2, shape (p, p); 0 for flat terms.

    Parameters
    ----------
    model : MixedModel
    sd : mapping of str to float
        Standard deviation in mag of each term that has a prior, by name.

    Raises
    ------
    CalibrationError
        If a standard deviation is missing, zero or negative.
    """
    blocks = [_prior(term, sd) for term in model.terms]
    return sparse.csc_array(sparse.block_diag(blocks, format="csc"))


def _prior(term: Term, sd: Mapping[str, float]) -> sparse.csr_array:
    if term.precision is None:
        return sparse.csr_array((term.width, term.width))
    value = sd.get(term.name, 0.0)
    if not (value > 0 and np.isfinite(1 / value**2)):
        raise CalibrationError(
            f"term {term.name!r}: its standard deviation is {value!r} mag; give a positive "
            "one, or leave the term out"
        )
    return sparse.csr_array(term.precision / value**2)


class _Sums:
    """Running sums of the three blocks: by exposures, mixed, by columns of detections."""

    def __init__(self, model: MixedModel) -> None:
        self.model = model
        self.exposures = model.by_exposure.shape[0]
        width = model.by_detection.shape[1]
        self.inner = sparse.csr_array((self.exposures, self.exposures))
        self.mixed = sparse.csr_array((self.exposures, width))
        self.outer = sparse.csr_array((width, width))

    def add(
        self,
        order: StarOrder,
        low: int,
        high: int,
        weight: FloatArray,
        single: FloatArray,
        pairs: FloatArray,
    ) -> None:
        """Add the stars `low` up to `high` of the order."""
        rows = order.detection[order.first[low] : order.first[high]]
        first = order.first[low : high + 1] - order.first[low]
        seen = _indicator(self.model.exposure[rows], np.ones(len(rows)), self.exposures)
        design = self.model.by_detection[rows]
        self._product(seen, design, single[rows], 1.0)
        factor = pairs[order.star[low:high]]
        several = factor > 0
        shape = (high - low, len(rows))
        star = sparse.csr_array((weight[rows], np.arange(len(rows)), first), shape=shape)
        star = star[np.flatnonzero(several)]
        self._product(star @ seen, star @ design, factor[several], -1.0)

    def _product(
        self,
        exposure: sparse.csr_array,
        design: sparse.csr_array,
        weight: FloatArray,
        sign: float,
    ) -> None:
        scaled = _scaled(design, sign * weight)
        by_exposure = exposure.T.tocsr()
        self.inner = self.inner + by_exposure @ _scaled(exposure, sign * weight)
        self.mixed = self.mixed + by_exposure @ scaled
        self.outer = self.outer + design.T.tocsr() @ scaled

    def matrix(self) -> sparse.csc_array:
        """Return the whole matrix, exposures mapped to their columns."""
        onto = self.model.by_exposure.T.tocsr()
        inner = onto @ (self.inner @ self.model.by_exposure)
        mixed = onto @ self.mixed
        blocks = [[inner, mixed], [mixed.T, self.outer]]
        return sparse.csc_array(sparse.block_array(blocks, format="csc"))


def _check(weights: Weights) -> None:
    for name, values in (("detections", weights.detection), ("stars", weights.star)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            raise CalibrationError(
                f"weights of {name}: {len(bad)} are negative or not finite, the first in "
                f"row {bad[0]}; check the errors of the magnitudes"
            )


def _scaled(rows: sparse.csr_array, factor: FloatArray) -> sparse.csr_array:
    """Return a matrix with each row times a factor."""
    data = rows.data * np.repeat(factor, np.diff(rows.indptr))
    return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)


def _by_star(model: MixedModel, values: FloatArray) -> FloatArray:
    return np.asarray(np.bincount(model.star, values, minlength=model.stars), dtype=np.float64)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, 0 where both are 0: no weight, no information."""
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)


def _grouped(group: npt.NDArray[np.integer], groups: int) -> IntArray:
    """Return rows sorted by group, in their own order within one, in linear time."""
    rows = np.arange(len(group))
    table = sparse.coo_array((rows, (group, rows)), shape=(groups, len(group))).tocsr()
    return np.asarray(table.data, dtype=np.int64)


def _indicator(column: npt.NDArray[np.integer], values: FloatArray, width: int) -> sparse.csr_array:
    rows = len(column)
    return sparse.csr_array((values, column, np.arange(rows + 1)), shape=(rows, width))
