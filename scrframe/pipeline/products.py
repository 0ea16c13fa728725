"""Products of a run that are not catalogues: stars.parquet, and its part of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.pipeline.law_files import coefficient_names
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.tables import (
    FLAG_BITS,
    SPECTRUM_ERRORS_DIAGONAL,
    SPECTRUM_OUTSIDE_CORRECTION,
    Corrections,
    MatchedStars,
    Solution,
)

#: Units of the columns of stars.parquet; the rest are numbers and labels.
STAR_UNITS = {
    "ra_deg": "deg",
    "dec_deg": "deg",
    "mjd": "d",
    "x_pix": "pix",
    "y_pix": "pix",
    "mag_obs": "mag",
    "mag_err": "mag",
    "mag_model": "mag",
    "delta": "mag",
    "offset_total": "mag",
    "mag_cal": "mag",
    "mag_cal_err": "mag",
    "mag_cal_sys": "mag",
    "colour0": "mag",
    "extinction": "mag",
    "star_dev": "mag",
    "star_dev_err": "mag",
    "offset_level": "",
    "feh": "dex",
}
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
    table = pa.table(columns)
    fields = [_with_unit(table.schema.field(name)) for name in table.column_names]
    return table.cast(pa.schema(fields))


def _with_unit(column: pa.Field) -> pa.Field:
    unit = STAR_UNITS.get(column.name, "mag" if column.name.startswith("offset_") else "")
    return column.with_metadata({"unit": unit}) if unit else column


def write_stars(path: Path, table: pa.Table, meta: Mapping[str, str]) -> None:
    """Write stars.parquet, atomically; `meta` goes into the file's key-value metadata."""
    temporary = path.with_name(f".{path.name}.tmp")
    stamped = table.replace_schema_metadata({**(table.schema.metadata or {}), **meta})
    pq.write_table(stamped, temporary, compression="zstd")
    temporary.replace(path)


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
