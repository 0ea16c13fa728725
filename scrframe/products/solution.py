"""A solution as open tables: ECSV and JSON, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import Table
from pydantic import ValidationError

from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, Registry
from scrframe.products.files import write_ecsv, write_json
from scrframe.tables import (
    BY_NAME,
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

LAW, SLOPES = "reddening_law.ecsv", "reddening_slopes.ecsv"


def write_law(folder: Path, law: ReddeningLaw, note: str) -> None:
    """Write a law's coefficients, and its slopes by field if it has any."""
    write_ecsv(_law_table(law, note), folder / LAW)
    if law.slopes is not None:
        write_ecsv(_slope_table(law.slopes, note), folder / SLOPES)


def read_law(folder: Path) -> ReddeningLaw:
    """Read a law back.

    Raises
    ------
    FileNotFoundError
        If the folder has none.
    KeyError, ValueError
        If it is damaged.
    """
    table = Table.read(folder / LAW, format="ascii.ecsv")
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


def _law_table(law: ReddeningLaw, note: str) -> Table:
    table = Table()
    table["coefficient"] = coefficient_names(law.terms)
    table["power"] = [power for power, _ in law.terms]
    table["extinction_power"] = [power for _, power in law.terms]
    table["value"] = law.coefficients
    table["error"] = np.sqrt(np.diag(law.covariance))
    table.meta = {
        "law": "R(C0, E) = sum of value * C0 ** power * E ** extinction_power, mag per unit E",
        "covariance": law.covariance.tolist(),
        "dM_mag": float(law.offset_mag),
        "scores": [asdict(score) for score in law.scores],
        "data_note": note,
    }
    return table


def _slope_table(slopes: FieldSlopes, note: str) -> Table:
    table = Table()
    table["field"] = list(slopes.field)
    for name, about in (
        ("slope", "departure of the field's slope on E from the law, shrunken"),
        ("err", "error of slope"),
        ("free", "the same without shrinkage"),
        ("free_err", "error of free"),
    ):
        table[name] = getattr(slopes, name) * u.mag
        table[name].description = f"{about}, per unit E"
    table.meta = {"sd_mag": slopes.sd, "data_note": note}
    return table


def _read_slopes(path: Path) -> FieldSlopes:
    table = Table.read(path, format="ascii.ecsv")
    slope, err, free, free_err = (
        np.array(table[name], float) for name in ("slope", "err", "free", "free_err")
    )
    names = tuple(str(name) for name in table["field"])
    return FieldSlopes(names, slope, err, free, free_err, table.meta["sd_mag"])


#: To be raised whenever the files change so that older readers would go wrong.
FORMAT = 2
EXPOSURES = "exposures.ecsv"
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
        write_ecsv(table, folder / f"offsets_{level.fitted.name}.ecsv")
    if solution.exposures is not None:
        write_ecsv(_exposure_table(solution.exposures, note), folder / EXPOSURES)
    write_law(folder, solution.law, note)
    write_json(
        folder / "provenance.json",
        {
            "format": FORMAT,
            "zero_point_mag": solution.zero_point_mag,
            "levels": [level.fitted.name for level in solution.levels],
            "visits": list(solution.visits),
            "exposures": EXPOSURES if solution.exposures is not None else None,
            "photometry": None if solution.photometry is None else asdict(solution.photometry),
            "absolute": solution.absolute,
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
        law = read_law(folder)
        zero_point, visits = provenance["zero_point_mag"], tuple(provenance["visits"])
        exposures = _read_exposures(folder / EXPOSURES) if provenance["exposures"] else None
        noise = provenance["photometry"]
        photometry = PhotometricError(**noise) if noise else None
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: not found; is {folder.parent} a run?") from None
    except (KeyError, ValueError, ValidationError, OSError) as error:
        raise DataError(f"{folder}: the solution is damaged: {error}") from None
    return Solution(
        levels, zero_point, law, visits, provenance, exposures, photometry, provenance["absolute"]
    )


#: Labels of columns of a design that are no columns of detections: meaning and unit.
LABELS: dict[str, tuple[str, u.UnitBase | None]] = {
    "x_bin": ("bin along the first axis, from 0", None),
    "y_bin": ("bin along the second axis, from 0", None),
    "x_low_pix": ("lower edge of the bin, first axis", u.pix),
    "y_low_pix": ("lower edge of the bin, second axis", u.pix),
    "x_node": ("node along the first axis, from 0", None),
    "y_node": ("node along the second axis, from 0", None),
    "x_node_pix": ("position of the node, first axis", u.pix),
    "y_node_pix": ("position of the node, second axis", u.pix),
    "x_degree": ("degree of the Legendre polynomial, first axis", None),
    "y_degree": ("degree of the Legendre polynomial, second axis", None),
    "knot": ("knot in time, from 0", None),
    "knot_mjd": ("modified Julian date of the knot", u.d),
    "term": ("expression whose slope this is", None),
    "cell": ("number of the cell", None),
    "cell_ra_deg": ("right ascension of the cell's centre", u.deg),
    "cell_dec_deg": ("declination of the cell's centre", u.deg),
}


def _offset_table(level: SolvedLevel, settings: Mapping[str, Any]) -> Table:
    labels, offsets = level.fitted.labels(), level.offsets
    table = Table({name: _plain_column(labels.column(name)) for name in labels.column_names})
    for name in table.colnames:
        known = BY_NAME[name].doc if name in BY_NAME else ""
        meaning, unit = LABELS.get(name, ("", None))
        table[name].description = known or meaning
        table[name].unit = unit
    table["offset"] = offsets.offset_mag * u.mag
    table["offset_err"] = offsets.err_mag * u.mag
    table["scatter"] = offsets.scatter_mag * u.mag
    table["n_detections"] = offsets.count
    table["offset"].description = "correction, to be added to observed magnitudes"
    table["offset_err"].description = "standard error of the offset"
    table["scatter"].description = "standard deviation within the group"
    table["n_detections"].description = "detections of the Calibration Sample"
    table.meta = {
        "level": level.fitted.name,
        "kind": level.kind,
        "parent": level.fitted.parent,
        "settings": dict(settings),
        "state": dict(level.fitted.state()),
        "applied": level.applied,
    }
    return table


#: Columns of the table of exposures: name in the file, attribute, unit, meaning.
_EXPOSURE_COLUMNS = (
    ("visit", "visit", None, "key of the visit"),
    ("ccd", "ccd", None, "number of the detector"),
    ("offset", "offset_mag", u.mag, "correction, to be added, without maps over the detector"),
    ("offset_err", "err_mag", u.mag, "its error"),
    ("offset_sys", "sys_mag", u.mag, "what systematic effects can shift"),
    ("level", "level", None, "where the offset comes from"),
    ("n_detections", "count", None, "detections of the Calibration Sample that took part"),
)


def _exposure_table(exposures: ExposureTable, note: str) -> Table:
    table = Table()
    for name, attribute, unit, meaning in _EXPOSURE_COLUMNS:
        table[name] = getattr(exposures, attribute)
        table[name].unit, table[name].description = unit, meaning
    table.meta["data_note"] = note
    return table


def _read_exposures(path: Path) -> ExposureTable:
    table = Table.read(path, format="ascii.ecsv")
    kinds = {"visit": np.str_, "level": np.str_, "ccd": np.int64, "n_detections": np.int64}
    return ExposureTable(
        **{
            attribute: np.array(table[name], dtype=kinds.get(name, np.float64))
            for name, attribute, _, _ in _EXPOSURE_COLUMNS
        }
    )


def write_visit_covariance(
    path: Path,
    visits: tuple[str, ...],
    covariance: np.ndarray[Any, np.dtype[np.float64]],
    note: str,
) -> None:
    """Write the covariance of the visits' offsets: an image in mag^2, and the visits' names."""
    from astropy.io import fits  # noqa: PLC0415 - slow to import

    image = fits.PrimaryHDU(covariance)
    image.header["BUNIT"] = "mag2"
    image.header["COMMENT"] = "covariance of the visits' offsets; rows as in the table VISITS"
    if note:
        image.header["SCRNOTE"] = note
    names = fits.BinTableHDU(Table({"visit": np.array(visits, dtype=np.str_)}), name="VISITS")
    temporary = path.with_name(f".{path.name}.tmp")
    fits.HDUList([image, names]).writeto(temporary, overwrite=True)
    temporary.replace(path)


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
    return SolvedLevel(fitted, meta["kind"], offsets, meta["applied"])
