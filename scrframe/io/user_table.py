"""Tables that a user supplies: FITS, VOTable, Parquet, ECSV, CSV and plain text."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from scrframe.arrays import FloatArray
from scrframe.errors import DataError, did_you_mean
from scrframe.io.formats import TableFormat, detect_format

_GZIP = b"\x1f\x8b"
_MESSAGE = 200
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    SyntaxError,
    ExpatError,
    pa.ArrowException,
    AstropyWarning,
)
#: What stands for a missing value in text.
_MISSING = [(text, "0") for text in ("", "null", "NULL", "None", "N/A", "--")]


@dataclass(frozen=True)
class UserTable:
    """Some columns of a file, by the names under which they were asked for.

    Attributes
    ----------
    path : Path
    columns : mapping of str to masked array, shape (n,)
    units : mapping of str to str
        Units of those columns that declare one.
    """

    path: Path
    columns: Mapping[str, Any]
    units: Mapping[str, str]

    def floats(self, name: str) -> FloatArray:
        """Return a column of numbers, missing ones as NaN, shape (n,).

        Raises
        ------
        DataError
            If the column holds something else.
        """
        column = self.columns[name]
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise DataError(f"{self.path}: column {name} holds {_kind(column)}, not numbers")
        return np.asarray(np.ma.filled(column.astype(np.float64), np.nan))

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """Return a column of whole numbers, none missing, shape (n,).

        Raises
        ------
        DataError
            If the column holds something else, or lacks values.
        """
        column = self.columns[name]
        if column.ndim != 1 or column.dtype.kind not in "iu":
            raise DataError(f"{self.path}: column {name} holds {_kind(column)}, not whole numbers")
        missing = int(np.ma.getmaskarray(column).sum())
        if missing:
            raise DataError(f"{self.path}: column {name} lacks a value in {missing} row(s)")
        return np.asarray(np.ma.getdata(column), dtype=np.int64)


def _kind(column: Any) -> str:
    return "arrays" if column.ndim != 1 else str(column.dtype)


def read_user_table(path: Path, names: Sequence[str]) -> UserTable:
    """Read columns of a table; the format is found by content, names regardless of case.

    Of a FITS file the first table that has all the columns is read. A text without a line of
    names has the columns col1, col2, and so on.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another format, or lacks a column or all rows.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    kind, reader = _READERS[detect_format(path, "FITS, VOTable, Parquet, ECSV or text")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            # A file cut short is an error here, not a warning.
            warnings.filterwarnings("error", ".*truncated.*", AstropyWarning)
            found = reader(path, names)
    except _DAMAGE as error:
        said = " ".join(str(error).split())[:_MESSAGE]
        raise DataError(f"{path}: cannot be read as {kind}: {said}") from None
    own = {name: _find(path, name, list(found)) for name in names}
    table = UserTable(
        path,
        {name: found[column][0] for name, column in own.items()},
        {name: found[column][1] for name, column in own.items() if found[column][1]},
    )
    if not all(len(column) for column in table.columns.values()):
        raise DataError(f"{path}: holds no row")
    return table


#: Values and unit of a column, by its name in the file.
_Columns = dict[str, tuple[Any, str]]


def _find(path: Path, name: str, there: list[str]) -> str:
    if name in there:
        return name
    found = next((own for own in there if own.lower() == name.lower()), None)
    if found is None:
        listed = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
        near = did_you_mean(name, there)
        raise DataError(f"{path}: has no column {name}{near}; there are: {listed}")
    return found


def _parquet(path: Path, names: Sequence[str]) -> _Columns:
    schema = pq.read_schema(path)
    lower = {name.lower() for name in names}
    wanted = [name for name in schema.names if name.lower() in lower]
    table = pq.read_table(path, columns=wanted)
    found: _Columns = {name: (np.ma.zeros(1), "") for name in schema.names}
    for name in wanted:
        column = table.column(name)
        missing = column.is_null().to_numpy()
        filled = column.fill_null(0) if pa.types.is_integer(column.type) else column
        unit = (schema.field(name).metadata or {}).get(b"unit", b"").decode()
        found[name] = (np.ma.array(filled.to_numpy(), mask=missing), unit)
    return found


def _fits(path: Path, names: Sequence[str]) -> _Columns:
    with fits.open(path, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
        if not tables:
            raise OSError("it holds no table extension")
        lower = {name.lower() for name in names}
        whole = (hdu for hdu in tables if lower <= {own.lower() for own in hdu.columns.names})
        return _of_astropy(Table.read(next(whole, tables[0])))


def _votable(path: Path, names: Sequence[str]) -> _Columns:
    return _of_astropy(Table.read(path, format="votable"))


def _text(path: Path, names: Sequence[str]) -> _Columns:
    content = path.read_bytes()
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    lines = content.decode("utf-8-sig").splitlines()
    if lines[0].startswith("# %ECSV"):
        return _of_astropy(Table.read(lines, format="ascii.ecsv"))
    data = (line.strip() for line in lines)
    first = next((line for line in data if line and not line.startswith("#")), "")
    delimiter = "," if "," in first else None
    fields = first.split(delimiter)
    return _of_astropy(
        Table.read(
            lines,
            format="ascii.no_header" if all(map(_is_number, fields)) else "ascii.basic",
            delimiter=delimiter or r"\s",
            comment="#",
            guess=False,
            fill_values=_MISSING,
        )
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_astropy(table: Any) -> _Columns:
    return {
        name: (np.ma.array(table[name]), "" if table[name].unit is None else str(table[name].unit))
        for name in table.colnames
    }


#: What messages call each format, and its reader.
_READERS: Mapping[TableFormat, tuple[str, Callable[[Path, Sequence[str]], _Columns]]] = {
    "parquet": ("Parquet", _parquet),
    "fits": ("FITS", _fits),
    "votable": ("VOTable", _votable),
    "ecsv": ("text", _text),
    "csv": ("text", _text),
}
