"""What a run says of its stars: by detection, by star, and in its summary.

``stars.parquet`` has a row for each detection of the Calibration Sample, the catalogue of stars one
for each of its stars; level statistics, the law and the reserved stars go into ``summary.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError, named
from scrframe.products import columns
from scrframe.products.columns import arrow_table, for_levels
from scrframe.products.solution import coefficient_names
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.scr.star_means import VARIABLE_LIMIT, StarDetections, StarMeans, star_means
from scrframe.statistics.robust import MEDIAN_CHI2, robust_sd
from scrframe.tables import (
    FLAG_BITS,
    SPECTRUM_ERRORS_DIAGONAL,
    SPECTRUM_OUTSIDE_CORRECTION,
    Corrections,
    MatchedStars,
    Solution,
)

#: Further columns that a catalogue of extinctions may have.
FROM_EXTINCTIONS = ("feh",)
#: Detections of less weight in the joint solution are flagged.
LOW_WEIGHT = 0.5
#: File name of the catalogue of stars.
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


def star_flags(sample: MatchedStars, corrections: Corrections) -> np.ndarray[Any, Any]:
    """Return the flags of the corrections with those of the spectra, shape (n,)."""
    flags = corrections.flags.copy()
    if "spectrum_flags" in sample.detections:
        spectrum = sample.detections["spectrum_flags"]
        diagonal = (spectrum & SPECTRUM_ERRORS_DIAGONAL) > 0
        outside = (spectrum & SPECTRUM_OUTSIDE_CORRECTION) > 0
        flags[diagonal] |= FLAG_BITS["diagonal_spectrum_errors"]
        flags[outside] |= FLAG_BITS["outside_flux_correction"]
    return flags


def star_table(
    sample: MatchedStars,
    model: ModelMagnitudes,
    corrections: Corrections,
    colour_mag: FloatArray,
    further: Mapping[str, np.ndarray[Any, Any]],
) -> pa.Table:
    """Return the columns of stars.parquet, one row a Calibration Sample detection.

    `colour_mag`, shape (n,), are predicted colours, band less reference magnitude.
    """
    detections = sample.detections
    mag = detections["mag"]
    flags = star_flags(sample, corrections)
    if "outside" in further:
        flags |= further["outside"]
    if "weight" in further:
        flags[further["weight"] < LOW_WEIGHT] |= FLAG_BITS["low_weight"]
    values = {
        "file": detections.arrow.column("file"),
        "visit": detections.arrow.column("visit"),
        "ccd": detections["ccd"],
        "row": detections["row"],
        "source_id": detections["source_id"],
        "ra_deg": detections["ra"],
        "dec_deg": detections["dec"],
        "mjd": detections["mjd"],
        "x_pix": detections["x"],
        "y_pix": detections["y"],
        "mag_obs": mag,
        "mag_err": detections["mag_err"],
        "mag_model": model.model_mag,
        "delta": model.model_mag - mag,
        **({} if corrections.level is None else {"offset_colour": np.zeros(len(mag))}),
        **corrections.columns(),
        "mag_cal": mag + corrections.applied_mag,
        "colour": colour_mag,
        "colour0": model.colour0_mag[sample.star],
        "extinction": detections["extinction"],
        **{name: detections[name] for name in FROM_EXTINCTIONS if name in detections},
        "in_control": sample.in_control,
        **{name: column for name, column in further.items() if name != "outside"},
        "flags": flags,
    }
    return arrow_table(for_levels(columns.STARS, corrections.by_level), values)


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
        raise DataError(f"the star catalogue needs the {named('column', missing)}")
    source_id, first, star = np.unique(
        _numbers(stars_table, "source_id"), return_index=True, return_inverse=True
    )
    means = star_means(_detections(stars_table, star), len(source_id), limit)
    shared = {
        name: _known(_or_nan(stars_table, name), star, len(source_id))
        for name in ("mag_model", "star_dev", "star_dev_err", "colour", "colour0", "extinction")
    }
    reserved = np.zeros(len(star), dtype=bool)
    if "reserved" in stars_table.column_names:
        reserved = _numbers(stars_table, "reserved")
    flags = np.zeros(len(source_id), dtype=np.int32)
    np.bitwise_or.at(flags, star, _numbers(stars_table, "flags"))
    values = {
        "source_id": source_id,
        **_positions(stars_table, star, first),
        **_photometry(means),
        **shared,
        "residual": shared["mag_model"] - means.mag,
        "in_control": _any(_numbers(stars_table, "in_control"), star),
        "reserved": _any(reserved, star),
        "flags": flags,
    }
    return arrow_table(columns.STAR_CATALOGUE, values)


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


def _known(values: FloatArray, star: IntArray, stars: int) -> FloatArray:
    """Return the value that a star's detections share, of those that have it."""
    found = np.full(stars, np.nan)
    known = np.flatnonzero(np.isfinite(values))
    found[star[known]] = values[known]
    return found


def _any(values: BoolArray, star: IntArray) -> BoolArray:
    return np.asarray(np.bincount(star, values) > 0)


def level_statistics(solution: Solution) -> dict[str, dict[str, float]]:
    """Return mean, standard deviation and counts of each correction's offsets."""
    return {
        level.fitted.name: {
            "mean_mag": _safe(np.mean, level.offsets.offset_mag),
            "sd_mag": _safe(np.std, level.offsets.offset_mag),
            "groups": int((level.offsets.count > 0).sum()),
            "with_offset": int(np.isfinite(level.offsets.offset_mag).sum()),
            "median_err_mag": _safe(np.median, level.offsets.err_mag),
        }
        for level in solution.levels
        if level.fitted.role == "correction"
    }


def _safe(statistic: Any, values: np.ndarray[Any, Any]) -> float:
    finite = values[np.isfinite(values)]
    return float(statistic(finite)) if len(finite) else float("nan")


def law_summary(
    model: ModelMagnitudes, colour0_mag: np.ndarray[Any, Any], extinction: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """Return the reddening law's figures; R at percentiles of C0 and the median E."""
    law = model.law
    points = np.percentile(colour0_mag, [5, 25, 50, 75, 95])
    middle = float(np.median(extinction))
    ratios = law.ratio(points, np.full(len(points), middle))
    return {
        **dict(zip(coefficient_names(law.terms), law.coefficients.tolist(), strict=True)),
        "errors": np.sqrt(np.diag(law.covariance)).tolist(),
        "powers": [list(term) for term in law.terms],
        "dM_mag": law.offset_mag,
        "extinction_mag": middle,
        "R": [
            {"colour0_mag": float(point), "R": float(ratio)}
            for point, ratio in zip(points, ratios, strict=True)
        ],
        "scores": [asdict(score) for score in law.scores],
        "field_slope_sd": None if law.slopes is None else law.slopes.sd,
    }


def judged_by_reserved(stars: pa.Table) -> dict[str, Any]:
    """Compare reserved stars with those of the solve, from the columns of stars.parquet.

    Of ``reserved`` and ``solved`` stars it tells ``detections``; ``median_mag`` and
    ``mad_sigma_mag`` of model less calibrated magnitudes (the median and a robust spread, for
    outliers are in it); ``repeats_mag``, the robust spread of differences between two detections
    of a star over the square root of 2; and ``repeats_pull``, the same in units of the errors
    stated.
    """
    reserved = stars.column("reserved").to_numpy(zero_copy_only=False)
    solved = stars.column("in_solve").to_numpy(zero_copy_only=False)
    return {"reserved": _figures(stars, reserved), "solved": _figures(stars, solved)}


def _figures(stars: pa.Table, chosen: BoolArray) -> dict[str, Any]:
    model, mag, error = (
        stars.column(name).to_numpy()[chosen] for name in ("mag_model", "mag_cal", "mag_cal_err")
    )
    source = stars.column("source_id").to_numpy()[chosen]
    residual = model - mag
    first, second = _pairs(source)
    difference = mag[first] - mag[second]
    pull = difference / np.hypot(error[first], error[second])
    return {
        "detections": int(chosen.sum()),
        "median_mag": _median(residual),
        "mad_sigma_mag": robust_sd(residual),
        "pairs": len(first),
        "repeats_mag": robust_sd(difference, about=0.0) / 2**0.5,
        "repeats_pull": float(np.sqrt(_median(pull**2) / MEDIAN_CHI2)),
    }


def _pairs(source: IntArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows of successive detections of the same star."""
    order = np.argsort(source, kind="stable")
    same = source[order][1:] == source[order][:-1]
    return order[:-1][same], order[1:][same]


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
