"""The user's passband, and the spectrum of Vega, as weights of the XP samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import formats
from scrframe.builtin.reference_catalogues.gaia.grid import SAMPLES_NM
from scrframe.builtin.reference_catalogues.gaia.user_table import read_columns
from scrframe.builtin.reference_catalogues.xp_synthetic.settings import (
    Passband,
    Vega,
    XpSyntheticConfig,
)
from scrframe.errors import CalibrationError, DataError
from scrframe.spectra.passband import photon_weights


def files(config: XpSyntheticConfig, root: Path) -> list[Path]:
    """Return the files that the user supplies for the passband."""
    given = [config.passband.file, *([] if config.vega is None else [config.vega.file])]
    return [root / Path(name).expanduser() for name in given]


def sample_weights(config: XpSyntheticConfig, root: Path) -> FloatArray:
    """Return the weights of the 343 samples whose sum is the flux, 1 at magnitude 0.

    Raises
    ------
    DataError
        If the passband or the spectrum of Vega cannot be used, or the samples do not cover
        the passband.
    """
    band = config.passband
    path, *others = files(config, root)
    wavelength, through = _curve(path, band.wavelength, band.transmission, band.wavelength_unit)
    if (through < 0).any() or not through.any():
        raise DataError(
            f"{path}: column {band.transmission} must hold transmissions of 0 or more, not all 0"
        )
    vega = None if config.vega is None else _vega(others[0], config.vega)
    try:
        return photon_weights(SAMPLES_NM, wavelength, through, config.system, vega)
    except CalibrationError as error:
        raise DataError(f"{path}: {error}") from None


def example(directory: Path) -> XpSyntheticConfig:
    """Write a passband, no camera's own, and return settings that name it from anywhere."""
    path = directory.resolve() / "passband.csv"
    path.write_text("wavelength,transmission\n450,0\n500,1\n550,1\n600,0\n", encoding="utf-8")
    return XpSyntheticConfig(passband=Passband(file=str(path)))


def _vega(path: Path, settings: Vega) -> tuple[FloatArray, FloatArray]:
    wavelength, flux = _curve(path, settings.wavelength, settings.flux, settings.wavelength_unit)
    return wavelength, flux * _factor(path, settings.flux, "W / (m2 nm)", settings.flux_unit)


def _curve(path: Path, x_name: str, y_name: str, unit: str) -> tuple[FloatArray, FloatArray]:
    """Return a curve by ascending wavelength in nm."""
    x, y = read_columns(path, (x_name, y_name))
    x = x * _factor(path, x_name, "nm", unit)
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 2 or (np.diff(x) <= 0).any() or x[0] <= 0:
        raise DataError(
            f"{path}: column {x_name} must hold two or more different, positive wavelengths"
        )
    return x, y


def _factor(path: Path, name: str, wanted: str, given: str) -> float:
    """Return the factor to a unit from that which the file declares, else from that given."""
    from astropy import units as u  # noqa: PLC0415 - slow to import

    info = formats.describe(path)[0]
    declared = info.units.get(str(info.find(name)), "").strip()
    spelt = {"angstroms": "angstrom", "microns": "um", "flam": "erg / (s cm2 Angstrom)"}
    text = spelt.get(declared.lower(), declared) or given
    try:
        return float(u.Unit(text).to(u.Unit(wanted)))
    except (ValueError, TypeError):
        raise DataError(
            f'{path}: column {name} has unit "{declared}"; expected {wanted} or what converts to it'
        ) from None
