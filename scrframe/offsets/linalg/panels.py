"""Order and shape of a sparse Cholesky factor, cut into dense panels.

A minimum-degree order keeps the factor sparse. Numbered along its elimination tree, small
subtrees and chains of columns become panels: few thousand dense blocks instead of tens of
thousands of columns. A panel's columns share one list of rows below and one of columns of
the border, both closed under elimination, so that every entry that a sweep over the panels
needs is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from scrframe.arrays import IntArray

#: Widest panel. Wider ones mean fewer steps, but more zeros stored and multiplied.
PANEL = 16
#: Columns of the border are held in blocks of so many: whole blocks move at once.
BLOCK = 32


@dataclass(frozen=True)
class Panels:
    """Panels of the factor of a matrix of shape (n, n) with a border of shape (n, d).

    Attributes
    ----------
    order : ndarray of int64, shape (n,)
        Rows of the matrix in the order of elimination; all else refers to this order.
    bounds : ndarray of int64, shape (m + 1,)
        Panel k has the columns ``bounds[k]`` up to, not with, ``bounds[k + 1]``.
    below : list of ndarray of int64
        Rows below each panel that its factor fills, ascending.
    border : list of ndarray of int64
        Blocks of `BLOCK` columns of the border that each panel reaches, ascending.
    parent : ndarray of int64, shape (m,)
        The panel that eliminates the first of these rows; -1 for a root.
    """

    order: IntArray
    bounds: IntArray
    below: list[IntArray]
    border: list[IntArray]
    parent: IntArray

    def __len__(self) -> int:
        return len(self.parent)

    def rows(self, panel: int) -> IntArray:
        """Return a panel's own rows and those below, ascending."""
        own = np.arange(self.bounds[panel], self.bounds[panel + 1])
        return np.concatenate([own, self.below[panel]])


def plan_panels(matrix: sparse.csc_array, border: sparse.csr_array) -> Panels:
    """Choose order and panels from the places of the nonzeros.

    Parameters
    ----------
    matrix : csc_array, shape (n, n)
        Symmetric.
    border : csr_array, shape (n, d)
    """
    if matrix.shape[0] == 0:
        none = np.zeros(0, dtype=np.int64)
        return Panels(none, np.zeros(1, dtype=np.int64), [], [], none)
    order, lower = _pattern(matrix)
    tree = _tree(lower)
    along = _postorder(tree)
    order = order[along]
    lower = sparse.csc_array(sparse.csc_array(lower[:, along])[along])
    lower.sort_indices()
    bounds = _bounds(_tree(lower))
    return _close(order, bounds, lower, sparse.csr_array(border[order]))


def _pattern(matrix: sparse.csc_array) -> tuple[IntArray, sparse.csc_array]:
    """Return a minimum-degree order, and the factor's pattern in that order.

    A graph Laplacian with the same pattern is factored: all its updates have one sign, so
    that nothing cancels and every entry of the pattern shows.
    """
    pattern = sparse.csc_array(matrix, copy=True)
    pattern.data = np.full(pattern.nnz, -1.0)
    degree = np.diff(pattern.indptr)
    pattern = sparse.csc_array(pattern + sparse.diags_array(degree + 1e-3))
    factor = sparse_linalg.splu(
        pattern,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    lower = sparse.csc_array(factor.L)
    lower.sort_indices()
    return np.argsort(factor.perm_c).astype(np.int64), lower


def _tree(lower: sparse.csc_array) -> IntArray:
    """Return each column's parent: its first row below the diagonal; -1 for none."""
    parent = np.full(lower.shape[0], -1, dtype=np.int64)
    inner = np.flatnonzero(np.diff(lower.indptr) > 1)
    parent[inner] = lower.indices[lower.indptr[inner] + 1]
    return parent


def _postorder(parent: IntArray) -> IntArray:
    """Return the nodes of trees, children before parents, subtrees together."""
    children: list[list[int]] = [[] for _ in range(len(parent) + 1)]
    for node, above in enumerate(parent.tolist()):
        children[above].append(node)  # the roots' -1 is the last list
    found: list[int] = []
    waiting = list(children[-1])
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(children[node])
    return np.array(found[::-1], dtype=np.int64)


def _bounds(parent: IntArray) -> IntArray:
    """Return where panels begin: small whole subtrees, and chains of the columns above."""
    size = np.ones(len(parent), dtype=np.int64)
    for node, above in enumerate(parent.tolist()):
        if above >= 0:
            size[above] += size[node]
    large = size > PANEL
    starts = np.zeros(len(parent) + 1, dtype=bool)
    whole = ~large & ((parent < 0) | large[parent])
    roots = np.flatnonzero(whole)
    starts[roots - size[roots] + 1] = True
    starts[roots + 1] = True
    run = 0
    for node in np.flatnonzero(large).tolist():
        joined = node > 0 and large[node - 1] and parent[node - 1] == node and run < PANEL
        run = run + 1 if joined else 1
        starts[node] |= not joined
    starts[-1] = True
    return np.flatnonzero(starts)


def _close(
    order: IntArray, bounds: IntArray, lower: sparse.csc_array, border: sparse.csr_array
) -> Panels:
    """Find rows and border of each panel, handing them on to its parent."""
    count = len(bounds) - 1
    owner = np.repeat(np.arange(count), np.diff(bounds))
    below: list[IntArray] = []
    reached: list[IntArray] = []
    parent = np.full(count, -1, dtype=np.int64)
    from_children: list[list[int]] = [[] for _ in range(count)]
    for panel in range(count):
        low, high = bounds[panel], bounds[panel + 1]
        children = from_children[panel]
        rows = _union([_rows_of(lower, low, high), *(below[child] for child in children)])
        below.append(rows[rows >= high])
        columns = [_rows_of(border, low, high) // BLOCK, *(reached[child] for child in children)]
        reached.append(_union(columns))
        if len(below[panel]):
            parent[panel] = owner[below[panel][0]]
            from_children[parent[panel]].append(panel)
    return Panels(order, bounds, below, reached, parent)


def _rows_of(
    matrix: sparse.csc_array | sparse.csr_array, low: int, high: int
) -> npt.NDArray[np.integer]:
    return np.asarray(matrix.indices[matrix.indptr[low] : matrix.indptr[high]])


def _union(parts: list[npt.NDArray[np.integer]]) -> IntArray:
    return np.unique(np.concatenate(parts)).astype(np.int64)
