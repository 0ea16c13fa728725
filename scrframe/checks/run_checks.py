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

from scrframe.arrays import FloatArray
from scrframe.checks.anomalies.search import AnomalyInput, search_detections, search_stars
from scrframe.checks.anomalies.stars import StarRepeats
from scrframe.checks.nuisance import nuisance_mag
from scrframe.checks.null_tests.suite import null_tests
from scrframe.checks.samples import as_limits, extent, star_sample, stated_error_mag, visit_sample
from scrframe.checks.verdict import Anomaly, NullTestResult
from scrframe.config.results import CheckSettings
from scrframe.errors import DataError
from scrframe.products.columns import ProductColumn, ecsv_table
from scrframe.products.files import to_json, write_ecsv
from scrframe.products.finished_run import RunProducts
from scrframe.products.run_data import RunData


def run_checks(
    products: RunProducts, limits: CheckSettings | None = None
) -> tuple[NullTestResult, ...]:
    """Run all null tests of a run, in the order in which they are reported.

    Limits are by default those of the run's description. Raises DataError if a product is missing
    or damaged.
    """
    data = products.data()
    covariance = products.visit_covariance(data.visit_table)
    stars = star_sample(data, covariance, nuisance_mag(data, products.solution.levels))
    visits = visit_sample(data, covariance, stars)
    settings = limits or products.survey.checks
    return null_tests(stars, visits, as_limits(settings, stated_error_mag(data)))


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
        extent=extent(data),
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
