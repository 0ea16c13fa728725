"""Correction of G_BP by a table of magnitude against correction (Yang et al. 2021)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.user_table import read_columns
from scrframe.errors import DataError
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
    magnitude, correction = read_columns(path, (magnitude_column, correction_column))
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
