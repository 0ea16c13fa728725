"""Offsets of exposures: one row for each detector in each known visit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.statistics.groups import find_sorted
from scrframe.tables.table import Detections

#: Where an exposure's offset came from, from its own stars to the mean of the survey.
LEVELS = ("ccd", "visit", "field", "season", "survey")


@dataclass(frozen=True)
class ExposureTable:
    """The offset of every exposure (one detector in one visit), e rows.

    Attributes
    ----------
    visit : ndarray of str, shape (e,)
        Key of the visit.
    ccd : ndarray of int64, shape (e,)
        Number of the detector.
    offset_mag : ndarray of float64, shape (e,)
        Correction, to be added to observed magnitudes, in mag.
    err_mag : ndarray of float64, shape (e,)
        Its error from noise and from the spread of the level it came from, in mag.
    sys_mag : ndarray of float64, shape (e,)
        What systematic effects can shift, in mag; NaN where not known.
    level : ndarray of str, shape (e,)
        One of `LEVELS`.
    count : ndarray of int64, shape (e,)
        Number of the exposure's own detections behind the offset.

    Raises
    ------
    DataError
        If the columns differ in length, a level is not known, or an exposure stands twice.
    """

    visit: npt.NDArray[np.str_]
    ccd: IntArray
    offset_mag: FloatArray
    err_mag: FloatArray
    sys_mag: FloatArray
    level: npt.NDArray[np.str_]
    count: IntArray

    def __post_init__(self) -> None:
        arrays = (
            self.visit,
            self.ccd,
            self.offset_mag,
            self.err_mag,
            self.sys_mag,
            self.level,
            self.count,
        )
        if len({array.shape for array in arrays}) != 1:
            raise DataError("exposure table: the columns differ in length")
        strange = sorted(set(np.unique(self.level).tolist()) - set(LEVELS))
        if strange:
            raise DataError(
                f"exposure table: unknown level {strange[0]!r}; there are {', '.join(LEVELS)}"
            )
        for array in arrays:
            array.flags.writeable = False
        keys = self._index[1]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            row = self._index[2][twice[0]]
            raise DataError(
                f"exposure table: visit {str(self.visit[row])!r}, ccd {self.ccd[row]} stands twice"
            )

    def __len__(self) -> int:
        return len(self.visit)

    def find(self, detections: Detections) -> IntArray:
        """Return the row of each detection's exposure, shape (n,), -1 where there is none."""
        place, keys, rows = self._index
        codes, labels = detections.codes("visit")
        ccd = np.asarray(detections["ccd"], dtype=np.int64)
        if not (len(keys) and len(labels)):
            return np.full(len(ccd), -1, dtype=np.int64)
        visit = np.array([place.get(label, -1) for label in labels], dtype=np.int64)[codes]
        first, span = self._ccds
        inside = (visit >= 0) & (ccd >= first) & (ccd < first + span)
        wanted = visit * span + (ccd - first)
        found = find_sorted(keys, wanted)
        return np.where(inside & (found >= 0), rows[found], -1)

    @cached_property
    def visit_mag(self) -> FloatArray:
        """Return the offset of each exposure's visit, shape (e,): its mean over detections."""
        code = np.unique(self.visit, return_inverse=True)[1]
        empty = np.bincount(code, self.count) == 0
        weight = np.where(empty[code], 1.0, self.count)
        mean = np.bincount(code, weight * self.offset_mag) / np.bincount(code, weight)
        return np.asarray(mean[code])

    @property
    def _ccds(self) -> tuple[int, int]:
        if not len(self.ccd):
            return 0, 1
        return int(self.ccd.min()), int(np.ptp(self.ccd)) + 1

    # An index is built once: a table is asked again for each visit that is corrected.
    @cached_property
    def _index(self) -> tuple[dict[str, int], IntArray, IntArray]:
        names, code = np.unique(self.visit, return_inverse=True)
        first, span = self._ccds
        keys = code * span + (self.ccd - first)
        rows = np.argsort(keys, kind="stable")
        place = {str(name): number for number, name in enumerate(names)}
        return place, keys[rows], rows
