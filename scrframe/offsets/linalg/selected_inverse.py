"""The inverse of a bordered matrix where its Cholesky factor has entries.

H = [A B; B^T P] with A = L L^T sparse. With W = L^-1 B, S = P - W^T W is what is left for the
dense block. The entries of H^-1 in the pattern of the factor follow from the top of the
elimination tree down, without the others (Takahashi, Fagan & Chen 1973; Erisman & Tinney
1975, Comm. ACM 18, 177).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.linalg.panels import (
    BLOCK,
    Panels,
    columns_of,
    downwards,
    flat,
    in_blocks,
    times_corner,
)

#: Multiplications up to which a library of linear algebra stays with one thread.
ONE_THREAD = 2**18


def panel_factors(panels: Panels, lower: sparse.csc_array) -> list[FloatArray]:
    """Return the factor's dense block of each panel: its own rows, then those below.

    `lower`, shape (n, n), is L of A = L L^T in the panels' order.
    """
    blocks = []
    place = np.zeros(lower.shape[0], dtype=np.int64)
    for panel in range(len(panels)):
        low, high = panels.bounds[panel], panels.bounds[panel + 1]
        rows = panels.rows(panel)
        place[rows] = np.arange(len(rows))
        entries = slice(lower.indptr[low], lower.indptr[high])
        column = np.repeat(np.arange(high - low), np.diff(lower.indptr[low : high + 1]))
        block = np.zeros((len(rows), high - low))
        block[place[lower.indices[entries]], column] = lower.data[entries]
        blocks.append(block)
    return blocks


def eliminate_border(
    panels: Panels, factors: list[FloatArray], border: sparse.csr_array
) -> list[FloatArray]:
    """Return W = L^-1 B by panel, each of shape (own rows, columns of its blocks).

    `border` has shape (n, d), its rows in the panels' order.
    """
    out: list[FloatArray] = []
    handed: list[list[tuple[int, FloatArray]]] = [[] for _ in range(len(panels))]
    for panel, factor in enumerate(factors):
        own = factor.shape[1]
        blocks, rows = panels.border[panel], panels.rows(panel)
        work = np.zeros((len(rows), len(blocks), BLOCK))
        _place_rows(work, border, int(panels.bounds[panel]), own, blocks)
        for child, update in handed[panel]:
            at = np.searchsorted(rows, panels.below[child])
            theirs = panels.border[child]
            if len(theirs) == len(blocks):
                work[at] -= update
            else:
                work[at[:, None], np.searchsorted(blocks, theirs)] -= update
        handed[panel] = []
        rows_flat = flat(work)
        out.append(_product(_inverse(factor[:own]), rows_flat[:own]))
        if panels.parent[panel] >= 0:
            update = _product(factor[own:], out[-1])
            update -= rows_flat[own:]
            handed[panels.parent[panel]].append((panel, in_blocks(update)))
    return out


def _place_rows(
    work: FloatArray, border: sparse.csr_array, first: int, count: int, blocks: IntArray
) -> None:
    entries = slice(border.indptr[first], border.indptr[first + count])
    row = np.repeat(np.arange(count), np.diff(border.indptr[first : first + count + 1]))
    column = border.indices[entries]
    work[row, np.searchsorted(blocks, column // BLOCK), column % BLOCK] = border.data[entries]


@dataclass(frozen=True)
class SelectedInverse:
    """Entries of H^-1 by panel, in the panels' order, and the whole dense block."""

    panels: Panels
    #: Own rows by own rows and rows below.
    local: list[FloatArray]
    #: Own rows by columns of the border.
    mixed: list[FloatArray]
    #: d is whole blocks, as in all that follows. Shape (d, d).
    corner: FloatArray

    def diagonal(self) -> FloatArray:
        """Return the diagonal of the sparse part, shape (n,), in the panels' order."""
        parts = [np.diagonal(block) for block in self.local]
        return np.concatenate([np.zeros(0), *parts])

    def entries(self, first: IntArray, second: IntArray) -> FloatArray:
        """Return entries, shape (k,), NaN where there are none.

        Places have shape (k,), first <= second; the dense block comes after the sparse part.
        """
        size = len(self.panels.order)
        out = np.full(len(first), np.nan)
        inner = first >= size
        out[inner] = self.corner[first[inner] - size, second[inner] - size]
        outer = np.flatnonzero(~inner)
        panel = np.searchsorted(self.panels.bounds, first[outer], side="right") - 1
        order = np.argsort(panel, kind="stable")
        starts = np.flatnonzero(np.diff(panel[order], prepend=-1))
        for some in np.split(outer[order], starts[1:]):
            if len(some):
                number = int(np.searchsorted(self.panels.bounds, first[some[0]], side="right"))
                out[some] = self._of_panel(number - 1, first[some], second[some])
        return out

    def _of_panel(self, panel: int, first: IntArray, second: IntArray) -> FloatArray:
        size = len(self.panels.order)
        row = first - self.panels.bounds[panel]
        rows, border = self.panels.rows(panel), columns_of(self.panels.border[panel])
        in_border = second >= size
        out = np.full(len(first), np.nan)
        for block, columns, here, column in (
            (self.local[panel], rows, ~in_border, second),
            (self.mixed[panel], border, in_border, second - size),
        ):
            at = np.searchsorted(columns, column)
            found = here & (at < len(columns))
            found[found] = columns[at[found]] == column[found]
            out[found] = block[row[found], at[found]]
        return out


def select_inverse(
    panels: Panels, factors: list[FloatArray], blocks: list[FloatArray], corner: FloatArray
) -> SelectedInverse:
    """Go down the elimination tree.

    Parameters
    ----------
    factors : list of ndarray
        From `panel_factors`.
    blocks : list of ndarray
        W from `eliminate_border`; the list is emptied on the way, to save memory.
    corner : ndarray, shape (d, d)
        S^-1.
    """
    count = len(panels)
    mixed: list[FloatArray] = [np.zeros((0, 0))] * count
    local: list[FloatArray] = [np.zeros((0, 0))] * count
    above: dict[int, tuple[FloatArray, FloatArray]] = {}
    left = np.bincount(panels.parent[panels.parent >= 0], minlength=count)
    for run in downwards(panels):
        products = times_corner(panels, blocks, corner, run)
        for panel, w_corner in zip(run, products, strict=True):
            below = _from_parent(panels, panel, above)
            local[panel], mixed[panel] = _down(factors[panel], blocks[panel], w_corner, *below)
            blocks[panel] = np.zeros((0, 0))
            parent = int(panels.parent[panel])
            if parent >= 0:
                left[parent] -= 1
                if left[parent] == 0:
                    del above[parent]
            if left[panel]:
                square = _square(local[panel], below[0])
                above[panel] = square, np.concatenate([mixed[panel], below[1]])
    return SelectedInverse(panels, local, mixed, corner)


def _square(rows: FloatArray, below: FloatArray) -> FloatArray:
    """Return the inverse on a panel's own rows and those below it, from its own rows."""
    own, size = rows.shape
    square = np.empty((size, size))
    square[:own] = rows
    square[own:, :own] = rows[:, own:].T
    square[own:, own:] = below
    return square


def _from_parent(
    panels: Panels, panel: int, above: dict[int, tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Return the inverse on the rows below a panel: among themselves, and with its border."""
    parent = int(panels.parent[panel])
    if parent < 0:
        return np.zeros((0, 0)), np.zeros((0, BLOCK * len(panels.border[panel])))
    square, mixed = above[parent]
    at = np.searchsorted(panels.rows(parent), panels.below[panel])
    blocks = np.searchsorted(panels.border[parent], panels.border[panel])
    split = in_blocks(mixed)
    return square[at[:, None], at], flat(split[at[:, None], blocks])


def _down(
    factor: FloatArray, w: FloatArray, w_corner: FloatArray, square: FloatArray, mixed: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return a panel's rows of the inverse from those below it."""
    own = factor.shape[1]
    inverse, tail = _inverse(factor[:own]), factor[own:].T
    border = -_product(inverse.T, _product(tail, mixed) + w_corner)
    below = -_product(inverse.T, _product(tail, square) + _product(w, mixed.T))
    rest = _product(tail, below.T) + _product(w, border.T)
    diagonal = _product(inverse.T, inverse - rest)
    return np.concatenate([0.5 * (diagonal + diagonal.T), below], axis=1), border


def _inverse(lower: FloatArray) -> FloatArray:
    """Invert a small lower triangle."""
    return np.tril(np.linalg.inv(lower))


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Multiply small matrices in parts for which no library starts threads.

    Waking threads for thousands of small products, and waiting for them, costs many times
    the products themselves, most of all where other processes use the cores as well.
    """
    rows, inner, columns = *left.shape, right.shape[1]
    if rows * inner * columns <= ONE_THREAD:
        return np.asarray(left @ right)
    out = np.zeros((rows, columns))
    if columns >= inner:
        step = max(ONE_THREAD // (rows * inner), 1)
        for low in range(0, columns, step):
            np.matmul(left, right[:, low : low + step], out=out[:, low : low + step])
    else:
        step = max(ONE_THREAD // (rows * columns), 1)
        for low in range(0, inner, step):
            out += left[:, low : low + step] @ right[low : low + step]
    return out
