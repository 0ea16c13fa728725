"""Products of a cross-check: tables of visits and exposures, figures, the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy import units as u
from astropy.table import Table

from scrframe.analysis.crosscheck.page import write_crosscheck_page
from scrframe.analysis.crosscheck.runs import ExposureRows, Found, VisitRows
from scrframe.products.files import CROSSCHECK, CROSSCHECK_VISITS, write_ecsv, write_json

EXPOSURES = "crosscheck_exposures.ecsv"


def write_products(folder: Path, summary: Mapping[str, Any], found: Found) -> None:
    """Write crosscheck.json, crosscheck.ecsv, crosscheck_exposures.ecsv and the page."""
    visits = visit_table(found.visits, summary)
    write_ecsv(visits, folder / CROSSCHECK_VISITS)
    if found.exposures is not None:
        write_ecsv(exposure_table(found.exposures, summary), folder / EXPOSURES)
    write_crosscheck_page(folder, summary, visits)
    write_json(folder / CROSSCHECK, summary)


def visit_table(visits: VisitRows, summary: Mapping[str, Any]) -> Table:
    """Return a row for each visit that both runs have."""
    agreement, errors = visits.agreement, visits.errors
    mag, none = u.mag, None
    columns = (
        ("visit", visits.visit, none, "key of the visit"),
        ("field", visits.field, none, "name of the pointing"),
        ("mjd", visits.mjd, u.d, "modified Julian date"),
        ("stars_a", errors.stars_a, none, "stars of run A"),
        ("stars_b", errors.stars_b, none, "stars of run B"),
        ("stars_shared", errors.shared, none, "stars of both"),
        ("offset_a", visits.offset_a_mag, mag, "offset of the visit in run A"),
        ("offset_b", visits.offset_b_mag, mag, "offset of the visit in run B"),
        ("err_a", visits.err_a_mag, mag, "error that run A states"),
        ("err_b", visits.err_b_mag, mag, "error that run B states"),
        ("difference", agreement.difference_mag, mag, "B less A, the survey's constant removed"),
        ("err", agreement.err_mag, mag, "its error, from what the stars of the runs differ by"),
        ("significance", agreement.significance, none, "difference over err"),
        ("if_independent", visits.if_independent, none, "difference over err_a and err_b"),
        ("judged", agreement.judged, none, "whether both runs have stars enough"),
        ("disagrees", agreement.disagrees, none, "whether the difference is beyond noise"),
        ("outlying", agreement.outlying, none, "whether it is unlike those of other visits"),
    )
    return _table(columns, summary)


def exposure_table(exposures: ExposureRows, summary: Mapping[str, Any]) -> Table:
    """Return a row for each CCD in a visit that has stars of its own in both runs."""
    term, total, errors = exposures.ccd_term, exposures.total, exposures.errors
    mag, none = u.mag, None
    columns = (
        ("visit", exposures.visit, none, "key of the visit"),
        ("ccd", exposures.ccd, none, "number of the detector"),
        ("stars_a", errors.stars_a, none, "stars of run A"),
        ("stars_b", errors.stars_b, none, "stars of run B"),
        ("difference_ccd", term.difference_mag, mag, "B less A of what the CCD adds"),
        ("difference", total.difference_mag, mag, "B less A of visit and CCD together"),
        ("err", errors.err_mag, mag, "error of that, from what the stars differ by"),
        ("significance", total.significance, none, "difference over err"),
        ("judged", total.judged, none, "whether both runs have stars enough"),
        ("disagrees", total.disagrees, none, "whether the difference is beyond noise"),
    )
    return _table(columns, summary)


def _table(columns: Any, summary: Mapping[str, Any]) -> Table:
    table = Table()
    for name, values, unit, meaning in columns:
        table[name] = values
        table[name].unit, table[name].description = unit, meaning
    table.meta = {
        "run_a": summary["runs"]["a"]["directory"],
        "run_b": summary["runs"]["b"]["directory"],
        "min_stars": summary["min_stars"],
        "data_note": summary["data_note"],
    }
    return table
