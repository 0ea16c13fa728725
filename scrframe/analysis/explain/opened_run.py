"""A finished run as explanations look at it: names found, columns for levels, small figures."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.analysis.explain.explanation import Kind
from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, Registry
from scrframe.products.finished_run import RunProducts
from scrframe.products.run_data import LevelData, RunData
from scrframe.products.solution import read_visit_covariance
from scrframe.run.sample.selection import predicted_errors
from scrframe.statistics.groups import find_sorted
from scrframe.statistics.robust import robust_sd
from scrframe.tables import FLAG_BITS, Detections, SolvedLevel
from scrframe.tables.columns import DETECTION_REQUIRED
from scrframe.tables.derived import derive

#: Columns that levels read, by their names in stars.parquet.
FROM_STARS = {
    "ccd": "ccd",
    "mjd": "mjd",
    "x": "x_pix",
    "y": "y_pix",
    "ra": "ra_deg",
    "dec": "dec_deg",
    "star_ra": "ra_deg",
    "star_dec": "dec_deg",
    "mag": "mag_obs",
    "mag_err": "mag_err",
    "extinction": "extinction",
    "colour0": "colour0",
    "predicted_mag": "mag_cal",
    "source_id": "source_id",
}
#: Columns that levels read and that can be worked out from others.
DERIVED = {"season", "gal_l", "gal_b"}
#: Numbers of CCDs are below this.
SPAN = 1 << 20
#: Names that are offered in place of an unknown one.
NEAR = 3


@dataclass(frozen=True)
class OpenedRun:
    """A finished run with what explanations ask of it.

    Attributes
    ----------
    products : RunProducts
    data : RunData
    registry : Registry
    """

    products: RunProducts
    data: RunData
    registry: Registry

    @property
    def joint(self) -> bool:
        """Whether the levels were solved jointly."""
        return self.data.mode == "joint"

    def head(self, kind: Kind) -> dict[str, Any]:
        """Return the fields of `Explanation`."""
        data = self.data
        return {
            "kind": kind,
            "survey": data.survey,
            "band": data.band,
            "data_note": data.note,
            "mode": data.mode,
        }

    @cached_property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """Columns that each level reads, by its name."""
        return {
            block.name: tuple(self.registry.get(OffsetLevel, block.kind).needs(block.settings))
            for block in self.products.survey.offsets.active_levels()
        }

    def levels(self, columns: Iterable[str]) -> list[SolvedLevel]:
        """Return the levels that read no other columns than these."""
        known = {*columns} | DERIVED
        return [
            level
            for level in self.products.solution.levels
            if set(self.needs[level.fitted.name]) <= known
        ]

    def detections(self, rows: npt.NDArray[np.integer[Any]]) -> Detections:
        """Return detections of stars.parquet with the columns that levels read."""
        columns: dict[str, Any] = {
            name: self.data.star(column)[rows]
            for name, column in FROM_STARS.items()
            if self.data.has(column)
        }
        return self._complete(columns, self.data.visit_code[rows])

    def exposures(self, visit: IntArray, ccd: IntArray) -> Detections:
        """Return a row for each exposure, with the columns that exposures have."""
        columns = {"ccd": ccd, "mjd": self.data.visit_table.mjd[visit]}
        return self._complete(columns, visit)

    def _complete(self, columns: dict[str, Any], visit: npt.NDArray[np.integer[Any]]) -> Detections:
        visits = self.data.visit_table
        columns["visit"] = _keys(visits.visit, visit)
        columns["field"] = _keys(visits.field.tolist(), visit)
        columns["band"] = _keys((self.data.band,), np.zeros_like(visit))
        columns["airmass"] = visits.airmass[visit]
        number = len(visit)
        # Levels read none of these, but every table of detections has them.
        columns["file"] = _keys(("",), np.zeros_like(visit))
        columns["extension"], columns["row"] = columns["ccd"], np.arange(number)
        for name in DETECTION_REQUIRED:
            columns.setdefault(name, np.full(number, np.nan))
        wanted = {name for names in self.needs.values() for name in names}
        return derive(Detections.from_columns(columns), "detection", wanted & DERIVED)

    @cached_property
    def sd_mag(self) -> dict[str, float]:
        """Standard deviation of each level as estimated; none in mode sequential."""
        components = self.data.summary["offsets"].get("joint", {}).get("components", {})
        return {
            name: float(each["sd_mag"])
            for name, each in components.items()
            if each["sd_mag"] is not None
        }

    @property
    def visit_sd_mag(self) -> float | None:
        """Standard deviation of the level of visits as estimated; None if there is none."""
        names = [name for name, each in self.data.levels.items() if set(each.labels) == {"visit"}]
        return next((self.sd_mag[name] for name in names if name in self.sd_mag), None)

    @cached_property
    def photometric_variance(self) -> FloatArray:
        """Variance of each detection's noise in mag^2, shape (n,), as the solve took it."""
        data = self.data
        error = np.asarray(data.star("mag_err"), dtype=np.float64)
        if data.photometry is None:
            return np.asarray(error**2)
        visit = np.unique(data.visit_code, return_inverse=True)[1]
        predicted = data.star("mag_model") - data.star("offset_total")
        return data.photometry.variance(
            predicted_errors(error, data.star("mag_obs"), predicted, visit)
        )

    @cached_property
    def star_sd_mag(self) -> float:
        """Scatter of stars about the model, for weights: as estimated, else as seen."""
        joint = self.data.summary["offsets"].get("joint")
        if joint and joint["star_scatter_mag"] is not None:
            return float(joint["star_scatter_mag"])
        finite = self.data.residual[np.isfinite(self.data.residual)]
        return robust_sd(finite) if len(finite) else 0.0

    @cached_property
    def _covariance(self) -> tuple[dict[str, int], FloatArray] | None:
        """Covariance of the visits' offsets and the row of each visit, if the run has it."""
        written = read_visit_covariance(self.products.path / "solution")
        if written is None:
            return None
        names, values = written
        return {name: row for row, name in enumerate(names)}, values

    def visit_covariance(self, one: int, two: int) -> float:
        """Return the covariance of two visits' offsets in mag^2, 0 where not known."""
        if self._covariance is None:
            return 0.0
        rows, values = self._covariance
        names = self.data.visits[one], self.data.visits[two]
        if not all(name in rows for name in names):
            return 0.0
        return float(values[rows[names[0]], rows[names[1]]])

    def visit(self, name: str) -> int:
        """Return the row of a visit.

        Raises
        ------
        DataError
            If the run has not read it; the message offers near names.
        """
        if name in self.data.visits:
            return self.data.visits.index(name)
        raise DataError(_unknown("visit", name, self.data.visits, self.products.path))

    def ccd(self, number: int) -> int:
        """Return a CCD's number if the run knows it; raises `DataError` as `visit`."""
        known = self.ccds
        if number in known:
            return number
        raise DataError(_unknown("CCD", str(number), map(str, known), self.products.path))

    @cached_property
    def ccds(self) -> tuple[int, ...]:
        """Numbers of all CCDs that have offsets."""
        if self.data.exposures is not None:
            return tuple(int(ccd) for ccd in np.unique(self.data.exposures.ccd))
        return tuple(int(ccd) for ccd in self.data.ccds)

    def star(self, source_id: int) -> IntArray:
        """Return the rows of a star's detections; raises `DataError` as `visit`."""
        ids = self.data.star("source_id")
        rows = np.flatnonzero(ids == source_id)
        if len(rows):
            return rows.astype(np.int64)
        # Of millions of identifiers only the nearest numbers can be a slip of the pen.
        known = np.unique(ids)
        place = int(np.searchsorted(known, source_id))
        near = known[max(place - 200, 0) : place + 200].astype(str).tolist()
        raise DataError(_unknown("star", str(source_id), near, self.products.path))


def exposure_offsets(
    run: OpenedRun, visit: IntArray, ccd: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return what CCDs differ by from their visits, and its error, in mag, shape (x,) each.

    Parameters
    ----------
    run : OpenedRun
    visit, ccd : ndarray of int64, shape (x,)
        Row in the table of visits, and number; NaN is returned for what has no offset.
    """
    data = run.data
    offset, error = (np.full(len(visit), np.nan) for _ in range(2))
    row = {name: at for at, name in enumerate(data.visits)}
    wanted = visit * SPAN + ccd
    order = np.argsort(wanted, kind="stable")

    def fill(names: Any, ccds: Any, offset_mag: FloatArray, err_mag: FloatArray) -> None:
        key = np.array([row.get(name, -1) for name in names.tolist()], dtype=np.int64) * SPAN + ccds
        place = find_sorted(wanted[order], key)
        known = place >= 0
        at = order[place[known]]
        offset[at], error[at] = offset_mag[known], err_mag[known]

    if data.exposures is not None:
        table = data.exposures
        fill(table.visit, table.ccd, table.offset_mag - table.visit_mag, table.err_mag)
    for level in data.levels.values():
        if set(level.labels) == {"visit", "ccd"} and level.role == "correction":
            fill(level.labels["visit"], level.labels["ccd"], level.offset_mag, level.err_mag)
    return offset, error


def exposure_parts(run: OpenedRun, visit: IntArray, ccd: IntArray) -> dict[str, FloatArray]:
    """Return what each term of CCDs adds to exposures, by level, in mag, shape (x,) each.

    Static parts and drifts; terms by visit and CCD are not among them. Empty in mode
    sequential, which has no such terms.
    """
    if not run.joint:
        return {}
    table = run.exposures(visit, ccd)
    parts = {}
    for level in run.levels({"ccd", "mjd", "season", "field", "airmass", "band", "visit"}):
        fitted = level.fitted
        keys = set(run.data.levels[fitted.name].labels)
        if level.applied or fitted.role != "correction" or "visit" in keys or "ccd" not in keys:
            continue
        parts[fitted.name] = np.asarray(
            fitted.design(table).weights @ np.nan_to_num(level.offsets.offset_mag)
        )
    return parts


def level_word(level: LevelData) -> str:
    """Return what a level is, in words, by what labels its columns."""
    keys = set(level.labels)
    if level.role == "nuisance":
        return "nuisance, in no correction"
    if keys == {"visit"}:
        return "zero point of the visit"
    if keys == {"visit", "ccd"}:
        return "the CCD in this visit"
    if "knot" in keys:
        return "what drifts in time"
    if keys == {"ccd"}:
        return "what stands on a CCD"
    return "map over the CCD" if level.applied and keys & {"ccd"} else "further term"


def flag_counts(flags: npt.NDArray[Any]) -> dict[str, int]:
    """Return how many detections have each flag, without those that none has."""
    counts = {name: int(np.count_nonzero(flags & bit)) for name, bit in FLAG_BITS.items()}
    return {name: count for name, count in counts.items() if count}


def flag_names(flags: int) -> list[str]:
    """Return the names of the flags that are set."""
    return [name for name, bit in FLAG_BITS.items() if flags & bit]


def mean_and_error(values: FloatArray, weight: FloatArray | None = None) -> tuple[float, float]:
    """Return the weighted mean, and its error from the scatter; NaN where there are too few."""
    if weight is None:
        weight = np.ones(len(values))
    fine = np.isfinite(values) & (weight > 0)
    values, weight = values[fine], weight[fine]
    if not len(values):
        return float("nan"), float("nan")
    total = weight.sum()
    mean = float(weight @ values / total)
    effective = float(total**2 / (weight**2).sum())
    if effective <= 1.0 + 1e-9:
        return mean, float("nan")
    variance = weight @ (values - mean) ** 2 / total * effective / (effective - 1)
    return mean, float(np.sqrt(variance / effective))


def _keys(names: Sequence[str], code: npt.NDArray[np.integer[Any]]) -> pa.Array:
    labels, place = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(place[code].astype(np.int32)), labels.tolist() or [""]
    )


def _unknown(what: str, name: str, known: Iterable[str], path: object) -> str:
    near = difflib.get_close_matches(name, list(known), n=NEAR, cutoff=0.5)
    offered = f"; near to it: {', '.join(near)}" if near else ""
    return f"{path}: the run knows no {what} {name}{offered}"
