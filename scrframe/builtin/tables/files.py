"""Tables of any format, as streams of Arrow columns.

Each format has a class in a module of its own, whose library is imported only when a file
needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from scrframe.plugin.helpers.formats import detect_format

#: Rows that are handled at a time.
BLOCK_ROWS = 262_144
#: What stands for a missing value in text.
NULLS = ("", "null", "NULL", "None", "nan", "NaN", "NAN", "N/A", "NA", "--", "\\N")
#: Endings of the file names of each format.
ENDINGS = {
    "parquet": (".parquet", ".parq", ".pq"),
    "fits": (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fit.fz"),
    "ecsv": (".ecsv", ".ecsv.gz"),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "votable": (".vot", ".vot.gz", ".votable", ".votable.gz", ".xml"),
}


class TableFile(Protocol):
    """One table of a file, its rows not yet read.

    Attributes
    ----------
    label : str
        The file, with its extension where there are several, for messages.
    names : tuple of str
        Columns, as they stand in the file.
    units : mapping of str to str
        Units of those columns that declare one.
    extension : int
        Index of the FITS extension; 0 otherwise.
    row_groups : tuple of int
        Rows in each row group of a Parquet file; empty otherwise.
    """

    label: str
    names: tuple[str, ...]
    extension: int
    row_groups: tuple[int, ...]

    @property
    def units(self) -> Mapping[str, str]:
        """Units of the columns that declare one."""
        ...

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of the first row, and the columns named, of blocks of rows.

        Without any name the tables have a column of nulls, for their length.
        """
        ...

    def keyword(self, name: str) -> Any:
        """Return the value of a keyword of the header; None if there is none."""
        ...


def open_tables(path: Path, file_format: str, hdu: int | str | None) -> Sequence[TableFile]:
    """Open a file and return its tables: one, or every extension for `all`.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or is not of the format.
    """
    found = detect_format(path) if file_format == "auto" else file_format
    if found == "parquet":
        from scrframe.builtin.tables.format_parquet import ParquetTable  # noqa: PLC0415

        return [ParquetTable(path)]
    if found == "fits":
        from scrframe.builtin.tables.format_fits import fits_tables  # noqa: PLC0415

        return fits_tables(path, hdu)
    if found == "votable":
        from scrframe.builtin.tables.format_votable import VoTable  # noqa: PLC0415

        return [VoTable(path)]
    from scrframe.builtin.tables.format_text import TextTable  # noqa: PLC0415

    return [TextTable(path)]


def format_of_name(name: str) -> str | None:
    """Return the format that a file's name tells, None if it tells none."""
    lower = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if lower.endswith(endings)), None)


def only_length(rows: int) -> pa.Table:
    """Return a table that has nothing but its length."""
    return pa.table({"": pa.nulls(rows)})
