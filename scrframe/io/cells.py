"""Cells of columns in Arrow: which kinds there are, and text as numbers, wholly or not at all."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import BoolArray

#: What stands for a missing value in text, of any format.
NULLS = ("", "null", "NULL", "None", "nan", "NaN", "NAN", "N/A", "NA", "--", "\\N")


@cache
def texts(words: tuple[str, ...] | str) -> pa.Array:
    """Return texts as an array, made at its first use: pyarrow loads pandas to look at a list."""
    return pa.array(list(words))


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_plain(kind: pa.DataType) -> bool:
    """Return whether an Arrow type has one way to be text."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
        or pa.types.is_temporal(kind)
        or pa.types.is_decimal(kind)
    )


def is_list(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of lists."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def nulls(column: pa.Array) -> BoolArray:
    """Return which cells have no value, shape (n,)."""
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)


def _is_array(items: Any) -> bool:
    """Return whether texts are numbers, or a missing array."""
    return not items.is_valid or (
        all(each.as_py().strip() for each in items) and cast(items.values, pa.float64()) is not None
    )


def cast(text: pa.Array | None, kind: pa.DataType) -> pa.Array | None:
    """Return text as numbers, what is missing as null or NaN; None if it holds what is none."""
    if text is None:
        return pa.array([], kind)
    try:
        return text.cast(kind)  # most often nothing is missing, and this is fastest
    except pa.ArrowInvalid:
        pass
    try:
        return given(text).cast(kind)
    except pa.ArrowInvalid:
        return None


def given(text: pa.Array) -> pa.Array:
    """Return text without blanks around it, what stands for nothing as null."""
    trimmed = pc.utf8_trim_whitespace(text.cast(pa.string()))
    absent = pc.is_in(trimmed, value_set=texts(NULLS))
    return pc.if_else(absent, pa.scalar(None, pa.string()), trimmed)


def parsed_arrays(text: pa.Array) -> tuple[pa.Array, BoolArray]:
    """Return text such as "[1.0, 2.0]", "(1, 2)" or "1, 2" as lists, and which is none.

    A null is a missing array.
    """
    first, last = pc.utf8_slice_codeunits(text, 0, 1), pc.utf8_slice_codeunits(text, -1)
    bare = pc.invert(pc.or_(pc.is_in(first, texts("([{")), pc.is_in(last, texts(")]}"))))
    paired = pc.is_in(pc.binary_join_element_wise(first, last, ""), texts(("()", "[]", "{}")))
    body = pc.if_else(paired, pc.utf8_slice_codeunits(text, 1, -1), text)
    body = pc.replace_substring(pc.utf8_trim_whitespace(body), ", ", ",")
    items = pc.split_pattern(pc.if_else(pc.equal(body, ""), None, body), ",")
    bad = ~np.asarray(pc.fill_null(pc.or_(bare, paired), True), dtype=bool)
    flat = items.flatten()
    try:
        values = flat.cast(pa.float64())  # most often nothing is missing, and no item empty
    except pa.ArrowInvalid:
        values = cast(flat, pa.float64())
        if values is None or pc.any(pc.equal(pc.utf8_trim_whitespace(flat), "")).as_py():
            bad |= np.array([not _is_array(row) for row in items], dtype=bool)
            return items, bad
    return pa.ListArray.from_arrays(items.offsets, values, mask=items.is_null()), bad
