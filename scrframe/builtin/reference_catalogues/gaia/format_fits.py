"""FITS tables, by ranges of rows; every table extension is a table of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from scrframe.builtin.reference_catalogues.gaia.products import TableInfo, Wanted, block_rows
from scrframe.errors import DataError
from scrframe.io.arrays import from_numpy


def describe(path: Path) -> list[TableInfo]:
    """Return the tables of a file, from its headers."""
    with _open(path) as hdus:
        found = [
            TableInfo(
                path,
                "fits",
                tuple(hdu.columns.names),
                {column.name: column.unit for column in hdu.columns if column.unit},
                hdu=index,
            )
            for index, hdu in enumerate(hdus)
            if isinstance(hdu, fits.BinTableHDU) and not isinstance(hdu, fits.CompImageHDU)
        ]
    if not found:
        raise DataError(f"{path}: holds no table extension")
    return found


def blocks(info: TableInfo, wanted: Mapping[str, Wanted]) -> Iterator[pa.Table]:
    """Yield the columns wanted; vectors of fixed and of variable length as lists."""
    with _open(info.path) as hdus:
        table = hdus[info.hdu]
        rows = int(table.header["NAXIS2"])
        step = block_rows(wanted)
        for start in range(0, rows, step):
            part = table.data[start : start + step]
            yield pa.table({own: from_numpy(part[item.name]) for own, item in wanted.items()})


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            # A file cut short is an error here, not a warning.
            warnings.filterwarnings("error", ".*truncated.*", AstropyWarning)
            with fits.open(path, memmap=True) as hdus:
                len(hdus)  # reads all headers, and so finds a file cut short
                yield hdus
    except (OSError, AstropyWarning, ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(f"{path}: is no readable FITS file: {error}") from None
