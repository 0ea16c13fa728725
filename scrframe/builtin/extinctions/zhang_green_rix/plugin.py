"""Extinctions and extinction curve of Zhang, Green & Rix (2023, MNRAS 524, 1855).

The catalogue is in HDF5 files with a dataset a column.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError, DataError, named
from scrframe.io import key_below, matching_files
from scrframe.io.block import Block
from scrframe.io.hdf5 import Hdf5Table
from scrframe.io.parquet import ParquetTable
from scrframe.io.table_file import TableFile
from scrframe.plugin import (
    ExtinctionCatalogue,
    ExtinctionCurve,
    Part,
    PluginConfig,
    file_part,
    hookimpl,
)
from scrframe.statistics.groups import first_rows
from scrframe.tables import Extinctions, SimulatedStars

Ids = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]
ID = "gdr3_source_id"
ESTIMATES, ERRORS, QUALITY = "stellar_params_est", "stellar_params_err", "quality_flags"
DATASETS = (ID, ESTIMATES, ERRORS, QUALITY)
#: Columns of the estimates and of their errors.
TEFF_KK, FEH, LOGG, EXTINCTION, PARALLAX = range(5)
_KINDS = {"source_id": np.int64, "quality_flags": np.int16}
COLUMNS = ("source_id", "extinction", "extinction_err", "quality_flags", "teff", "logg", "feh")


class Zgr23Config(PluginConfig):
    """Where the catalogue is."""

    files: str = Field("zgr23/*.h5", description="Files of the catalogue, below the data root.")


def parts(config: Zgr23Config, root: Path) -> list[Part]:
    """Return a part for every file.

    Raises DataError if there is none, or a file is not the catalogue.
    """
    files = matching_files(config.files, root)
    if not files:
        raise DataError(
            f"{root / config.files}: no file of ZGR23; put the files there or set zgr23.files"
        )
    for path in files:
        _opened(path)  # refuses what is no catalogue
    return [file_part(path, key_below(path, root)) for path in files]


def check(part: Part, config: Zgr23Config) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    table = _opened(part.path)
    if isinstance(table, Hdf5Table):
        _columns(table.rows(DATASETS, 0, 1))
        return
    block = next(iter(table.blocks(DATASETS)), None)
    if block is not None:
        _columns(block.take(np.arange(len(block)) < 1))


def read(part: Part, config: Zgr23Config, source_id: Ids) -> Extinctions:
    """Read the extinctions of the stars given; a star that is not there is absent.

    At most one row a star, in file order; ``teff`` in K.

    Raises DataError if the file is damaged.
    """
    seen = np.zeros(len(source_id), dtype=bool)
    table = _opened(part.path)
    found: list[Columns] = []
    if not isinstance(table, Hdf5Table):
        for block in table.blocks(DATASETS):
            rows = first_rows(block.identifiers(ID), source_id, seen)[0]
            found.append(_columns(block.take(np.isin(np.arange(len(block)), rows))))
    else:
        for block in table.blocks([ID]):
            rows = first_rows(block.identifiers(ID), source_id, seen)[0]
            if len(rows):  # other columns are read only where a star is wanted
                first = int(block.rows[0])
                more = _columns(table.rows(DATASETS, first, first + len(block)))
                found.append({name: values[rows] for name, values in more.items()})
    none = {name: np.empty(0, _KINDS.get(name, np.float64)) for name in COLUMNS}
    return Extinctions.from_columns(
        {name: np.concatenate([none[name], *(block[name] for block in found)]) for name in COLUMNS}
    )


def _columns(block: Block) -> Columns:
    """Return all columns of a block, in the units of the vocabulary."""
    estimates = block.matrix(ESTIMATES, PARALLAX + 1).astype(np.float64)
    errors = block.matrix(ERRORS, PARALLAX + 1).astype(np.float64)
    return {
        "source_id": block.identifiers(ID),
        "extinction": estimates[:, EXTINCTION],
        "extinction_err": errors[:, EXTINCTION],
        "quality_flags": block.integers(QUALITY).astype(np.int16),
        "teff": 1000 * estimates[:, TEFF_KK],
        "logg": estimates[:, LOGG],
        "feh": estimates[:, FEH],
    }


def _opened(path: Path) -> TableFile:
    """Return the catalogue's table: HDF5, or Parquet as partitioned catalogues have it."""
    table: TableFile
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    table = ParquetTable(path) if is_parquet else Hdf5Table(path)
    missing = [name for name in DATASETS if table.find(name) is None]
    if missing:
        raise DataError(f"{path}: lacks the {named('dataset', missing)} of ZGR23")
    if isinstance(table, Hdf5Table):
        for name in (ESTIMATES, ERRORS):
            shape = table.shapes[name]
            if shape[1:] != (PARALLAX + 1,):
                raise DataError(f"{path}: dataset {name} has shape {shape}; expected (n, 5)")
    return table


def fetched(config: Zgr23Config) -> dict[str, str]:
    """Return what archives have of it, and the pattern of the files."""
    return {"extinctions": config.files}


def write_simulated(stars: SimulatedStars, root: Path) -> None:
    """Write simulated stars with a spectrum as ``zgr23/stellar_params_catalog_00.h5``."""
    import h5py  # noqa: PLC0415 - slow to import

    table = stars.table.filter(stars.table["has_spectrum"])
    column = {name: np.asarray(table[name]) for name in table.column_names}
    count = len(table)
    names = ("teff", "feh", "logg", "extinction", "parallax")
    estimates = np.stack([column[name] for name in names], axis=1)
    estimates[:, TEFF_KK] /= 1000
    # Typical errors; only that of the extinction is used.
    errors = np.tile(np.array([0.05, 0.1, 0.1, 0.0, 0.05]), (count, 1))
    errors[:, EXTINCTION] = column["extinction_err"]
    confident = np.ones(count, dtype=np.float32)
    folder = root / "zgr23"
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "stellar_params_catalog_00.h5", "w") as file:
        file[ID] = column["source_id"]
        file["ra"], file["dec"] = column["ref_ra"], column["ref_dec"]
        file[ESTIMATES] = estimates.astype(np.float32)
        file[ERRORS] = errors.astype(np.float32)
        file["chi2_opt"] = np.full(count, 61.0, dtype=np.float32)
        file["ln_prior"] = np.zeros(count, dtype=np.float32)
        for name in ("teff", "feh", "logg"):
            file[f"{name}_confidence"] = confident
        file[QUALITY] = column["quality_flags"].astype(np.uint8)


def curve(config: Any, wavelength_nm: FloatArray) -> FloatArray:
    """Return A(wavelength) / E in mag per unit E, linear between the published points.

    The points are the paper's 61 wavelengths, every 10 nm from 392 to 992 nm, then J, H, Ks, W1
    and W2; the curve has the shape of the wavelengths, in nm.

    Raises CalibrationError if a wavelength lies outside 392 to 4602.8 nm.
    """
    points, values = _published()
    wanted = np.asarray(wavelength_nm, dtype=np.float64)
    outside = ~((wanted >= points[0]) & (wanted <= points[-1]))
    if outside.any():
        raise CalibrationError(
            f"the extinction curve zgr23 ends at {points[0]:g} and {points[-1]:g} nm;"
            f" {wanted[outside].ravel()[0]:g} nm was asked for: narrow the wavelength grid or"
            " choose another extinction.curve"
        )
    return np.interp(wanted, points, values)


@cache
def _published() -> tuple[FloatArray, FloatArray]:
    folder = resources.files("scrframe.builtin.extinctions.zhang_green_rix") / "data"
    with (folder / "zgr23_extinction_curve.csv").open(encoding="utf-8") as handle:
        lines = [line for line in handle if not line.startswith("#")]
    table = np.loadtxt(lines[1:], delimiter=",")
    return table[:, 0], table[:, 1]


CATALOGUE = ExtinctionCatalogue(
    name="zgr23",
    summary="Extinctions of 220 million Gaia stars (Zhang, Green & Rix 2023), HDF5 or Parquet",
    version="1.0",
    config=Zgr23Config,
    parts=parts,
    read=read,
    columns=COLUMNS,
    check=check,
    write_simulated=write_simulated,
    fetched=fetched,
)
CURVE = ExtinctionCurve(
    name="zgr23",
    summary="Mean extinction curve, 392 to 4600 nm (Zhang, Green & Rix 2023)",
    version="1.0",
    curve=curve,
)


@hookimpl
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:
    """Yield the catalogue."""
    yield CATALOGUE


@hookimpl
def scrframe_extinction_curves() -> Iterable[ExtinctionCurve]:
    """Yield the curve."""
    yield CURVE
