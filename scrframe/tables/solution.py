"""The solution: offsets of every level, with what is needed to apply them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.tables.law import ReddeningLaw
from scrframe.tables.levels import FittedLevel

#: Bits of ``flags`` in stars.parquet and ``CAL_FLAGS`` in corrected catalogues.
FLAG_BITS: dict[str, int] = {
    "no_magnitude": 1,
    "unknown_visit": 2,
    "few_stars_visit": 4,
    "few_stars_ccd": 8,
    "few_stars_pixel": 16,
    "few_stars_other": 32,
    "diagonal_spectrum_errors": 64,
    "outside_flux_correction": 128,
}


@dataclass(frozen=True)
class OffsetTable:
    """Offsets of one level, one row a column of its design.

    Attributes
    ----------
    offset_mag : ndarray of float64, shape (p,)
        Correction, to be added to observed magnitudes; NaN where there are too few stars.
    err_mag : ndarray of float64, shape (p,)
        Error of the mean.
    scatter_mag : ndarray of float64, shape (p,)
        Standard deviation of the differences within the group.
    count : ndarray of int64, shape (p,)
        Number of detections.
    """

    offset_mag: npt.NDArray[np.float64]
    err_mag: npt.NDArray[np.float64]
    scatter_mag: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.offset_mag, self.err_mag, self.scatter_mag, self.count):
            array.flags.writeable = False


@dataclass(frozen=True)
class SolvedLevel:
    """A level with its solved offsets; `kind` names the plugin that restores it."""

    fitted: FittedLevel
    kind: str
    offsets: OffsetTable


@dataclass(frozen=True)
class Solution:
    """All that corrects a catalogue: mag_cal = mag + sum of offsets + u_ZP.

    Attributes
    ----------
    levels : tuple of SolvedLevel
        In the order in which they are applied.
    zero_point_mag : float
        u_ZP, added to every correction.
    law : ReddeningLaw
        For the record; applying offsets does not need it.
    visits : tuple of str
        Keys of all visits that the run read, whether or not they have an offset.
    provenance : mapping
        Survey, versions, seeds, hashes; free JSON.
    """

    levels: tuple[SolvedLevel, ...]
    zero_point_mag: float
    law: ReddeningLaw
    visits: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Corrections:
    """Corrections of some detections, one row each.

    Attributes
    ----------
    by_level : mapping of str to ndarray, shape (n,)
        Offset of each level in mag; NaN where the level has none.
    total_mag : ndarray, shape (n,)
        Sum of the levels and of u_ZP; NaN where any level is missing.
    flags : ndarray of int32, shape (n,)
        See `FLAG_BITS`.
    """

    by_level: Mapping[str, npt.NDArray[np.float64]]
    total_mag: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]

    def to_table(self) -> pa.Table:
        """Return the corrections as columns ``offset_<level>``, ``offset_total``, ``flags``."""
        columns = {f"offset_{name}": values for name, values in self.by_level.items()}
        return pa.table({**columns, "offset_total": self.total_mag, "flags": self.flags})
