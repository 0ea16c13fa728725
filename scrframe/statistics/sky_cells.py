"""Points parted into compact cells that hold like numbers of them."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray, IntArray


def part(coordinates: FloatArray, cells: int) -> IntArray:
    """Part points by repeated cuts across the coordinate in which they spread most.

    The cells of a k-d tree; their numbers of points differ by one at most.

    Parameters
    ----------
    coordinates : ndarray, shape (n, k)
    cells : int
        From 1 to n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Code of each point's cell, from 0; cells next to each other in code are near in space.
    """
    codes = np.empty(len(coordinates), dtype=np.int64)
    # Sizes are settled beforehand: halves of odd numbers of cells would drift apart.
    ends = np.arange(cells + 1) * len(coordinates) // cells
    waiting = [(np.arange(len(coordinates)), 0, cells)]
    while waiting:
        rows, first, last = waiting.pop()
        if last - first == 1:
            codes[rows] = first
            continue
        middle = (first + last) // 2
        inside = coordinates[rows]
        axis = int(np.argmax(np.ptp(inside, axis=0)))
        order = rows[np.argsort(inside[:, axis], kind="stable")]
        cut = ends[middle] - ends[first]
        waiting += [(order[:cut], first, middle), (order[cut:], middle, last)]
    return codes
