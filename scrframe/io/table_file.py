"""What every table file offers its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

#: Rows that are handled at a time.
BLOCK_ROWS = 262_144
#: What stands for a missing value in text.
NULLS = ("", "null", "NULL", "None", "nan", "NaN", "NAN", "N/A", "NA", "--", "\\N")


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


def only_length(rows: int) -> pa.Table:
    """Return a table that has nothing but its length."""
    return pa.table({"": pa.nulls(rows)})
