"""Covariance of the visits' offsets, and of each exposure's with its visit's.

The whole matrix grows with the square of the visits: of many only those pairs are told that
share stars, and of all others the covariance is small. Either way every number is exact.
"""

from __future__ import annotations

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
    blocks = [
        factor.solve(visits[low : low + BLOCK].toarray().T)
        for low in range(0, visits.shape[0], BLOCK)
    ]
    solved = np.concatenate(blocks, axis=1)
    raw = np.asarray(visits @ solved)
    centred = raw[:-1, :-1] - raw[:-1, -1:] - raw[-1:, :-1] + raw[-1, -1]
    own = _of_rows(rows.exposures, solved, visit)
    own -= rows.exposures @ factor.solve(rows.mean)
    return VisitErrors(0.5 * (centred + centred.T), own - raw[-1, visit] + raw[-1, -1])


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
    exposures = np.argsort(visit, kind="stable")
    begins = np.searchsorted(visit[exposures], np.arange(rows.visits.shape[0] + 1))
    values, with_exposure = np.empty(pairs.nnz), np.empty(len(visit))
    width = int(np.clip(NUMBERS // len(rows.mean), 1, BLOCK))
    for low in range(0, rows.visits.shape[0], width):
        high = min(low + width, rows.visits.shape[0])
        solved = factor.solve(rows.visits[low:high].toarray().T)
        some = slice(int(pairs.indptr[low]), int(pairs.indptr[high]))
        column = np.repeat(np.arange(high - low), np.diff(pairs.indptr[low : high + 1]))
        other = pairs.indices[some]
        near, place = np.unique(other, return_inverse=True)
        raw = np.asarray(rows.visits[near] @ solved)[place, column]
        values[some] = raw - with_mean[low + column] - with_mean[other] + mean
        here = exposures[begins[low] : begins[high]]
        own = _of_rows(rows.exposures[here], solved, visit[here] - low)
        with_exposure[here] = own - with_mean[visit[here]] + mean
    with_exposure -= rows.exposures @ of_mean
    found = sparse.csr_array((values, pairs.indices, pairs.indptr), shape=pairs.shape)
    return VisitErrors(sparse.csr_array(0.5 * (found + found.T)), with_exposure)


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
