"""Covariance of the visits' offsets, and of each exposure's with its visit's.

The whole matrix grows with the square of the visits: of many only those pairs are told that
share stars, and of all others the covariance is small. Either way every number is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.gauge import GaugeRows
from scrframe.offsets.joint.problem import InverseSystem
from scrframe.statistics.covariance import Covariance

#: Right-hand sides that are solved at once, and the numbers that they may have in all.
BLOCK, NUMBERS = 256, 32_000_000


@dataclass(frozen=True)
class VisitErrors:
    """Covariances in the gauge, less the survey's mean; x exposures of v visits."""

    #: In mag^2. Shape (v, v).
    covariance: Covariance
    #: Of an exposure with its visit, in mag^2. Shape (x,).
    with_exposure: FloatArray


def whole_covariance(factor: InverseSystem, rows: GaugeRows, visit: IntArray) -> VisitErrors:
    """Return the covariance of all pairs of visits.

    `visit`, shape (x,), is that of each exposure.
    """
    visits = sparse.csr_array(
        sparse.vstack([rows.visits, sparse.csr_array(rows.mean[None, :])], format="csr")
    )
    raw, with_exposure = np.empty(visits.shape[:1] * 2), np.zeros(len(visit))
    groups = _Exposures(visit, visits.shape[0])
    for low, high in _blocks(*visits.shape):
        solved = factor.solve(visits[low:high].toarray().T)
        raw[:, low:high] = visits @ solved
        here = groups.of(low, high)
        with_exposure[here] = _of_rows(rows.exposures[here], solved, visit[here] - low)
    centred = raw[:-1, :-1] - raw[:-1, -1:] - raw[-1:, :-1] + raw[-1, -1]
    with_exposure -= rows.exposures @ factor.solve(rows.mean)
    with_exposure = with_exposure - raw[-1, visit] + raw[-1, -1]
    return VisitErrors(0.5 * (centred + centred.T), with_exposure)


def pair_covariance(
    factor: InverseSystem, rows: GaugeRows, visit: IntArray, pairs: sparse.csr_array
) -> VisitErrors:
    """Return the covariance of some pairs of visits; memory grows with their number.

    Parameters
    ----------
    factor : InverseSystem
        Of p parameters.
    rows : GaugeRows
    visit : ndarray of int64, shape (x,)
        Visit of each exposure.
    pairs : csr_array, shape (v, v)
        Has an entry where a pair is wanted; symmetric, with its diagonal.
    """
    of_mean = factor.solve(rows.mean)
    with_mean, mean = np.asarray(rows.visits @ of_mean), float(rows.mean @ of_mean)
    groups = _Exposures(visit, rows.visits.shape[0])
    values, with_exposure = np.empty(pairs.nnz), np.zeros(len(visit))
    for low, high in _blocks(*rows.visits.shape):
        solved = factor.solve(rows.visits[low:high].toarray().T)
        some = slice(int(pairs.indptr[low]), int(pairs.indptr[high]))
        column = np.repeat(np.arange(high - low), np.diff(pairs.indptr[low : high + 1]))
        other = pairs.indices[some]
        near, place = np.unique(other, return_inverse=True)
        raw = np.asarray(rows.visits[near] @ solved)[place, column]
        values[some] = raw - with_mean[low + column] - with_mean[other] + mean
        here = groups.of(low, high)
        own = _of_rows(rows.exposures[here], solved, visit[here] - low)
        with_exposure[here] = own - with_mean[visit[here]] + mean
    with_exposure -= rows.exposures @ of_mean
    found = sparse.csr_array((values, pairs.indices, pairs.indptr), shape=pairs.shape)
    return VisitErrors(sparse.csr_array(0.5 * (found + found.T)), with_exposure)


class _Exposures:
    """The exposures of a range of visits."""

    def __init__(self, visit: IntArray, visits: int) -> None:
        self._order = np.argsort(visit, kind="stable")
        self._begins = np.searchsorted(visit[self._order], np.arange(visits + 1))

    def of(self, low: int, high: int) -> IntArray:
        """Return the exposures of visits `low` up to, not with, `high`."""
        return np.asarray(self._order[self._begins[low] : self._begins[high]])


def _blocks(visits: int, parameters: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of visits that are solved for at once."""
    width = int(np.clip(NUMBERS // parameters, 1, BLOCK))
    for low in range(0, visits, width):
        yield low, min(low + width, visits)


def sharing_stars(
    visit: npt.NDArray[np.integer], star: npt.NDArray[np.integer], visits: int
) -> sparse.csr_array:
    """Return which visits share stars, each with itself, as entries of a matrix (v, v).

    `visit` and `star`, shape (n,), are those of the detections.
    """
    shape = visits, int(star.max(initial=-1)) + 1
    seen = sparse.csr_array((np.ones(len(visit)), (visit, star)), shape=shape)
    return sparse.csr_array(seen @ seen.T + sparse.eye_array(visits, format="csr"))


def _of_rows(rows: sparse.csr_array, solved: FloatArray, column: IntArray) -> FloatArray:
    """Return the product of each row of a matrix with a column of its own, shape (k,)."""
    of_row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    terms = rows.data * solved[rows.indices, column[of_row]]
    return np.asarray(np.bincount(of_row, terms, minlength=rows.shape[0]), dtype=np.float64)
