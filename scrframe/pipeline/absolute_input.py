"""What a user supplies for the absolute tie: standards, a passband, a spectrum of Vega."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy import units as u

from scrframe.config.absolute import PassbandSettings, StandardsSettings, VegaSettings
from scrframe.errors import DataError
from scrframe.pipeline.user_table import UserTable, read_user_table

FloatArray = npt.NDArray[np.float64]

_FLUX_UNIT = u.W / u.m**2 / u.nm
#: How files spell units that astropy does not know.
_SPELLINGS = {
    "angstroms": "Angstrom",
    "microns": "um",
    "flam": "erg / (s cm2 Angstrom)",
}


def path_below(root: Path, file: str) -> Path:
    """Return the path of a file below the data root; an absolute one stays."""
    return root / Path(file).expanduser()


def read_standards(settings: StandardsSettings, root: Path) -> UserTable:
    """Return the table of standards, its columns checked.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a star is named twice.
    """
    names = [name for name in settings.columns.model_dump().values() if name is not None]
    table = read_user_table(path_below(root, settings.file), names)
    for name in names:
        if name == settings.columns.source_id:
            if len(np.unique(table.integers(name))) < len(table.integers(name)):
                raise DataError(f"{table.path}: column {name} names a star twice")
        elif name in (settings.columns.ra, settings.columns.dec):
            degrees(table, name)
        else:
            table.floats(name)
    if settings.columns.error is not None:
        errors = table.floats(settings.columns.error)
        if (errors < 0).any():
            raise DataError(f"{table.path}: column {settings.columns.error} holds negative errors")
    return table


def degrees(table: UserTable, name: str) -> FloatArray:
    """Return a position in degrees, the unit of a column that declares none."""
    given = None if name in table.units else "deg"
    return table.floats(name) * _factor(table, name, u.deg, given)


def read_passband(settings: PassbandSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and transmissions.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a unit is not known.
    """
    names = settings.wavelength, settings.transmission
    table = read_user_table(path_below(root, settings.file), names)
    factor = _factor(table, settings.wavelength, u.nm, settings.wavelength_unit)
    wavelength, transmission = _curve(table, *names, factor)
    if (transmission < 0).any():
        raise DataError(
            f"{table.path}: column {settings.transmission} holds negative transmissions; set"
            " them to 0"
        )
    if not transmission.any():
        raise DataError(f"{table.path}: column {settings.transmission} is 0 throughout")
    return wavelength, transmission


def read_vega(settings: VegaSettings, root: Path) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and fluxes in W m^-2 nm^-1.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a unit is not known.
    """
    table = read_user_table(path_below(root, settings.file), (settings.wavelength, settings.flux))
    factor = _factor(table, settings.wavelength, u.nm, settings.wavelength_unit)
    wavelength, flux = _curve(table, settings.wavelength, settings.flux, factor)
    return wavelength, flux * _factor(table, settings.flux, _FLUX_UNIT, settings.flux_unit)


def _curve(table: UserTable, x_name: str, y_name: str, factor: float) -> tuple[FloatArray, ...]:
    """Return a curve by ascending wavelength."""
    x, y = table.floats(x_name) * factor, table.floats(y_name)
    for name, values in ((x_name, x), (y_name, y)):
        if not np.isfinite(values).all():
            raise DataError(f"{table.path}: column {name} lacks a value in some row")
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 2 or (np.diff(x) <= 0).any() or x[0] <= 0:
        raise DataError(
            f"{table.path}: column {x_name} must hold two or more different, positive wavelengths"
        )
    return x, y


def _factor(table: UserTable, name: str, unit: u.UnitBase, given: str | None) -> float:
    """Return the factor from a column's unit, of the file or as given, to the unit wanted."""
    declared = table.units.get(name, "")
    texts = [_SPELLINGS.get(declared.lower(), declared), given]
    try:
        found = [float(u.Unit(text).to(unit)) for text in texts if text]
    except (ValueError, TypeError):
        raise DataError(
            f'{table.path}: column {name} has unit "{declared}"; expected {unit} or what'
            " converts to it"
        ) from None
    if not found:
        raise DataError(f"{table.path}: column {name} declares no unit; give it in the description")
    if not np.allclose(found, found[0], rtol=1e-9, atol=0):
        raise DataError(
            f'{table.path}: column {name} has unit "{declared}", but the description says {given}'
        )
    return found[0]
