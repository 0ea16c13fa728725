"""What a source gives in a block, as it stands there: numbers, constants, codes and units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import FloatArray
from scrframe.builtin.survey_loaders.table.source import DATES, Source
from scrframe.builtin.survey_loaders.table.units import is_mag
from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.tables import ColumnTable
from scrframe.tables.cuts import Expression
from scrframe.units import parse_unit, unit_factor


class RawColumns(ColumnTable):
    """Columns for the language of cuts, in types of their own: names here mean nothing."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table


def numbers_of(block: Block, name: str, source: Source) -> FloatArray:
    """Return numbers as the table has them, NaN where there is none."""
    if source.column is not None:
        return block.numbers(source.column)
    if source.expression is not None:
        names = Expression(source.expression).names
        numbers = pa.table({each: block.numbers(each) for each in names})
        values = Expression(source.expression).evaluate(RawColumns(numbers))
        return np.where(np.isfinite(values), values, np.nan)
    if source.template is not None or source.tile is not None:
        origin = "tile" if source.template is None else "template"
        raise DataError(f"{block.label}: {name} is a number, which no {origin} makes")
    value = constant_of(block, name, source)
    try:
        return np.full(len(block), float(value))
    except (TypeError, ValueError):
        raise DataError(f'{block.label}: {name} is "{value}", expected a number') from None


def constant_of(block: Block, name: str, source: Source) -> Any:
    """Return what all rows have: the extension, a keyword's value or one of the description."""
    if source.extension:
        return block.extension
    if source.keyword is None:
        return source.value
    value = block.keyword(source.keyword)
    if value is None:
        raise DataError(f"{block.label}: has no keyword {source.keyword}, which {name} needs")
    return value


def decoded(block: Block, name: str, source: Source, text: pa.Array) -> list[Any]:
    """Return what the description says each text stands for."""
    codes = source.codes or {}
    chosen = text.dictionary_encode()
    labels = chosen.dictionary.to_pylist()
    strange = [each for each in labels if each not in codes]
    if strange:
        bad = pc.equal(text, strange[0]).fill_null(False).to_numpy(zero_copy_only=False)
        block.refuse(bad.astype(bool), f'{name} is "{strange[0]}", which its codes do not tell')
    refuse_nulls(block, name, source, text)
    values = np.array([codes[each] for each in labels], dtype=object)
    return list(values[chosen.indices.to_numpy()]) if len(text) else []


def unit_of(block: Block, source: Source) -> str | None:
    """Return the unit of a source: what the description says, else what the file declares.

    Raises
    ------
    DataError
        If both do, and differ. What the file declares counts as nothing if it is no unit.
    """
    declared = block.units.get(source.column or "")
    if source.unit is not None:
        if declared is not None and source.unit not in DATES:
            _refuse_conflict(block, source, source.unit, declared)
        return source.unit
    if declared is None:
        return None
    try:
        parse_unit(declared)
    except ValueError:
        return None
    return declared


def _refuse_conflict(block: Block, source: Source, said: str, declared: str) -> None:
    try:
        parse_unit(declared)
    except ValueError:
        return  # what the description says counts
    try:
        same = bool(np.isclose(unit_factor(declared, said), 1.0, rtol=1e-6))
    except (ValueError, TypeError, AttributeError):
        same = is_mag(said)  # zero points of magnitudes are declared in many ways
    if not same:
        raise DataError(
            f"{block.label}: column {source.column} has the unit {declared} in the file, but"
            f" {said} in the description"
        )


def refuse_nulls(block: Block, name: str, source: Source, text: pa.Array) -> None:
    """Refuse rows without a text."""
    bad = np.asarray(text.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if bad.any():
        block.refuse(bad, f"{name} ({origin_of(source)}) is empty")


def origin_of(source: Source) -> str:
    """Return how messages call a source."""
    if source.names:
        return f"column {', '.join(source.names)}"
    return f"keyword {source.keyword}" if source.keyword else "a constant"
