"""Why a star has its calibrated magnitude: each of its detections, and what the model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

from scrframe.analysis.explain.opened_run import OpenedRun, flag_names
from scrframe.arrays import IntArray
from scrframe.errors import DataError
from scrframe.products.star_catalogue import STAR_CATALOGUE

Facts = dict[str, Any]

#: What flags say of a star, in words.
FLAG_WORDS = {
    "no_magnitude": "has no magnitude",
    "unknown_visit": "in a visit that the run did not read",
    "few_stars_visit": "too few stars in its visit",
    "few_stars_ccd": "too few stars on its CCD in the visit",
    "few_stars_pixel": "too few stars in its pixel bin",
    "few_stars_other": "too few stars in a further level",
    "diagonal_spectrum_errors": "the spectrum came without correlations of its errors",
    "outside_flux_correction": "outside the range of a correction of spectra",
    "outside_spectrum": "far from the training set: its spectrum is unlike theirs",
    "outside_shape": "far from the training set: features that their spectra do not have",
    "outside_snr": "far from the training set: the S/N of its spectrum is not theirs",
    "fallback": "its correction comes from a coarser level than the CCD in the visit",
    "low_weight": "taken for an outlier by the joint solution",
}
#: Columns of a detection by their names here; those that a run does not have are left out.
DETECTION = {
    "ccd": "ccd",
    "mjd": "mjd",
    "x_pix": "x_pix",
    "y_pix": "y_pix",
    "observed_mag": "mag_obs",
    "catalogued_err_mag": "mag_err",
    "total_mag": "offset_total",
    "total_err_mag": "offset_total_err",
    "calibrated_mag": "mag_cal",
    "calibrated_err_mag": "mag_cal_err",
    "calibrated_sys_mag": "mag_cal_sys",
    "weight": "weight",
    "in_solve": "in_solve",
}
#: Columns of the star catalogue that a star is told of.
CATALOGUE = (
    "ra_deg",
    "dec_deg",
    "mag_cal",
    "mag_cal_err",
    "photometric_err",
    "offset_err",
    "mag_cal_sys",
    "n_detections",
    "n_visits",
    "chi2",
    "dof",
    "chi2_probability",
    "variable",
    "one_outlier",
    "mag_model",
    "residual",
    "star_dev",
    "star_dev_err",
    "colour0",
    "extinction",
    "in_control",
    "reserved",
)


def explain_star(run: OpenedRun, rows: IntArray) -> Facts:
    """Return all that a run says of a star, as plain values; magnitudes in mag.

    Parameters
    ----------
    run : OpenedRun
    rows : ndarray of int64
        Its detections in stars.parquet.
    """
    data = run.data
    source = int(data.star("source_id")[rows[0]])
    mean = _mean(run, source)
    flags = int(np.bitwise_or.reduce(data.star("flags")[rows]))
    colour0, extinction = (float(data.star(name)[rows[0]]) for name in ("colour0", "extinction"))
    ratio = float(data.law.ratio(np.array([colour0]), np.array([extinction]))[0])
    return {
        "star": source,
        "trained": data.summary["colour_model"].get("training_stars") != 0,
        "mean": mean,
        "flags": {name: FLAG_WORDS[name] for name in flag_names(flags)},
        "model": {
            "reference_band": data.reference_band,
            "reference_mag": float(data.star("mag_model")[rows[0]])
            - data.absolute_shift_mag
            - colour0
            - ratio * extinction,
            "colour0_mag": colour0,
            "R": ratio,
            "extinction_mag": extinction,
            "reddening_mag": ratio * extinction,
            "predicted_mag": float(data.star("mag_model")[rows[0]]),
        },
        "detections": [
            _detection(run, int(row), mean.get("mag_cal"))
            for row in rows[np.argsort(data.star("mjd")[rows], kind="stable")]
        ],
    }


def _detection(run: OpenedRun, row: int, mean_mag: float | None) -> Facts:
    data = run.data
    facts: Facts = {"visit": data.visits[data.visit_code[row]]}
    for name, column in DETECTION.items():
        if data.has(column):
            facts[name] = data.star(column)[row].item()
    facts["offsets_mag"] = {
        name.removeprefix("offset_"): float(data.star(name)[row])
        for name in data.correction_columns()
    }
    facts["residual_mag"] = float(data.residual[row])
    facts["from_mean_mag"] = None if mean_mag is None else facts["calibrated_mag"] - mean_mag
    facts["flags"] = flag_names(int(data.star("flags")[row]))
    return facts


def _mean(run: OpenedRun, source: int) -> Facts:
    """Return the star's row of the star catalogue."""
    path = run.products.path / STAR_CATALOGUE
    try:
        table = pq.read_table(path, filters=[("source_id", "=", source)])
    except FileNotFoundError:
        raise DataError(f"{path}: not found; is {path.parent} a finished run?") from None
    except OSError as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    if not table.num_rows:
        return {}
    row = table.slice(0, 1).to_pylist()[0]
    return {name: row[name] for name in CATALOGUE if name in row}
