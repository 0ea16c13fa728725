"""Factor of the joint system: a sparse part bordered by a dense one.

H = [A B; B^T P]. A holds what is local on the sky (visits, exposures, fields), P what
touches a large share of all exposures (bins, maps, static and drifting terms). With
S = P - B^T A^-1 B everything asked for follows from A's sparse factor and S's dense one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import MixedModel
from scrframe.offsets.linalg.block_system import System
from scrframe.offsets.linalg.panels import BLOCK, Panels, plan_panels, subtract_squares
from scrframe.offsets.linalg.selected_inverse import (
    SelectedInverse,
    eliminate_border,
    panel_factors,
    select_inverse,
)

#: A term is dense when its columns typically touch more than this share of all visits, or of
#: all exposures where visits are not known.
DENSE_SHARE, EXPOSURE_SHARE = 1 / 16, 1 / 400
#: Detections, evenly picked, that tell what is dense.
SAMPLE = 3_000_000
#: A pivot below this share of its diagonal is rounding: the matrix is singular.
LEAST_PIVOT = 1e-12
#: Rows whose pairs of entries are looked up at once, and those solved for at once.
ROWS, SOLVES = 100_000, 64


def choose_dense(model: MixedModel) -> BoolArray:
    """Return which columns belong in the dense block, shape (p,).

    Whole terms are chosen, by the number of visits that share one of their columns: what few
    visits share is local on the sky, and stays sparse.
    """
    exposures = model.by_exposure.shape[0]
    visit = np.arange(exposures) if model.visit is None else model.visit
    visits = int(visit.max(initial=-1)) + 1
    of_exposure = indicator_of(visit, visits)
    touched = np.concatenate(
        [_touched(of_exposure, model.by_exposure), _touched_own(model, of_exposure)]
    ).astype(float)
    least = DENSE_SHARE * visits if model.visit is not None else EXPOSURE_SHARE * exposures
    dense = np.zeros(model.width, dtype=bool)
    for term in model.terms:
        count = touched[term.columns]
        typical = np.sum(count**2) / max(np.sum(count), 1.0)
        dense[term.columns] = typical > least
    return dense


def indicator_of(group: IntArray, groups: int) -> sparse.csr_array:
    """Return the matrix that sums rows by group, shape (groups, n)."""
    rows = np.arange(len(group))
    return sparse.csr_array((np.ones(len(group)), (group, rows)), shape=(groups, len(group)))


def _touched(of_row: sparse.csr_array, design: sparse.csr_array) -> npt.NDArray[np.intp]:
    return np.asarray(np.diff(sparse.csc_array(of_row @ abs(design)).indptr))


def _touched_own(model: MixedModel, of_exposure: sparse.csr_array) -> npt.NDArray[np.intp]:
    some = slice(None, None, 1 + len(model.exposure) // SAMPLE)
    seen = indicator_of(model.exposure[some], of_exposure.shape[1])
    return _touched(sparse.csr_array(of_exposure @ seen), model.by_detection[some])


@dataclass(frozen=True)
class FactorPlan:
    """Order and panels of a factor, for others whose nonzeros are at the same places."""

    panels: Panels
    #: Of the places of the nonzeros.
    digest: bytes


class Factor:
    """Cholesky factor of a symmetric positive definite matrix, bordered by a dense block.

    Parameters
    ----------
    matrix : System or csc_array, shape (p, p), or callable
        A callable makes it; where nothing else holds it, it is let go while factors grow.
    dense : ndarray of bool, shape (p,), optional
        Columns of the dense block; none if left out.
    plan : FactorPlan, optional
        Of another factor; it is used if it fits.

    Raises
    ------
    CalibrationError
        If the matrix is not positive definite.
    """

    def __init__(
        self,
        matrix: System | sparse.csc_array | Callable[[], System],
        dense: BoolArray | None = None,
        plan: FactorPlan | None = None,
    ) -> None:
        made = matrix() if callable(matrix) else matrix
        system = made if isinstance(made, System) else System.of(made)
        self.size = system.size
        dense = np.zeros(self.size, dtype=bool) if dense is None else dense
        inner, border, least = system.bordered(dense)
        del made, system
        self._dense = np.flatnonzero(dense)
        digest = _digest(inner, border)
        if plan is None or plan.digest != digest:
            plan = FactorPlan(plan_panels(inner, border), digest)
        self.plan, self._panels = plan, plan.panels
        order = self._panels.order
        self._sparse = np.flatnonzero(~dense)[order]
        self._border = sparse.csr_array(border[order])
        del border
        self._local = _symmetric_factor(sparse.csc_array(inner[:, order][order]))
        self._blocks = panel_factors(self._panels, _lower(self._local))
        self._w: list[FloatArray] | None = eliminate_border(
            self._panels, self._blocks, self._border
        )
        width = len(self._dense)
        corner = np.zeros((-(-width // BLOCK) * BLOCK,) * 2)
        corner[:width, :width] = least
        del least
        diagonal = np.diagonal(corner)[:width].copy()
        subtract_squares(self._panels, self._w, corner)
        self._corner = _cholesky(corner[:width, :width], diagonal)
        self._inverse: SelectedInverse | None = None

    def solve(self, right: FloatArray) -> FloatArray:
        """Return H^-1 b, of b with shape (p,) or (p, k)."""
        local = self._solve_local(right[self._sparse])
        out = np.empty(right.shape)
        corner = right[self._dense] - self._border.T @ local
        out[self._dense] = linalg.cho_solve((self._corner, True), corner)
        shift = self._border @ out[self._dense]
        out[self._sparse] = self._solve_local(right[self._sparse] - shift)
        return out

    def holds_densely(self, columns: slice) -> bool:
        """Return whether all of some columns are in the dense block."""
        wanted = np.arange(columns.start, columns.stop)
        return bool(np.isin(wanted, self._dense).all())

    @property
    def log_determinant(self) -> float:
        """Natural logarithm of det H."""
        local = sum(float(np.sum(np.log(np.diagonal(block)))) for block in self._blocks)
        return 2 * (local + float(np.sum(np.log(np.diagonal(self._corner)))))

    @property
    def inverse(self) -> SelectedInverse:
        """The inverse where the factor has entries; made when first asked for."""
        if self._inverse is None:
            assert self._w is not None
            corner = self._corner_inverse
            self._inverse = select_inverse(self._panels, self._blocks, self._w, corner)
            self._w = None
        return self._inverse

    @cached_property
    def _corner_inverse(self) -> FloatArray:
        """The dense block of H^-1, padded to whole blocks."""
        width = len(self._dense)
        out = np.zeros((-(-width // BLOCK) * BLOCK,) * 2)
        if width:
            half = linalg.lapack.dpotri(self._corner, lower=1)[0]
            out[:width, :width] = np.tril(half) + np.tril(half, -1).T
        return out

    def diagonal(self) -> FloatArray:
        """Return the diagonal of H^-1, shape (p,): the variance of every parameter."""
        out = np.empty(self.size)
        out[self._sparse] = self.inverse.diagonal()
        out[self._dense] = np.diagonal(self.inverse.corner)[: len(self._dense)]
        return out

    def entries(self, row: IntArray, column: IntArray) -> FloatArray:
        """Return entries of H^-1 at rows and columns of shape (k,), NaN outside the pattern.

        The factor's pattern has whatever the dense block, or a nonzero of H, joins.
        """
        place = np.empty(self.size, dtype=np.int64)
        place[self._sparse] = np.arange(len(self._sparse))
        place[self._dense] = len(self._sparse) + np.arange(len(self._dense))
        first, second = place[row], place[column]
        return self.inverse.entries(np.minimum(first, second), np.maximum(first, second))

    def row_variances(self, rows: sparse.csr_array) -> FloatArray:
        """Return r^T H^-1 r of each row r of a matrix of shape (k, p), shape (k,).

        Fast for rows whose parameters meet in the factor's pattern, as do all terms of one
        exposure; any other row costs a solve.
        """
        out = np.zeros(rows.shape[0])
        for low in range(0, len(out), ROWS):
            part = sparse.csr_array(rows[low : low + ROWS])
            which, first, second = _pairs(part)
            column = part.indices.astype(np.int64)
            value = self.entries(column[first], column[second])
            products = part.data[first] * part.data[second] * value
            out[low : low + ROWS] = np.bincount(which, products, minlength=part.shape[0])
        unknown = np.flatnonzero(np.isnan(out))
        for low in range(0, len(unknown), SOLVES):
            far = unknown[low : low + SOLVES]
            right = rows[far].toarray().T
            out[far] = np.sum(right * self.solve(right), axis=0)
        return out

    def trace(
        self, matrix: sparse.csr_array, columns: slice, probes: int = 0, seed: int = 0
    ) -> float:
        """Return tr(K C) of K, shape (q, q), and the block C of H^-1 of q columns.

        Parameters
        ----------
        matrix : csr_array, shape (q, q)
        probes : int
            0 for the exact trace, from the selected inverse. Otherwise, outside the dense
            block, the mean over so many random signs (Hutchinson 1990, Commun. Stat. Simul.
            19, 433): a few solves instead. Its relative error is about
            sqrt(2 / (probes * q)), where C is nearly diagonal.
        seed : int
            Of the random signs.
        """
        inside = np.isin(np.arange(columns.start, columns.stop), self._dense)
        if inside.all():
            here = np.searchsorted(self._dense, np.arange(columns.start, columns.stop))
            return float(matrix.multiply(self._corner_part(here).T).sum())
        if probes and not inside.any():
            signs = np.random.default_rng(seed).choice([-1.0, 1.0], (len(inside), probes))
            right = np.zeros((self.size, probes))
            right[columns] = signs
            return float(np.sum((matrix.T @ signs) * self.solve(right)[columns]) / probes)
        return self._exact_trace(matrix, columns)

    def block(self, columns: slice) -> FloatArray:
        """Return the block of H^-1 at q columns, shape (q, q)."""
        wanted = np.arange(columns.start, columns.stop)
        if self.holds_densely(columns):
            return self._corner_part(np.searchsorted(self._dense, wanted))
        out = np.empty((len(wanted), len(wanted)))
        for low in range(0, len(wanted), SOLVES):
            some = wanted[low : low + SOLVES]
            unit = np.zeros((self.size, len(some)))
            unit[some, np.arange(len(some))] = 1.0
            out[:, low : low + SOLVES] = self.solve(unit)[columns]
        return out

    def _corner_part(self, some: IntArray) -> FloatArray:
        """Return some rows and columns of the dense block of H^-1, shape (k, k)."""
        if "_corner_inverse" in self.__dict__ or 4 * len(some) > len(self._dense):
            return np.asarray(self._corner_inverse[some[:, None], some])
        unit = np.zeros((len(self._dense), len(some)))
        unit[some, np.arange(len(some))] = 1.0
        return np.asarray(linalg.cho_solve((self._corner, True), unit)[some])

    def _exact_trace(self, matrix: sparse.csr_array, columns: slice) -> float:
        table = sparse.coo_array(matrix)
        row, column = (part + columns.start for part in table.coords)
        value = self.entries(row, column)
        for missing in np.unique(column[np.isnan(value)]):
            unit = np.zeros(self.size)
            unit[missing] = 1.0
            here = column == missing
            value[here] = self.solve(unit)[row[here]]
        return float(np.sum(table.data * value))

    def _solve_local(self, right: FloatArray) -> FloatArray:
        if self._local is None or right.size == 0:
            return np.zeros(right.shape)
        return np.asarray(self._local.solve(right))


def _digest(*matrices: sparse.csc_array | sparse.csr_array) -> bytes:
    """Return what tells apart the places of nonzeros."""
    digest = hashlib.blake2b(digest_size=16)
    for matrix in matrices:
        digest.update(repr(matrix.shape).encode())
        for part in (matrix.indptr, matrix.indices):
            digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _pairs(rows: sparse.csr_array) -> tuple[IntArray, IntArray, IntArray]:
    """Return the row, and the places of both entries, of all pairs of entries of each row."""
    count = np.diff(rows.indptr).astype(np.int64)
    squares = count**2
    which = np.repeat(np.arange(len(count)), squares)
    within = np.arange(len(which)) - np.repeat(np.cumsum(squares) - squares, squares)
    start, width = rows.indptr[which], count[which]
    return which, start + within // width, start + within % width


def _symmetric_factor(matrix: sparse.csc_array) -> sparse_linalg.SuperLU | None:
    """Factor a matrix in its given order; pivots stay on the diagonal."""
    if matrix.shape[0] == 0:
        return None
    try:
        factor = sparse_linalg.splu(
            matrix,
            permc_spec="NATURAL",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:
        raise _not_definite() from None
    if np.any(factor.perm_r != factor.perm_c):
        raise _not_definite()
    _check_pivots(factor.U.diagonal()[factor.perm_c], matrix.diagonal())
    return factor


def _lower(factor: sparse_linalg.SuperLU | None) -> sparse.csc_array:
    """Return L of A = L L^T in A's own order: SuperLU's U is D times its L transposed."""
    if factor is None:
        return sparse.csc_array((0, 0))
    root = np.sqrt(factor.U.diagonal())
    lower = sparse.csc_array(factor.L)
    lower.data = lower.data * np.repeat(root, np.diff(lower.indptr))
    if np.any(factor.perm_c != np.arange(len(root))):
        place = factor.perm_c
        lower = sparse.csc_array(sparse.csc_array(lower[:, place])[place])
    return lower


def _cholesky(matrix: FloatArray, diagonal: FloatArray) -> FloatArray:
    """Factor what is left of a matrix that had this diagonal."""
    if matrix.size == 0:
        return np.zeros((0, 0))
    try:
        lower = np.asarray(linalg.cholesky(matrix, lower=True, check_finite=False))
    except linalg.LinAlgError:
        raise _not_definite() from None
    _check_pivots(np.diagonal(lower) ** 2, diagonal)
    return lower


def _check_pivots(pivots: FloatArray, diagonal: FloatArray) -> None:
    # Written so that NaN is refused as well.
    if not np.all(pivots > LEAST_PIVOT * np.abs(diagonal)):
        raise _not_definite()


def _not_definite() -> CalibrationError:
    return CalibrationError(
        "the offsets cannot be separated: the joint system is not positive definite; "
        "drop or merge the terms named in the degeneracy report, or give a flat one a prior"
    )
