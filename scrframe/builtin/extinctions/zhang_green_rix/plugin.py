"""Extinctions and extinction curve of Zhang, Green & Rix (2023, MNRAS 524, 1855)."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.extinctions.zhang_green_rix.catalogue import (
    COLUMNS,
    Zgr23Config,
    check,
    parts,
    read,
    write_simulated,
)
from scrframe.builtin.extinctions.zhang_green_rix.curve import curve
from scrframe.plugin import ExtinctionCatalogue, ExtinctionCurve, hookimpl

CATALOGUE = ExtinctionCatalogue(
    name="zgr23",
    summary="Extinctions of 220 million Gaia stars (Zhang, Green & Rix 2023), HDF5",
    version="1.0",
    config=Zgr23Config,
    parts=parts,
    read=read,
    columns=COLUMNS,
    check=check,
    write_simulated=write_simulated,
)
CURVE = ExtinctionCurve(
    name="zgr23",
    summary="Mean extinction curve, 392 to 4600 nm (Zhang, Green & Rix 2023)",
    version="1.0",
    curve=curve,
)


@hookimpl
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:
    """Yield the catalogue."""
    yield CATALOGUE


@hookimpl
def scrframe_extinction_curves() -> Iterable[ExtinctionCurve]:
    """Yield the curve."""
    yield CURVE
