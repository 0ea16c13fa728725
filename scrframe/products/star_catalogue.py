"""The star catalogue: one row a star of the Calibration Sample, from stars.parquet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.products.columns import STAR_CATALOGUE as COLUMNS
from scrframe.products.columns import arrow_table
from scrframe.scr.star_means import VARIABLE_LIMIT, StarDetections, StarMeans, star_means

#: File name of the product.
STAR_CATALOGUE = "star_catalogue.parquet"
#: Columns of stars.parquet without which there is no star catalogue.
NEEDED = (
    "source_id",
    "visit",
    "ccd",
    "ra_deg",
    "dec_deg",
    "mag_cal",
    "mag_err",
    "mag_model",
    "in_control",
    "flags",
)


def star_catalogue(stars_table: pa.Table, limit: float = VARIABLE_LIMIT) -> pa.Table:
    """Return one row a star, ordered by ``source_id``, of the columns of stars.parquet.

    The columns of a joint solution (``weight``, ``mag_cal_err``, ``offset_total_err``,
    ``mag_cal_sys``, ``reserved``, ``star_dev``, ``star_dev_err``) are used where
    they are there. Without them weights are 1, errors are the catalogue's, and what is not
    known is NaN.

    Parameters
    ----------
    stars_table : pyarrow.Table
        The columns of stars.parquet, one row a detection.
    limit : float
        Probability of chi2 below which a star is called variable.

    Raises
    ------
    DataError
        If a column that is needed is missing.
    """
    missing = [name for name in NEEDED if name not in stars_table.column_names]
    if missing:
        raise DataError(f"the star catalogue needs the column(s) {', '.join(missing)}")
    source_id, first, star = np.unique(
        _numbers(stars_table, "source_id"), return_index=True, return_inverse=True
    )
    means = star_means(_detections(stars_table, star), len(source_id), limit)
    columns = {
        "source_id": source_id,
        **_positions(stars_table, star, first),
        **_photometry(means),
        **_of_star(stars_table, star, first),
    }
    columns["residual"] = columns["mag_model"] - columns["mag_cal"]
    return arrow_table(COLUMNS, columns)


def _numbers(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.asarray(table.column(name).to_numpy())


def _or_nan(table: pa.Table, name: str) -> FloatArray:
    """Return a column that need not be there, shape (n,)."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return _numbers(table, name).astype(np.float64)


def _detections(table: pa.Table, star: IntArray) -> StarDetections:
    total, offset = _or_nan(table, "mag_cal_err"), _or_nan(table, "offset_total_err")
    catalogued = _numbers(table, "mag_err").astype(np.float64)
    # What is left of a total error without that of the correction is the photometric one.
    rest = np.sqrt(np.maximum(total**2 - np.nan_to_num(offset) ** 2, 0.0))
    weight = _or_nan(table, "weight")
    return StarDetections(
        star=star,
        visit=_codes(table, "visit"),
        ccd=_codes(table, "ccd"),
        mag=_numbers(table, "mag_cal").astype(np.float64),
        photometric_err=np.where(rest > 0, rest, catalogued),
        offset_err=offset,
        total_err=np.where(np.isfinite(total), total, catalogued),
        systematic_err=_or_nan(table, "mag_cal_sys"),
        weight=np.where(np.isfinite(weight), weight, 1.0),
    )


def _codes(table: pa.Table, name: str) -> IntArray:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return np.asarray(column.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _positions(table: pa.Table, star: IntArray, first: IntArray) -> dict[str, FloatArray]:
    """Return mean positions; means are of differences from a star's first detection."""
    ra, dec = _numbers(table, "ra_deg"), _numbers(table, "dec_deg")
    count = np.bincount(star)
    east = (ra - ra[first][star] + 180.0) % 360.0 - 180.0
    north = dec - dec[first][star]
    return {
        "ra_deg": (ra[first] + np.bincount(star, east) / count) % 360.0,
        "dec_deg": dec[first] + np.bincount(star, north) / count,
    }


def _photometry(means: StarMeans) -> dict[str, npt.NDArray[Any]]:
    offset = np.nan_to_num(means.offset_err)
    return {
        "mag_cal": means.mag,
        "mag_cal_err": np.hypot(means.photometric_err, offset),
        "photometric_err": means.photometric_err,
        "offset_err": means.offset_err,
        "mag_cal_sys": means.systematic_err,
        "n_detections": means.count.astype(np.int32),
        "n_visits": means.visits.astype(np.int32),
        "chi2": means.chi2,
        "dof": means.dof.astype(np.int32),
        "chi2_probability": means.probability,
        "variable": means.variable,
        "one_outlier": means.one_outlier,
    }


def _of_star(table: pa.Table, star: IntArray, first: IntArray) -> dict[str, npt.NDArray[Any]]:
    """Return what all detections of a star share, and flags that any of them has."""
    shared = ("mag_model", "star_dev", "star_dev_err", "colour0", "extinction")
    reserved = _numbers(table, "reserved") if "reserved" in table.column_names else None
    nobody = np.zeros(len(first), dtype=bool)
    return {
        **{name: _known(_or_nan(table, name), star, len(first)) for name in shared},
        "in_control": _any(_numbers(table, "in_control"), star),
        "reserved": nobody if reserved is None else _any(reserved, star),
        "flags": _flags(_numbers(table, "flags"), star, len(first)),
    }


def _known(values: FloatArray, star: IntArray, stars: int) -> FloatArray:
    """Return the value that a star's detections share, of those that have it."""
    found = np.full(stars, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    found[star[known]] = values[known]
    return found


def _any(values: npt.NDArray[np.bool_], star: IntArray) -> npt.NDArray[np.bool_]:
    return np.asarray(np.bincount(star, values) > 0)


def _flags(flags: npt.NDArray[np.int32], star: IntArray, stars: int) -> npt.NDArray[np.int32]:
    """Return the flags of each star's detections, or-ed."""
    found = np.zeros(stars, dtype=np.int32)
    np.bitwise_or.at(found, star, flags)
    return found
