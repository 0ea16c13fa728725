"""Groups of values, all at once: numbers for labels, look-up, counts, means, medians, spreads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.statistics.robust import MAD_TO_SD

Groups = npt.NDArray[np.integer]


def codes(labels: npt.NDArray[Any]) -> IntArray:
    """Return numbers from 0 for labels (n,) of any kind, in the order of the labels."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def find_sorted(known: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> IntArray:
    """Return the position of each value in an ascending array, same shape, -1 where it is not."""
    if not len(known):
        return np.full(wanted.shape, -1, dtype=np.int64)
    position = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[position] == wanted, position, -1)


def first_rows(
    block: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], read: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return the rows of a block whose identifiers are wanted and were in no earlier block.

    Parameters
    ----------
    block : ndarray of int64, shape (n,)
        Identifiers; of those that repeat the first counts.
    wanted : ndarray of int64, shape (m,)
        Ascending.
    read : ndarray of bool, shape (m,)
        Which are read already; those of this block are marked as well.

    Returns
    -------
    rows, position : ndarray of int64, shape (k,)
        Rows of the block, ascending, and where their identifiers stand in `wanted`.
    """
    position = find_sorted(wanted, block)
    rows = np.flatnonzero(position >= 0)
    rows = rows[~read[position[rows]]]
    rows = rows[np.sort(np.unique(position[rows], return_index=True)[1])]
    read[position[rows]] = True
    return rows, position[rows]


def group_counts(values: FloatArray, group: Groups, groups: int) -> IntArray:
    """Return the number of finite values of each group, shape (groups,); see `group_medians`."""
    return np.bincount(group[np.isfinite(values) & (group >= 0)], minlength=groups)


def group_means(
    values: FloatArray, group: Groups, groups: int, weight: FloatArray | None = None
) -> FloatArray:
    """Return the mean of each group, shape (groups,), weighted if so wanted; NaN for an empty one.

    Parameters
    ----------
    values : ndarray, shape (n,)
        No NaN among them.
    group : ndarray of int, shape (n,)
        Group of each value, from 0 to groups - 1.
    groups : int
        Number of groups.
    weight : ndarray, shape (n,), optional
        By default all values count alike.
    """
    total = np.bincount(group, values if weight is None else weight * values, groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.bincount(group, weight, groups))


def less_group_mean(values: FloatArray, group: Groups) -> FloatArray:
    """Return values (n,) or (n, p) less the mean of their group (n,)."""
    groups = int(group.max(initial=-1)) + 1
    columns = values.reshape(len(values), -1)
    means = [group_means(column, group, groups) for column in columns.T]
    return np.asarray(values - np.stack(means, axis=1)[group].reshape(values.shape))


def group_medians(values: FloatArray, group: Groups, groups: int) -> FloatArray:
    """Return the median of each group, shape (groups,); NaN for an empty one.

    Of an even number of values it is the mean of the middle two, as `numpy.median` has it.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Those that are not finite are left out.
    group : ndarray of int, shape (n,)
        Group of each value, from 0 to groups - 1; a negative one belongs to none.
    groups : int
        Number of groups.
    """
    kept = np.isfinite(values) & (group >= 0)
    group, values = group[kept], values[kept]
    count = np.bincount(group, minlength=groups)
    order = np.argsort(values)
    # Numbers of one or two bytes sort in one or two passes.
    short = group[order].astype(np.min_scalar_type(max(groups - 1, 0)))
    ordered = values[order[np.argsort(short, kind="stable")]]
    medians = np.full(groups, np.nan)
    filled = count > 0
    first, number = (np.cumsum(count) - count)[filled], count[filled]
    lower, upper = ordered[first + (number - 1) // 2], ordered[first + number // 2]
    medians[filled] = 0.5 * (lower + upper)
    return medians


def group_spreads(values: FloatArray, group: Groups, middle: FloatArray) -> FloatArray:
    """Return the robust standard deviation of each group about its `middle`, shape (groups,)."""
    distance = np.abs(values - np.where(group >= 0, middle[group], np.nan))
    return MAD_TO_SD * group_medians(distance, group, len(middle))
