"""Synthetic photometry: passbands as users supply them, and magnitudes through them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import constants

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError, DataError
from scrframe.io import open_tables, read_table
from scrframe.io.block import Block
from scrframe.tables.solution import System
from scrframe.units import unit_factor

#: Flux density of AB magnitude 0 in W m^-2 Hz^-1 (3631 Jy).
AB_ZERO = 3631e-26
#: Speed of light in nm s^-1.
LIGHT = constants.c * 1e9
#: Unit of spectra.
FLUX_UNIT = "W / (m2 nm)"
#: Share of a passband's area that spectra must cover.
COVERED = 0.99
#: Gauss-Legendre points in each interval between samples.
_POINTS = 5
_BLOCK = 65_536
#: Columns of a text of two columns without names.
_UNNAMED = ("col1", "col2")


def read_passband(
    path: Path, wavelength: str, transmission: str, unit: str | None = None, default: str = ""
) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and transmissions of a passband in a table.

    Parameters
    ----------
    path : Path
        A table in any format that scrframe reads.
    wavelength, transmission : str
        Its columns; a text of two columns without names holds them in this order.
    unit : str, optional
        Unit of the wavelength; what the file declares must be the same.
    default : str
        Unit of a column that declares none, where `unit` is not given.

    Raises
    ------
    DataError
        If the file or a column cannot be used, or a unit is not known.
    """
    table = _two_columns(path, wavelength, transmission)
    through = _all_of(table, transmission)
    table.refuse(through < 0, f"column {transmission} is negative; transmissions are 0 or more")
    if not through.any():
        raise DataError(f"{table.label}: column {transmission} is 0 throughout")
    return _by_wavelength(table, wavelength, through, unit, default)


def read_spectrum(
    path: Path,
    wavelength: str,
    flux: str,
    units: tuple[str | None, str | None] = (None, None),
    defaults: tuple[str, str] = ("", ""),
) -> tuple[FloatArray, FloatArray]:
    """Return wavelengths in nm, ascending, and fluxes in W m^-2 nm^-1 of a spectrum in a table.

    Units of wavelength and flux, defaults and errors raised are those of `read_passband`.
    """
    table = _two_columns(path, wavelength, flux)
    values = _all_of(table, flux) * conversion(table, flux, FLUX_UNIT, units[1], defaults[1])
    return _by_wavelength(table, wavelength, values, units[0], defaults[0])


def _two_columns(path: Path, first: str, second: str) -> Block:
    """Return two columns of a table, by their names or as the only ones of a text without names."""
    unnamed = path.is_file() and open_tables(path)[0].names == _UNNAMED
    if not unnamed or {first, second} <= set(_UNNAMED):
        return read_table(path, (first, second))
    found = read_table(path, _UNNAMED)
    return replace(found, table=found.table.rename_columns([first, second]))


def _all_of(table: Block, name: str) -> FloatArray:
    values = table.numbers(name)
    table.refuse(~np.isfinite(values), f"column {name} has no value")
    return values


def _by_wavelength(
    table: Block, name: str, values: FloatArray, unit: str | None, default: str
) -> tuple[FloatArray, FloatArray]:
    nm = _all_of(table, name) * conversion(table, name, "nm", unit, default)
    order = np.argsort(nm, kind="stable")
    nm, values = nm[order], values[order]
    if len(nm) < 2 or (np.diff(nm) <= 0).any() or nm[0] <= 0:
        raise DataError(
            f"{table.label}: column {name} must hold two or more different, positive wavelengths"
        )
    return nm, values


def conversion(
    table: Block, name: str, wanted: str, given: str | None = None, default: str = ""
) -> float:
    """Return the factor to a unit from that of a column: of the file, as given, or by default.

    Raises DataError if no unit is known, it does not convert, or the file and the description
    differ.
    """
    declared = table.units.get(name, "").strip()
    texts = [text for text in (declared, given) if text] or [default]
    if not texts[0]:
        raise DataError(
            f"{table.label}: column {name} declares no unit; give it in the description"
        )
    try:
        found = [unit_factor(text, wanted) for text in texts]
    except ValueError:
        raise DataError(
            f'{table.label}: column {name} has unit "{declared or texts[0]}"; expected {wanted}'
            " or what converts to it"
        ) from None
    if not np.allclose(found, found[0], rtol=1e-9, atol=0):
        raise DataError(
            f'{table.label}: column {name} has unit "{declared}", but the description says {given}'
        )
    return found[0]


def covered_fraction(
    band_wavelength_nm: FloatArray, transmission: FloatArray, first_nm: float, last_nm: float
) -> float:
    """Return the share of a passband's area, taken linear, between two wavelengths."""
    low, high = max(first_nm, band_wavelength_nm[0]), min(last_nm, band_wavelength_nm[-1])
    if low >= high:
        return 0.0
    inside = (band_wavelength_nm > low) & (band_wavelength_nm < high)
    points = np.concatenate([[low], band_wavelength_nm[inside], [high]])
    values = np.interp(points, band_wavelength_nm, transmission)
    area = np.trapezoid(transmission, band_wavelength_nm)
    return float(np.trapezoid(values, points) / area)


def require_coverage(
    wavelength_nm: FloatArray, band_wavelength_nm: FloatArray, transmission: FloatArray
) -> None:
    """Raise CalibrationError unless a grid holds 99 per cent of a passband's area."""
    first, last = float(wavelength_nm[0]), float(wavelength_nm[-1])
    share = covered_fraction(band_wavelength_nm, transmission, first, last)
    if share < COVERED:
        raise CalibrationError(
            f"{100 * share:.1f} per cent of the passband's area lies within the spectra"
            f" ({first:g} to {last:g} nm), and {100 * COVERED:g} are needed: widen the"
            " reference catalogue's wavelength grid, or tie by standards"
        )


def synthetic_magnitudes(
    flux: npt.NDArray[np.floating],
    wavelength_nm: FloatArray,
    band_wavelength_nm: FloatArray,
    transmission: FloatArray,
    system: System,
    vega: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Return magnitudes of spectra through a passband, counting photons.

    The magnitude is ``-2.5 lg (int F T lambda dlambda / int F0 T lambda dlambda)``, with F0
    the spectrum of magnitude 0 (Bessell & Murphy 2012, Section 2). Spectra and transmission
    are taken linear between their samples, and both integrals go over the range that the
    spectra cover.

    Parameters
    ----------
    flux : ndarray, shape (n, m)
        Spectra in W m^-2 nm^-1.
    wavelength_nm : ndarray, shape (m,)
        Their grid, ascending.
    band_wavelength_nm, transmission : ndarray, shape (b,)
        The passband, ascending; its scale does not matter.
    system : {"AB", "Vega"}
        AB: F0 is 3631 Jy at all wavelengths. Vega: F0 is the spectrum given.
    vega : tuple of ndarray, shape (v,)
        Wavelengths in nm and F0 in W m^-2 nm^-1, for the system Vega.

    Returns
    -------
    ndarray, shape (n,)
        NaN where the integral is not positive.

    Raises
    ------
    CalibrationError
        If less than 99 per cent of the passband's area lies within the spectra, or if F0
        does not cover that part of the passband.
    """
    kernel, zero = _integrals(wavelength_nm, band_wavelength_nm, transmission, system, vega)
    # In blocks, for spectra of single precision are widened.
    blocks = (flux[start : start + _BLOCK] for start in range(0, len(flux), _BLOCK))
    ratio = np.concatenate([np.zeros(0), *(block @ kernel / zero for block in blocks)])
    bright = ratio > 0
    return np.where(bright, -2.5 * np.log10(np.where(bright, ratio, 1.0)), np.nan)


def photon_weights(
    wavelength_nm: FloatArray,
    band_wavelength_nm: FloatArray,
    transmission: FloatArray,
    system: System,
    vega: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Return weights, shape (m,), that make a spectrum's flux through a passband.

    The sum of a spectrum times them is the flux in units of that of magnitude 0, so that
    `synthetic_magnitudes` is -2.5 lg of it. Parameters and errors raised are those there.
    """
    kernel, zero = _integrals(wavelength_nm, band_wavelength_nm, transmission, system, vega)
    return kernel / zero


def _integrals(
    wavelength_nm: FloatArray,
    band_wavelength_nm: FloatArray,
    transmission: FloatArray,
    system: System,
    vega: tuple[FloatArray, FloatArray] | None,
) -> tuple[FloatArray, float]:
    """Return weights of a grid that make the integral, and that of magnitude 0."""
    require_coverage(wavelength_nm, band_wavelength_nm, transmission)
    low = max(wavelength_nm[0], band_wavelength_nm[0])
    high = min(wavelength_nm[-1], band_wavelength_nm[-1])
    zero = _zero_flux(low, high, band_wavelength_nm, transmission, system, vega)
    return _kernel(wavelength_nm, low, high, band_wavelength_nm, transmission), zero


def _zero_flux(
    low: float,
    high: float,
    band_nm: FloatArray,
    transmission: FloatArray,
    system: System,
    vega: tuple[FloatArray, FloatArray] | None,
) -> float:
    """Return the integral of the spectrum of magnitude 0."""
    if system == "AB":
        points, weights = _quadrature(low, high, band_nm, transmission, band_nm)
        return float(weights @ (AB_ZERO * LIGHT / points**2))
    if vega is None:
        raise CalibrationError("the Vega system needs a spectrum of Vega")
    grid, spectrum = vega
    if grid[0] > low or grid[-1] < high:
        raise CalibrationError(
            f"the spectrum of Vega goes from {grid[0]:g} to {grid[-1]:g} nm and does not cover"
            f" the passband ({low:g} to {high:g} nm)"
        )
    return float(_kernel(grid, low, high, band_nm, transmission) @ spectrum)


def _kernel(
    grid_nm: FloatArray, low: float, high: float, band_nm: FloatArray, transmission: FloatArray
) -> FloatArray:
    """Return the weights of samples, shape (m,), whose sum is the integral of F T lambda."""
    points, weights = _quadrature(low, high, band_nm, transmission, grid_nm)
    left = np.clip(np.searchsorted(grid_nm, points, side="right") - 1, 0, len(grid_nm) - 2)
    part = (points - grid_nm[left]) / (grid_nm[left + 1] - grid_nm[left])
    width = len(grid_nm)
    return np.asarray(
        np.bincount(left, weights * (1 - part), width)
        + np.bincount(left + 1, weights * part, width)
    )


def _quadrature(
    low: float, high: float, band_nm: FloatArray, transmission: FloatArray, grid_nm: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return points and weights that integrate F T lambda exactly for F and T linear."""
    nodes = np.concatenate([[low, high], band_nm, grid_nm])
    nodes = np.unique(nodes[(nodes >= low) & (nodes <= high)])
    unit, weight = np.polynomial.legendre.leggauss(_POINTS)
    half, middle = np.diff(nodes) / 2, (nodes[1:] + nodes[:-1]) / 2
    points = (middle[:, None] + half[:, None] * unit).ravel()
    through = np.interp(points, band_nm, transmission, left=0.0, right=0.0)
    return points, (half[:, None] * weight).ravel() * through * points
