"""Covariance of the visits' offsets, and of each exposure's with its visit's.

The whole matrix grows with the square of the visits: of many only those pairs are told that
share stars, and of all others the covariance is small. Either way every number is exact, until
the visits are so many that solving for each takes hours: then they come from draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
#: Above this many visits covariances come from so many draws: variances to the root of 2 / DRAWS,
#: 7 per cent, and less where those of exposures, which are exact, tell of them.
SOLVED, DRAWS = 20_000, 400
#: Least share of its variance by draws that a correction leaves: noise must not make it negative.
LEFT = 0.1


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


def drawn_covariance(
    draws: Iterable[FloatArray],
    rows: GaugeRows,
    visit: IntArray,
    pairs: sparse.csr_array,
    exposure_variance: FloatArray,
) -> VisitErrors:
    """Return the covariance of some pairs of visits, estimated from draws.

    What draws of a visit's exposures miss of their variances, which are exact, its own is
    corrected for, as far as the two go together (a control variate).

    Parameters
    ----------
    draws : iterable of ndarray, shape (p, k)
        Of the parameters' errors, in blocks.
    rows, visit, pairs
        As for `pair_covariance`.
    exposure_variance : ndarray, shape (x,)
        Of the exposures' offsets, less the survey's mean, in mag^2.
    """
    first, second = sparse.coo_array(pairs).coords
    products, number = np.zeros(pairs.nnz), 0
    own, apart, together = (np.zeros(len(visit)) for _ in range(3))
    for block in draws:
        mean = rows.mean @ block
        visits, exposures = rows.visits @ block - mean, rows.exposures @ block - mean
        of_visit = visits[visit]
        own += np.sum(exposures**2, axis=1)
        together += np.sum(exposures * of_visit, axis=1)
        apart += np.sum((exposures - of_visit) ** 2, axis=1)
        for column in visits.T:
            products += column[first] * column[second]
        number += block.shape[1]
    share = np.minimum((together / np.where(own > 0, own, 1.0)) ** 2, 1.0)
    missed = share * (exposure_variance - own / number)
    count = np.maximum(np.bincount(visit, minlength=rows.visits.shape[0]), 1)
    correction = np.bincount(visit, missed, minlength=len(count)) / count
    values = products / number
    diagonal = first == second
    before = values[diagonal]
    values[diagonal] = np.maximum(before + correction[first[diagonal]], LEFT * before)
    found = sparse.csr_array((values, (first, second)), shape=pairs.shape)
    # So that the error of an exposure's difference to its visit is that of the draws.
    with_exposure = 0.5 * (exposure_variance + found.diagonal()[visit] - apart / number)
    return VisitErrors(found, with_exposure)


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
