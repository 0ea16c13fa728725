"""What every table file offers its reader, and the way from numpy to Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.errors import DataError, did_you_mean
from scrframe.io.block import Block

#: Rows that are handled at a time, and rows of arrays (7 MB of XP spectra).
BLOCK_ROWS = 262_144
WIDE_ROWS = 512
_LISTED = 20
#: How Arrow and numpy say how much memory there was not, and what no machine lacks but for others.
_ASKED = re.compile(r"(?:size|allocate) (\d+(?:\.\d+)?) (\w+)")
_BYTES = {"failed": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_SMALL_BYTES = 256 << 20
_MESSAGE = 200
#: Where astropy notes what it knows of the columns of a Parquet file, as YAML.
ASTROPY = "table_meta_yaml"
#: What libraries raise of damaged files, besides errors of their own.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    pa.ArrowException,
)


class TableFile:
    """One table of a file, its rows not yet read; each format has a class of its own.

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

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        units: Mapping[str, str],
        *,
        label: str = "",
        extension: int = 0,
        row_groups: tuple[int, ...] = (),
    ) -> None:
        self.path, self.label = path, label or str(path)
        self.names, self.units = tuple(names), dict(units)
        self.extension, self.row_groups = extension, row_groups

    def find(self, name: str) -> str | None:
        """Return the name in the file of a column, if need be regardless of case.

        Of an array ``a`` the elements are ``a[0]``, ``a[1]``, and so on.

        Raises DataError if the name fits several columns.
        """
        found = [own for own in self.names if own == name] or [
            own for own in self.names if own.lower() == name.lower()
        ]
        if len(found) > 1:
            same = len(set(found)) == 1
            which = f'two columns called "{name}"' if same else f"columns {' and '.join(found)}"
            raise DataError(f'{self.label}: has {which}, so that "{name}" can be either')
        if found:
            return found[0]
        array, number = _element(name)
        return None if number is None else self.find(array)

    def own_name(self, name: str) -> str:
        """Return the name in the file of a column that must be there.

        Raises DataError if it is not; the message names a near miss and what there is.
        """
        found = self.find(name)
        if found is None:
            listed = ", ".join(self.names[:_LISTED]) + ", ..." * (len(self.names) > _LISTED)
            near = did_you_mean(name, self.names)
            raise DataError(f"{self.label}: has no column {name}{near}; there are: {listed}")
        return found

    def unit(self, name: str) -> str | None:
        """Return the unit that a column declares, None if it declares none."""
        return self.units.get(self.find(name) or "")

    def keyword(self, name: str) -> Any:
        """Return the value of a keyword of the header; None if there is none."""
        return None

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None, *, wide: bool = False
    ) -> Iterator[Block]:
        """Yield blocks of rows in file order.

        Parameters
        ----------
        names : sequence of str
            Columns to read; the blocks call them so.
        row_groups : sequence of int, optional
            Only these, consecutive row groups of a Parquet file.
        wide : bool
            Whether rows are long, with columns of arrays, and blocks have few of them.

        Raises
        ------
        DataError
            If a column is missing, or the file is damaged.
        """
        own = {name: self.own_name(name) for name in names}
        units = {name: self.units[found] for name, found in own.items() if found in self.units}
        elements = {name: _element(name)[1] for name, found in own.items() if found != name}
        start = sum(self.row_groups[: row_groups[0]]) if row_groups else 0
        sought = list(dict.fromkeys(own.values())) or list(self.names[:1])
        for read in self._read(sought, row_groups, wide):
            rows = np.arange(start, start + read.num_rows)
            block = Block(self.label, rows, read)
            table = pa.table(
                {
                    name: read.column(found)
                    if (at := elements.get(name)) is None
                    else block.element(found, at)
                    for name, found in own.items()
                }
            )
            # A table without columns has no length.
            table = table if names else pa.table({"": pa.nulls(len(rows))})
            yield Block(
                self.label, rows, table, (), self.keyword, extension=self.extension, units=units
            )
            start += len(rows)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        """Yield the columns named, at least one, as they are stored; null where missing."""
        raise NotImplementedError


def _element(name: str) -> tuple[str, int | None]:
    """Return array and place that a name such as ``a[2]`` stands for; None for another name."""
    found = re.fullmatch(r"(.+)\[(\d{1,6})\]", name)
    return (found[1], int(found[2])) if found else (name, None)


class TableInMemory(TableFile):
    """A table that astropy has read whole, for its format cannot be read in parts.

    Parameters
    ----------
    columns : mapping of str to array, shape (n,) or (n, m)
        Masked where values are missing.
    """

    def __init__(
        self, path: Path, columns: Mapping[str, Any], units: Mapping[str, str], **about: Any
    ) -> None:
        super().__init__(path, tuple(columns), units, **about)
        self._columns = columns

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        step = rows_at_once(wide)
        for start in range(0, len(self._columns[names[0]]), step):
            rows = slice(start, start + step)
            yield pa.table({name: from_numpy(self._columns[name][rows]) for name in names})


class RowsInMemory(TableFile):
    """A table of Arrow, of no file; units are those that fields declare as ``unit``."""

    def __init__(self, table: pa.Table, label: str) -> None:
        super().__init__(
            Path(label), table.column_names, units_of(table.schema, label), label=label
        )
        self._table = table

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        step = rows_at_once(wide)
        for start in range(0, self._table.num_rows, step):
            yield self._table.select(names).slice(start, step)


def units_of(schema: pa.Schema, label: object) -> dict[str, str]:
    """Return the units that fields declare, or astropy has noted for them, by their names.

    Raises DataError, with the label, if what astropy has noted is damaged.
    """
    noted = astropy_header(schema, label).get("columns", {})
    found = {name: str(column["unit"]) for name, column in noted.items() if column.get("unit")}
    for field in schema:
        if field.metadata and b"unit" in field.metadata:
            found[field.name] = field.metadata[b"unit"].decode()
    return found


def astropy_header(schema: pa.Schema, label: object) -> dict[str, Any]:
    """Return what `astropy.table.Table.write` has noted in a Parquet file of its columns.

    ``columns`` are mappings by names of columns, ``meta`` is of the whole; empty if it has not.

    Raises DataError, with the label, if it is damaged.
    """
    text = (schema.metadata or {}).get(ASTROPY.encode())
    if text is None:
        return {}
    from astropy.table import meta  # noqa: PLC0415 - slow to import

    try:
        found = meta.get_header_from_yaml(text.decode().split("\n"))
        columns = {str(column["name"]): dict(column) for column in found["datatype"]}
        return {"columns": columns, "meta": dict(found.get("meta") or {})}
    except Exception as error:  # whatever its YAML raises
        raise DataError(f"{label}: the metadata {ASTROPY} are damaged: {one_line(error)}") from None


def rows_at_once(wide: bool) -> int:
    """Return how many rows to read at a time."""
    return WIDE_ROWS if wide else BLOCK_ROWS


def raise_if_small(error: BaseException) -> None:
    """Raise again an error of memory that was to hold little: then the machine lacks it.

    A damaged file may ask for any amount, and is at fault then.
    """
    asked = _ASKED.search(str(error)) if isinstance(error, MemoryError) else None
    if asked and float(asked[1]) * _BYTES.get(asked[2], _SMALL_BYTES) < _SMALL_BYTES:
        raise error


def one_line(error: Exception) -> str:
    """Return what a library says, for a message of one line."""
    return " ".join(str(error).split())[:_MESSAGE]


def from_numpy(values: Any) -> pa.Array:
    """Return a column (one or two axes, masked, text, objects) as an Arrow array.

    Masked values are null; in arrays they are NaN.
    """
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(np.ma.getdata(values))
    if array.dtype.kind == "O":
        items = [None if isinstance(item, np.ma.core.MaskedConstant) else item for item in values]
        if all(item is None or isinstance(item, (str, bytes)) for item in items):
            text = [
                item.decode("utf-8", "replace") if isinstance(item, bytes) else item
                for item in items
            ]
            return pa.array(text, type=pa.string())
        return lists(
            [np.ma.filled(np.ma.asarray(item, dtype=float), np.nan).ravel() for item in items]
        )
    if array.dtype.kind in "SU":
        return pa.array(np.char.strip(array.astype(str)).astype(object), pa.string(), mask=mask)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pa.array(array, mask=mask)
    if mask is not None and mask.any():
        array = np.where(mask, np.nan, array)
    flat = pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))


def lists(rows: Sequence[Any]) -> pa.Array:
    """Return arrays of numbers of one type, of varying length, as a column."""
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    values = np.concatenate([*rows, np.empty(0, rows[0].dtype if len(rows) else float)])
    return pa.LargeListArray.from_arrays(pa.array(offsets, type=pa.int64()), pa.array(values))
