"""The format of a table, by the content of its file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Literal

from scrframe.errors import DataError
from scrframe.io.fits import is_gzipped

TableFormat = Literal["parquet", "fits", "votable", "ecsv", "csv"]

_HEAD_BYTES = 4096


def detect_format(path: Path, expected: str = "Parquet, FITS, VOTable, CSV or ECSV") -> TableFormat:
    """Return the format of a file, by its content, decompressed if it is gzipped.

    Any text that is neither VOTable nor ECSV counts as CSV.

    Parameters
    ----------
    path : Path
    expected : str
        The formats that the caller takes, for the message.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or is of none of the formats.
    """
    head = _head(path)
    text = head.lstrip()
    if not text:
        raise DataError(f"{path}: the file is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SIMPLE"):
        return "fits"
    if text.startswith((b"<?xml", b"<VOTABLE")):
        return "votable"
    if b"\0" in head or head.startswith(b"\x89HDF"):
        raise DataError(f"{path}: is no {expected} file")
    return "ecsv" if head.startswith(b"# %ECSV") else "csv"


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed."""
    try:
        with path.open("rb") as handle:
            head = handle.read(_HEAD_BYTES)
        if is_gzipped(path):
            with gzip.open(path) as handle:
                head = handle.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return head
