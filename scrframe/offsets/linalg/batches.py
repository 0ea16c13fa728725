"""Products over the panels of a factor, many panels at a time.

Panels are narrow: multiplied one by one they would leave a processor idle, and multiplied
over the whole border it would mostly multiply zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import blas

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.linalg.panels import BLOCK, Panels

#: Rows of W multiplied at once.
BATCH = 4096
#: How much wider than its panels, on average, a batch may get, and in all, in blocks.
WIDENING, SLACK = 1.3, 3e4
#: Share of the blocks above which panels are taken over all of them.
WIDE = 0.7


def batches(panels: Panels, blocks: int) -> Iterator[tuple[list[int], IntArray]]:
    """Yield panels of similar border together, with the union of their blocks.

    Products by panel would be small; products over all columns are mostly zeros. Panels that
    reach most blocks are taken over all.

    Parameters
    ----------
    panels : Panels
    blocks : int
        Number of blocks of the border.
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
