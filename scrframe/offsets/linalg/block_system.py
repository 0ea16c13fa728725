"""The joint system as blocks: parameters by exposure, by detection, and both together.

At millions of detections its copies, not its arithmetic, cost time and memory: it is put
together only in the parts that a factor asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scrframe.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class System:
    """A symmetric matrix of shape (p, p), p = a + b."""

    #: Columns of the terms by exposure among themselves. Shape (a, a).
    shared: sparse.csr_array
    #: With those of the terms by detection. Shape (a, b).
    mixed: sparse.csr_array
    #: These among themselves. Shape (b, b).
    own: sparse.csr_array

    @classmethod
    def of(cls, matrix: sparse.csc_array) -> System:
        """Return a matrix as one block."""
        size = matrix.shape[0]
        rest = sparse.csr_array((size, 0)), sparse.csr_array((0, 0))
        return cls(sparse.csr_array(matrix.T), *rest)  # symmetric: rows are columns

    @property
    def size(self) -> int:
        """Return the number of parameters, p."""
        return self.shared.shape[0] + self.own.shape[0]

    def plus(self, matrix: sparse.csc_array) -> System:
        """Add a matrix without entries between the two kinds of columns, such as a prior."""
        rows, split = sparse.csr_array(matrix), self.shared.shape[0]
        return System(
            sparse.csr_array(self.shared + rows[:split][:, :split]),
            self.mixed,
            sparse.csr_array(self.own + rows[split:][:, split:]),
        )

    def __matmul__(self, right: FloatArray) -> FloatArray:
        """Return the product with a vector, shape (p,), or columns, shape (p, k)."""
        upper, lower = np.split(right, [self.shared.shape[0]])
        return np.concatenate(
            [
                self.shared @ upper + self.mixed @ lower,
                self.mixed.T @ upper + self.own @ lower,
            ]
        )

    def whole(self) -> sparse.csc_array:
        """Return one sparse matrix."""
        lower = self.mixed.T.tocsr()
        rows = _together(self.shared, self.mixed, lower, self.own)
        return sparse.csc_array(rows.T)  # symmetric: rows are columns

    def bordered(self, dense: BoolArray) -> tuple[sparse.csc_array, sparse.csr_array, FloatArray]:
        """Return the parts that a bordered factor is made of.

        Parameters
        ----------
        dense : ndarray of bool, shape (p,)
            Columns of the dense block, d in all.

        Returns
        -------
        inner : csc_array, shape (p - d, p - d)
        border : csr_array, shape (p - d, d)
        corner : ndarray, shape (d, d)
        """
        split = self.shared.shape[0]
        local, border = (
            (np.flatnonzero(which[:split]), np.flatnonzero(which[split:]))
            for which in (~dense, dense)
        )
        inner = sparse.csc_array(self._part(local, local))
        outside = sparse.csr_array(self._part(local, border))
        return inner, outside, self._part(border, border).toarray()

    def _part(
        self, rows: tuple[IntArray, IntArray], columns: tuple[IntArray, IntArray]
    ) -> sparse.csr_array:
        """Return some rows and columns, both given by exposure and by detection."""
        return _together(
            self.shared[rows[0]][:, columns[0]],
            self.mixed[rows[0]][:, columns[1]],
            self.mixed[columns[0]][:, rows[1]].T.tocsr(),
            self.own[rows[1]][:, columns[1]],
        )


def _together(
    first: sparse.csr_array,
    right: sparse.csr_array,
    below: sparse.csr_array,
    last: sparse.csr_array,
) -> sparse.csr_array:
    """Return four blocks as one matrix."""
    upper = sparse.hstack([first, right], format="csr")
    lower = sparse.hstack([below, last], format="csr")
    return sparse.csr_array(sparse.vstack([upper, lower], format="csr"))
