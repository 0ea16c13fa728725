"""One catalogue of stars of a run of many bands: a row a star, a set of columns a band."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.arrays import IntArray
from scrframe.products.columns import STAR_CATALOGUE, ProductColumn, arrow_table
from scrframe.products.files import damaged

#: Columns of a star that it has once, whatever the bands.
_KEYS = ("source_id", "ra_deg", "dec_deg")
BAND_KEYS = (
    ProductColumn("source_id", "", "int64", "identifier of the reference star"),
    ProductColumn("ra_deg", "deg", "float64", "right ascension, of the first band that has it"),
    ProductColumn("dec_deg", "deg", "float64", "declination, of the first band that has it"),
    ProductColumn("n_bands", "", "int32", "bands with a calibrated magnitude"),
)


def band_columns(bands: tuple[str, ...]) -> tuple[ProductColumn, ...]:
    """Return the columns of the catalogue: once those of all bands, then ``<column>_<band>``."""
    of_bands = (
        ProductColumn(
            f"{column.name}_{band}", column.unit, column.type, f"{column.description}, in {band}"
        )
        for band in bands
        for column in STAR_CATALOGUE
        if column.name not in _KEYS
    )
    return (*BAND_KEYS, *of_bands)


def band_catalogue(catalogues: Mapping[str, Path]) -> pa.Table:
    """Return the stars of several catalogues, a row for each that any has, by ``source_id``.

    Parameters
    ----------
    catalogues : mapping of str to Path
        ``star_catalogue.parquet`` by band.

    Returns
    -------
    pyarrow.Table
        Where a band does not have a star its floats are NaN, its counts and flags 0.

    Raises
    ------
    DataError
        If one cannot be read.
    """
    tables = {band: _read(path) for band, path in catalogues.items()}
    sources = {band: table.column("source_id").to_numpy() for band, table in tables.items()}
    every = np.unique(np.concatenate(list(sources.values())))
    values: dict[str, Any] = {
        "source_id": every,
        "ra_deg": np.full(len(every), np.nan),
        "dec_deg": np.full(len(every), np.nan),
        "n_bands": np.zeros(len(every), dtype=np.int32),
    }
    for band, table in tables.items():
        rows = np.searchsorted(every, sources[band])
        for name in ("ra_deg", "dec_deg"):
            free = np.isnan(values[name][rows])
            values[name][rows[free]] = table.column(name).to_numpy()[free]
        values["n_bands"][rows] += np.isfinite(table.column("mag_cal").to_numpy())
        for column in STAR_CATALOGUE:
            if column.name not in _KEYS and column.name in table.column_names:
                own = table.column(column.name).to_numpy()
                values[f"{column.name}_{band}"] = _spread(own, rows, len(every))
    return arrow_table(band_columns(tuple(catalogues)), values)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def _spread(own: npt.NDArray[Any], rows: IntArray, length: int) -> npt.NDArray[Any]:
    empty = np.nan if own.dtype.kind == "f" else 0
    found = np.full(length, empty, dtype=own.dtype)
    found[rows] = own
    return found
