"""A finished run as explanations look at it, and what all explanations have in common."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.plugin import Registry
from scrframe.products.files import to_json
from scrframe.products.finished_run import RunProducts
from scrframe.products.rows import DERIVED, columns_read, detections_of
from scrframe.products.run_data import LevelData, RunData
from scrframe.products.visit_covariance import read_visit_covariance
from scrframe.run.sample.selection import predicted_errors
from scrframe.statistics.covariance import Covariance, entries
from scrframe.statistics.groups import find_sorted
from scrframe.statistics.robust import robust_sd
from scrframe.tables import FLAG_BITS, Detections, SolvedLevel

Kind = Literal["visit", "exposure", "ccd", "star"]
#: Metadata of a field that is None, and not in the JSON, where a run has no such figure.
OPTIONAL = {"optional": True}
#: Metadata of a field whose items stand in the JSON among the fields beside it.
MERGED = {"merged": True}
#: Key of the metadata of a field that has another name in the JSON.
KEY = "key"
#: Columns that levels read, by their names in stars.parquet.
FROM_STARS = {
    **{name: name for name in ("ccd", "mjd", "mag_err", "extinction", "colour0", "source_id")},
    **{"x": "x_pix", "y": "y_pix", "mag": "mag_obs", "predicted_mag": "mag_cal"},
    **{"ra": "ra_deg", "dec": "dec_deg", "star_ra": "ra_deg", "star_dec": "dec_deg"},
}
#: Numbers of CCDs are below this.
SPAN = 1 << 20
#: Names that are offered in place of an unknown one.
NEAR = 3


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an offset is what it is: the head of each kind of explanation.

    Fields that end in ``_mag`` are in mag; NaN is what is not defined.
    """

    #: one of "visit", "exposure", "ccd", "star"
    kind: Kind
    #: Names of the survey and of its band.
    survey: str
    band: str
    #: What every product says of its data; empty for real data.
    data_note: str
    #: How the offsets were solved.
    mode: str

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON; what is not defined is None."""
        return cast(dict[str, Any], to_json(_content(self)))


def _content(value: Any) -> Any:
    """Return dictionaries and lists for dataclasses and tuples, by what their fields declare."""
    if isinstance(value, tuple):
        return [_content(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _content(item) for name, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    content: dict[str, Any] = {}
    for each in fields(value):
        item = getattr(value, each.name)
        if each.metadata.get("merged"):
            content |= item
        elif item is not None or not each.metadata.get("optional"):
            content[each.metadata.get(KEY, each.name)] = _content(item)
    return content


@dataclass(frozen=True, kw_only=True)
class DetectionCounts:
    """What became of detections of the Calibration Sample."""

    #: Detections, and stars that they are of.
    in_sample: int
    stars: int | None = field(default=None, metadata=OPTIONAL)
    #: Those that the offsets were solved from.
    used: int
    stars_used: int
    #: Of the used, those taken for outliers: with less than half their weight.
    low_weight: int | None = field(default=None, metadata=OPTIONAL)
    #: Number of the others by reason; the first reason counts.
    left_out: Mapping[str, int] | None = field(default=None, metadata=OPTIONAL)
    #: Detections with each flag.
    flags: Mapping[str, int]
    #: Detections of stars of the Control Sample.
    control: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class OpenedRun:
    """A finished run with what explanations ask of it."""

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
        return columns_read(self.products.survey, self.registry)

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
        wanted = {name for names in self.needs.values() for name in names}
        return detections_of(columns, visit, self.data, wanted)

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
        predicted = data.star("mag_model") - data.correction_mag
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
    def _covariance(self) -> tuple[dict[str, int], Covariance] | None:
        """Covariance of the visits' offsets and the row of each visit, if the run has it."""
        written = read_visit_covariance(self.products.path / "solution")
        return written and ({name: row for row, name in enumerate(written[0])}, written[1])

    def visit_covariance(self, one: int, two: int) -> float:
        """Return the covariance of two visits' offsets in mag^2, 0 where not known."""
        if self._covariance is None:
            return 0.0
        rows, values = self._covariance
        names = self.data.visits[one], self.data.visits[two]
        if not all(name in rows for name in names):
            return 0.0
        return float(entries(values, np.array([rows[names[0]]]), np.array([rows[names[1]]]))[0])

    def visit(self, name: str) -> int:
        """Return the row of a visit.

        Raises DataError if the run has not read it; the message offers near names.
        """
        if name in self.data.visits:
            return self.data.visits.index(name)
        raise DataError(_unknown("visit", name, self.data.visits, self.products.path))

    def ccd(self, number: int) -> int:
        """Return a CCD's number if the run knows it; raises `DataError` as `visit`."""
        if number in self.ccds:
            return number
        raise DataError(_unknown("CCD", str(number), map(str, self.ccds), self.products.path))

    @cached_property
    def ccds(self) -> tuple[int, ...]:
        """Numbers of all CCDs that have offsets."""
        exposures = self.data.exposures
        known = self.data.ccds if exposures is None else np.unique(exposures.ccd)
        return tuple(int(ccd) for ccd in known)

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
    if level.role != "correction":
        return {"nuisance": "nuisance, in no correction", "colour": "colour term"}[level.role]
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
    counts = {name: np.count_nonzero(flags & bit) for name, bit in FLAG_BITS.items()}
    return {name: int(count) for name, count in counts.items() if count}


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


def _unknown(what: str, name: str, known: Iterable[str], path: object) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=NEAR, cutoff=0.5)
    what_are = "near to it" if near else "among those that it has"
    offered = f"; {what_are}: {', '.join(near or names[:NEAR])}" if names else ""
    return f"{path}: the run knows no {what} {name}{offered}"
