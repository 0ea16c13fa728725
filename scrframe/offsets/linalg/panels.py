"""A sparse Cholesky factor cut into dense panels: order, shape, and products of many at a time.

A minimum-degree order keeps the factor sparse. Numbered along its elimination tree, small
subtrees and chains of columns become panels: few thousand dense blocks instead of tens of
thousands of columns. A panel's columns share one list of rows below and one of columns of
the border, both closed under elimination, so that every entry that a sweep over the panels
needs is there.

Panels are narrow: multiplied one by one they would leave a processor idle, and multiplied
over the whole border it would mostly multiply zeros. Batches of panels that reach the same
blocks of the border are neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import blas
from scipy.sparse import linalg as sparse_linalg

from scrframe.arrays import FloatArray, IntArray

#: Widest panel. Wider ones mean fewer steps, but more zeros stored and multiplied.
PANEL = 16
#: Columns of the border are held in blocks of so many: whole blocks move at once.
BLOCK = 32
#: Rows of W multiplied at once.
BATCH = 4096
#: How much wider than its panels, on average, a batch may get, and in all, in blocks.
WIDENING, SLACK = 1.3, 3e4
#: Share of the blocks above which panels are taken over all of them.
WIDE = 0.7


@dataclass(frozen=True)
class Panels:
    """Panels of the factor of a matrix of shape (n, n) with a border of shape (n, d)."""

    #: Rows of the matrix in the order of elimination; all else refers to this order. Shape (n,).
    order: IntArray
    #: Panel k has the columns ``bounds[k]`` up to, not with, ``bounds[k + 1]``. Shape (m + 1,).
    bounds: IntArray
    #: Rows below each panel that its factor fills, ascending.
    below: list[IntArray]
    #: Blocks of `BLOCK` columns of the border that each panel reaches, ascending.
    border: list[IntArray]
    #: The panel that eliminates the first of these rows; -1 for a root. Shape (m,).
    parent: IntArray

    def __len__(self) -> int:
        return len(self.parent)

    def rows(self, panel: int) -> IntArray:
        """Return a panel's own rows and those below, ascending."""
        own = np.arange(self.bounds[panel], self.bounds[panel + 1])
        return np.concatenate([own, self.below[panel]])


def plan_panels(matrix: sparse.csc_array, border: sparse.csr_array) -> Panels:
    """Choose order and panels from the places of the nonzeros.

    The matrix, shape (n, n), is symmetric; its border has shape (n, d).
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


def batches(panels: Panels, blocks: int) -> Iterator[tuple[list[int], IntArray]]:
    """Yield panels of similar border together, with the union of their blocks.

    Products by panel would be small; products over all columns are mostly zeros. Panels that reach
    most blocks, of `blocks` in the border, are taken over all.
    """
    sizes = np.array([len(border) for border in panels.border])
    width = np.diff(panels.bounds)
    wide = sizes > WIDE * blocks
    everything = np.arange(blocks)
    borders = [everything if all_ else own for all_, own in zip(wide, panels.border, strict=True)]
    order = sorted(
        np.flatnonzero(sizes).tolist(), key=lambda panel: (wide[panel], borders[panel].tolist())
    )
    some: list[int] = []
    union = np.zeros(0, dtype=np.int64)
    rows = area = 0
    for panel in order:
        border = borders[panel]
        wider = np.union1d(union, border)
        more = rows + width[panel], area + width[panel] * len(border)
        if some and (more[0] > BATCH or len(wider) * more[0] > WIDENING * more[1] + SLACK):
            yield some, union
            some, wider, more = [], border, (width[panel], width[panel] * len(border))
        some.append(panel)
        union, (rows, area) = wider, more
    if some:
        yield some, union


def columns_of(blocks: IntArray) -> IntArray:
    """Return the columns of the border in some blocks."""
    return np.asarray((blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel())


def stack(panels: Panels, parts: list[FloatArray], some: list[int], union: IntArray) -> FloatArray:
    """Return the rows of W of some panels over the union of their blocks."""
    ends = np.cumsum([0, *(len(parts[panel]) for panel in some)])
    out = np.zeros((ends[-1], len(union), BLOCK))
    for start, panel in zip(ends, some, strict=False):
        at = np.searchsorted(union, panels.border[panel])
        part = parts[panel]
        out[start : start + len(part), at] = in_blocks(part)
    return flat(out)


def subtract_squares(panels: Panels, parts: list[FloatArray], corner: FloatArray) -> None:
    """Subtract W^T W from the lower triangle of the dense block, in place.

    The block's width is whole blocks, its rows are contiguous; what stands above its diagonal
    is of no use afterwards.
    """
    for some, union in batches(panels, len(corner) // BLOCK):
        rows = stack(panels, parts, some, union)
        if rows.shape[1] == len(corner):
            # Columns first: the upper triangle of the transposed is the lower one.
            blas.dsyrk(-1.0, rows.T, beta=1.0, c=corner.T, overwrite_c=1)
        else:
            square = blas.dsyrk(1.0, rows.T).T
            step = square.reshape(len(union), BLOCK, len(union), BLOCK)
            for number, block in enumerate(union):
                rows_of_block = in_blocks(corner[block * BLOCK : (block + 1) * BLOCK])
                rows_of_block[:, union[: number + 1]] -= step[number, :, : number + 1]


def downwards(panels: Panels) -> Iterator[list[int]]:
    """Yield runs of panels from the last to the first, of about `BATCH` rows each."""
    run: list[int] = []
    rows = 0
    for panel in reversed(range(len(panels))):
        run.append(panel)
        rows += int(panels.bounds[panel + 1] - panels.bounds[panel])
        if rows >= BATCH:
            yield run
            run, rows = [], 0
    if run:
        yield run


def times_corner(
    panels: Panels, parts: list[FloatArray], corner: FloatArray, some: list[int]
) -> list[FloatArray]:
    """Return W S^-1 of some panels, each on its own blocks of the border."""
    union = np.unique(np.concatenate([panels.border[panel] for panel in some]))
    whole = len(union) * BLOCK == len(corner)
    inner = corner if whole else flat(in_blocks(corner[columns_of(union)])[:, union])
    rows = in_blocks(stack(panels, parts, some, union) @ inner)
    ends = np.cumsum([0, *(len(parts[panel]) for panel in some)])
    out = []
    for start, end, panel in zip(ends, ends[1:], some, strict=False):
        at = np.searchsorted(union, panels.border[panel])
        out.append(flat(rows[start:end, at]))
    return out


def in_blocks(rows: FloatArray) -> FloatArray:
    """View rows over columns of the border as rows over its blocks."""
    return rows.reshape(len(rows), rows.shape[1] // BLOCK, BLOCK)


def flat(rows: FloatArray) -> FloatArray:
    """View rows over blocks of the border as rows over its columns."""
    return rows.reshape(len(rows), rows.shape[1] * BLOCK)
