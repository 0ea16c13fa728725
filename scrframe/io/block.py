"""A block of rows of a table, and its columns as numbers, text, flags and matrices.

Arrow keeps what a format stores; what a value means (whole numbers written as text, flags
written as 0 and 1, arrays written as "[1.0, 2.0]", what stands for nothing) no library
knows, and the message that names file, column and row can be made only here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.io import cells

RealArray = npt.NDArray[np.floating[Any]]

_TRUE = ("true", "t", "1", "yes")
_FALSE = ("false", "f", "0", "no")


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
        if cells.is_text(kind):
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
        if cells.is_text(column.type):
            whole = cells.cast(column, pa.int64())
            if whole is None:
                # "12.0" is a whole number, as tables write them that have gaps.
                plain = pc.replace_substring_regex(column, r"^(\s*[-+]?\d+)\.0*(\s*)$", r"\1\2")
                whole, real = cells.cast(plain, pa.int64()), cells.cast(plain, pa.float64())
                if whole is None and real is not None and _all_whole(real):
                    return replace(self, table=pa.table({name: real}))._exact(name)
            column = self._parsed(name, pa.int64()) if whole is None else whole
        self.refuse(cells.nulls(column), f"column {name} has no value, but needs a whole number")
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            return self._exact(name)
        if pa.types.is_integer(column.type):
            if column.type == pa.uint64():
                large = np.asarray(column.to_numpy(zero_copy_only=False)) >= np.uint64(2**63)
                self.refuse(large, f"column {name} is too large for a whole number of 64 bits")
            return np.asarray(column.cast(pa.int64()).to_numpy(zero_copy_only=False))
        raise self._wrong_kind(name, column.type, "whole numbers")

    def _exact(self, name: str) -> IntArray:
        """Return floating-point numbers as whole ones, none of which has lost digits."""
        values = self._plain_numbers(name)
        bad = ~np.isfinite(values) | (values != np.round(values))
        if bad.any():
            worst = values[np.flatnonzero(bad)[0]]
            self.refuse(bad, f"column {name} is {worst:g}, expected a whole number")
        kind = self.column(name).type
        bits = {"halffloat": 11, "float": 24}.get(str(kind), 53)
        self.refuse(
            np.abs(values) > 2**bits,
            f"column {name} holds floating-point numbers, whose digits beyond 2**{bits} are"
            " lost; write it as 64-bit integers",
        )
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
            If it holds no whole numbers, or floating-point numbers whose digits are lost.
        """
        column = self.column(name)
        if missing is None:
            return self.integers(name)
        there = ~cells.nulls(self.texts(name) if cells.is_text(column.type) else column)
        if pa.types.is_floating(column.type):
            there &= ~np.isnan(self._plain_numbers(name))
        found = np.full(len(self), missing, dtype=np.int64)
        found[there] = self.take(there).integers(name)
        return found

    def texts(self, name: str) -> pa.Array:
        """Return a column as text; whole numbers without decimals, what is missing as null.

        Raises DataError if it holds numbers that are not whole, or neither text nor numbers.
        """
        column = self.column(name)
        if cells.is_text(column.type):
            return cells.given(column)
        if pa.types.is_floating(column.type):
            values = self._plain_numbers(name)
            empty = np.isnan(values)
            bad = ~empty & ((values != np.round(values)) | ~np.isfinite(values))
            if bad.any():
                worst = values[np.flatnonzero(bad)[0]]
                self.refuse(
                    bad, f"column {name} is {worst:g}, which is not a key: not a whole number"
                )
            self.take(~empty)._exact(name)
            column = pa.array(np.where(empty, 0, values).astype(np.int64), mask=empty)
        if not (cells.is_plain(column.type) or pa.types.is_binary(column.type)):
            raise self._wrong_kind(name, column.type, "text or whole numbers")
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:
            raise DataError(f"{self.label}: column {name} holds bytes that are no text") from None

    def flags(self, name: str) -> pa.Array:
        """Return a column as booleans; what is missing is null.

        Raises DataError if it holds something else.
        """
        column = self.column(name)
        if pa.types.is_boolean(column.type):
            return column
        if cells.is_text(column.type):
            lower = pc.utf8_lower(self.texts(name))
            # Whole numbers count as in other formats: any but zero is true.
            number = pc.fill_null(pc.utf8_is_digit(lower), fill_value=False)
            zero = pc.fill_null(pc.match_substring_regex(lower, "^0+$"), fill_value=False)
            true = pc.or_(pc.is_in(lower, cells.texts(_TRUE)), pc.and_not(number, zero))
            false = pc.or_(pc.is_in(lower, cells.texts(_FALSE)), zero)
            neither = pc.and_not(pc.invert(pc.or_(true, false)), lower.is_null())
            bad = neither.to_numpy(zero_copy_only=False).astype(bool)
            if bad.any():
                said = lower[int(np.flatnonzero(bad)[0])].as_py()
                self.refuse(bad, f'column {name} is "{said}", neither true nor false')
            return pc.if_else(lower.is_null(), pa.scalar(None, pa.bool_()), true)
        if column.type == pa.uint64():
            return pc.not_equal(column, pa.scalar(0, pa.uint64()))
        values = self._plain_numbers(name)
        return pa.array(values != 0, mask=np.isnan(values))

    def bits(self, name: str, mask: int) -> BoolArray:
        """Return where whole numbers of up to 64 bits have any bit of a mask, shape (n,)."""
        column = self.column(name)
        if pa.types.is_unsigned_integer(column.type):
            self.refuse(
                cells.nulls(column), f"column {name} has no value, but needs a whole number"
            )
            values = np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.uint64)
        else:
            values = self.integers(name).view(np.uint64)
        return np.asarray((values & np.uint64(mask)) != 0)

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
        if cells.is_text(column.type):
            chosen = replace(self, rows=self.rows[rows], table=self.table.take(pa.array(rows)))
            return chosen._from_lists(name, chosen._text_arrays(name), width)
        if not cells.is_list(column.type):
            raise self._wrong_kind(name, column.type, "arrays of numbers")
        found = self._from_lists(name, column, width)
        return found if len(rows) == len(found) else found[rows]

    def element(self, name: str, place: int) -> pa.Array:
        """Return one element, counted from 0, of each array of a column.

        Raises DataError if an array has none, or the column holds no arrays.
        """
        column = self.column(name)
        if cells.is_text(column.type):
            column = self._text_arrays(name)
        if not cells.is_list(column.type):
            raise self._wrong_kind(name, column.type, "arrays of numbers")
        length = pc.fill_null(pc.list_value_length(column), place + 1)
        short = length.to_numpy(zero_copy_only=False) <= place
        self.refuse(short, f"column {name} is an array without an element {place}, counted from 0")
        return pc.list_element(column, place)

    def _text_arrays(self, name: str) -> pa.Array:
        """Return text such as "[1.0, 2.0]" as lists of float64; empty text is a missing array."""
        found, bad = cells.parsed_arrays(self.texts(name))
        what = "is not an array of numbers such as [1.0, 2.0], with commas"
        self.refuse(bad, f"column {name} {what}")
        return found

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
        values = cells.cast(column, kind)
        if values is None:
            bad = np.array(
                [cells.cast(column[row : row + 1], kind) is None for row in range(len(self))]
            )
            line = " ".join(column[int(np.flatnonzero(bad)[0])].as_py().split())
            said = line if len(line) <= 60 else line[:60] + "..."
            wanted = "a whole number" if kind == pa.int64() else "a number"
            self.refuse(bad, f'column {name} is "{said}", expected {wanted}')
        return values

    def _wrong_kind(self, name: str, kind: pa.DataType, wanted: str) -> DataError:
        held = "arrays" if cells.is_list(kind) else kind
        return DataError(f"{self.label}: column {name} holds {held}, not {wanted}")


def _all_whole(values: pa.Array) -> bool:
    return bool(pc.all(pc.equal(pc.round(values), values)).as_py())
