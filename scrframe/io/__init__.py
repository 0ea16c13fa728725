"""One stack of readers for every table format: what a file holds, by blocks of rows.

`open_tables` gives the tables of a file, `read_table` some columns of a small one whole. A
table has names, units and keywords, and yields blocks whose columns come as numbers, whole
numbers, text, flags or matrices (`scrframe.io.block`). What all readers agree on:

- the format is found by content, gzipped or not; a name of a column is matched as it stands,
  else regardless of case;
- a missing value is NaN among numbers and null elsewhere: a masked or null cell, the TNULL
  of a FITS column, and in text of any format one of `scrframe.io.cells.NULLS`;
- numbers are in native byte order; unsigned ones keep their values;
- a text may begin with a byte-order mark, may have its names in a comment or units below them,
  and one without a line of names has the columns col1, col2, and so on;
- ``a[2]`` is the element 2, counted from 0, of a column ``a`` of arrays;
- no other file is opened and no address requested because a file names it, and none is read
  that states or unpacks to far more than it can hold.

Each format has a module of its own, whose library is imported only when a file needs it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.io.compressed import open_bytes
from scrframe.io.hats import accompanies
from scrframe.io.table_file import TableFile

TableFormat = Literal["parquet", "fits", "ldac", "votable", "hdf5", "ecsv", "csv"]

#: Endings of the file names of each format that is also written.
ENDINGS = {
    "parquet": (".parquet", ".parq", ".pq"),
    "fits": (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fit.fz"),
    "ldac": (".cat", ".ldac"),
    "ecsv": (".ecsv", ".ecsv.gz"),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".dat"),
    "votable": (".vot", ".vot.gz", ".votable", ".votable.gz", ".xml"),
}
_HEAD_BYTES = 4096
#: How files of other kinds begin, in lower case, and what is said of them.
_OTHERS = {
    b"obj\x01": "an Avro file, which is not read; convert it to Parquet",
    b"pk\x03\x04": "a zip or a spreadsheet, which is not read here; unpack it, or save it as CSV",
    b"bzh": "compressed by bzip2, which is not read; unpack it, or compress it by gzip",
    b"\xfd7zxz": "compressed by xz, which is not read; unpack it, or compress it by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard, which is not read; unpack it",
    b"arrow1": "an Arrow (Feather) file, which is not read; convert it to Parquet",
    b"\x93numpy": "an array of numpy, which is not read; save it as Parquet or CSV",
    b"sqlite format 3": "an SQLite database, which is not read; save its tables as Parquet or CSV",
    b"\xff\xfe": "text in UTF-16, which is not read; save it as UTF-8",
    b"\xfe\xff": "text in UTF-16, which is not read; save it as UTF-8",
    b"<!doctype html": "a web page and no table: did a download fail?",
    b"<html": "a web page and no table: did a download fail?",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def open_tables(
    path: Path, file_format: str = "auto", hdu: int | str | None = None
) -> Sequence[TableFile]:
    """Open a file and return its tables, no row of which is read yet.

    Parameters
    ----------
    file_format : str
        One of `TableFormat`, or `auto` to find it by content.
    hdu : int, str or None
        Number or name of the FITS extension (of several that have it, all), `all` for every one
        that holds a table, or None for the first. Other formats hold one table.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, is not of the format, or has no such table.
    """
    found = detect_format(path) if file_format == "auto" else file_format
    if found == "parquet":
        from scrframe.io.parquet import ParquetTable  # noqa: PLC0415

        return [ParquetTable(path)]
    if found in ("fits", "ldac"):
        from scrframe.io.fits.table import fits_tables  # noqa: PLC0415

        return fits_tables(path, hdu, ldac=found == "ldac")
    if found == "votable":
        from scrframe.io.votable import VoTable  # noqa: PLC0415

        return [VoTable(path)]
    if found == "hdf5":
        from scrframe.io.hdf5 import Hdf5Table  # noqa: PLC0415

        return [Hdf5Table(path)]
    from scrframe.io.text import TextTable  # noqa: PLC0415

    return [TextTable(path)]


def read_table(path: Path, names: Sequence[str]) -> Block:
    """Read columns of a small table that a user names, all rows at once.

    Of a FITS file the first table that has all the columns is read.

    Raises DataError if the file is missing, damaged, of another format, or lacks a column or all
    rows.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    tables = open_tables(path, hdu="all")
    whole = (each for each in tables if all(map(each.find, names)))
    blocks = list(next(whole, tables[0]).blocks(names))
    if not sum(map(len, blocks)):
        raise DataError(f"{path}: holds no row")
    return Block.concat(blocks)


def detect_format(
    path: Path, expected: str = "Parquet, FITS, VOTable, HDF5, CSV or ECSV"
) -> TableFormat:
    """Return the format of a file by its content, decompressed if it is gzipped.

    Any text that is neither VOTable nor ECSV counts as CSV.

    Parameters
    ----------
    expected : str
        The formats that the caller takes, for the message.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or is of none of the formats.
    """
    try:
        with open_bytes(path) as handle:
            head = bytes(handle.read(_HEAD_BYTES)).removeprefix(_BYTE_ORDER_MARK)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    text = head.lstrip()
    if not text:
        raise DataError(f"{path}: the file is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"SIMPLE"):
        return "fits"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if text.startswith((b"<?xml", b"<VOTABLE")):
        return "votable"
    other = next((what for magic, what in _OTHERS.items() if head.lower().startswith(magic)), None)
    if other is not None:
        raise DataError(f"{path}: is {other}")
    if b"\0" in head:
        raise DataError(f"{path}: is no {expected} file")
    return "ecsv" if head.startswith(b"# %ECSV") else "csv"


def format_of_name(name: str) -> str | None:
    """Return the format that a file's name tells, None if it tells none."""
    lower = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if lower.endswith(endings)), None)


def matching_files(pattern: str, root: Path) -> list[Path]:
    """Return the files that match a pattern below a root, sorted; of a folder all in it.

    Files and folders whose name begins with a dot or an underscore accompany data and are none,
    unless the pattern names them; nor are those beside the rows of a HATS catalogue. Links are
    followed; a file that several lead to counts once.

    Raises DataError if a folder cannot be searched, a link leads back to a folder above it, or a
    name is not UTF-8.
    """
    anchor = Path(pattern).anchor  # an absolute pattern does not start at the root
    steps = Path(pattern.removeprefix(anchor)).parts
    found: dict[str, Path] = {}
    catalogues: dict[Path, bool] = {}
    for path in sorted(set(_expanded(Path(anchor or root), steps))):
        inside = _expanded(path, ("**", "*")) if path.is_dir() else (path,)
        for each in sorted(inside):
            if each.is_file() and not accompanies(each, catalogues):
                refuse_name(each)
                found.setdefault(os.path.realpath(each), each)
    return sorted(found.values())


def refuse_name(path: Path) -> None:
    """Raise DataError if a path is not UTF-8, in which products and messages are written."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise DataError(f"{shown}: the name of the file is not UTF-8; rename it") from None


def _expanded(folder: Path, steps: Sequence[str], above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield what matches the steps of a pattern below a folder; `above` are those before it."""
    if not steps:
        yield folder
        return
    step, rest = steps[0], steps[1:]
    if not any(sign in step for sign in "*?["):
        if (folder / step).exists():
            yield from _expanded(folder / step, rest, above)
        return
    if not folder.is_dir():
        return
    if step == "**":
        yield from _expanded(folder, rest, above)
    here = os.path.realpath(folder)
    if here in above:
        raise DataError(f"{folder}: this link leads back to {here}, which holds it; remove it")
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be searched: {error.strerror}") from None
    for name in names:
        hidden = name.startswith((".", "_")) and not step.startswith(name[0])
        if not hidden and step == "**" and (folder / name).is_dir():
            yield from _expanded(folder / name, steps, (*above, here))
        elif not hidden and step != "**" and fnmatchcase(name, step):
            yield from _expanded(folder / name, rest, above)


def key_below(path: Path, root: Path) -> str:
    """Return a file's path relative to a root, with forward slashes; another's stays whole."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
