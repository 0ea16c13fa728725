"""Columns of a binary table as its header defines them (FITS standard 4.0, section 7.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from scrframe.errors import DataError
from scrframe.io.fits.structure import Hdu, cards_of, parse_card

#: Bytes and numpy type of the TFORM codes of fixed width.
_TYPES = {
    "L": "u1",
    "B": "u1",
    "I": ">i2",
    "J": ">i4",
    "K": ">i8",
    "E": ">f4",
    "D": ">f8",
    "C": ">c8",
    "M": ">c16",
}


@dataclass(frozen=True)
class Field:
    """A column of a binary table, as the header defines it.

    Attributes
    ----------
    name, unit : str
        TTYPE and TUNIT; empty where the header has none.
    code : str
        Letter of the TFORM.
    repeat : int
        Elements in a cell.
    offset, width : int
        Place in a row, in bytes.
    scale, zero : float
        TSCAL and TZERO.
    null : int or None
        TNULL.
    """

    name: str
    unit: str
    code: str
    repeat: int
    offset: int
    width: int
    scale: float = 1.0
    zero: float = 0.0
    null: int | None = None

    @property
    def plain(self) -> bool:
        """Whether the numbers stored are the numbers meant."""
        return self.scale == 1.0 and self.zero == 0.0 and self.null is None

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the cells as they are stored."""
        if self.code in "AXPQ":
            return np.dtype(f"{'S' if self.code == 'A' else 'V'}{self.width}")
        base = np.dtype(_TYPES[self.code])
        return base if self.repeat == 1 else np.dtype((base, (self.repeat,)))


def table_fields(hdu: Hdu) -> Mapping[str, Field]:
    """Return the columns of a binary table by name, in order.

    Raises
    ------
    DataError
        If the HDU is no binary table, or its header contradicts itself.
    """
    if not hdu.is_table:
        raise DataError(f"{hdu.label} is no binary table")
    try:
        # The tables of one survey share these cards, so that one parse serves all.
        fields, width = _fields(hdu.column_cards)
    except ValueError as error:
        raise DataError(f"{hdu.label}: {error}") from None
    if width != hdu.whole("NAXIS1"):
        raise DataError(
            f"{hdu.label}: the columns take {width} bytes a row, NAXIS1 says {hdu.whole('NAXIS1')}"
        )
    return fields


@lru_cache(maxsize=64)
def _fields(joined: bytes) -> tuple[Mapping[str, Field], int]:
    """Return the columns that some cards define, by name, and the width of a row in bytes."""
    cards = cards_of(joined)
    count = parse_card(cards["TFIELDS"]) if "TFIELDS" in cards else None
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError("keyword TFIELDS is missing or is no whole number")
    fields: dict[str, Field] = {}
    offset = 0
    for number in range(1, count + 1):
        values = {
            kind: parse_card(cards[f"{kind}{number}"])
            for kind in _FIELD_KEYWORDS
            if f"{kind}{number}" in cards
        }
        field = _field(number, values, offset)
        if field.name in fields:
            raise ValueError(f"column {field.name} stands twice")
        fields[field.name] = field
        offset += field.width
    return MappingProxyType(fields), offset


_FIELD_KEYWORDS = ("TTYPE", "TFORM", "TUNIT", "TSCAL", "TZERO", "TNULL")


def _field(number: int, values: Mapping[str, Any], offset: int) -> Field:
    form = str(values.get("TFORM", "")).strip()
    match = re.match(r"(\d*)([LXBIJKAEDCMPQ])", form)
    if match is None:
        raise ValueError(f"TFORM{number} is {form!r}, which is no column format")
    repeat, code = int(match[1] or 1), match[2]
    null = values.get("TNULL")
    return Field(
        name=str(values.get("TTYPE", f"col{number}")).strip(),
        unit=str(values.get("TUNIT", "")).strip(),
        code=code,
        repeat=repeat,
        offset=offset,
        width=_width(code, repeat),
        scale=float(values.get("TSCAL", 1.0)),
        zero=float(values.get("TZERO", 0.0)),
        null=int(null) if null is not None and code in "BIJK" else None,
    )


def _width(code: str, repeat: int) -> int:
    if code == "X":
        return -(-repeat // 8)
    if code in "PQ":
        return repeat * (8 if code == "P" else 16)
    return repeat * (1 if code == "A" else np.dtype(_TYPES[code]).itemsize)
