"""A small table in every format, and a description that maps it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from scrframe.builtin.survey_loaders.table import loader
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.tables import Detections

ROWS = 60


def make_columns() -> dict[str, Any]:
    """Return the columns of a table of detections in two bands and three exposures."""
    rng = np.random.default_rng(5)
    flux = rng.uniform(-50, 1e5, ROWS)
    flux[7] = np.nan
    exposure = np.array([9007199254740993, 12, 13])[rng.integers(0, 3, ROWS)]  # beyond float64
    return {
        "exp": exposure,
        "det": rng.integers(1, 5, ROWS).astype(np.int32),
        "ra_rad": rng.uniform(1.0, 1.01, ROWS),
        "dec_rad": rng.uniform(-0.51, -0.5, ROWS),
        "xpos": rng.uniform(0, 2000, ROWS),
        "ypos": rng.uniform(0, 4000, ROWS),
        "mjd": 56000.0 + np.searchsorted([12, 13], exposure) / 10,
        "flux": flux,
        "flux_err": rng.uniform(1, 20, ROWS),
        "filter": np.array(["u", "g"])[(rng.uniform(size=ROWS) < 0.3).astype(int)],
        "flags": rng.integers(0, 16, ROWS),
        "bad": rng.uniform(size=ROWS) < 0.1,
        "stellarity": rng.uniform(0, 1, ROWS).astype(np.float32),
    }


MAPPING: dict[str, Any] = {
    "visit": "exp",
    "ccd": "det",
    "ra": {"column": "ra_rad", "unit": "rad"},
    "dec": {"column": "dec_rad", "unit": "rad"},
    "x": "xpos",
    "y": {"expression": "ypos + 1"},
    "mag": {"column": "flux", "unit": "nJy"},
    "mag_err": {"column": "flux_err", "unit": "nJy"},
    "band": "filter",
    "class_star": {"column": "stellarity", "doc": "Stellarity."},
}


@pytest.fixture
def columns() -> dict[str, Any]:
    return make_columns()


@pytest.fixture
def configure() -> Callable[..., TableConfig]:
    """Return a function that makes settings: keys replace those of a plain mapping."""

    def make(files: str = "*.parquet", **keys: Any) -> TableConfig:
        columns = {**MAPPING, **keys.pop("columns", {})}
        columns = {name: source for name, source in columns.items() if source is not None}
        return TableConfig.model_validate({"files": files, "columns": columns, **keys})

    return make


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Detections]:
    """Return a function that reads all parts below the test's folder."""

    def run(config: TableConfig, columns: Any = None) -> Detections:
        parts = loader.parts(config, tmp_path)
        for part in parts:
            loader.check(part, config)
        return Detections.concat([loader.read(part, config, columns) for part in parts])

    return run


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """Return a function that compares all columns of two tables but those named."""

    def compare(one: Detections, other: Detections, *but: str) -> None:
        assert one.names == other.names
        for name in set(one.names) - set(but):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)

    return compare


@pytest.fixture
def write() -> Callable[[Path, dict[str, Any]], Path]:
    """Return a function that writes columns in the format that a file's name tells."""
    return write_table


def write_table(path: Path, columns: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), path, row_group_size=16)
    elif name.endswith((".csv", ".csv.gz")):
        sink = pa.BufferOutputStream()
        pacsv.write_csv(pa.table(columns), sink)
        data = sink.getvalue().to_pybytes()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    else:
        kind = {"ecsv": "ascii.ecsv", "vot": "votable"}.get(name.rpartition(".")[2])
        Table(columns).write(path, **({"format": kind} if kind else {}))
    return path
