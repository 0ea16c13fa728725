"""Correction of XP spectra by a table of factors, which may depend on magnitude and colour."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from scipy.interpolate import RegularGridInterpolator

from scrframe.arrays import BoolArray, FloatArray
from scrframe.builtin.reference_catalogues.gaia.user_table import read_columns
from scrframe.errors import DataError
from scrframe.plugin import Correction, PluginConfig


class SpectrumTableConfig(PluginConfig):
    """A table of factors by which fluxes are multiplied."""

    file: str = Field(description="The table, below the data root; CSV, ECSV, FITS or Parquet.")
    wavelength: str = Field("wavelength_nm", description="Column of the wavelength in nm.")
    factor: str = Field("factor", description="Column of the factor.")
    g_mag: str | None = Field(None, description="Column of G, if the factor depends on it.")
    bp_rp: str | None = Field(None, description="Column of G_BP - G_RP, if it depends on it.")


def correct(
    flux: FloatArray, stars: Mapping[str, Any], config: SpectrumTableConfig, root: Path
) -> tuple[FloatArray, BoolArray]:
    """Multiply spectra, shape (n, m), by the factors, linearly between the table's points.

    A star outside the table's magnitudes or colours is left as it is and said to be outside;
    so is every wavelength outside the table's, without a word.
    """
    interpolator = _configured(config, root)
    values = [
        np.asarray(column, dtype=np.float64)
        for column, name in (
            (stars["g_mag"], config.g_mag),
            (stars["bp_mag"] - stars["rp_mag"], config.bp_rp),
        )
        if name is not None
    ]
    wavelength = np.asarray(stars["wavelength_nm"], dtype=np.float64)
    outside = np.zeros(len(flux), dtype=bool)
    for axis, value in zip(interpolator.grid, values, strict=False):
        outside |= ~((value >= axis[0]) & (value <= axis[-1]))
    at = np.stack(
        [
            *(np.broadcast_to(value[:, None], flux.shape) for value in values),
            np.broadcast_to(wavelength, flux.shape),
        ],
        axis=-1,
    )
    factor = interpolator(np.nan_to_num(at))
    factor[outside] = 1.0
    return flux * np.where(np.isfinite(factor), factor, 1.0), outside


def files(config: SpectrumTableConfig, root: Path) -> list[Path]:
    """Read the table once and return its file; raises DataError where it cannot be used."""
    _configured(config, root)
    return [root / config.file]


def _configured(config: SpectrumTableConfig, root: Path) -> RegularGridInterpolator:
    axes = tuple(name for name in (config.g_mag, config.bp_rp) if name is not None)
    return _interpolator(root / config.file, (*axes, config.wavelength), config.factor)


@cache
def _interpolator(path: Path, axes: tuple[str, ...], factor: str) -> RegularGridInterpolator:
    *columns, factors = read_columns(path, (*axes, factor))
    points = [np.unique(column) for column in columns]
    shape = tuple(len(axis) for axis in points)
    order = np.lexsort(tuple(reversed(columns)))
    mesh = np.stack([item.ravel() for item in np.meshgrid(*points, indexing="ij")])
    if len(factors) != np.prod(shape) or not np.array_equal(mesh, np.stack(columns)[:, order]):
        raise DataError(f"{path}: {', '.join(axes)} are no complete grid, each point once")
    return RegularGridInterpolator(
        points, factors[order].reshape(shape), bounds_error=False, fill_value=np.nan
    )


SPECTRUM_TABLE = Correction(
    name="spectrum_table",
    summary="Multiplies XP spectra by a table of factors, by wavelength, G and colour",
    version="1.0",
    config=SpectrumTableConfig,
    of_spectra=correct,
    files=files,
)
