"""Factor of the joint system: a sparse part bordered by a dense one.

H = [A B; B^T P]. A holds what is local on the sky (visits, exposures, fields), P what
touches a large share of all exposures (bins, maps, static and drifting terms). With
S = P - B^T A^-1 B everything asked for follows from A's sparse factor and S's dense one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

from scrframe.errors import CalibrationError
from scrframe.offsets.model import FloatArray, MixedModel

BoolArray = npt.NDArray[np.bool_]

#: A term is dense when its columns typically touch at least this many exposures ...
DENSE_EXPOSURES = 100
#: ... and at least this share of all exposures.
DENSE_SHARE = 1 / 400


def choose_dense(model: MixedModel) -> BoolArray:
    """Return which columns belong in the dense block, shape (p,).

    Whole terms are chosen, by the number of exposures that share one of their columns.
    """
    exposures = model.by_exposure.shape[0]
    touched = np.concatenate([_touched_shared(model), _touched_own(model)]).astype(float)
    dense = np.zeros(model.width, dtype=bool)
    for term in model.terms:
        count = touched[term.columns]
        typical = np.sum(count**2) / max(np.sum(count), 1.0)
        dense[term.columns] = typical > max(DENSE_EXPOSURES, DENSE_SHARE * exposures)
    return dense


def _touched_shared(model: MixedModel) -> npt.NDArray[np.intp]:
    return np.diff(model.by_exposure.tocsc().indptr)


def _touched_own(model: MixedModel) -> npt.NDArray[np.intp]:
    design = model.by_detection
    rows = len(model.exposure)
    shape = (model.by_exposure.shape[0], rows)
    seen = sparse.csc_array((np.ones(rows), model.exposure, np.arange(rows + 1)), shape=shape)
    return np.asarray(np.diff(sparse.csc_array(seen @ abs(design)).indptr))


class Factor:
    """Cholesky factor of a symmetric positive definite matrix, bordered by a dense block.

    Parameters
    ----------
    matrix : csc_array, shape (p, p)
    dense : ndarray of bool, shape (p,), optional
        Columns of the dense block; none if left out.

    Raises
    ------
    CalibrationError
        If the matrix is not positive definite.
    """

    def __init__(self, matrix: sparse.csc_array, dense: BoolArray | None = None) -> None:
        size = matrix.shape[0]
        dense = np.zeros(size, dtype=bool) if dense is None else dense
        self.size = size
        self.sparse = np.flatnonzero(~dense)
        self.dense = np.flatnonzero(dense)
        self._border = sparse.csc_array(matrix[:, self.dense][self.sparse])
        self._local = _symmetric_factor(sparse.csc_array(matrix[:, self.sparse][self.sparse]))
        corner = matrix[:, self.dense][self.dense].toarray()
        self._x = self._solve_local(self._border.toarray())
        self._corner = _cholesky(corner - self._border.T @ self._x)

    def solve(self, right: FloatArray) -> FloatArray:
        """Return H^-1 b, of b with shape (p,) or (p, k)."""
        local = self._solve_local(right[self.sparse])
        out = np.empty(right.shape)
        corner = right[self.dense] - self._border.T @ local
        out[self.dense] = linalg.cho_solve((self._corner, True), corner)
        out[self.sparse] = local - self._x @ out[self.dense]
        return out

    @property
    def log_determinant(self) -> float:
        """Natural logarithm of det H."""
        pivots = 0.0 if self._local is None else np.sum(np.log(self._local.U.diagonal()))
        return float(pivots + 2 * np.sum(np.log(np.diag(self._corner))))

    def diagonal(self) -> FloatArray:
        """Return the diagonal of H^-1, shape (p,)."""
        return self.row_variances(sparse.csr_array(sparse.identity(self.size, format="csr")))

    def row_variances(self, rows: sparse.csr_array) -> FloatArray:
        """Return r^T H^-1 r of each row r of a matrix of shape (k, p)."""
        out = np.empty(rows.shape[0])
        for low in range(0, len(out), 256):
            part = rows[low : low + 256].toarray()
            out[low : low + 256] = np.sum(part.T * self.solve(part.T), axis=0)
        return out

    def trace(self, matrix: sparse.csr_array, columns: slice) -> float:
        """Return tr(K C) of K, shape (q, q), and the block C of H^-1 of q columns."""
        total = 0.0
        for low in range(columns.start, columns.stop, 256):
            high = min(low + 256, columns.stop)
            unit = np.zeros((self.size, high - low))
            unit[np.arange(low, high), np.arange(high - low)] = 1.0
            part = matrix[low - columns.start : high - columns.start].toarray()
            total += float(np.sum(part.T * self.solve(unit)[columns]))
        return total

    def _solve_local(self, right: FloatArray) -> FloatArray:
        if self._local is None or right.size == 0:
            return np.zeros(right.shape)
        return np.asarray(self._local.solve(right))


def _symmetric_factor(matrix: sparse.csc_array) -> sparse_linalg.SuperLU | None:
    if matrix.shape[0] == 0:
        return None
    options = {"SymmetricMode": True}
    try:
        factor = sparse_linalg.splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
        )
    except RuntimeError:
        raise _not_definite() from None
    if not np.all(factor.U.diagonal() > 0) or np.any(factor.perm_r != factor.perm_c):
        raise _not_definite()
    return factor


def _cholesky(matrix: FloatArray) -> FloatArray:
    if matrix.size == 0:
        return np.zeros((0, 0))
    try:
        return np.asarray(linalg.cholesky(matrix, lower=True))
    except linalg.LinAlgError:
        raise _not_definite() from None


def _not_definite() -> CalibrationError:
    return CalibrationError(
        "the offsets cannot be told apart: the joint system is not positive definite; "
        "drop or merge the terms named in the degeneracy report, or give a flat one a prior"
    )
