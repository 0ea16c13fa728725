"""FITS tables, plain or compressed; every table extension is a table of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.errors import DataError
from scrframe.io.fits import FitsFile, Hdu, open_fits, physical, stored_rows, table_fields
from scrframe.io.table_file import BLOCK_ROWS, only_length

_READ = "BIJKEDLA"


class FitsTable:
    """One table extension of a FITS file."""

    row_groups: tuple[int, ...] = ()

    def __init__(self, file: FitsFile, hdu: Hdu) -> None:
        self._file, self._hdu = file, hdu
        self.label, self.extension = hdu.label, hdu.index
        fields = table_fields(hdu)
        self.names = tuple(fields)
        self.units = {name: field.unit for name, field in fields.items() if field.unit}

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the columns named in physical values."""
        fields = [table_fields(self._hdu)[name] for name in names]
        for field in fields:
            if field.code not in _READ or (field.code != "A" and field.repeat != 1):
                raise DataError(
                    f"{self.label}: column {field.name} has format {field.repeat}{field.code},"
                    " which is no single number, flag or text"
                )
        rows = self._hdu.whole("NAXIS2")
        stored = stored_rows(self._file, self._hdu.index, fields) if fields else None
        for start in range(0, rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, rows)
            if stored is None:
                yield start, only_length(stop - start)
                continue
            yield (
                start,
                pa.table(
                    {
                        field.name: pa.array(
                            np.ascontiguousarray(
                                physical(stored[field.name][start:stop], field, self._hdu)
                            )
                        )
                        for field in fields
                    }
                ),
            )

    def keyword(self, name: str) -> Any:
        """Return the value of a keyword of this extension, else of the primary header."""
        for hdu in (self._hdu, self._file.hdus[0]):
            if name in hdu:
                return hdu.value(name)
        return None


def fits_tables(path: Path, hdu: int | str | None) -> list[FitsTable]:
    """Return the tables of a file that are asked for.

    Parameters
    ----------
    path : Path
    hdu : int, str or None
        Number or name of an extension, `all`, or None for the first table.

    Raises
    ------
    DataError
        If the file is damaged, or has no such table.
    """
    file = open_fits(path)
    tables = [each for each in file.hdus if each.is_table]
    if not tables:
        raise DataError(f"{path}: holds no table extension")
    if hdu == "all":
        return [FitsTable(file, each) for each in tables]
    if hdu is None:
        return [FitsTable(file, tables[0])]
    chosen = [each for each in tables if hdu in (each.index, _name(each))]
    if not chosen:
        known = ", ".join(f"{each.index} {_name(each)}".strip() for each in tables)
        raise DataError(f"{path}: has no table extension {hdu}; there are: {known}")
    return [FitsTable(file, chosen[0])]


def _name(hdu: Hdu) -> str:
    value = hdu.value("EXTNAME") if "EXTNAME" in hdu else ""
    return value.strip() if isinstance(value, str) else ""
