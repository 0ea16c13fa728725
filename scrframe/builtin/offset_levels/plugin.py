"""Offset levels that ship inside: groups, bins, maps, curves in time, slopes, cells."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.offset_levels.colour import COLOUR_TERM
from scrframe.builtin.offset_levels.keys import GROUP
from scrframe.builtin.offset_levels.maps import BILINEAR, BIN
from scrframe.builtin.offset_levels.polynomial import POLYNOMIAL
from scrframe.builtin.offset_levels.sky import SKY_CELL, SKY_FIELD
from scrframe.builtin.offset_levels.slope import SLOPE
from scrframe.builtin.offset_levels.time import RANDOM_WALK, SPLINE
from scrframe.plugin import OffsetLevel, hookimpl


@hookimpl
def scrframe_offset_levels() -> Iterable[OffsetLevel]:
    """Yield the kinds of levels that ship inside."""
    yield from (GROUP, BIN, BILINEAR, POLYNOMIAL, RANDOM_WALK, SPLINE)
    yield from (SLOPE, COLOUR_TERM, SKY_CELL, SKY_FIELD)
