"""Columns that follow from others: Galactic coordinates, seasons and colours."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

import numpy as np
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.errors import DataError
from scrframe.tables.columns import BY_NAME, VOCABULARY, Stage
from scrframe.tables.table import ColumnTable

T = TypeVar("T", bound=ColumnTable)

#: What each derived column is made from.
INPUTS: dict[str, tuple[str, ...]] = {
    column.name: column.inputs for column in VOCABULARY if column.derived
}
#: 1 January 1970 as a Modified Julian date, from which numpy counts its dates.
_MJD_1970 = 40587
#: Months from 1 January to the beginning of a season.
_SEASON_MONTHS = 9


def derive(table: T, stage: Stage, names: Collection[str] | None = None) -> T:
    """Add the derived columns of a stage whose inputs the table holds.

    Parameters
    ----------
    table : ColumnTable
        Detections, joined with what the stage has brought.
    stage : str
        Only columns that the vocabulary declares for this stage are made.
    names : collection of str, optional
        Restricts them further, so that what nobody asks for costs nothing.

    Returns
    -------
    ColumnTable
        The table with the columns; a column that it has already is kept as it is.

    Raises
    ------
    DataError
        If a declination lies outside -90..90 deg.
    """
    wanted = [
        name
        for name, inputs in INPUTS.items()
        if inputs
        and BY_NAME[name].stage == stage
        and (names is None or name in names)
        and name not in table
        and all(source in table for source in inputs)
    ]
    columns: dict[str, FloatArray | pa.Array] = {}
    if "gal_l" in wanted or "gal_b" in wanted:
        galactic = _galactic(table["ra"], table["dec"])
        columns.update((name, galactic[name]) for name in ("gal_l", "gal_b") if name in wanted)
    if "season" in wanted:
        columns["season"] = season_of(table["mjd"])
    if "bp_rp" in wanted:
        columns["bp_rp"] = table["bp_mag"] - table["rp_mag"]
    if "colour" in wanted:
        columns["colour"] = table["mag"] - table["reference_mag"]
    return table.with_columns(columns) if columns else table


def season_of(mjd: FloatArray) -> pa.Array:
    """Return the observing season (the year of its October) of each date, null for none.

    Parameters
    ----------
    mjd : ndarray, shape (n,)
        Modified Julian dates.
    """
    dated = np.isfinite(mjd)
    days = np.floor(np.where(dated, mjd, _MJD_1970)).astype(np.int64) - _MJD_1970
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    years = 1970 + (months - _SEASON_MONTHS) // 12
    return pa.array(years.astype(np.int32), mask=~dated)


def _galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, FloatArray]:
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    outside = np.flatnonzero(np.abs(dec_deg) > 90)
    if len(outside):
        raise DataError(
            f"{len(outside)} declinations lie outside -90..90 deg, the first"
            f" ({dec_deg[outside[0]]:g}) in row {outside[0]}"
        )
    galactic = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return {"gal_l": np.asarray(galactic.l.deg), "gal_b": np.asarray(galactic.b.deg)}
