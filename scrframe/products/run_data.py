"""`RunData`: what figures and checks look at in a finished run, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.tables import Camera, ExposureTable, PhotometricError, ReddeningLaw, SolvedLevel


@dataclass(frozen=True)
class VisitTable:
    """The visits of a run, one row each, in the order in which it read them."""

    #: Keys; `RunData.visit_code` points here.
    visit: tuple[str, ...]
    #: Name of the pointing; empty where the survey names none. Shape (v,).
    field: npt.NDArray[np.str_]
    #: Modified Julian date. Shape (v,).
    mjd: FloatArray
    #: Year of the October in which the observing season begins; -1 where there is no date. Shape
    #: (v,).
    season: IntArray
    #: NaN where not known. Shape (v,).
    airmass: FloatArray
    #: Centre of its detections (ICRS). Shape (v,).
    ra_deg: FloatArray
    dec_deg: FloatArray
    #: Correction of the visit, to be added; NaN where it has none. Shape (v,).
    offset_mag: FloatArray
    #: Its standard error. Shape (v,).
    err_mag: FloatArray
    #: Standard deviation of the differences within the visit, as the solution has it. Shape (v,).
    scatter_mag: FloatArray
    #: Detections of the Calibration Sample behind the offset. Shape (v,).
    count: IntArray

    def __len__(self) -> int:
        return len(self.visit)


def arrays_of(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of a table as arrays; text as such, not as objects."""
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    return {
        name: values.astype(str) if values.dtype.kind == "O" else values
        for name, values in columns.items()
    }


@dataclass(frozen=True)
class LevelData:
    """One level of offsets, one row a column of its design."""

    #: Name in the description, and the plugin that made it.
    name: str
    kind: str
    #: A nuisance term never corrects a magnitude. One of "correction", "nuisance", "colour".
    role: str
    #: Whether its offsets are added to magnitudes as they stand; others are nuisance terms, or
    #: summed in `RunData.exposures` already.
    applied: bool
    #: What identifies each row: visit, ccd, x_low_pix, knot_mjd and so on; text as str arrays.
    #: Arrays of shape (p,).
    labels: Mapping[str, npt.NDArray[Any]]
    #: See `scrframe.tables.OffsetTable`. Shape (p,).
    offset_mag: FloatArray
    err_mag: FloatArray
    scatter_mag: FloatArray
    #: Number of detections. Shape (p,).
    count: IntArray

    @classmethod
    def of(cls, level: SolvedLevel) -> LevelData:
        """Return a level of a solution."""
        return cls(
            name=level.fitted.name,
            kind=level.kind,
            role=level.fitted.role,
            applied=level.applied,
            labels=arrays_of(level.fitted.labels()),
            **vars(level.offsets),
        )


@dataclass(frozen=True)
class RunData:
    """A finished run as arrays; n detections of the Calibration Sample, v visits."""

    #: Names of the survey and of its band.
    survey: str
    band: str
    #: Label of the reference magnitude, such as ``G_BP``.
    reference_band: str
    #: How the offsets were solved. One of "joint", "sequential".
    mode: str
    #: What every product says of its data; empty for real data.
    note: str
    #: Columns of ``stars.parquet`` under their own names and in their own units, but for the text
    #: columns ``file`` and ``visit``; ``visit_code`` (int32) stands for the latter. A mapping that
    #: reads on demand keeps memory small; use `star`. Arrays of shape (n,).
    stars: Mapping[str, npt.NDArray[Any]]
    #: The visits.
    visit_table: VisitTable
    #: In the order of the description.
    levels: Mapping[str, LevelData]
    #: u_ZP, part of every ``offset_total``.
    zero_point_mag: float
    #: R(C0, E), with its covariance and the slopes of fields, if they were fitted.
    law: ReddeningLaw
    #: In mode joint: the offset of each CCD in each visit.
    exposures: ExposureTable | None = None
    #: Layout of the detectors, if the survey's plugin tells it.
    camera: Camera | None = None
    #: In mode joint: the photometric error as estimated.
    photometry: PhotometricError | None = None
    #: By how much an absolute tie moved model and calibrated magnitudes; part of u_ZP.
    absolute_shift_mag: float = 0.0
    #: The content of ``summary.json``.
    summary: Mapping[str, Any] = field(default_factory=dict)

    def star(self, name: str) -> npt.NDArray[Any]:
        """Return a column of the detections by its name in ``stars.parquet``, shape (n,).

        Raises DataError if the run has no such column.
        """
        if name not in self.stars:
            raise DataError(
                f"stars.parquet has no column {name}; mode {self.mode} may not write it"
            )
        return self.stars[name]

    def has(self, name: str) -> bool:
        """Return whether the detections have a column."""
        return name in self.stars

    @property
    def visits(self) -> tuple[str, ...]:
        """Keys of the visits, length v."""
        return self.visit_table.visit

    @property
    def visit_code(self) -> npt.NDArray[Any]:
        """Row in `visit_table` of each detection, shape (n,), int32."""
        return self.star("visit_code")

    @property
    def ccd(self) -> npt.NDArray[Any]:
        """Number of the CCD of each detection, shape (n,), int16."""
        return self.star("ccd")

    @cached_property
    def ccds(self) -> IntArray:
        """All CCD numbers, ascending: the camera's, if known, and those of detections."""
        known = np.zeros(0, np.int64) if self.camera is None else self.camera.ccd
        return np.union1d(known, np.unique(self.ccd)).astype(np.int64)

    @property
    def fields(self) -> npt.NDArray[np.str_]:
        """Names of the fields, sorted, without the empty name."""
        names = np.unique(self.visit_table.field)
        return np.asarray(names[names != ""])

    @cached_property
    def in_solve(self) -> BoolArray:
        """Which detections took part in the solve, shape (n,); all in mode sequential."""
        if self.has("in_solve"):
            return np.asarray(self.star("in_solve"), dtype=np.bool_)
        return np.ones(len(self.visit_code), dtype=np.bool_)

    @cached_property
    def weight(self) -> FloatArray:
        """Robust weight of each detection, 0 to 1, 0 outside the solve, shape (n,).

        In mode sequential 1 for every detection.
        """
        if self.has("weight"):
            return np.nan_to_num(np.asarray(self.star("weight"), dtype=np.float64))
        return self.in_solve.astype(np.float64)

    @cached_property
    def residual(self) -> FloatArray:
        """Model less calibrated magnitude in mag, shape (n,); NaN where uncorrected."""
        return np.asarray(self.star("delta") - self.correction_mag, dtype=np.float64)

    @cached_property
    def correction_mag(self) -> FloatArray:
        """What was added to each magnitude, shape (n,); NaN where uncorrected."""
        total = np.asarray(self.star("offset_total"), dtype=np.float64)
        return total + self.star("offset_colour") if self.has("offset_colour") else total

    @cached_property
    def star_code(self) -> IntArray:
        """Number of each detection's star, from 0 in the order of ``source_id``, shape (n,)."""
        return np.asarray(np.unique(self.star("source_id"), return_inverse=True)[1], dtype=np.int64)

    def reference_mag(self) -> FloatArray:
        """Return the reference magnitude of each detection in mag, shape (n,).

        It follows from the model magnitude (paper, Eq. 2), to rounding.
        """
        colour0, extinction = self.star("colour0"), self.star("extinction")
        reddened = colour0 + self.law.ratio(colour0, extinction) * extinction
        return np.asarray(self.star("mag_model") - self.absolute_shift_mag - reddened)

    def correction_columns(self) -> tuple[str, ...]:
        """Return the columns of single offsets, such as ``offset_visit``, in order."""
        others = ("offset_total", "offset_colour", "offset_total_err", "offset_level")
        return tuple(
            name for name in self.stars if name.startswith("offset_") and name not in others
        )
