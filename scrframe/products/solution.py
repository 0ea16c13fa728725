"""A solution as open tables: offsets, exposures, visits and the law as ECSV and JSON, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import IntArray
from scrframe.errors import DataError, ScrframeError
from scrframe.plugin import OffsetLevel, Registry, load_registry
from scrframe.products import columns
from scrframe.products.columns import ProductColumn, ecsv_table
from scrframe.products.files import damaged, load_ecsv, write_ecsv, write_json
from scrframe.products.run_data import arrays_of
from scrframe.products.seal import RECORD, check_run, check_seal, run_key, sealed
from scrframe.tables import (
    BY_NAME,
    ColourReference,
    ExposureTable,
    FieldSlopes,
    LawTerm,
    OffsetTable,
    OrderScore,
    PhotometricError,
    ReddeningLaw,
    Solution,
    SolvedLevel,
)
from scrframe.tables.table import season_of

if TYPE_CHECKING:
    from astropy.table import Table

#: To be raised whenever the files change so that older readers would go wrong.
FORMAT = 2
#: Folder of a run that holds its solution.
SOLUTION = "solution"
#: Names of the tables.
LAW, SLOPES, VISITS = "reddening_law.ecsv", "reddening_slopes.ecsv", "visits.ecsv"
EXPOSURES = "exposures.ecsv"
OFFSET_COLUMNS = tuple(column.name for column in columns.OFFSETS)
#: Attributes of `VisitSeen` that have another name in the file.
_ATTRIBUTES = {"visit": "key", "ra": "ra_deg", "dec": "dec_deg", "n_detections": "detections"}


def write_solution(folder: Path, solution: Solution, settings: Mapping[str, Any]) -> None:
    """Write a solution below a folder, made if need be.

    `settings` are those of each level by name, as plain JSON, for restoring it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = _said(solution)
    for level in solution.levels:
        table = _offset_table(level, settings[level.fitted.name])
        table.meta |= said
        write_ecsv(table, folder / f"offsets_{level.fitted.name}.ecsv")
    if solution.exposures is not None:
        rows = vars(solution.exposures)
        exposures = {column.name: rows[_exposure(column)] for column in columns.EXPOSURES}
        table = ecsv_table(columns.EXPOSURES, exposures, said)
        write_ecsv(table, folder / EXPOSURES)
    write_law(folder, solution.law, said)
    write_json(folder / RECORD, {"run": said["run"], **_record(solution)})


def _record(solution: Solution) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "zero_point_mag": solution.zero_point_mag,
        "levels": [level.fitted.name for level in solution.levels],
        "visits": list(solution.visits),
        "exposures": EXPOSURES if solution.exposures is not None else None,
        "photometry": None if solution.photometry is None else asdict(solution.photometry),
        "absolute": solution.absolute,
        "colour": None if solution.colour is None else asdict(solution.colour),
        **solution.provenance,
    }


def _said(solution: Solution) -> dict[str, str]:
    """Return what every table of a solution says: its run, and what its data are."""
    note = str(solution.provenance.get("data_note", ""))
    return {"data_note": note, "run": run_key(_record(solution))}


def seal_solution(folder: Path) -> None:
    """Note hashes of all files of a solution, after which none may change."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    write_json(folder / RECORD, sealed(record, folder))


def read_solution(folder: str | Path, registry: Registry | None = None) -> Solution:
    """Read a solution back.

    Parameters
    ----------
    folder : path
        The folder ``solution`` of a run, or that of the run.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    DataError
        If the folder holds no solution, a damaged one, or one of another format.
    PluginError
        If a level's kind is not installed.
    """
    folder, registry = Path(folder), registry or load_registry()
    if not (folder / RECORD).exists() and (folder / SOLUTION / RECORD).exists():
        folder = folder / SOLUTION
    path = folder / RECORD
    provenance: dict[str, Any] = {}
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        if provenance["format"] != FORMAT:
            raise DataError(
                f"{path}: the solution has format {provenance['format']}, expected {FORMAT};"
                " apply it with the version of scrframe that made it"
            )
        levels = tuple(_read_level(folder, name, registry) for name in provenance["levels"])
        law = read_law(folder)
        zero_point, visits = provenance["zero_point_mag"], tuple(provenance["visits"])
        exposures = _read_exposures(folder / EXPOSURES) if provenance["exposures"] else None
        noise = provenance["photometry"]
        photometry = PhotometricError(**noise) if noise else None
        colour = provenance.get("colour")
        check_seal(provenance, folder)
        check_run(provenance, folder)
        return Solution(
            levels,
            float(zero_point),
            law,
            visits,
            provenance,
            exposures,
            photometry,
            provenance["absolute"],
            None if colour is None else ColourReference(**colour),
        )
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: not found; is {folder.parent} a run?") from None
    except ScrframeError:
        raise
    except Exception as error:  # whatever JSON, YAML, astropy and plugins say of a damaged table
        if isinstance(provenance, dict):
            check_seal(provenance, folder)
        raise DataError(f"{folder}: the solution is damaged: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _offset_table(level: SolvedLevel, settings: Mapping[str, Any]) -> Table:
    offsets = level.offsets
    values = arrays_of(level.fitted.labels()) | {
        "offset": offsets.offset_mag,
        "offset_err": offsets.err_mag,
        "scatter": offsets.scatter_mag,
        "n_detections": offsets.count,
    }
    meta = {
        "level": level.fitted.name,
        "kind": level.kind,
        "parent": level.fitted.parent,
        "settings": dict(settings),
        "state": dict(level.fitted.state()),
        "applied": level.applied,
    }
    return ecsv_table(map(_offset_column, values), values, meta)


def _offset_column(name: str) -> ProductColumn:
    """Return a column of a level's table; labels may also be columns of detections."""
    declared = {column.name: column for column in (*columns.LABELS, *columns.OFFSETS)}
    known = BY_NAME[name].doc if name in BY_NAME else ""
    return declared.get(name, ProductColumn(name, "", "string", known))


def _exposure(column: ProductColumn) -> str:
    """Return the attribute of `ExposureTable` that a column of the file holds."""
    own = {"offset": "offset_mag", "offset_err": "err_mag", "offset_sys": "sys_mag"}
    return {**own, "n_detections": "count"}.get(column.name, column.name)


def _read_exposures(path: Path) -> ExposureTable:
    table = load_ecsv(path)
    kinds = {"string": np.str_, "int64": np.int64, "float64": np.float64}
    return ExposureTable(
        **{
            _exposure(column): np.array(table[column.name], dtype=kinds[column.type])
            for column in columns.EXPOSURES
        }
    )


def _read_level(folder: Path, name: str, registry: Registry) -> SolvedLevel:
    table = load_ecsv(folder / f"offsets_{name}.ecsv")
    meta = table.meta
    descriptor = registry.get(OffsetLevel, meta["kind"])
    labels = [column for column in table.colnames if column not in OFFSET_COLUMNS]
    arrow = pa.table({column: table[column].tolist() for column in labels})
    settings = descriptor.config.model_validate(meta["settings"])
    fitted = descriptor.restore(name, arrow, meta["state"], settings)
    fitted.parent = meta["parent"]
    if fitted.labels().to_pydict() != arrow.to_pydict():
        raise ValueError(f"rows of offsets_{name}.ecsv are missing or in another order")
    if meta["level"] != name:
        raise ValueError(f"offsets_{name}.ecsv is the table of the level {meta['level']}")
    offset, error, scatter = (np.array(table[column], float) for column in OFFSET_COLUMNS[:3])
    if np.isinf(offset).any() or np.isinf(error).any():
        raise ValueError(f"offsets_{name}.ecsv holds an infinite number")
    count = np.array(table["n_detections"], dtype=np.int64)
    offsets = OffsetTable(offset, error, scatter, count)
    return SolvedLevel(fitted, meta["kind"], offsets, meta["applied"])


def write_law(folder: Path, law: ReddeningLaw, said: Mapping[str, Any]) -> None:
    """Write a law's coefficients, and its slopes by field if it has any."""
    values = {
        "coefficient": coefficient_names(law.terms),
        "power": [power for power, _ in law.terms],
        "extinction_power": [power for _, power in law.terms],
        "value": law.coefficients,
        "error": np.sqrt(np.diag(law.covariance)),
    }
    meta = {
        "law": "R(C0, E) = sum of value * C0 ** power * E ** extinction_power, mag per unit E",
        "covariance": law.covariance.tolist(),
        "dM_mag": float(law.offset_mag),
        "scores": [asdict(score) for score in law.scores],
        **said,
    }
    write_ecsv(ecsv_table(columns.LAW, values, meta), folder / LAW)
    if law.slopes is not None:
        values = {**vars(law.slopes), "field": list(law.slopes.field)}
        meta = {"sd_mag": law.slopes.sd, **said}
        write_ecsv(ecsv_table(columns.SLOPES, values, meta), folder / SLOPES)


def read_law(folder: Path) -> ReddeningLaw:
    """Read a law back.

    Raises FileNotFoundError if the folder has none, and KeyError or ValueError if it is damaged.
    """
    table = load_ecsv(folder / LAW)
    powers = table["power"].tolist(), table["extinction_power"].tolist()
    slopes = folder / SLOPES
    return ReddeningLaw(
        np.array(table["value"], float),
        np.array(table.meta["covariance"], dtype=float),
        table.meta["dM_mag"],
        tuple(zip(*powers, strict=True)),
        tuple(OrderScore(**score) for score in table.meta["scores"]),
        _read_slopes(slopes) if slopes.exists() else None,
    )


def coefficient_names(terms: tuple[LawTerm, ...]) -> list[str]:
    """Return a0, a1, ... for powers of C0, the highest first, and b1, b2 for those of E."""
    of_colour = sum(1 for _, power in terms if not power)
    rest = [f"b{power}" for _, power in terms[of_colour:]]
    return [f"a{number}" for number in range(of_colour)] + rest


def _read_slopes(path: Path) -> FieldSlopes:
    table = load_ecsv(path)
    slope, err, free, free_err = (
        np.array(table[name], float) for name in ("slope", "err", "free", "free_err")
    )
    names = tuple(str(name) for name in table["field"])
    return FieldSlopes(names, slope, err, free, free_err, table.meta["sd_mag"])


def write_visits(folder: Path, visits: Sequence[VisitSeen], solution: Solution) -> None:
    """Write the visits that a run has read, in the order of reading."""
    names = [column.name for column in columns.VISITS if column.name != "season"]
    values = {
        name: [getattr(visit, _ATTRIBUTES.get(name, name)) for visit in visits] for name in names
    }
    season = seasons(np.array(values["mjd"], dtype=np.float64))
    table = ecsv_table(columns.VISITS, {**values, "season": season}, _said(solution))
    write_ecsv(table, folder / VISITS)


def read_visits(folder: Path, visits: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read back field, mjd, season, airmass, ra_deg and dec_deg.

    They come in the order of the v visits' keys, shape (v,), from the folder ``solution`` of a
    run. Raises DataError if the table is missing or damaged.
    """
    path = folder / VISITS
    try:
        table = load_ecsv(path)
        row_of = {str(key): row for row, key in enumerate(table["visit"])}
        rows = np.array([row_of[visit] for visit in visits], dtype=np.int64)
        mjd, airmass, ra, dec = (
            np.array(table[name], float)[rows] for name in ("mjd", "airmass", "ra", "dec")
        )
        field = np.ma.filled(table["field"].astype(str), "")[rows]
    except FileNotFoundError:
        raise DataError(f"{path}: not found; is {folder.parent} a run?") from None
    except (KeyError, ValueError, OSError) as error:
        raise damaged(path, error) from None
    facts = {"field": np.asarray(field), "mjd": mjd, "airmass": airmass, "season": seasons(mjd)}
    return {**facts, "ra_deg": ra, "dec_deg": dec}


def seasons(mjd: npt.NDArray[np.float64]) -> IntArray:
    """Return the observing season of each date, -1 for none, same shape."""
    return np.asarray(season_of(mjd).fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True)
class VisitSeen:
    """A visit that was read."""

    key: str
    file: str
    field: str
    mjd: float
    #: A disc that holds its detections.
    ra_deg: float
    dec_deg: float
    radius_deg: float
    #: All of them, before any cut.
    detections: int
    #: Detectors that have any.
    ccds: tuple[int, ...]
    #: NaN where the catalogue does not tell it.
    airmass: float = float("nan")
