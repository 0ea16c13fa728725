"""A block of rows of a table, and its columns as numbers, text, flags and matrices.

Arrow keeps what a format stores; what a value means (whole numbers written as text, flags
written as 0 and 1, arrays written as "[1.0, 2.0]", what stands for nothing) no library
knows, and the message that names file, column and row can be made only here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError

RealArray = npt.NDArray[np.floating[Any]]

#: What stands for a missing value in text, of any format.
NULLS = ("", "null", "NULL", "None", "nan", "NaN", "NAN", "N/A", "NA", "--", "\\N")
_TRUE = ("true", "t", "1", "yes")
_FALSE = ("false", "f", "0", "no")
#: Whole numbers beyond it are not exact as float64.
_EXACT = 2**53


@cache
def _texts(words: tuple[str, ...]) -> pa.Array:
    """Return texts as an array, made at its first use: pyarrow loads pandas to look at a list."""
    return pa.array(words)


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
        Columns as they are stored.
    missing : tuple of float
        Numbers that stand for no value.
    keyword : callable (name) -> value
        Looks up the file's header.
    extension : int
        Index of the FITS extension.
    units : mapping of str to str
        Units that columns declare.
    """

    label: str
    rows: IntArray
    table: pa.Table
    missing: tuple[float, ...] = ()
    keyword: Callable[[str], Any] = lambda name: None
    extension: int = 0
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @staticmethod
    def concat(blocks: Sequence[Block]) -> Block:
        """Return the rows of several blocks of one table, at least one."""
        return replace(
            blocks[0],
            rows=np.concatenate([block.rows for block in blocks]),
            table=pa.concat_tables([block.table for block in blocks]),
        )

    def take(self, kept: BoolArray) -> Block:
        """Return the rows where `kept`, shape (n,), is true."""
        return replace(self, rows=self.rows[kept], table=self.table.filter(pa.array(kept)))

    def with_columns(self, columns: Mapping[str, Any], units: Mapping[str, str]) -> Block:
        """Return the block with further columns, such as those of a joined table."""
        table = self.table
        for name, values in columns.items():
            table = table.append_column(name, values)
        return replace(self, table=table, units={**self.units, **units})

    def column(self, name: str) -> pa.Array:
        """Return a column as it is stored."""
        column = self.table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # combining nothing, or more than fits
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
            What is wrong.
        """
        at = np.flatnonzero(bad)
        if len(at):
            more = f" (and {len(at) - 1} more rows)" if len(at) > 1 else ""
            raise DataError(f"{self.label}, row {self.rows[at[0]]}: {what}{more}")

    def numbers(self, name: str) -> FloatArray:
        """Return a column as float64, shape (n,); NaN where there is no value.

        Raises DataError if it holds what is not a number.
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
            column = self._parsed(name, pa.float64())
        elif pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif pa.types.is_null(kind):
            return np.full(len(self), np.nan)
        elif not (
            pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
        ):
            raise self._wrong_kind(name, kind, "numbers")
        column = column.cast(pa.float64(), safe=False)
        return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def integers(self, name: str) -> IntArray:
        """Return a column of whole numbers, none missing, shape (n,).

        Raises DataError if it holds what is not a whole number, or one beyond 64 bits with a sign.
        """
        column = self.column(name)
        if is_text(column.type):
            column = self._parsed(name, pa.int64())
        self.refuse(_nulls(column), f"column {name} has no value, but needs a whole number")
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_integer(column.type):
            if column.type == pa.uint64():
                large = np.asarray(column.to_numpy(zero_copy_only=False)) >= np.uint64(2**63)
                self.refuse(large, f"column {name} is too large for a whole number of 64 bits")
            return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
        values = self._plain_numbers(name)
        bad = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > _EXACT)
        if bad.any():
            worst = values[np.flatnonzero(bad)[0]]
            self.refuse(bad, f"column {name} is {worst:g}, expected a whole number")
        return values.astype(np.int64)

    def identifiers(self, name: str, missing: int | None = None) -> IntArray:
        """Return a column of identifiers, which may use all 64 bits, shape (n,).

        Parameters
        ----------
        missing : int, optional
            What stands for an identifier that is missing; by default none may be.

        Raises
        ------
        DataError
            If it holds floating-point numbers, which are not exact, or no whole numbers.
        """
        column = self.column(name)
        if pa.types.is_floating(column.type):
            raise DataError(
                f"{self.label}: column {name} holds floating-point numbers, which identifiers"
                " of 64 bits do not fit into; write it as 64-bit integers"
            )
        if missing is None:
            return self.integers(name)
        there = ~_nulls(self.texts(name) if is_text(column.type) else column)
        found = np.full(len(self), missing, dtype=np.int64)
        found[there] = self.take(there).integers(name)
        return found

    def texts(self, name: str) -> pa.Array:
        """Return a column as text; whole numbers without decimals, what is missing as null.

        Raises DataError if it holds numbers that are not whole, or neither text nor numbers.
        """
        column = self.column(name)
        if is_text(column.type):
            return _given(column)
        if pa.types.is_floating(column.type):
            values = self._plain_numbers(name)
            empty = np.isnan(values)
            bad = ~empty & ((values != np.round(values)) | (np.abs(values) > _EXACT))
            if bad.any():
                worst = values[np.flatnonzero(bad)[0]]
                self.refuse(
                    bad, f"column {name} is {worst:g}, which is not a key: not a whole number"
                )
            column = pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
        if _is_list(column.type):
            raise self._wrong_kind(name, column.type, "text or whole numbers")
        return column.cast(pa.string())

    def flags(self, name: str) -> pa.Array:
        """Return a column as booleans; what is missing is null.

        Raises DataError if it holds something else.
        """
        column = self.column(name)
        if pa.types.is_boolean(column.type):
            return column
        if is_text(column.type):
            lower = pc.utf8_lower(self.texts(name))
            # Whole numbers count as in other formats: any but zero is true.
            number = pc.fill_null(pc.utf8_is_digit(lower), fill_value=False)
            zero = pc.fill_null(pc.match_substring_regex(lower, "^0+$"), fill_value=False)
            true = pc.or_(pc.is_in(lower, _texts(_TRUE)), pc.and_not(number, zero))
            false = pc.or_(pc.is_in(lower, _texts(_FALSE)), zero)
            neither = pc.and_not(pc.invert(pc.or_(true, false)), lower.is_null())
            bad = neither.to_numpy(zero_copy_only=False).astype(bool)
            if bad.any():
                said = lower[int(np.flatnonzero(bad)[0])].as_py()
                self.refuse(bad, f'column {name} is "{said}", neither true nor false')
            return pc.if_else(lower.is_null(), pa.scalar(None, pa.bool_()), true)
        values = self._plain_numbers(name)
        return pa.array(values != 0, mask=np.isnan(values))

    def matrix(self, name: str, width: int, rows: IntArray | None = None) -> RealArray:
        """Return a column of arrays of numbers, in the precision stored; text as float64.

        Parameters
        ----------
        name : str
            A column of lists of any kind, or of text such as "[1.0, 2.0]" or "(1.0, 2.0)".
        width : int
            Length of the arrays.
        rows : ndarray of int, shape (k,), optional
            Places of the rows in the block; all by default.

        Returns
        -------
        ndarray, shape (k, width)
            A missing array is a row of NaN.

        Raises
        ------
        DataError
            If an array has another length, or is not made of numbers.
        """
        column = self.column(name)
        rows = np.arange(len(self)) if rows is None else rows
        if is_text(column.type):
            chosen = replace(self, rows=self.rows[rows], table=self.table.take(pa.array(rows)))
            # Empty text is a missing array.
            body = pc.utf8_trim(chosen.texts(name), characters=" \t\r\n[]()")
            body = pc.if_else(pc.equal(body, ""), None, body)
            items = pc.split_pattern(body, ",")
            values = _cast(items.flatten(), pa.float64())
            if values is None:
                bad = np.array([_cast(row.values, pa.float64()) is None for row in items])
                what = "is not an array of numbers such as [1.0, 2.0], with commas"
                chosen.refuse(bad, f"column {name} {what}")
            return chosen._from_lists(
                name, pa.ListArray.from_arrays(items.offsets, values, mask=items.is_null()), width
            )
        if not _is_list(column.type):
            raise self._wrong_kind(name, column.type, "arrays of numbers")
        found = self._from_lists(name, column, width)
        return found if len(rows) == len(found) else found[rows]

    def _from_lists(self, name: str, array: pa.Array, width: int) -> RealArray:
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        filled = lengths > 0
        wrong = np.flatnonzero(filled & (lengths != width))
        if len(wrong):
            raise DataError(
                f"{self.label}: column {name} holds an array of {lengths[wrong[0]]} values in row"
                f" {self.rows[wrong[0]]}; expected {width}"
            )
        values = array.flatten()
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise DataError(
                f"{self.label}: column {name} holds arrays of {values.type}, not of numbers"
            )
        if not pa.types.is_floating(values.type):
            values = values.cast(pa.float64())
        found: RealArray = values.to_numpy(zero_copy_only=False).reshape(-1, width)
        if filled.all():
            return found
        result = np.full((len(array), width), np.nan, dtype=found.dtype)
        result[filled] = found
        return result

    def _parsed(self, name: str, kind: pa.DataType) -> pa.Array:
        """Return text as numbers; raises DataError that names the row."""
        column = self.column(name)
        values = _cast(column, kind)
        if values is None:
            bad = np.array([_cast(column[row : row + 1], kind) is None for row in range(len(self))])
            line = " ".join(column[int(np.flatnonzero(bad)[0])].as_py().split())
            said = line if len(line) <= 60 else line[:60] + "..."
            wanted = "a whole number" if kind == pa.int64() else "a number"
            self.refuse(bad, f'column {name} is "{said}", expected {wanted}')
        return values

    def _wrong_kind(self, name: str, kind: pa.DataType, wanted: str) -> DataError:
        held = "arrays" if _is_list(kind) else kind
        return DataError(f"{self.label}: column {name} holds {held}, not {wanted}")


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _nulls(column: pa.Array) -> BoolArray:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)


def _cast(text: pa.Array | None, kind: pa.DataType) -> pa.Array | None:
    """Return text as numbers, what is missing as null or NaN; None if it holds what is none."""
    if text is None:
        return pa.array([], kind)
    try:
        return text.cast(kind)  # most often nothing is missing, and this is fastest
    except pa.ArrowInvalid:
        pass
    try:
        return _given(text).cast(kind)
    except pa.ArrowInvalid:
        return None


def _given(text: pa.Array) -> pa.Array:
    """Return text without blanks around it, what stands for nothing as null."""
    trimmed = pc.utf8_trim_whitespace(text.cast(pa.string()))
    absent = pc.is_in(trimmed, value_set=_texts(NULLS))
    return pc.if_else(absent, pa.scalar(None, pa.string()), trimmed)
