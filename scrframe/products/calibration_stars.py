"""Products of a run that are not catalogues: stars.parquet, and its part of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.products.columns import STARS, arrow_table, for_levels
from scrframe.products.solution import coefficient_names
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.statistics.robust import MEDIAN_CHI2, robust_sd
from scrframe.tables import (
    FLAG_BITS,
    SPECTRUM_ERRORS_DIAGONAL,
    SPECTRUM_OUTSIDE_CORRECTION,
    Corrections,
    MatchedStars,
    Solution,
)

#: What a catalogue of extinctions may tell of the stars besides.
FROM_EXTINCTIONS = ("feh",)
#: Detections of less weight in the joint solution are flagged.
LOW_WEIGHT = 0.5


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
    further: Mapping[str, np.ndarray[Any, Any]],
) -> pa.Table:
    """Return the columns of stars.parquet, one row a Calibration Sample detection."""
    seen = sample.detections
    mag = seen["mag"]
    flags = star_flags(sample, corrections)
    if "outside" in further:
        flags |= further["outside"]
    if "weight" in further:
        flags[further["weight"] < LOW_WEIGHT] |= FLAG_BITS["low_weight"]
    columns = {
        "file": seen.arrow.column("file"),
        "visit": seen.arrow.column("visit"),
        "ccd": seen["ccd"],
        "row": seen["row"],
        "source_id": seen["source_id"],
        "ra_deg": seen["ra"],
        "dec_deg": seen["dec"],
        "mjd": seen["mjd"],
        "x_pix": seen["x"],
        "y_pix": seen["y"],
        "mag_obs": mag,
        "mag_err": seen["mag_err"],
        "mag_model": model.model_mag,
        "delta": model.model_mag - mag,
        **corrections.columns(),
        "mag_cal": mag + corrections.total_mag,
        "colour0": model.colour0_mag[sample.star],
        "extinction": seen["extinction"],
        **{name: seen[name] for name in FROM_EXTINCTIONS if name in seen},
        "in_control": sample.in_control,
        **{name: values for name, values in further.items() if name != "outside"},
        "flags": flags,
    }
    return arrow_table(for_levels(STARS, corrections.by_level), columns)


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

    Returns
    -------
    dict
        For ``reserved`` and ``solved`` stars: ``detections``; ``median_mag`` and
        ``mad_sigma_mag`` of model less calibrated magnitudes (the median and a robust
        spread, for outliers are in it); ``repeats_mag``, the robust spread of differences
        between two detections of a star over the square root of 2; and ``repeats_pull``,
        the same in units of the errors stated.
    """
    reserved = stars.column("reserved").to_numpy(zero_copy_only=False)
    solved = stars.column("in_solve").to_numpy(zero_copy_only=False)
    return {"reserved": _figures(stars, reserved), "solved": _figures(stars, solved)}


def _figures(stars: pa.Table, chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
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


def _pairs(source: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows of successive detections of the same star."""
    order = np.argsort(source, kind="stable")
    same = source[order][1:] == source[order][:-1]
    return order[:-1][same], order[1:][same]


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
