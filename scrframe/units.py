"""Quantities in survey descriptions: text such as "1 arcsec" to a plain number.

`quantity` makes a pydantic type whose values are floats in the unit named; text in any
unit that converts to it is taken, a bare number is refused where a unit is due.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from astropy import units as u
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema


@cache
def _unit(name: str) -> u.UnitBase:
    return u.Unit(name)


def parse_quantity(value: Any, unit: str) -> float:
    """Return a quantity given as text in the unit named.

    Raises
    ------
    ValueError
        If the text is no quantity, has no unit, or has one that does not convert.
    """
    example = f"for example '1 {unit}'"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"is no quantity; expected {unit}, {example}")
    if isinstance(value, (int, float)):
        raise ValueError(f"has no unit; expected {unit}, {example}")
    try:
        quantity = u.Quantity(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no quantity; expected {unit}, {example}") from None
    if quantity.unit == u.dimensionless_unscaled:
        raise ValueError(f"has no unit; expected {unit}, {example}")
    try:
        return float(quantity.to_value(_unit(unit)))
    except u.UnitConversionError:
        raise ValueError(f'has unit "{quantity.unit}"; expected {unit}, {example}') from None


def quantity(unit: str, *, positive: bool = True) -> Any:
    """Return a pydantic type for floats in `unit`, written as text with a unit in YAML."""

    def before(value: Any) -> float:
        # Defaults and already validated values are floats in the unit.
        if isinstance(value, _Plain):
            return float(value)
        return _Plain(parse_quantity(value, unit))

    pattern = r"^\s*[-+0-9.eE]+\s*[A-Za-z].*$"
    return Annotated[
        float,
        BeforeValidator(before),
        Field(gt=0) if positive else Field(),
        PlainSerializer(lambda value: f"{value!r} {unit}", return_type=str),
        WithJsonSchema({"type": "string", "pattern": pattern, "examples": [f"1 {unit}"]}),
    ]


class _Plain(float):
    """A number that is already in its unit."""
