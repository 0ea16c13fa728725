"""Why a star has its calibrated magnitude: each of its detections, and what the model says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import nan
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from scrframe.analysis.explain.opened_run import KEY, OPTIONAL, Explanation, OpenedRun, flag_names
from scrframe.arrays import IntArray
from scrframe.errors import DataError
from scrframe.products.stars import STAR_CATALOGUE

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
DETECTION = {name: name for name in ("ccd", "mjd", "x_pix", "y_pix", "weight", "in_solve")} | {
    "observed_mag": "mag_obs",
    "catalogued_err_mag": "mag_err",
    "total_mag": "offset_total",
    "total_err_mag": "offset_total_err",
    "calibrated_mag": "mag_cal",
    "calibrated_err_mag": "mag_cal_err",
    "calibrated_sys_mag": "mag_cal_sys",
}


@dataclass(frozen=True)
class StarMean:
    """A star's row of the star catalogue, under the names of its columns.

    None is what the catalogue of the run has no column for, or no row.
    """

    ra_deg: float | None = field(default=None, metadata=OPTIONAL)
    dec_deg: float | None = field(default=None, metadata=OPTIONAL)
    mag_cal: float | None = field(default=None, metadata=OPTIONAL)
    mag_cal_err: float | None = field(default=None, metadata=OPTIONAL)
    photometric_err: float | None = field(default=None, metadata=OPTIONAL)
    offset_err: float | None = field(default=None, metadata=OPTIONAL)
    mag_cal_sys: float | None = field(default=None, metadata=OPTIONAL)
    n_detections: int | None = field(default=None, metadata=OPTIONAL)
    n_visits: int | None = field(default=None, metadata=OPTIONAL)
    chi2: float | None = field(default=None, metadata=OPTIONAL)
    dof: int | None = field(default=None, metadata=OPTIONAL)
    chi2_probability: float | None = field(default=None, metadata=OPTIONAL)
    variable: bool | None = field(default=None, metadata=OPTIONAL)
    one_outlier: bool | None = field(default=None, metadata=OPTIONAL)
    mag_model: float | None = field(default=None, metadata=OPTIONAL)
    residual: float | None = field(default=None, metadata=OPTIONAL)
    star_dev: float | None = field(default=None, metadata=OPTIONAL)
    star_dev_err: float | None = field(default=None, metadata=OPTIONAL)
    colour0: float | None = field(default=None, metadata=OPTIONAL)
    extinction: float | None = field(default=None, metadata=OPTIONAL)
    in_control: bool | None = field(default=None, metadata=OPTIONAL)
    reserved: bool | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class ModelMagnitude:
    """How the model magnitude comes about: reference magnitude + colour0 + R E."""

    reference_band: str
    #: The star's magnitude in it.
    reference_mag: float
    #: Intrinsic colour that the model predicts.
    colour0_mag: float
    #: Extinction coefficient R of the colour; ``R`` in the JSON.
    ratio: float = field(metadata={KEY: "R"})
    #: E.
    extinction_mag: float
    #: R E.
    reddening_mag: float
    #: The model magnitude, on the system of the run.
    predicted_mag: float


@dataclass(frozen=True, kw_only=True)
class StarDetection:
    """One detection of a star; None is what the run has no column for."""

    visit: str
    ccd: int | None = field(default=None, metadata=OPTIONAL)
    mjd: float | None = field(default=None, metadata=OPTIONAL)
    x_pix: float | None = field(default=None, metadata=OPTIONAL)
    y_pix: float | None = field(default=None, metadata=OPTIONAL)
    #: As catalogued.
    observed_mag: float | None = field(default=None, metadata=OPTIONAL)
    catalogued_err_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: The whole correction, and its error.
    total_mag: float | None = field(default=None, metadata=OPTIONAL)
    total_err_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: With statistical and systematic error.
    calibrated_mag: float | None = field(default=None, metadata=OPTIONAL)
    calibrated_err_mag: float | None = field(default=None, metadata=OPTIONAL)
    calibrated_sys_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: Robust weight in the joint solution, from 0 to 1.
    weight: float | None = field(default=None, metadata=OPTIONAL)
    #: Whether the offsets were solved from it.
    in_solve: bool | None = field(default=None, metadata=OPTIONAL)
    #: Parts of the correction by level.
    offsets_mag: Mapping[str, float]
    #: Model less calibrated magnitude.
    residual_mag: float
    #: Calibrated magnitude less the star's mean; NaN where there is no mean.
    from_mean_mag: float
    #: Names of those that are set.
    flags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StarExplanation(Explanation):
    """What makes up a star's magnitudes."""

    #: Identifier in the reference catalogue.
    star: int
    #: Whether the run trained a colour model, which stars can be unlike.
    trained: bool
    mean: StarMean
    #: Flags of any of its detections, and what they say in words.
    flags: Mapping[str, str]
    model: ModelMagnitude
    #: In order of time.
    detections: tuple[StarDetection, ...]


def explain_star(run: OpenedRun, rows: IntArray) -> StarExplanation:
    """Return all that a run says of a star.

    Parameters
    ----------
    rows : ndarray of int64
        Its detections in stars.parquet.
    """
    data = run.data
    source = int(data.star("source_id")[rows[0]])
    mean = _mean(run, source)
    flags = int(np.bitwise_or.reduce(data.star("flags")[rows]))
    return StarExplanation(
        **run.head("star"),
        star=source,
        trained=data.summary["colour_model"].get("training_stars") != 0,
        mean=mean,
        flags={name: FLAG_WORDS[name] for name in flag_names(flags)},
        model=_model(run, int(rows[0])),
        detections=tuple(
            _detection(run, int(row), mean.mag_cal)
            for row in rows[np.argsort(data.star("mjd")[rows], kind="stable")]
        ),
    )


def _model(run: OpenedRun, row: int) -> ModelMagnitude:
    data = run.data
    colour0, extinction, predicted = (
        float(data.star(name)[row]) for name in ("colour0", "extinction", "mag_model")
    )
    ratio = float(data.law.ratio(np.array([colour0]), np.array([extinction]))[0])
    return ModelMagnitude(
        reference_band=data.reference_band,
        reference_mag=predicted - data.absolute_shift_mag - colour0 - ratio * extinction,
        colour0_mag=colour0,
        ratio=ratio,
        extinction_mag=extinction,
        reddening_mag=ratio * extinction,
        predicted_mag=predicted,
    )


def _detection(run: OpenedRun, row: int, mean_mag: float | None) -> StarDetection:
    data = run.data
    known = {
        name: data.star(column)[row].item()
        for name, column in DETECTION.items()
        if data.has(column)
    }
    return StarDetection(
        visit=data.visits[data.visit_code[row]],
        **known,
        offsets_mag={
            name.removeprefix("offset_"): float(data.star(name)[row])
            for name in data.correction_columns()
        },
        residual_mag=float(data.residual[row]),
        from_mean_mag=nan if mean_mag is None else known["calibrated_mag"] - mean_mag,
        flags=tuple(flag_names(int(data.star("flags")[row]))),
    )


def _mean(run: OpenedRun, source: int) -> StarMean:
    """Return the star's row of the star catalogue."""
    path = run.products.path / STAR_CATALOGUE
    try:
        table = pq.read_table(path, filters=[("source_id", "=", source)])
    except FileNotFoundError:
        raise DataError(f"{path}: not found; is {path.parent} a finished run?") from None
    except OSError as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    if not table.num_rows:
        return StarMean()
    row = table.slice(0, 1).to_pylist()[0]
    known: dict[str, Any] = {
        each.name: nan if row[each.name] is None else row[each.name]
        for each in fields(StarMean)
        if each.name in row
    }
    return StarMean(**known)
