"""Open a finished run: what reports, checks and explanations start from."""

from __future__ import annotations

import json
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
from scrframe.products.files import RUN_MARK
from scrframe.products.run_data import LevelData, RunData, VisitTable
from scrframe.products.solution import read_solution
from scrframe.products.visits import read_visits, visits_of_stars
from scrframe.tables import Camera, Solution, SolvedLevel

STARS = "stars.parquet"
#: Text columns, which `RunData` does not offer.
TEXT = ("file", "visit")
#: Columns that stay read in `StarColumns.lean`: those of residuals, and what has few bytes.
KEPT, FEW_BYTES = ("delta", "offset_total"), 4
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

        Raises
        ------
        DataError
            If ``stars.parquet`` is missing or damaged.
        """
        stars = StarColumns(self.path / STARS, self.solution.visits)
        levels = {level.fitted.name: _level_data(level) for level in self.solution.levels}
        absolute = self.solution.absolute
        return RunData(
            survey=self.survey.name,
            band=self.survey.band,
            reference_band=self.reference_band,
            mode=self.mode,
            note=self.note,
            stars=stars,
            visit_table=self._visit_table(stars, levels),
            levels=levels,
            zero_point_mag=self.solution.zero_point_mag,
            law=self.solution.law,
            exposures=self.solution.exposures,
            camera=self.camera,
            photometry=self.solution.photometry,
            absolute_shift_mag=0.0 if absolute is None else float(absolute["shift_mag"]),
            summary=self.summary,
        )

    def _visit_table(self, stars: StarColumns, levels: Mapping[str, LevelData]) -> VisitTable:
        visits = self.solution.visits
        facts = read_visits(self.path / "solution", visits)
        if facts is None:  # a run of an earlier version
            facts = visits_of_stars(stars, len(visits))
        return VisitTable(visit=visits, **facts, **_visit_offsets(self.solution, levels))


class StarColumns(Mapping[str, npt.NDArray[Any]]):
    """Columns of stars.parquet, each read once, when it is asked for.

    Parameters
    ----------
    path : Path
    visits : tuple of str
        Keys that the column ``visit_code`` counts by.
    """

    def __init__(self, path: Path, visits: tuple[str, ...]) -> None:
        self._path, self._visits = path, visits
        self._read: dict[str, npt.NDArray[Any]] = {}
        try:
            schema = pq.read_schema(path)
        except FileNotFoundError:
            raise DataError(f"{path}: not found; is {path.parent} a finished run?") from None
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: is damaged: {_line(error)}") from None
        missing = [name for name in NEEDED if name not in schema.names]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]}; is it of a calibration?")
        self._names = ["visit_code", *(name for name in schema.names if name not in TEXT)]

    def lean(self) -> StarColumns:
        """Return the same columns, of which only small and usual ones stay in memory."""
        other = copy(self)
        other._read = {
            name: values
            for name, values in self._read.items()
            if values.itemsize <= FEW_BYTES or name in KEPT
        }
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
            return pq.read_table(self._path, columns=[name]).column(name)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self._path}: column {name} is damaged: {_line(error)}") from None

    def _codes(self, column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        joined = column.combine_chunks()
        if not pa.types.is_dictionary(joined.type):
            joined = joined.dictionary_encode()
        place = {name: code for code, name in enumerate(self._visits)}
        names = joined.dictionary.to_pylist()
        codes = np.array([place.get(name, -1) for name in names], dtype=np.int32)
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
            raise ValueError("it names no mode of solving")
    except FileNotFoundError:
        raise DataError(
            f"{path}: no finished run ({RUN_MARK} is missing); run scrframe calibrate first"
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: is damaged, or of no calibration: {_line(error)}") from None
    return dict(summary)


def _read_description(path: Path, registry: Registry) -> SurveyDescription:
    try:
        # The description is as used: what looks like a variable is none.
        return load_survey(path, registry=registry, environ={})
    except ConfigError as error:
        raise DataError(f"{path}: is damaged: {_line(error)}") from None


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _level_data(level: SolvedLevel) -> LevelData:
    table, offsets = level.fitted.labels(), level.offsets
    labels = {name: table.column(name).to_numpy() for name in table.column_names}
    return LevelData(
        name=level.fitted.name,
        kind=level.kind,
        role=level.fitted.role,
        applied=level.applied,
        labels={
            name: values.astype(str) if values.dtype.kind == "O" else values
            for name, values in labels.items()
        },
        offset_mag=offsets.offset_mag,
        err_mag=offsets.err_mag,
        scatter_mag=offsets.scatter_mag,
        count=offsets.count,
    )


def _visit_offsets(
    solution: Solution, levels: Mapping[str, LevelData]
) -> dict[str, npt.NDArray[Any]]:
    """Return offset, error, scatter and count by visit, from the level of visits."""
    visits = solution.visits
    columns = ("offset_mag", "err_mag", "scatter_mag", "count")
    out = {name: np.full(len(visits), np.nan) for name in columns}
    out["count"] = np.zeros(len(visits), dtype=np.int64)
    place = {visit: row for row, visit in enumerate(visits)}
    found = [
        level
        for level in levels.values()
        if set(level.labels) == {"visit"} and level.role == "correction"
    ]
    if found:
        keys = found[0].labels["visit"].tolist()
        here = np.array([place.get(key, -1) for key in keys], dtype=np.int64)
        for name in columns:
            out[name][here[here >= 0]] = getattr(found[0], name)[here >= 0]
    elif solution.exposures is not None:
        _, first = np.unique(solution.exposures.visit, return_index=True)
        for row in first:
            out["offset_mag"][place[str(solution.exposures.visit[row])]] = (
                solution.exposures.visit_mag[row]
            )
    return out
