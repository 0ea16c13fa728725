"""Open a finished run: what reports, checks and explanations start from."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.config import SurveyDescription, load_survey
from scrframe.errors import ConfigError, DataError
from scrframe.plugin import ReferenceCatalogue, Registry, SurveyLoader, load_registry
from scrframe.products.files import RUN_MARK, SHARED, damaged
from scrframe.products.run_data import LevelData, RunData, VisitTable
from scrframe.products.solution import read_solution, read_visits
from scrframe.products.visit_covariance import read_visit_covariance
from scrframe.statistics.covariance import Covariance, independent, placed
from scrframe.tables import Camera, Solution

STARS = "stars.parquet"
#: Text columns, which `RunData` does not offer.
TEXT = ("file", "visit")
#: Columns without which a file is no stars.parquet.
NEEDED = ("visit", "ccd", "source_id", "delta", "offset_total", "mag_cal", "colour0", "extinction")


@dataclass(frozen=True)
class RunProducts:
    """A finished run, opened.

    Attributes
    ----------
    path : Path
        Its directory.
    summary : mapping
        The content of ``summary.json``.
    survey : SurveyDescription
        As used, all defaults included.
    solution : Solution
        As read from ``solution/``.
    camera : Camera or None
        Layout of the detectors, if the survey's loader tells it.
    note : str
        What every product says of its data; empty for real data.
    mode : {"joint", "sequential"}
    reference_band : str
        Label of the reference magnitude.
    """

    path: Path
    summary: Mapping[str, Any]
    survey: SurveyDescription
    solution: Solution
    camera: Camera | None
    note: str
    mode: str
    reference_band: str

    def data(self) -> RunData:
        """Return the run as arrays; columns of detections are read when they are asked for.

        Raises DataError if ``stars.parquet`` is missing or damaged.
        """
        stars = StarColumns(self.path / STARS, self.solution.visits)
        levels = {level.fitted.name: LevelData.of(level) for level in self.solution.levels}
        absolute = self.solution.absolute
        return RunData(
            survey=self.survey.name,
            band=self.survey.band,
            reference_band=self.reference_band,
            mode=self.mode,
            note=self.note,
            stars=stars,
            visit_table=_visit_table(self.path / "solution", self.solution, levels),
            levels=levels,
            zero_point_mag=self.solution.zero_point_mag,
            law=self.solution.law,
            exposures=self.solution.exposures,
            camera=self.camera,
            photometry=self.solution.photometry,
            absolute_shift_mag=0.0 if absolute is None else float(absolute["shift_mag"]),
            summary=self.summary,
        )

    def visit_covariance(self, visits: VisitTable) -> Covariance:
        """Return the covariance of the visits' offsets in mag squared, shape (v, v).

        As ``visit_covariance.fits`` has it, else the squared errors on the diagonal; NaN on the
        diagonal of visits without an offset.

        Raises DataError if the file is damaged.
        """
        alone = np.asarray(visits.err_mag, dtype=np.float64) ** 2
        written = read_visit_covariance(self.path / "solution")
        if written is None:
            return independent(alone)
        row_of = {name: row for row, name in enumerate(visits.visit)}
        rows = np.array([row_of[name] for name in written[0]], dtype=np.int64)
        return placed(written[1], rows, alone)

    def design_report(self, key: str) -> list[dict[str, Any]]:
        """Return the ``findings`` of what the design cannot tell, or its ``fields``.

        Mode sequential does not look for it, and earlier runs have no fields: none.

        Raises DataError if ``design_report.json`` is damaged.
        """
        path = self.path / "solution" / "design_report.json"
        if not path.exists():
            return []
        try:
            return list(json.loads(path.read_text(encoding="utf-8")).get(key, []))
        except (OSError, AttributeError, TypeError, ValueError) as error:
            raise damaged(path, error) from None


class StarColumns(Mapping[str, npt.NDArray[Any]]):
    """Columns of stars.parquet, each read once, when it is asked for.

    Keys of `visits` are what the column ``visit_code`` counts by.
    """

    def __init__(self, path: Path, visits: tuple[str, ...]) -> None:
        self._path, self._visits = path, visits
        self._read: dict[str, npt.NDArray[Any]] = {}
        try:
            schema = pq.read_schema(path)
        except FileNotFoundError:
            raise DataError(f"{path}: not found; is {path.parent} a finished run?") from None
        except (OSError, pa.ArrowException) as error:
            raise damaged(path, error) from None
        missing = [name for name in NEEDED if name not in schema.names]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]}; is it of a calibration?")
        self._names = ["visit_code", *(name for name in schema.names if name not in TEXT)]

    def unread(self) -> StarColumns:
        """Return the same columns, none of which is read."""
        other = copy(self)
        other._read = {}
        return other

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            column = self._column("visit" if name == "visit_code" else name)
            values = self._codes(column) if name == "visit_code" else column.to_numpy()
            values.flags.writeable = False
            self._read[name] = values
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def _column(self, name: str) -> pa.ChunkedArray:
        try:
            # Names of visits repeat: a dictionary of them is small.
            labels = [name] if name in TEXT else None
            return pq.read_table(self._path, columns=[name], read_dictionary=labels).column(name)
        except (OSError, pa.ArrowException) as error:
            raise damaged(self._path, error) from None

    def _codes(self, column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        joined = column.combine_chunks()
        if not pa.types.is_dictionary(joined.type):
            joined = joined.dictionary_encode()
        code_of = {name: code for code, name in enumerate(self._visits)}
        names = joined.dictionary.to_pylist()
        codes = np.array([code_of.get(name, -1) for name in names], dtype=np.int32)
        indices = joined.indices.to_numpy(zero_copy_only=False)
        if len(indices) and (codes[np.unique(indices)] < 0).any():
            raise DataError(f"{self._path}: holds visits that its solution does not know")
        return np.asarray(codes[indices]) if len(codes) else np.zeros(0, np.int32)


def open_run(path: str | Path, registry: Registry | None = None) -> RunProducts:
    """Open the directory of a finished run.

    Parameters
    ----------
    path : path
        As `scrframe calibrate` wrote it.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    DataError
        If it is no run, an unfinished one, or a product is damaged.
    PluginError
        If a plugin that the run used is not installed.
    """
    path = Path(path)
    registry = registry or load_registry()
    summary = _read_summary(path)
    solution = read_solution(path / "solution", registry)
    survey = _read_description(path / "solution" / "description.yaml", registry)
    reference = registry.get(ReferenceCatalogue, survey.reference.kind)
    return RunProducts(
        path=path,
        summary=summary,
        survey=survey,
        solution=solution,
        camera=registry.get(SurveyLoader, survey.loader.kind).camera_for(survey.loader.settings),
        note=str(summary.get("data_note", "")),
        mode=str(summary["offsets"]["mode"]),
        reference_band=reference.band or "reference",
    )


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise DataError(f"{path}: no such directory; give that of a finished run")
    file = path / RUN_MARK
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        if summary["offsets"]["mode"] not in ("joint", "sequential"):
            raise ValueError("no mode of solving")
    except FileNotFoundError:
        if (path / SHARED / RUN_MARK).exists():
            raise DataError(
                f"{path}: holds runs of several bands or surveys; name one of them, a folder in it"
                " (from Python, scrframe.open_runs opens them all)"
            ) from None
        raise DataError(
            f"{path}: no finished run ({RUN_MARK} is missing); run scrframe calibrate first"
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(file, error) from None
    return dict(summary)


def _read_description(path: Path, registry: Registry) -> SurveyDescription:
    try:
        with warnings.catch_warnings():
            # The run is of its time: that keys have other names now is nobody's concern.
            warnings.simplefilter("ignore", FutureWarning)
            # The description is as used: what looks like a variable is none.
            return load_survey(path, registry=registry, environ={})
    except ConfigError as error:
        raise damaged(path, error) from None


def _visit_table(folder: Path, solution: Solution, levels: Mapping[str, LevelData]) -> VisitTable:
    """Return the facts of visits with offset, error, scatter and count of the level of visits."""
    visits = solution.visits
    columns = ("offset_mag", "err_mag", "scatter_mag", "count")
    out = {name: np.full(len(visits), np.nan) for name in columns}
    out["count"] = np.zeros(len(visits), dtype=np.int64)
    row_of = {visit: row for row, visit in enumerate(visits)}
    by_visit = (
        level
        for level in levels.values()
        if set(level.labels) == {"visit"} and level.role == "correction"
    )
    level = next(by_visit, None)
    if level is not None:
        rows = np.array([row_of.get(key, -1) for key in level.labels["visit"].tolist()], np.int64)
        for name in columns:
            out[name][rows[rows >= 0]] = getattr(level, name)[rows >= 0]
    elif solution.exposures is not None:
        names, first = np.unique(solution.exposures.visit, return_index=True)
        rows = np.array([row_of[name] for name in names.tolist()], dtype=np.int64)
        out["offset_mag"][rows] = solution.exposures.visit_mag[first]
    return VisitTable(visit=visits, **read_visits(folder, visits), **out)
