"""The null tests of a finished run, and the anomalies in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.cluster import hierarchy

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.anomalies.search import AnomalyInput, search_detections, search_stars
from scrframe.checks.anomalies.stars import StarRepeats
from scrframe.checks.null_tests.suite import NullTestLimits, StarSample, VisitSample, null_tests
from scrframe.checks.verdict import Anomaly, Limit, NullTestResult
from scrframe.config.results import CheckSettings
from scrframe.errors import DataError
from scrframe.products.columns import ProductColumn, ecsv_table
from scrframe.products.files import to_json, write_ecsv
from scrframe.products.finished_run import RunProducts
from scrframe.products.run_data import RunData
from scrframe.statistics.groups import codes
from scrframe.tables import FLAG_BITS, chord, unit_vectors

#: A first of October, when observing seasons begin, and the length of a year, in d.
SEASON_START, YEAR = 55835.0, 365.2425
#: Fields further apart than this, in deg, are in different regions.
REGION_DEG = 3.0
#: Flags of stars that the training stars do not represent.
OUTSIDE = sum(FLAG_BITS[name] for name in ("outside_spectrum", "outside_shape", "outside_snr"))


def run_checks(
    products: RunProducts, limits: CheckSettings | None = None
) -> tuple[NullTestResult, ...]:
    """Run all null tests of a run, in the order in which they are reported.

    Limits are by default those of the run's description. Raises DataError if a product is missing
    or damaged.
    """
    data = products.data()
    covariance = products.visit_covariance(data.visit_table)
    stars = star_sample(data, covariance)
    visits = visit_sample(data, covariance, stars)
    return null_tests(stars, visits, as_limits(limits or products.survey.checks))


def as_limits(settings: CheckSettings) -> NullTestLimits:
    """Return the limits of a description as the tests take them."""
    sigma = settings.significance
    return NullTestLimits(
        trend=Limit(settings.residual_trend, sigma),
        ccd=Limit(settings.residual_ccd, sigma),
        kinds=Limit(settings.reserved, sigma),
        visit=Limit(settings.visit_trend, sigma),
        pull=Limit(settings.repeats_pull, sigma),
        repeats=Limit(settings.repeats, sigma),
        overlap=Limit(settings.overlaps, sigma),
        step=Limit(settings.ccd_step, sigma),
        place=Limit(settings.ccd_places, sigma),
    )


def star_sample(data: RunData, covariance: FloatArray) -> StarSample:
    """Return the detections as the null tests take them."""
    visit = data.visit_code.astype(np.int64)
    inside = (data.star("flags") & OUTSIDE) == 0
    reserved = data.has("reserved")
    judges = data.star("reserved") if reserved else ~data.star("in_control")
    quantities = {
        "magnitude": data.star("mag_model"),
        "colour": data.star("colour0"),
        "extinction": data.star("extinction"),
    }
    if data.has("domain_distance"):
        quantities["distance"] = data.star("domain_distance").astype(np.float64)
    photometric, exposure = _errors(data, visit, covariance)
    return StarSample(
        residual_mag=data.residual,
        mag=data.star("mag_cal"),
        photometric_err=photometric,
        exposure_err=exposure,
        position=(data.star("ra_deg"), data.star("dec_deg")),
        source=data.star("source_id"),
        ccd=data.ccd.astype(np.int64),
        visit=visit,
        field=_fields(data)[visit],
        region=_regions(data)[visit],
        judges=judges & inside & _predicted_inside(data),
        solved=data.in_solve & (data.weight > 0.5),
        quantities=quantities,
        ccd_offset_mag=data.star("offset_ccd") if data.has("offset_ccd") else None,
        reserved=reserved,
    )


def visit_sample(data: RunData, covariance: FloatArray, stars: StarSample) -> VisitSample:
    """Return the visits as the null tests take them."""
    table = data.visit_table
    longitude, latitude = _galactic(table.ra_deg, table.dec_deg)
    field = _fields(data)
    count = np.bincount(stars.visit, minlength=len(table))
    quantities = {"latitude": latitude, "longitude": longitude, "time": table.mjd}
    if np.isfinite(table.airmass).any():
        quantities["airmass"] = table.airmass
    means = {
        "extinction": data.star("extinction"),
        "colour": data.star("colour0"),
        "control": data.star("in_control"),
    }
    with np.errstate(invalid="ignore"):
        for name, values in means.items():
            quantities[name] = np.bincount(stars.visit, values, len(table)) / count
        if data.has("feh"):  # not known of every star
            known = np.isfinite(data.star("feh"))
            visit, feh = stars.visit[known], data.star("feh")[known]
            number = np.bincount(visit, minlength=len(table))
            quantities["metallicity"] = np.bincount(visit, feh, len(table)) / number
    night = codes(np.floor(np.nan_to_num(table.mjd, nan=-1.0)))
    phase = (table.mjd - SEASON_START) / YEAR % 1
    return VisitSample(table.offset_mag, covariance, field, night, table.mjd, phase, quantities)


def _fields(data: RunData) -> IntArray:
    """Return a number for the field of each visit; a visit without a field is one by itself."""
    names = np.asarray(data.visit_table.field, dtype=str)
    return codes(np.where(names == "", np.asarray(data.visits, dtype=str), names))


def _regions(data: RunData) -> IntArray:
    """Return a number for the region of each visit: fields of which no two are far apart."""
    field = _fields(data)
    first = np.unique(field, return_index=True)[1]
    table = data.visit_table
    centre = unit_vectors(table.ra_deg[first], table.dec_deg[first])
    known = np.flatnonzero(np.isfinite(centre).all(axis=1))
    region = np.zeros(len(first), dtype=np.int64)
    if len(known) > 1:
        tree = hierarchy.complete(centre[known])
        region[known] = hierarchy.fcluster(tree, chord(REGION_DEG), criterion="distance")
    return codes(region)[field]


def _errors(
    data: RunData, visit: IntArray, covariance: FloatArray
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the errors of detections, and of exposures less what the visits have in common."""
    if not data.has("mag_cal_err"):
        return None, None
    whole, offset = data.star("mag_cal_err"), data.star("offset_total_err")
    common = np.nan_to_num(np.diag(covariance))[visit]
    photometric = np.sqrt(np.maximum(whole**2 - offset**2, 0.0))
    return photometric, np.sqrt(np.maximum(offset**2 - common, 0.0))


def _predicted_inside(data: RunData) -> BoolArray:
    """Return which detections are predicted within the magnitudes of the solve, shape (n,).

    Beyond them a cut on observed magnitudes keeps those that noise brought in.
    """
    predicted = data.star("mag_model") - data.star("offset_total")
    solved = predicted[data.in_solve & np.isfinite(predicted)]
    if not len(solved):
        return np.asarray(np.isfinite(predicted))
    return np.asarray((predicted >= solved.min()) & (predicted <= solved.max()))


def _galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Galactic longitude, from the widest gap on, and latitude in deg."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    known = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    longitude, latitude = np.full(len(ra_deg), np.nan), np.full(len(ra_deg), np.nan)
    if known.any():
        place = SkyCoord(ra_deg[known], dec_deg[known], unit="deg").galactic
        along = np.sort(place.l.deg)
        gaps = np.diff(along, append=along[0] + 360)
        start = along[(int(np.argmax(gaps)) + 1) % len(along)]
        longitude[known] = start + (place.l.deg - start) % 360
        latitude[known] = place.b.deg
    return longitude, latitude


STAR_CATALOGUE = "star_catalogue.parquet"
#: Columns of the catalogue of stars that the search for variables reads.
STAR_COLUMNS = (
    "source_id",
    "ra_deg",
    "dec_deg",
    "chi2",
    "dof",
    "n_detections",
    "n_visits",
    "photometric_err",
    "one_outlier",
)
#: Columns of the table of anomalies.
ANOMALIES = (
    ProductColumn("kind", "", "string", "what it is"),
    ProductColumn("where", "", "string", "where it is, as JSON"),
    ProductColumn("size", "mag", "float64", "by how much it stands out"),
    ProductColumn(
        "significance", "", "float64", "in standard deviations, after the number of trials"
    ),
    ProductColumn("text", "", "string", "in words"),
)
#: Smallest photometric error in mag, against zeros in catalogues.
LEAST_ERR = 1e-4


def find_anomalies(products: RunProducts) -> tuple[Anomaly, ...]:
    """Search a finished run for what stands out, the most significant first, variable stars last.

    Bad columns, rows and regions of the detectors, jumps and drifts in time, visits and exposures
    far from others of their group, exchanged detectors, stars that vary.

    Raises DataError if a product is missing or damaged.
    """
    return (
        *search_detections(anomaly_input(products.data())),
        *_variables(products.path / STAR_CATALOGUE),
    )


def anomaly_input(data: RunData) -> AnomalyInput:
    """Return what the searches look at; detections without a residual are left out."""
    table = data.visit_table
    rows = np.flatnonzero(np.isfinite(data.residual))

    def column(name: str) -> npt.NDArray[Any]:
        return np.asarray(data.star(name)[rows])

    names = data.correction_columns()
    parts = {name: column(name) for name in names}
    none = np.zeros(len(rows))
    visit = parts.pop("offset_visit", none)
    ccd = parts.pop("offset_ccd", none)
    x, y = column("x_pix"), column("y_pix")
    return AnomalyInput(
        visits=data.visits,
        mjd=table.mjd,
        season=table.season,
        field=table.field,
        ccds=data.ccds,
        extent=_extent(data, x, y),
        visit=data.visit_code[rows],
        ccd=np.searchsorted(data.ccds, data.ccd[rows]),
        star=np.unique(column("source_id"), return_inverse=True)[1],
        x=x,
        y=y,
        residual=data.residual[rows],
        err=_photometric_err(data, column("mag_err")),
        offset_visit=visit,
        offset_ccd=ccd,
        offset_map=np.sum(list(parts.values()), axis=0) if parts else none,
        visit_err=table.err_mag,
    )


def write_anomalies(path: Path, anomalies: Sequence[Anomaly]) -> None:
    """Write anomalies as an ECSV table, in place of an older one.

    One row each: kind, size in mag, significance, the sentence, and `where` as JSON.
    """
    where = [json.dumps(to_json(one.where), ensure_ascii=False) for one in anomalies]
    values = {
        "kind": np.array([one.kind for one in anomalies], dtype=str),
        "where": np.array(where, dtype=str),
        "size": np.array([one.size_mag for one in anomalies], dtype=float),
        "significance": np.array([one.significance for one in anomalies], dtype=float),
        "text": np.array([one.text for one in anomalies], dtype=str),
    }
    write_ecsv(ecsv_table(ANOMALIES, values), path)


def _extent(data: RunData, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    if data.camera is not None:
        return float(data.camera.nx), float(data.camera.ny)
    reach = [float(np.ceil(axis.max() - 0.5)) if len(axis) else 1.0 for axis in (x, y)]
    return max(reach[0], 1.0), max(reach[1], 1.0)


def _photometric_err(data: RunData, err: npt.NDArray[Any]) -> FloatArray:
    """Return photometric errors in mag, as estimated where the run has done so."""
    stated = np.asarray(err, dtype=np.float64)
    known = stated[np.isfinite(stated) & (stated > 0)]
    usual = float(np.median(known)) if len(known) else 1.0
    stated = np.where(np.isfinite(stated) & (stated > 0), stated, usual)
    if data.photometry is not None:
        stated = np.hypot(data.photometry.scale * stated, data.photometry.floor_mag)
    return np.asarray(np.maximum(stated, LEAST_ERR))


def _variables(path: Path) -> tuple[Anomaly, ...]:
    if not path.is_file():  # a run of an earlier version
        return ()
    try:
        table = pq.read_table(path, columns=list(STAR_COLUMNS))
    except (OSError, KeyError, pa.ArrowException) as error:
        line = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged: {line}") from None
    star = {name: table.column(name).to_numpy() for name in STAR_COLUMNS}
    repeats = StarRepeats(
        chi2=star["chi2"],
        dof=star["dof"],
        detections=star["n_detections"],
        visits=star["n_visits"],
        err=star["photometric_err"],
        one_outlier=star["one_outlier"],
    )
    return search_stars(repeats, star["source_id"], star["ra_deg"], star["dec_deg"])
