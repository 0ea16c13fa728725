"""Values in survey descriptions: quantities such as "1 arcsec", and strict numbers.

`quantity` makes a pydantic type whose values are floats in the unit named; text in any
unit that converts to it is taken, a bare number is refused where a unit is due.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from astropy import units as u
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema

#: A number (text and booleans are refused).
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
#: A whole number.
Whole = Annotated[int, Strict()]
#: true or false.
Switch = Annotated[bool, Strict()]

_QUANTITY = re.compile(
    r"\s*([-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?)\s*((?:[^\s0-9].*)?)", re.DOTALL
)

#: Error of a magnitude per relative error of its flux, 2.5 / ln 10.
MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
#: How files spell units, beside the ways that astropy knows.
_SPELLINGS = {
    **dict.fromkeys(("degrees", "degree", "deg"), "deg"),
    **dict.fromkeys(("radians", "radian", "rad"), "rad"),
    **dict.fromkeys(("arcseconds", "arcsecs", "asec"), "arcsec"),
    **dict.fromkeys(("hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("days", "day"), "d"),
    **dict.fromkeys(("seconds", "second", "secs", "sec"), "s"),
    **dict.fromkeys(("years", "year", "yrs"), "yr"),
    **dict.fromkeys(("pixels", "pixel"), "pix"),
    **dict.fromkeys(("angstroms", "ang"), "Angstrom"),
    **dict.fromkeys(("microns", "micron"), "um"),
    **dict.fromkeys(("nanometers", "nanometres"), "nm"),
    **dict.fromkeys(("maggies", "maggy"), "mgy"),
    **dict.fromkeys(("nanomaggies", "nanomaggy"), "nmgy"),
    **dict.fromkeys(("mag", "mags", "magnitude", "magnitudes"), "mag"),
    **dict.fromkeys(("counts", "cts"), "ct"),
    **dict.fromkeys(("electrons", "e-"), "electron"),
    "adu": "adu",
    "microjy": "uJy",
    "flam": "erg / (s cm2 Angstrom)",
}
_WORD = re.compile(r"[A-Za-z]+(?:-(?!\d))?")


@cache
def parse_unit(text: str) -> u.UnitBase:
    """Return a unit of astropy, spelt as a file or a description may spell it.

    Raises
    ------
    ValueError
        If it is none.
    """
    spelt = _WORD.sub(lambda word: _SPELLINGS.get(word[0].lower(), word[0]), text.strip())
    spelt = re.sub(r"(?:AB|Vega)\s*mag|mag\s*\((?:Vega|\*)\)", "mag", spelt, flags=re.IGNORECASE)
    for known, form in ((text, None), (spelt, None), (spelt, "cds"), (spelt, "vounit")):
        if known is spelt or "mag" not in known.lower():
            with warnings.catch_warnings(), suppress(ValueError, TypeError):
                warnings.simplefilter("ignore")  # of spellings that a standard advises against
                return u.Unit(known, format=form)
    raise ValueError(f'has the unit "{" ".join(text.split())[:60]}", which is unknown')


@cache
def unit_factor(text: str, target: str) -> float:
    """Return by what to multiply values in one unit for values in another.

    Raises
    ------
    ValueError
        If a unit is unknown, or does not convert.
    """
    unit, wanted = parse_unit(text), parse_unit(target)
    if unit == u.hour and wanted.is_equivalent(u.deg):
        return 15.0 * float(u.deg.to(wanted))  # of right ascension
    try:
        return float(unit.to(wanted))
    except (u.UnitConversionError, TypeError, AttributeError):
        raise ValueError(f'has the unit "{text}", which does not convert to {target}') from None


@cache
def _unit(name: str) -> u.UnitBase:
    return u.Unit(name)


def parse_quantity(value: Any, unit: str) -> float:
    """Return a quantity given as text in the unit named.

    Raises
    ------
    ValueError
        If the text is not a quantity, has no unit, or has one that does not convert.
    """
    example = f"for example '1 {unit}'"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"has no unit; expected {unit}, {example}")
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"is {_shown(value)}, which is not a quantity; expected {unit}, {example}")
    number, name = match.groups()
    if not name:
        raise ValueError(f"has no unit; expected {unit}, {example}")
    try:
        given = u.Unit(name)
    except (TypeError, ValueError):
        raise ValueError(f'has unit "{name}", which is unknown; expected {unit}') from None
    try:
        return _InItsUnit(u.Quantity(float(number), given).to_value(_unit(unit)))
    except u.UnitConversionError:
        raise ValueError(f'has unit "{name}"; expected {unit}') from None


def _shown(value: Any) -> str:
    return f'"{" ".join(value.split())}"' if isinstance(value, str) else "no text"


class _InItsUnit(float):
    """A number that has been read from a quantity: no unit is asked of it again."""


@dataclass(frozen=True)
class InUnit:
    """Marks a float, in `typing.Annotated`, as a quantity of one unit.

    Attributes
    ----------
    unit : str
        Unit of the float.
    positive : bool
        Whether zero and negative values are refused.
    """

    unit: str
    positive: bool = True

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return how pydantic validates and writes the quantity."""
        return core_schema.no_info_before_validator_function(
            self._read,
            core_schema.float_schema(gt=0 if self.positive else None, allow_inf_nan=False),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._write, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return how an editor sees the quantity: as text."""
        return {
            "type": "string",
            "pattern": r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*[^\s0-9].*$",
            "examples": [f"1 {self.unit}"],
        }

    def _read(self, value: Any) -> float:
        return value if isinstance(value, _InItsUnit) else parse_quantity(value, self.unit)

    def _write(self, value: float) -> str:
        return f"{float(value)!r} {self.unit}"


def quantity(unit: str, *, positive: bool = True) -> Any:
    """Return a pydantic type for floats in `unit`, written as text with a unit in YAML."""
    return Annotated[float, InUnit(unit, positive)]
