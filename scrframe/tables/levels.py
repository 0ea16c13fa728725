"""Levels of offsets: how rows of detections point at the columns of a design."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from scrframe.tables.table import Detections

Role = Literal["correction", "nuisance", "colour"]
#: The column that colour terms read.
COLOUR = "relative_colour"
#: The catalogues' own colour, from which that of a detection follows.
OBSERVED_COLOUR = "observed_colour"


@dataclass(frozen=True)
class LevelDesign:
    """One level's part of the design matrix for some detections.

    Attributes
    ----------
    weights : scipy.sparse.csr_array, shape (n, p)
        Weight of each of the level's p columns in each of n detections; a detection that
        the level does not know has an empty row.
    """

    weights: sparse.csr_array

    @classmethod
    def of_partition(cls, column: npt.NDArray[np.integer], width: int) -> LevelDesign:
        """Build the design of a level in which each detection has one column, or -1 for none."""
        known = column >= 0
        indptr = np.concatenate([[0], np.cumsum(known)])
        shape = (len(column), width)
        ones = np.ones(int(known.sum()))
        return cls(sparse.csr_array((ones, column[known], indptr), shape=shape))

    def partition(self) -> npt.NDArray[np.int64] | None:
        """Return each detection's only column, shape (n,), -1 for none.

        Returns None where the level is not a partition (some row has several columns, or a
        weight other than 1).
        """
        counts = np.diff(self.weights.indptr)
        if np.any(counts > 1) or np.any(self.weights.data != 1.0):
            return None
        column = np.full(self.weights.shape[0], -1, dtype=np.int64)
        column[counts == 1] = self.weights.indices
        return column


class FittedLevel(ABC):
    """A level prepared on a calibration sample: its groups, bins, knots and their labels.

    Attributes
    ----------
    name : str
        The level's name in the survey description.
    role : {"correction", "nuisance", "colour"}
        A nuisance term enters a solve but never a correction. A colour term corrects what a
        star's colour departs from the reference colour; it reads ``relative_colour``.
    parent : str or None
        Name of the level that this one refines, a note for readers of the tables.
    within_exposure : bool
        Whether detections of one detector in one visit may differ in the level's design
        (bins, maps over the detector, terms in properties of stars).
    """

    name: str
    role: Role = "correction"
    parent: str | None = None
    within_exposure: bool = False

    @abstractmethod
    def labels(self) -> pa.Table:
        """Return what identifies each of the p columns (visit, ccd, bin edges), p rows."""

    @abstractmethod
    def design(self, detections: Detections) -> LevelDesign:
        """Return the design of these detections, shape (n, p)."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """Return the scalars (besides `labels`) from which the level can be restored."""

    def alternatives(self) -> Sequence[FittedLevel]:
        """Return levels of the same meaning, such as at other scales; the data choose one.

        The default is this level alone.
        """
        return (self,)

    def own_settings(self) -> Mapping[str, Any]:
        """Return the settings that set this level apart from its alternatives."""
        return {}

    def variance_groups(self) -> npt.NDArray[np.int64] | None:
        """Return which columns have a variance of their own together, shape (p,), from 0.

        The variances of the groups scatter about that of the level, such as those of visits
        of which few are cloudy. None, the default, stands for one variance for all.
        """
        return None

    def precision(self) -> sparse.csr_array | None:
        """Return the precision of the columns, shape (p, p), for a variance of 1.

        The prior of a level's offsets is N(0, sd^2 inverse(precision)), with one variance
        sd^2 for the level, which is estimated. The matrix is symmetric and positive
        definite. None stands for a flat prior: the columns are fixed effects.

        The default is independent columns.
        """
        width = self.labels().num_rows
        return sparse.csr_array(sparse.identity(width, format="csr"))
