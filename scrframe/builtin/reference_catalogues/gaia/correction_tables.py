"""Corrections by tables that the user supplies: of G_BP by magnitude, of spectra by factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.interpolate import RegularGridInterpolator

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import DataError
from scrframe.io import read_table
from scrframe.plugin import Correction, PluginConfig
from scrframe.tables import ReferenceStars


class MagnitudeTableConfig(PluginConfig):
    """A table of magnitude against the correction of G_BP."""

    file: str = Field(description="The table, below the data root; CSV, ECSV, FITS or Parquet.")
    magnitude: str = Field("G", description="Column of the magnitude.")
    correction: str = Field("dBP", description="Column of the correction in mag.")
    sign: Literal["add", "subtract"] = Field(
        "add", description="Whether the correction is added to G_BP or subtracted from it."
    )
    against: Literal["g_mag", "bp_mag"] = Field(
        "g_mag", description="The stars' magnitude that the table's magnitude means."
    )


def correct(stars: ReferenceStars, config: MagnitudeTableConfig, root: Path) -> ReferenceStars:
    """Correct the reference magnitude, linearly between the table's magnitudes.

    A star whose magnitude is missing or outside the table keeps its G_BP and gets 1 in the
    column ``reference_outside_correction``.
    """
    magnitude, correction = _table(root / config.file, config.magnitude, config.correction)
    at = stars[config.against]
    inside = (at >= magnitude[0]) & (at <= magnitude[-1])
    sign = 1.0 if config.sign == "add" else -1.0
    change = np.where(inside, sign * np.interp(at, magnitude, correction), 0.0)
    outside = stars["reference_outside_correction"] | ~inside
    return stars.with_columns(
        {
            "reference_mag": stars["reference_mag"] + change,
            "reference_outside_correction": outside.astype(np.int16),
        }
    )


def files(config: MagnitudeTableConfig, root: Path) -> list[Path]:
    """Read the table once and return its file; raises DataError where it cannot be used."""
    _table(root / config.file, config.magnitude, config.correction)
    return [root / config.file]


@cache
def _table(path: Path, magnitude_column: str, correction_column: str) -> tuple[FloatArray, ...]:
    magnitude, correction = _columns(path, (magnitude_column, correction_column))
    order = np.argsort(magnitude, kind="stable")
    magnitude, correction = magnitude[order], correction[order]
    if (np.diff(magnitude) == 0).any():
        raise DataError(f"{path}: column {magnitude_column} names a magnitude twice")
    return magnitude, correction


MAGNITUDE_TABLE = Correction(
    name="magnitude_table",
    summary="Corrects G_BP by a table of magnitude against correction (Yang et al. 2021)",
    version="1.0",
    config=MagnitudeTableConfig,
    of_sources=correct,
    files=files,
)


class SpectrumTableConfig(PluginConfig):
    """A table of factors by which fluxes are multiplied."""

    file: str = Field(description="The table, below the data root; CSV, ECSV, FITS or Parquet.")
    wavelength: str = Field("wavelength_nm", description="Column of the wavelength in nm.")
    factor: str = Field("factor", description="Column of the factor.")
    g_mag: str | None = Field(None, description="Column of G, if the factor depends on it.")
    bp_rp: str | None = Field(None, description="Column of G_BP - G_RP, if it depends on it.")


def correct_spectra(
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


def spectrum_files(config: SpectrumTableConfig, root: Path) -> list[Path]:
    """Read the table once and return its file; raises DataError where it cannot be used."""
    _configured(config, root)
    return [root / config.file]


def _configured(config: SpectrumTableConfig, root: Path) -> RegularGridInterpolator:
    axes = tuple(name for name in (config.g_mag, config.bp_rp) if name is not None)
    return _interpolator(root / config.file, (*axes, config.wavelength), config.factor)


def _columns(path: Path, names: Sequence[str]) -> list[FloatArray]:
    """Return columns of numbers of a table, none of which is missing."""
    block = read_table(path, names)
    found = [block.numbers(name) for name in names]
    for name, values in zip(names, found, strict=True):
        block.refuse(~np.isfinite(values), f"column {name} has no value")
    return found


@cache
def _interpolator(path: Path, axes: tuple[str, ...], factor: str) -> RegularGridInterpolator:
    *columns, factors = _columns(path, (*axes, factor))
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
    of_spectra=correct_spectra,
    files=spectrum_files,
)
