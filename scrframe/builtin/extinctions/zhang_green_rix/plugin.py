"""Extinctions and extinction curve of Zhang, Green & Rix (2023, MNRAS 524, 1855)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.builtin.extinctions.zhang_green_rix.catalogue import (
    COLUMNS,
    Zgr23Config,
    check,
    parts,
    read,
    write_simulated,
)
from scrframe.errors import CalibrationError
from scrframe.plugin import ExtinctionCatalogue, ExtinctionCurve, hookimpl


def curve(config: Any, wavelength_nm: FloatArray) -> FloatArray:
    """Return A(wavelength) / E in mag per unit E, linear between the published points.

    Parameters
    ----------
    config : NoConfig
        The curve has no settings.
    wavelength_nm : ndarray
        Wavelengths in nm.

    Returns
    -------
    ndarray
        The curve, same shape. The points are the paper's 61 wavelengths, every 10 nm from 392
        to 992 nm, then J, H, Ks, W1 and W2.

    Raises
    ------
    CalibrationError
        If a wavelength lies outside 392 to 4602.8 nm.
    """
    points, values = _published()
    wanted = np.asarray(wavelength_nm, dtype=np.float64)
    outside = ~((wanted >= points[0]) & (wanted <= points[-1]))
    if outside.any():
        raise CalibrationError(
            f"the extinction curve zgr23 ends at {points[0]:g} and {points[-1]:g} nm;"
            f" {wanted[outside].ravel()[0]:g} nm was asked for: narrow the wavelength grid or"
            " choose another extinction.curve"
        )
    return np.interp(wanted, points, values)


@cache
def _published() -> tuple[FloatArray, FloatArray]:
    folder = resources.files("scrframe.builtin.extinctions.zhang_green_rix") / "data"
    with (folder / "zgr23_extinction_curve.csv").open(encoding="utf-8") as handle:
        lines = [line for line in handle if not line.startswith("#")]
    table = np.loadtxt(lines[1:], delimiter=",")
    return table[:, 0], table[:, 1]


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
