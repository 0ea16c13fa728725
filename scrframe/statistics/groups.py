"""Medians by group, of all groups at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray


def group_medians(values: FloatArray, group: npt.NDArray[np.integer], groups: int) -> FloatArray:
    """Return the median of each group, shape (groups,); NaN for an empty one.

    Of an even number of values it is the mean of the middle two, as `numpy.median` has it.

    Parameters
    ----------
    values : ndarray, shape (n,)
        No NaN among them.
    group : ndarray of int, shape (n,)
        Group of each value, from 0 to groups - 1.
    groups : int
        Number of groups.
    """
    order = np.lexsort((values, group))
    count = np.bincount(group, minlength=groups)
    seen = np.flatnonzero(count)
    number, first = count[seen], (np.cumsum(count) - count)[seen]
    lower = values[order[first + (number - 1) // 2]]
    upper = values[order[first + number // 2]]
    medians = np.full(groups, np.nan)
    medians[seen] = 0.5 * (lower + upper)
    return medians
