"""The solution: offsets of levels and exposures and the zero point, and how they correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray, IntArray, read_only
from scrframe.errors import DataError
from scrframe.statistics.groups import find_sorted
from scrframe.tables.law import ReddeningLaw
from scrframe.tables.levels import FittedLevel
from scrframe.tables.table import Detections

#: Where an exposure's offset came from, from its own stars to the mean of the survey.
LEVELS = ("ccd", "visit", "field", "season", "survey")
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
    "no_colour": 8192,
}
#: Where a correction came from: the finest level at which the detection's own group had
#: calibration stars. 0 stands for no correction.
CORRECTION_LEVELS = ("none", "pixel", *LEVELS)
System = Literal["AB", "Vega"]
#: What products say of their magnitudes where nothing ties them to a true system.
OWN_SYSTEM = "survey's own"


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
    colour : ColourReference or None
        Where the offsets hold, if colour terms are among the levels.
    """

    levels: tuple[SolvedLevel, ...]
    zero_point_mag: float
    law: ReddeningLaw
    visits: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    exposures: ExposureTable | None = None
    photometry: PhotometricError | None = None
    absolute: Mapping[str, Any] | None = None
    colour: ColourReference | None = None

    @property
    def system(self) -> str:
        """Return the system of the corrected magnitudes, as products call it."""
        return OWN_SYSTEM if self.absolute is None else str(self.absolute["system"])


@dataclass(frozen=True)
class ColourReference:
    """The colour at which offsets hold, of a solution with colour terms."""

    #: Observed colour, band less reference magnitude, in mag.
    reference_mag: float
    #: Root mean square of what colour terms add in the sample, in mag.
    spread_mag: float
    #: Within which a detection is a star whose colour is known.
    match_radius_arcsec: float


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
    colour_mag : ndarray, shape (n,), or None
        What the star's colour adds to the total, in mag, 0 where it is not known; None without
        colour terms.
    reference_colour_mag : float or None
        The colour, band less reference magnitude, at which the total holds by itself.
    """

    by_level: Mapping[str, FloatArray]
    total_mag: FloatArray
    flags: npt.NDArray[np.int32]
    errors: Mapping[str, FloatArray] = field(default_factory=dict)
    level: npt.NDArray[np.int16] | None = None
    system: str = OWN_SYSTEM
    colour_mag: FloatArray | None = None
    reference_colour_mag: float | None = None

    @property
    def applied_mag(self) -> FloatArray:
        """Return what is added to magnitudes, shape (n,): the total, and what colours add."""
        return self.total_mag if self.colour_mag is None else self.total_mag + self.colour_mag

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return columns ``offset_<level>``, ``offset_total``, that of colours, errors, level."""
        named = {f"offset_{name}": values for name, values in self.by_level.items()}
        colour = {} if self.colour_mag is None else {"offset_colour": self.colour_mag}
        level = {} if self.level is None else {"offset_level": self.level}
        return {**named, "offset_total": self.total_mag, **colour, **self.errors, **level}

    def to_table(self) -> pa.Table:
        """Return the corrections as columns, the last being ``flags``."""
        return pa.table({**self.columns(), "flags": self.flags})


@dataclass(frozen=True)
class OffsetTable:
    """Offsets of one level, one row a column of its design."""

    #: Correction, to be added to observed magnitudes; NaN where there are too few stars. Shape
    #: (p,).
    offset_mag: FloatArray
    #: Error of the mean. Shape (p,).
    err_mag: FloatArray
    #: Standard deviation of the differences within the group. Shape (p,).
    scatter_mag: FloatArray
    #: Number of detections. Shape (p,).
    count: IntArray

    def __post_init__(self) -> None:
        read_only(self)


@dataclass(frozen=True)
class SolvedLevel:
    """A level with its solved offsets; `kind` names the plugin that restores it."""

    fitted: FittedLevel
    kind: str
    offsets: OffsetTable
    #: Whether the offsets are added to magnitudes. Others are for the record: nuisance terms, and
    #: what the table of exposures has summed already.
    applied: bool = True


@dataclass(frozen=True)
class PhotometricError:
    """The true photometric error: variance = (scale * catalogued error)^2 + floor^2."""

    scale: float
    floor_mag: float

    def variance(self, error_mag: FloatArray) -> FloatArray:
        """Return the variance in mag^2 of catalogued errors in mag, same shape."""
        return np.asarray((self.scale * error_mag) ** 2 + self.floor_mag**2)


@dataclass(frozen=True)
class ExposureTable:
    """The offset of every exposure (one detector in one visit), columns of shape (e,).

    Raises DataError if the columns differ in length, a level is not known, or an exposure occurs
    twice.
    """

    #: Key of the visit.
    visit: npt.NDArray[np.str_]
    #: Number of the detector.
    ccd: IntArray
    #: Correction, to be added to observed magnitudes, in mag.
    offset_mag: FloatArray
    #: Its error from noise and from the spread of the level it came from, in mag.
    err_mag: FloatArray
    #: What systematic effects can shift, in mag; NaN where not known.
    sys_mag: FloatArray
    #: One of `LEVELS`.
    level: npt.NDArray[np.str_]
    #: Number of the exposure's own detections behind the offset.
    count: IntArray

    def __post_init__(self) -> None:
        if len({column.shape for column in vars(self).values()}) != 1:
            raise DataError("exposure table: the columns differ in length")
        strange = sorted(set(np.unique(self.level).tolist()) - set(LEVELS))
        if strange:
            raise DataError(
                f"exposure table: unknown level {strange[0]!r}; there are {', '.join(LEVELS)}"
            )
        read_only(self)
        keys = self._index[1]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            row = self._index[2][twice[0]]
            raise DataError(
                f"exposure table: visit {str(self.visit[row])!r}, ccd {self.ccd[row]} occurs twice"
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


@dataclass(frozen=True)
class AbsoluteTie:
    """The shift of u_ZP onto a true system, with its errors."""

    #: Standard less calibrated magnitude, to be added to u_ZP; at the colour `pivot_mag`.
    shift_mag: float
    #: Its statistical error.
    err_mag: float
    #: Its systematic error: that of the standards, or of the passband and the spectra.
    sys_mag: float
    #: Robust standard deviation of a star's difference from the shift and colour term.
    scatter_mag: float
    #: Stars compared.
    count: int
    #: Those of them that count for nothing, being too far off.
    outliers: int
    system: System
    #: "standards" or "passband".
    kind: str = ""
    #: Name of the file of standards or of the passband.
    source: str = ""
    #: Coefficients of ``colour - pivot_mag``, lowest power first; none if none was fitted.
    colour_terms: tuple[float, ...] = ()
    #: Their standard errors.
    colour_term_errs: tuple[float, ...] = ()
    #: Name of the column of colours; empty if no colour term was fitted.
    colour: str = ""
    #: Colour at which the shift holds; None if no colour term was fitted.
    pivot_mag: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the tie as plain JSON data."""
        lists = {"colour_terms": list(self.colour_terms)}
        return {**asdict(self), **lists, "colour_term_errs": list(self.colour_term_errs)}

    def metadata(self) -> dict[str, str]:
        """Return what the key-value metadata of products say of the tie, as text."""
        return {
            "magnitude_system": self.system,
            "absolute_tie": self.kind,
            "absolute_source": self.source,
            "absolute_shift_mag": f"{self.shift_mag:.6f}",
            "absolute_err_mag": f"{self.err_mag:.6f}",
            "absolute_sys_mag": f"{self.sys_mag:.6f}",
        }
