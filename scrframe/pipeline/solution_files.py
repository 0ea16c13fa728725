"""A solution as open tables: ECSV and JSON, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import Table
from pydantic import ValidationError

from scrframe.errors import DataError
from scrframe.pipeline.workspace import write_json
from scrframe.plugin import OffsetLevel, Registry
from scrframe.tables import BY_NAME, OffsetTable, ReddeningLaw, Solution, SolvedLevel

#: To be raised whenever the files change so that older readers would go wrong.
FORMAT = 1
OFFSET_COLUMNS = ("offset", "offset_err", "scatter", "n_detections")


def write_solution(folder: Path, solution: Solution, settings: Mapping[str, Any]) -> None:
    """Write a solution below a folder.

    Parameters
    ----------
    folder : Path
        Made if need be.
    solution : Solution
    settings : mapping
        Settings of each level by name, as plain JSON, for restoring it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = solution.provenance.get("data_note", "")
    for level in solution.levels:
        table = _offset_table(level, settings[level.fitted.name])
        table.meta["data_note"] = note
        _write_ecsv(table, folder / f"offsets_{level.fitted.name}.ecsv")
    _write_ecsv(_law_table(solution.law, note), folder / "reddening_law.ecsv")
    write_json(
        folder / "provenance.json",
        {
            "format": FORMAT,
            "zero_point_mag": solution.zero_point_mag,
            "levels": [level.fitted.name for level in solution.levels],
            "visits": list(solution.visits),
            **solution.provenance,
        },
    )


def read_solution(folder: Path, registry: Registry) -> Solution:
    """Read a solution back.

    Raises
    ------
    DataError
        If the folder holds no solution, a damaged one, or one of another format.
    PluginError
        If a level's kind is not installed.
    """
    path = folder / "provenance.json"
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        if provenance["format"] != FORMAT:
            raise DataError(
                f"{path}: the solution has format {provenance['format']}, expected {FORMAT};"
                " apply it with the version of scrframe that made it"
            )
        levels = tuple(_read_level(folder, name, registry) for name in provenance["levels"])
        law = _read_law(folder / "reddening_law.ecsv")
        zero_point, visits = provenance["zero_point_mag"], tuple(provenance["visits"])
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: not found; is {folder.parent} a run?") from None
    except (KeyError, ValueError, ValidationError, OSError) as error:
        raise DataError(f"{folder}: the solution is damaged: {error}") from None
    return Solution(levels, zero_point, law, visits, provenance)


#: Labels of bins, which are no columns of detections.
_OF_BINS = {
    "x_bin": "bin along the first axis, from 0",
    "y_bin": "bin along the second axis, from 0",
    "x_low_pix": "lower edge of the bin, first axis",
    "y_low_pix": "lower edge of the bin, second axis",
}


def _offset_table(level: SolvedLevel, settings: Mapping[str, Any]) -> Table:
    labels, offsets = level.fitted.labels(), level.offsets
    table = Table({name: _plain_column(labels.column(name)) for name in labels.column_names})
    for name in table.colnames:
        known = BY_NAME[name].doc if name in BY_NAME else ""
        table[name].description = known or _OF_BINS.get(name, "")
    for name in [name for name in table.colnames if name.endswith("_pix")]:
        table[name].unit = u.pix
    table["offset"] = offsets.offset_mag * u.mag
    table["offset_err"] = offsets.err_mag * u.mag
    table["scatter"] = offsets.scatter_mag * u.mag
    table["n_detections"] = offsets.count
    table["offset"].description = "correction, to be added to observed magnitudes"
    table["offset_err"].description = "error of the mean"
    table["scatter"].description = "standard deviation within the group"
    table["n_detections"].description = "detections of the Calibration Sample"
    table.meta = {
        "level": level.fitted.name,
        "kind": level.kind,
        "parent": level.fitted.parent,
        "settings": dict(settings),
        "state": dict(level.fitted.state()),
    }
    return table


def _plain_column(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return a column as an array; text as such, for ECSV writes objects as JSON."""
    values: np.ndarray[Any, Any] = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values


def _read_level(folder: Path, name: str, registry: Registry) -> SolvedLevel:
    table = Table.read(folder / f"offsets_{name}.ecsv", format="ascii.ecsv")
    meta = table.meta
    descriptor = registry.get(OffsetLevel, meta["kind"])
    labels = [column for column in table.colnames if column not in OFFSET_COLUMNS]
    arrow = pa.table({column: table[column].tolist() for column in labels})
    settings = descriptor.config.model_validate(meta["settings"])
    fitted = descriptor.restore(name, arrow, meta["state"], settings)
    fitted.parent = meta["parent"]
    if fitted.labels().to_pydict() != arrow.to_pydict():
        raise ValueError(f"rows of offsets_{name}.ecsv are missing or in another order")
    offset, error, scatter = (np.array(table[column], float) for column in OFFSET_COLUMNS[:3])
    count = np.array(table["n_detections"], dtype=np.int64)
    offsets = OffsetTable(offset, error, scatter, count)
    return SolvedLevel(fitted, meta["kind"], offsets)


def _law_table(law: ReddeningLaw, note: str) -> Table:
    order = len(law.coefficients) - 1
    table = Table()
    table["coefficient"] = [f"a{number}" for number in range(order + 1)]
    table["power"] = list(range(order, -1, -1))
    table["value"] = law.coefficients
    table["error"] = np.sqrt(np.diag(law.covariance))
    table.meta = {
        "law": "R(C0) = sum of value * C0 ** power, mag per unit E",
        "covariance": law.covariance.tolist(),
        "dM_mag": float(law.offset_mag),
        "data_note": note,
    }
    return table


def _read_law(path: Path) -> ReddeningLaw:
    table = Table.read(path, format="ascii.ecsv")
    covariance = np.array(table.meta["covariance"], dtype=float)
    return ReddeningLaw(np.array(table["value"], float), covariance, table.meta["dM_mag"])


def _write_ecsv(table: Table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    table.write(temporary, format="ascii.ecsv", overwrite=True)
    temporary.replace(path)
