"""What a source gives in a block, as it stands there (numbers, constants, codes), and units."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units as u

from scrframe.arrays import FloatArray
from scrframe.builtin.survey_loaders.table.source import DATES, Source
from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.tables import ColumnTable
from scrframe.tables.columns import BY_NAME
from scrframe.tables.cuts import Expression
from scrframe.units import MAG_PER_RELATIVE_FLUX, parse_unit, unit_factor

#: Julian date of MJD 0.
JD_ZERO = 2400000.5
#: MJD of 1970 January 1.
UNIX_ZERO = 40587.0


@cache
def is_mag(text: str) -> bool:
    """Return whether a unit is one of magnitudes."""
    unit = parse_unit(text)
    return bool(unit.is_equivalent(u.mag) or isinstance(unit, u.MagUnit))


@cache
def ab_zero_point(text: str) -> float:
    """Return the AB magnitude of a flux density of one in a unit.

    Raises ValueError if it is none of flux density.
    """
    unit = parse_unit(text)
    try:
        if unit.is_equivalent(u.mgy):
            # A maggy is the flux of AB magnitude 0.
            return float(-2.5 * np.log10(unit.to(u.mgy)))
        return float((1 * unit).to_value(u.ABmag))
    except u.UnitConversionError:
        raise ValueError(
            f'has the unit "{text}", which is neither of magnitude nor of flux density;'
            " counts need a zero_point"
        ) from None


def check_unit(name: str, source: Source) -> bool:
    """Check the unit that a description gives a column; return whether values are plain.

    Fluxes that become magnitudes are not plain.

    Raises ValueError if the unit cannot be used.
    """
    unit = source.unit
    try:
        declared = BY_NAME.get(name)
        if name == "mag" and source.zero_point is not None:
            if unit is not None and is_mag(unit):
                raise ValueError("is a magnitude already and needs no zero_point")
            return False
        if unit is None:
            return True
        if name == "mjd" and unit in DATES:
            return True
        if name in ("mag", "mag_err"):
            if is_mag(unit):
                return True
            if name == "mag":
                ab_zero_point(unit)
            return False
        if declared is None:
            parse_unit(unit)
        elif not declared.unit:
            raise ValueError(f'has the unit "{unit}", but takes none')
        else:
            unit_factor(unit, declared.unit)
        return True
    except ValueError as error:
        raise ValueError(f'maps "{name}", which {error}') from None


def mag_factor(unit: str) -> float:
    """Return by what to multiply magnitudes in a unit (mag, mmag, AB) for mag."""
    found = parse_unit(unit)
    return 1.0 if isinstance(found, u.MagUnit) else float(found.to(u.mag))


def magnitudes(flux: FloatArray, zero_point: FloatArray | float) -> FloatArray:
    """Return ``zero_point - 2.5 log10(flux)`` in mag, NaN where the flux is no positive number."""
    positive = np.where((flux > 0) & np.isfinite(flux), flux, np.nan)
    return np.asarray(zero_point - 2.5 * np.log10(positive))


def magnitude_errors(flux: FloatArray, flux_err: FloatArray) -> FloatArray:
    """Return ``2.5 / ln 10 * flux_err / flux`` in mag, NaN where the flux is not positive."""
    positive = np.where((flux > 0) & np.isfinite(flux), flux, np.nan)
    return np.asarray(MAG_PER_RELATIVE_FLUX * flux_err / positive)


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

    Raises DataError if both do, and differ, or if the description says nothing and what the file
    declares is no unit.
    """
    declared = block.units.get(source.column or "")
    if source.unit is not None:
        if declared is not None and source.unit not in DATES:
            _refuse_conflict(block, source, source.unit, declared)
        return source.unit
    if declared is None or not declared.strip(" -"):
        return None
    try:
        parse_unit(declared)
    except ValueError:
        raise DataError(
            f"{block.label}: column {source.column} has the unit {shown(declared)}, which is not"
            " understood; give its unit in the description"
        ) from None
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


def shown(text: str) -> str:
    """Return some of a text of the input, on one line, for a message."""
    line = " ".join(text.split())
    return f'"{line[:60]}..."' if len(line) > 60 else f'"{line}"'


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
