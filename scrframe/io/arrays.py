"""Columns of arrays, however a format stores them, to matrices; and scalars to numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import FloatArray
from scrframe.errors import DataError

RealArray = npt.NDArray[np.floating[Any]]
Index = npt.NDArray[np.int64]
_TRUE = {"true", "t", "1", "yes"}


def from_numpy(values: Any) -> pa.Array:
    """Return a column of astropy (one or two axes, masked, objects) as an Arrow array."""
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(np.ma.getdata(values))
    if array.dtype.kind == "O":
        return _from_objects(values)
    if array.dtype.kind in "SU":
        text = np.char.strip(array.astype(str))
        return pa.array(text.astype(object), mask=mask)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pa.array(array, mask=mask)
    if mask is not None and array.dtype.kind == "f":
        array = np.where(mask, np.nan, array)
    flat = pa.array(array.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))


def _from_objects(values: Any) -> pa.Array:
    """Return arrays of varying length (or text) as a column."""
    items = list(values)
    if all(
        item is None or isinstance(item, (str, bytes, np.ma.core.MaskedConstant)) for item in items
    ):
        return pa.array(
            [
                item.decode()
                if isinstance(item, bytes)
                else item
                if isinstance(item, str)
                else None
                for item in items
            ],
            type=pa.string(),
        )
    rows: list[FloatArray] = [
        np.ma.filled(np.ma.asarray(item, dtype=float), np.nan).ravel() for item in items
    ]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, type=pa.int64()), pa.array(np.concatenate([*rows, []]))
    )


def matrix(
    column: pa.ChunkedArray, width: int, where: str, rows: Index, first_row: int = 0
) -> RealArray:
    """Return a column of arrays as a matrix.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Lists of any kind, or text such as "[1.0, 2.0]" and "(1.0, 2.0)".
    width : int
        Length of the arrays.
    where : str
        The column, for messages.
    rows : ndarray of int, shape (n,)
        Only these rows.
    first_row : int
        Number in the file of the column's first row, for messages.

    Returns
    -------
    ndarray, shape (n, width)
        In the precision stored; text as float64. A missing array is a row of NaN.

    Raises
    ------
    DataError
        If an array has another length or is not made of numbers.
    """
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # combining nothing, or more than fits
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], column.type)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return _from_lists(
            _parse(array.take(pa.array(rows)), where), width, where, rows + first_row
        )
    if not (
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    ):
        raise DataError(f"{where} holds {array.type}, not arrays of numbers")
    found = _from_lists(array, width, where, np.arange(first_row, first_row + len(array)))
    return found if len(rows) == len(found) else found[rows]


def _parse(text: pa.Array, where: str) -> pa.Array:
    """Return text of arrays as lists of numbers; empty ones as missing."""
    body = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(text), 1, -1)
    body = pc.if_else(pc.equal(pc.utf8_trim_whitespace(body), ""), None, body)
    items = pc.split_pattern(body, ",")
    numbers = pc.utf8_trim_whitespace(items.flatten())
    numbers = pc.if_else(pc.equal(pc.utf8_lower(numbers), "null"), "nan", numbers)
    try:
        values = numbers.cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{where} holds what is no number: {error}") from None
    return pa.ListArray.from_arrays(items.offsets, values, mask=items.is_null())


def _from_lists(array: pa.Array, width: int, where: str, numbers: Index) -> RealArray:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    filled = lengths > 0
    wrong = np.flatnonzero(filled & (lengths != width))
    if len(wrong):
        raise DataError(
            f"{where} holds an array of {lengths[wrong[0]]} values in row {numbers[wrong[0]]};"
            f" expected {width}"
        )
    values = array.flatten()
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise DataError(f"{where} holds arrays of {values.type}, not of numbers")
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
    found: RealArray = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    if filled.all():
        return found
    result = np.full((len(array), width), np.nan, dtype=found.dtype)
    result[filled] = found
    return result


def floats(column: pa.ChunkedArray, where: str) -> FloatArray:
    """Return a column of numbers, missing ones as NaN, shape (n,)."""
    try:
        values = column.cast(pa.float64())
    except pa.ArrowException as error:
        raise DataError(f"{where} holds what is no number: {error}") from None
    return np.asarray(pc.fill_null(values, np.nan).to_numpy(), dtype=np.float64)


def integers(column: pa.ChunkedArray, where: str) -> npt.NDArray[np.int64]:
    """Return a column of integers, shape (n,), none of which may be missing."""
    if column.null_count:
        raise DataError(f"{where} is missing in {column.null_count} row(s)")
    try:
        values = column.cast(pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"{where} holds what is no integer: {error}") from None
    return np.asarray(values.to_numpy(), dtype=np.int64)


def flags(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return a column of truth values, written as such, as numbers or as text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = pc.is_in(pc.utf8_lower(column), value_set=pa.array(sorted(_TRUE)))
    elif pa.types.is_boolean(kind):
        found = column
    else:
        found = pc.not_equal(column, 0)
    return np.asarray(pc.fill_null(found, False).to_numpy(), dtype=np.bool_)
