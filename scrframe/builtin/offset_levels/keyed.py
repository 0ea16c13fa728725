"""Levels that repeat one set of columns (a map, a curve, slopes) for each key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import Keys
from scrframe.tables import Detections, FittedLevel, LevelDesign


class KeyedLevel(FittedLevel):
    """The same m columns for each of g keys, one key after the other: p = g m columns."""

    def __init__(self, name: str, keys: Keys) -> None:
        self.name = name
        self._keys = keys

    @abstractmethod
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what identifies the m columns of one key."""

    @abstractmethod
    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return columns within a key and their weights, both of shape (n, k).

        The columns ascend in each row. A detection with a weight that is not finite gets an
        empty row.
        """

    def prior(self) -> sparse.csr_array | None:
        """Return the precision of the columns of one key, shape (m, m); None if flat."""
        return sparse.csr_array(sparse.eye_array(self._width()))

    def labels(self) -> pa.Table:
        """Return the keys and what identifies the columns of each, one row a column."""
        groups, width = len(self._keys.codes), self._width()
        keys = {
            name: np.repeat(np.asarray(values), width)
            for name, values in self._keys.labels().items()
        }
        repeated = {name: np.tile(values, groups) for name, values in self.columns().items()}
        return pa.table({**keys, **repeated})

    def design(self, detections: Detections) -> LevelDesign:
        """Return the weights of each detection in the columns of its key."""
        group = self._keys.find(detections)
        column, weight = self.basis(detections)
        known = (group >= 0) & np.isfinite(weight).all(axis=1)
        # Most often all are known, and a slice needs no copy.
        rows = slice(None) if known.all() else known
        width = self._width()
        places = (group[:, np.newaxis] * width + column)[rows]
        indptr = weight.shape[1] * np.concatenate([[0], np.cumsum(known)])
        shape = (len(group), len(self._keys.codes) * width)
        entries = (weight[rows].ravel(), places.ravel(), indptr)
        return LevelDesign(sparse.csr_array(entries, shape=shape))

    def precision(self) -> sparse.csr_array | None:
        """Return the prior of one key, repeated for all keys, which are independent."""
        prior = self.prior()
        if prior is None:
            return None
        keys = sparse.eye_array(len(self._keys.codes))
        return sparse.csr_array(sparse.kron(keys, prior, format="csr"))

    def _width(self) -> int:
        return len(next(iter(self.columns().values())))
