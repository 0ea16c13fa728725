"""The paper's solver: group means, one level after another (Section 4, Eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError
from scrframe.tables import Detections, FittedLevel, OffsetTable


@dataclass(frozen=True)
class OffsetProblem:
    """What any solver is given."""

    #: In their order of application.
    levels: tuple[FittedLevel, ...]
    #: The Calibration Sample, n rows.
    detections: Detections
    #: Model less observed magnitude. Shape (n,).
    delta_mag: FloatArray
    #: A group of fewer detections has no offset.
    min_stars: int


@dataclass(frozen=True)
class OffsetSolution:
    """What any solver returns."""

    #: One a level, in order.
    tables: tuple[OffsetTable, ...]
    #: Sum of the offsets of each detection; NaN where a level has none. Shape (n,).
    total_mag: FloatArray


def group_statistics(
    values: FloatArray, column: npt.NDArray[np.int64], width: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return mean, standard deviation and count by group; NaN where undefined.

    NaN values, shape (n,), are left out; `column` is the group of each, -1 for none, of `width`.
    """
    used = (column >= 0) & np.isfinite(values)
    group, value = column[used], values[used]
    count = np.bincount(group, minlength=width)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, weights=value, minlength=width) / count
        squares = np.bincount(group, weights=(value - mean[group]) ** 2, minlength=width)
        deviation = np.sqrt(squares / (count - 1))
    deviation[count < 2] = np.nan
    return mean, deviation, count


def solve_sequential(problem: OffsetProblem) -> OffsetSolution:
    """Subtract the mean of each group, level by level.

    Gauge: the terms of the first level sum to zero over all detections; each further
    level's terms then sum to zero within its parent by themselves. The constant is left to
    the zero point u_ZP.

    Raises CalibrationError if a level is a nuisance term or no partition into groups or bins,
    which means cannot solve.
    """
    delta = problem.delta_mag
    total = np.zeros(len(delta))
    tables = []
    constant = np.nanmean(delta) if len(delta) else np.nan
    for level in problem.levels:
        column = _partition(level, problem.detections)
        width = level.labels().num_rows
        mean, deviation, count = group_statistics(delta - constant - total, column, width)
        mean[count < problem.min_stars] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            error = deviation / np.sqrt(count)
        tables.append(OffsetTable(mean, error, deviation, count))
        total = total + np.where(column >= 0, mean[column], np.nan)
    return OffsetSolution(tuple(tables), total)


def _partition(level: FittedLevel, detections: Detections) -> npt.NDArray[np.int64]:
    column = level.design(detections).partition() if level.role == "correction" else None
    if column is None:
        raise CalibrationError(
            f"offsets.levels.{level.name}: mode 'sequential' takes levels that put each"
            " detection into one group or bin; remove the level or choose another mode"
        )
    return column
