"""The solution: offsets of every level, with what is needed to apply them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.tables.absolute import OWN_SYSTEM
from scrframe.tables.exposures import LEVELS as EXPOSURE_LEVELS
from scrframe.tables.exposures import ExposureTable
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
    "outside_spectrum": 256,
    "outside_shape": 512,
    "outside_snr": 1024,
    "fallback": 2048,
    "low_weight": 4096,
}
#: Where a correction came from: the finest level at which the detection's own group had
#: calibration stars. 0 stands for no correction.
CORRECTION_LEVELS = ("none", "pixel", *EXPOSURE_LEVELS)


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
    """A level with its solved offsets; `kind` names the plugin that restores it.

    Attributes
    ----------
    fitted : FittedLevel
    kind : str
    offsets : OffsetTable
    applied : bool
        Whether the offsets are added to magnitudes. Others are for the record: nuisance
        terms, and what the table of exposures has summed already.
    """

    fitted: FittedLevel
    kind: str
    offsets: OffsetTable
    applied: bool = True


@dataclass(frozen=True)
class PhotometricError:
    """The true photometric error: variance = (scale * catalogued error)^2 + floor^2."""

    scale: float
    floor_mag: float

    def variance(self, error_mag: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the variance in mag^2 of catalogued errors in mag, same shape."""
        return np.asarray((self.scale * error_mag) ** 2 + self.floor_mag**2)


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
    exposures : ExposureTable or None
        In mode joint: the offsets of all exposures of known visits, less the maps.
    photometry : PhotometricError or None
        In mode joint: the photometric error as estimated.
    absolute : mapping or None
        The tie of u_ZP to standards, which `zero_point_mag` has in it; free JSON.
    """

    levels: tuple[SolvedLevel, ...]
    zero_point_mag: float
    law: ReddeningLaw
    visits: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    exposures: ExposureTable | None = None
    photometry: PhotometricError | None = None
    absolute: Mapping[str, Any] | None = None

    @property
    def system(self) -> str:
        """Return the system of the corrected magnitudes, as products call it."""
        return OWN_SYSTEM if self.absolute is None else str(self.absolute["system"])


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
    errors : mapping of str to ndarray, shape (n,)
        In mag: ``offset_total_err`` of the correction alone, ``mag_cal_err`` with the
        photometric error, ``mag_cal_sys`` what systematic effects can shift. Empty in mode
        sequential.
    level : ndarray of int16, shape (n,), or None
        Index in `CORRECTION_LEVELS`; None in mode sequential.
    system : str
        System of the corrected magnitudes.
    """

    by_level: Mapping[str, npt.NDArray[np.float64]]
    total_mag: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]
    errors: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    level: npt.NDArray[np.int16] | None = None
    system: str = OWN_SYSTEM

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return columns ``offset_<level>``, ``offset_total``, errors and the level."""
        named = {f"offset_{name}": values for name, values in self.by_level.items()}
        level = {} if self.level is None else {"offset_level": self.level}
        return {**named, "offset_total": self.total_mag, **self.errors, **level}

    def to_table(self) -> pa.Table:
        """Return the corrections as columns, the last being ``flags``."""
        return pa.table({**self.columns(), "flags": self.flags})
