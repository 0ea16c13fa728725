"""The inverse of a bordered matrix where its Cholesky factor has entries.

H = [A B; B^T P] with A = L L^T sparse. With W = L^-1 B, S = P - W^T W is what is left for the
dense block. The entries of H^-1 in the pattern of the factor follow from the top of the
elimination tree down, without the others (Takahashi, Fagan & Chen 1973; Erisman & Tinney
1975, Comm. ACM 18, 177).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from scrframe.offsets.model import FloatArray, IntArray
from scrframe.offsets.panels import Panels

#: Rows of W multiplied at once.
BATCH = 2048
#: How much wider than its panels, on average, a batch may get.
WIDENING = 1.15


def panel_factors(panels: Panels, lower: sparse.csc_array) -> list[FloatArray]:
    """Return the factor's dense block of each panel: its own rows, then those below.

    Parameters
    ----------
    panels : Panels
    lower : csc_array, shape (n, n)
        L of A = L L^T in the panels' order.
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
    """Return W = L^-1 B by panel, each of shape (own rows, columns of the border reached).

    `border` has shape (n, d), its rows in the panels' order.
    """
    out: list[FloatArray] = []
    handed: list[list[tuple[int, FloatArray]]] = [[] for _ in range(len(panels))]
    place = np.zeros(border.shape[1], dtype=np.int64)
    for panel, factor in enumerate(factors):
        own = factor.shape[1]
        columns, rows = panels.border[panel], panels.rows(panel)
        place[columns] = np.arange(len(columns))
        low, high = panels.bounds[panel], panels.bounds[panel + 1]
        entries = slice(border.indptr[low], border.indptr[high])
        work = np.zeros((len(rows), len(columns)))
        row = np.repeat(np.arange(own), np.diff(border.indptr[low : high + 1]))
        work[row, place[border.indices[entries]]] = border.data[entries]
        for child, update in handed[panel]:
            at = np.searchsorted(rows, panels.below[child])
            work[at[:, None], place[panels.border[child]]] -= update
        handed[panel] = []
        out.append(_forward(factor[:own], work[:own]))
        if panels.parent[panel] >= 0:
            update = factor[own:] @ out[-1] - work[own:]
            handed[panels.parent[panel]].append((panel, update))
    return out


def batches(panels: Panels) -> Iterator[tuple[list[int], IntArray]]:
    """Yield panels of similar border together, with the union of their columns.

    Products by panel would be small; products over all columns are mostly zeros.
    """
    width = np.diff(panels.bounds)
    number = [panel for panel in range(len(panels)) if len(panels.border[panel])]
    number.sort(key=lambda panel: _signature(panels.border[panel]))
    some: list[int] = []
    union = np.zeros(0, dtype=np.int64)
    rows = area = 0
    for panel in number:
        border = panels.border[panel]
        wider = np.union1d(union, border)
        rows_then, area_then = rows + width[panel], area + width[panel] * len(border)
        if some and (rows_then > BATCH or len(wider) * rows_then > WIDENING * area_then + 2e6):
            yield some, union
            some, wider = [], border
            rows_then, area_then = width[panel], width[panel] * len(border)
        some.append(panel)
        union, rows, area = wider, rows_then, area_then
    if some:
        yield some, union


def _signature(border: IntArray) -> bytes:
    """Return a key that sorts wide borders apart, and narrow ones by what they hold."""
    size = int(np.log2(len(border)) * 2)
    return bytes([size]) + np.unique(border // 64).astype(">u2").tobytes()


def stack(panels: Panels, blocks: list[FloatArray], some: list[int], union: IntArray) -> FloatArray:
    """Return the rows of W of some panels over the union of their columns."""
    ends = np.cumsum([0, *(len(blocks[panel]) for panel in some)])
    out = np.zeros((ends[-1], len(union)))
    for start, panel in zip(ends, some, strict=False):
        at = np.searchsorted(union, panels.border[panel])
        out[start : start + len(blocks[panel]), at] = blocks[panel]
    return out


def subtract_squares(panels: Panels, blocks: list[FloatArray], corner: FloatArray) -> None:
    """Subtract W^T W from the dense block, shape (d, d), in place."""
    for some, union in batches(panels):
        rows = stack(panels, blocks, some, union)
        square = rows.T @ rows
        if len(union) == len(corner):
            corner -= square
        else:
            corner[union[:, None], union] -= square


@dataclass(frozen=True)
class SelectedInverse:
    """Entries of H^-1 by panel, in the panels' order, and the whole dense block.

    Attributes
    ----------
    panels : Panels
    local : list of ndarray
        Own rows by own rows and rows below.
    mixed : list of ndarray
        Own rows by columns of the border.
    corner : ndarray, shape (d, d)
    """

    panels: Panels
    local: list[FloatArray]
    mixed: list[FloatArray]
    corner: FloatArray

    def diagonal(self) -> FloatArray:
        """Return the diagonal of the sparse part, shape (n,), in the panels' order."""
        parts = [np.diagonal(block) for block in self.local]
        return np.concatenate([np.zeros(0), *parts])

    def entries(self, first: IntArray, second: IntArray) -> FloatArray:
        """Return entries, shape (k,), NaN where there are none.

        Parameters
        ----------
        first, second : ndarray of int64, shape (k,)
            Places, first <= second; the dense block comes after the sparse part.
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
        rows, border = self.panels.rows(panel), self.panels.border[panel]
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
    panels : Panels
    factors : list of ndarray
        From `panel_factors`.
    blocks : list of ndarray
        W from `eliminate_border`; the list is emptied on the way, to save memory.
    corner : ndarray, shape (d, d)
        S^-1.
    """
    count = len(panels)
    mixed = _times_corner(panels, blocks, corner)
    local: list[FloatArray] = [np.zeros((0, 0))] * count
    above: dict[int, tuple[FloatArray, FloatArray]] = {}
    left = np.bincount(panels.parent[panels.parent >= 0], minlength=count)
    for panel in reversed(range(count)):
        parent = int(panels.parent[panel])
        below = _from_parent(panels, panel, above)
        local[panel], mixed[panel] = _down(factors[panel], blocks[panel], mixed[panel], *below)
        blocks[panel] = np.zeros((0, 0))
        if parent >= 0:
            left[parent] -= 1
            if left[parent] == 0:
                del above[parent]
        if left[panel]:
            own = factors[panel].shape[1]
            square = np.empty((len(factors[panel]), len(factors[panel])))
            square[:own] = local[panel]
            square[own:, :own] = local[panel][:, own:].T
            square[own:, own:] = below[0]
            above[panel] = square, np.concatenate([mixed[panel], below[1]])
    return SelectedInverse(panels, local, mixed, corner)


def _times_corner(panels: Panels, blocks: list[FloatArray], corner: FloatArray) -> list[FloatArray]:
    """Return W S^-1 by panel, on its own columns of the border."""
    out = [np.zeros(block.shape) for block in blocks]
    for some, union in batches(panels):
        inner = corner if len(union) == len(corner) else corner[union[:, None], union]
        rows = stack(panels, blocks, some, union) @ inner
        start = 0
        for panel in some:
            end = start + len(blocks[panel])
            out[panel][:] = rows[start:end, np.searchsorted(union, panels.border[panel])]
            start = end
    return out


def _from_parent(
    panels: Panels, panel: int, above: dict[int, tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Return the inverse on the rows below a panel: among themselves, and with its border."""
    parent = int(panels.parent[panel])
    if parent < 0:
        return np.zeros((0, 0)), np.zeros((0, len(panels.border[panel])))
    square, mixed = above[parent]
    at = np.searchsorted(panels.rows(parent), panels.below[panel])
    columns = np.searchsorted(panels.border[parent], panels.border[panel])
    return square[at[:, None], at], mixed[at[:, None], columns]


def _down(
    factor: FloatArray, w: FloatArray, w_corner: FloatArray, square: FloatArray, mixed: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return a panel's rows of the inverse from those below it."""
    own = factor.shape[1]
    head, tail = factor[:own], factor[own:]
    border = -_backward(head, tail.T @ mixed + w_corner)
    below = -_backward(head, tail.T @ square + w @ mixed.T)
    unit = _forward(head, np.eye(own))
    diagonal = _backward(head, unit - tail.T @ below.T - w @ border.T)
    return np.concatenate([0.5 * (diagonal + diagonal.T), below], axis=1), border


def _forward(lower: FloatArray, right: FloatArray) -> FloatArray:
    if right.size == 0:
        return np.zeros(right.shape)
    return np.asarray(linalg.solve_triangular(lower, right, lower=True, check_finite=False))


def _backward(lower: FloatArray, right: FloatArray) -> FloatArray:
    if right.size == 0:
        return np.zeros(right.shape)
    return np.asarray(
        linalg.solve_triangular(lower, right, lower=True, trans="T", check_finite=False)
    )
