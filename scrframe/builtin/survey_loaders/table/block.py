"""A block of rows of a table, and its columns as numbers, text and flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import DataError
from scrframe.tables import ColumnTable

_TRUE = ("true", "t", "1", "yes")
_FALSE = ("false", "f", "0", "no")


class RawColumns(ColumnTable):
    """Columns for the language of cuts, in types of their own: names here mean nothing."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Attributes
    ----------
    label : str
        The file, for messages.
    rows : ndarray of int64, shape (n,)
        Numbers of the rows in the file, from 0.
    table : pyarrow.Table
        Columns of the file and of joined tables.
    missing : tuple of float
        Numbers that stand for no value.
    keyword : callable (name) -> value
        Looks up the file's header.
    extension : int
    units : mapping of str to str
        Units that columns declare.
    """

    label: str
    rows: npt.NDArray[np.int64]
    table: pa.Table
    missing: tuple[float, ...] = ()
    keyword: Callable[[str], Any] = lambda name: None
    extension: int = 0
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> pa.Array:
        """Return a column as it is stored."""
        column = self.table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([])
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column

    def refuse(self, bad: BoolArray, what: str) -> None:
        """Raise DataError that names the first bad row, if there is one.

        Parameters
        ----------
        bad : ndarray of bool, shape (n,)
        what : str
            What is wrong, with ``{}`` for the row among the block's.
        """
        at = np.flatnonzero(bad)
        if len(at):
            more = f" (and {len(at) - 1} more rows)" if len(at) > 1 else ""
            raise DataError(f"{self.label}, row {self.rows[at[0]]}: {what}{more}")

    def numbers(self, name: str) -> FloatArray:
        """Return a column as float64, shape (n,); NaN where there is no value.

        Raises
        ------
        DataError
            If it holds what is no number.
        """
        values = self._plain_numbers(name)
        for absent in self.missing:
            # Also in single precision: 99.99 is stored as 99.98999786.
            same = (values == absent) | (values == np.float64(np.float32(absent)))
            values = np.where(same, np.nan, values)
        return values

    def _plain_numbers(self, name: str) -> FloatArray:
        column = self.column(name)
        kind = column.type
        if is_text(kind):
            column = self._parsed(name, column, pa.float64())
        elif pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif pa.types.is_null(kind):
            return np.full(len(self), np.nan)
        elif not (
            pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
        ):
            raise DataError(f"{self.label}: column {name} holds {kind}, not numbers")
        column = column.cast(pa.float64(), safe=False)
        return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """Return a column of whole numbers, none missing, shape (n,).

        Raises
        ------
        DataError
            If it holds what is no whole number.
        """
        column = self.column(name)
        self.refuse(_nulls(column), f"column {name} has no value, but needs a whole number")
        if is_text(column.type):
            column = self._parsed(name, column, pa.int64())
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_integer(column.type):
            return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
        values = self._plain_numbers(name)
        bad = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > 2**53)
        if bad.any():
            worst = values[np.flatnonzero(bad)[0]]
            self.refuse(bad, f"column {name} is {worst:g}, expected a whole number")
        return values.astype(np.int64)

    def texts(self, name: str) -> pa.Array:
        """Return a column as text; whole numbers without decimals, what is missing as null.

        Raises
        ------
        DataError
            If it holds numbers that are not whole.
        """
        column = self.column(name)
        if is_text(column.type):
            trimmed = pc.utf8_trim_whitespace(column.cast(pa.string()))
            return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
        if pa.types.is_floating(column.type):
            values = self._plain_numbers(name)
            empty = np.isnan(values)
            bad = ~empty & ((values != np.round(values)) | (np.abs(values) > 2**53))
            if bad.any():
                worst = values[np.flatnonzero(bad)[0]]
                self.refuse(bad, f"column {name} is {worst:g}, which is no key: not a whole number")
            column = pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
        return column.cast(pa.string())

    def flags(self, name: str) -> pa.Array:
        """Return a column as booleans; what is missing is null.

        Raises
        ------
        DataError
            If it holds something else.
        """
        column = self.column(name)
        if pa.types.is_boolean(column.type):
            return column
        if is_text(column.type):
            lower = pc.utf8_lower(self.texts(name))
            # Whole numbers count as in other formats: any but zero is true.
            number = pc.fill_null(pc.utf8_is_digit(lower), fill_value=False)
            zero = pc.fill_null(pc.match_substring_regex(lower, "^0+$"), fill_value=False)
            true = pc.or_(pc.is_in(lower, pa.array(_TRUE)), pc.and_not(number, zero))
            false = pc.or_(pc.is_in(lower, pa.array(_FALSE)), zero)
            neither = pc.and_not(pc.invert(pc.or_(true, false)), lower.is_null())
            bad = neither.to_numpy(zero_copy_only=False).astype(bool)
            if bad.any():
                said = lower[int(np.flatnonzero(bad)[0])].as_py()
                self.refuse(bad, f'column {name} is "{said}", neither true nor false')
            return pc.if_else(lower.is_null(), pa.scalar(None, pa.bool_()), true)
        values = self._plain_numbers(name)
        return pa.array(values != 0, mask=np.isnan(values))

    def _parsed(self, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
        """Return text as numbers; raises DataError that names the row."""
        text = self.texts(name)
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            pass
        for place, item in enumerate(text):  # only to name what is wrong
            try:
                item.cast(kind)
            except pa.ArrowInvalid:
                wanted = "a whole number" if kind == pa.int64() else "a number"
                raise DataError(
                    f'{self.label}, row {self.rows[place]}: column {name} is "{item.as_py()}",'
                    f" expected {wanted}"
                ) from None
        raise AssertionError(name)

    def take(self, kept: BoolArray) -> Block:
        """Return the rows where `kept`, shape (n,), is true."""
        return Block(
            self.label,
            self.rows[kept],
            self.table.filter(pa.array(kept)),
            self.missing,
            self.keyword,
            self.extension,
            self.units,
        )

    def with_columns(self, columns: Mapping[str, Any], units: Mapping[str, str]) -> Block:
        """Return the block with further columns, such as those of a joined table."""
        table = self.table
        for name, values in columns.items():
            table = table.append_column(name, values)
        return Block(
            self.label,
            self.rows,
            table,
            self.missing,
            self.keyword,
            self.extension,
            {**self.units, **units},
        )


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _nulls(column: pa.Array) -> BoolArray:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
