"""Tables of any format, as streams of Arrow columns.

Each format has a class in a module of its own, whose library is imported only when a file
needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scrframe.io.formats import detect_format
from scrframe.io.table_file import TableFile

#: Endings of the file names of each format.
ENDINGS = {
    "parquet": (".parquet", ".parq", ".pq"),
    "fits": (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fit.fz"),
    "ecsv": (".ecsv", ".ecsv.gz"),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "votable": (".vot", ".vot.gz", ".votable", ".votable.gz", ".xml"),
}


def open_tables(path: Path, file_format: str, hdu: int | str | None) -> Sequence[TableFile]:
    """Open a file and return its tables: one, or every extension for `all`.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or is not of the format.
    """
    found = detect_format(path) if file_format == "auto" else file_format
    if found == "parquet":
        from scrframe.io.parquet import ParquetTable  # noqa: PLC0415

        return [ParquetTable(path)]
    if found == "fits":
        from scrframe.io.fits_table import fits_tables  # noqa: PLC0415

        return fits_tables(path, hdu)
    if found == "votable":
        from scrframe.io.votable import VoTable  # noqa: PLC0415

        return [VoTable(path)]
    from scrframe.io.text import TextTable  # noqa: PLC0415

    return [TextTable(path)]


def format_of_name(name: str) -> str | None:
    """Return the format that a file's name tells, None if it tells none."""
    lower = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if lower.endswith(endings)), None)
