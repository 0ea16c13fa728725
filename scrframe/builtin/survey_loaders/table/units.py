"""From the units of a table to those of the vocabulary."""

from __future__ import annotations

from functools import cache

import numpy as np
from astropy import units as u

from scrframe.arrays import FloatArray
from scrframe.builtin.survey_loaders.table.source import DATES, Source
from scrframe.tables.columns import BY_NAME
from scrframe.units import MAG_PER_RELATIVE_FLUX, parse_unit, unit_factor

#: Julian date of MJD 0.
JD_ZERO = 2400000.5


@cache
def is_mag(text: str) -> bool:
    """Return whether a unit is one of magnitudes."""
    unit = parse_unit(text)
    return bool(unit.is_equivalent(u.mag) or isinstance(unit, u.MagUnit))


@cache
def ab_zero_point(text: str) -> float:
    """Return the AB magnitude of a flux density of one in a unit.

    Raises
    ------
    ValueError
        If it is none of flux density.
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

    Raises
    ------
    ValueError
        If the unit cannot be used.
    """
    unit = source.unit
    try:
        return _checked(name, unit, source)
    except ValueError as error:
        raise ValueError(f'maps "{name}", which {error}') from None


def _checked(name: str, unit: str | None, source: Source) -> bool:
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


def mag_factor(unit: str) -> float:
    """Return by what to multiply magnitudes in a unit (mag, mmag, AB) for mag."""
    found = parse_unit(unit)
    return 1.0 if isinstance(found, u.MagUnit) else float(found.to(u.mag))


def magnitudes(flux: FloatArray, zero_point: FloatArray | float) -> FloatArray:
    """Return ``zero_point - 2.5 log10(flux)`` in mag, NaN where the flux is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return np.asarray(zero_point - 2.5 * np.log10(positive))


def magnitude_errors(flux: FloatArray, flux_err: FloatArray) -> FloatArray:
    """Return ``2.5 / ln 10 * flux_err / flux`` in mag, NaN where the flux is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return np.asarray(MAG_PER_RELATIVE_FLUX * flux_err / positive)
