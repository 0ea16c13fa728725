"""The handle on a run says what the run's files say, in tables that astropy and pandas know."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table

import scrframe
from scrframe import FinishedRun
from scrframe.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def run(small_run):
    return scrframe.open_run(small_run)


@pytest.fixture(scope="module")
def sequential(small_sequential):
    return scrframe.open_run(small_sequential)


def test_summary_is_that_of_the_file(run, small_run):
    assert run.summary == json.loads((small_run / "summary.json").read_text())
    figures = run.summary.to_table()
    (row,) = figures[figures["key"] == "offsets.u_ZP_mag"]
    assert (row["value"], row["unit"]) == (run.summary["offsets"]["u_ZP_mag"], "mag")
    assert run.note == run.summary["data_note"] != ""
    assert str(small_run) in repr(run)
    html = run._repr_html_()
    assert f"{run.summary['counts']['calibration']['stars']:,}" in html and run.note in html


def test_visits_have_their_offsets(run, small_run):
    visits, offsets = run.visits, Table.read(small_run / "solution" / "offsets_visit.ecsv")
    known = dict(zip(offsets["visit"], offsets["offset"], strict=True))
    assert visits["offset"].unit == visits["offset_err"].unit == u.mag
    assert [known[visit] for visit in visits["visit"]] == visits["offset"].tolist()
    assert all(column.description for column in visits.columns.values())


def test_exposures_are_those_of_the_solution(run, small_run):
    table = Table.read(small_run / "solution" / "exposures.ecsv")
    assert run.exposures.colnames == table.colnames
    for name in table.colnames:
        assert np.array_equal(run.exposures[name], table[name])
    assert run.exposures.meta["band"] == "u"


def test_exposures_of_mode_sequential_are_what_its_stars_got(sequential):
    stars, exposures = sequential.stars(), sequential.exposures
    offset = {
        (visit, ccd): value
        for visit, ccd, value in zip(
            *(exposures[name] for name in ("visit", "ccd", "offset")), strict=True
        )
    }
    own = np.array(stars["offset_visit"] + stars["offset_ccd"])
    given = [offset[key] for key in zip(stars["visit"], stars["ccd"], strict=True)]
    np.testing.assert_allclose(given, own, rtol=0, atol=1e-12)
    assert np.isnan(exposures["offset_sys"]).all()
    assert (exposures["offset_err"][np.isfinite(exposures["offset"])] > 0).all()


def test_stars_come_with_units_as_asked(run, small_run):
    stars = run.stars(columns=["visit", "mag_cal", "ra_deg"])
    assert stars.colnames == ["visit", "mag_cal", "ra_deg"]
    assert (stars["mag_cal"].unit, stars["ra_deg"].unit) == (u.mag, u.deg)
    assert stars["mag_cal"].description == "mag_obs + offset_total + offset_colour"
    whole = pq.read_table(small_run / "stars.parquet")
    assert run.stars().colnames == whole.column_names
    assert stars["visit"].tolist() == whole["visit"].to_pylist()
    with pytest.raises(DataError, match='no column "mag_call"; did you mean "mag_cal"'):
        run.stars(["mag_call"])


def test_tables_turn_into_arrow_and_pandas(run):
    stars = run.stars(columns=["visit", "mag_cal"])
    arrow, frame = stars.to_arrow(), stars.to_pandas()
    assert arrow.schema.field("mag_cal").metadata[b"unit"] == b"mag"
    assert arrow["visit"].to_pylist() == frame["visit"].tolist() == stars["visit"].tolist()
    assert np.array_equal(frame["mag_cal"], stars["mag_cal"])
    assert run.visits.to_arrow().num_rows == len(run.visits)


def test_star_catalogue(run, small_run):
    table = run.star_catalogue(["source_id", "mag_cal"])
    whole = pq.read_table(small_run / "star_catalogue.parquet")
    assert table["source_id"].tolist() == whole["source_id"].to_pylist()


def test_law_and_checks(run):
    solution = scrframe.read_solution(run.path)
    assert run.law["value"].tolist() == solution.law.coefficients.tolist()
    assert len(run.law.meta["covariance"]) == len(run.law)
    checks = run.checks
    assert len(set(checks["name"])) == len(checks) > 10
    assert set(checks["verdict"]) <= {"passed", "failed", "not testable"}


def test_zero_points(run):
    mag, flux = run.zero_points(), run.zero_points("flux")
    total = np.array(run.exposures["offset"]) + run.summary["offsets"]["u_ZP_mag"]
    np.testing.assert_allclose(mag["zero_point"], total, rtol=0, atol=1e-12)
    np.testing.assert_allclose(flux["flux_scale"], 10 ** (-0.4 * total), rtol=1e-12)
    # A small error of a flux is that of the magnitude over 1.0857.
    relative = np.array(flux["flux_scale_err"] / flux["flux_scale"])
    np.testing.assert_allclose(relative, np.array(mag["zero_point_err"]) / 1.0857362, rtol=1e-6)
    assert mag["level"].tolist() == run.exposures["level"].tolist()
    with pytest.raises(ConfigError, match="system: survey's own, not AB"):
        run.zero_points(unit="AB")
    with pytest.raises(ConfigError, match="expected mag, AB, flux"):
        run.zero_points(unit="Jy")


def test_zero_points_of_a_run_that_is_tied_to_ab(run):
    tied = replace(run.solution, absolute={"system": "AB", "shift_mag": 0.0})
    on_ab = FinishedRun(replace(run._products, solution=tied), run._registry)
    assert on_ab.zero_points("AB").meta["magnitude_system"] == "AB"
    flux = on_ab.zero_points("flux")
    assert flux["flux_zero"].unit == u.nJy
    # A magnitude of 0 that is observed is one of the zero point on AB, by astropy's definition.
    zero = np.array(on_ab.zero_points("AB")["zero_point"])
    np.testing.assert_allclose(flux["flux_zero"], (zero * u.ABmag).to_value(u.nJy), rtol=1e-4)


def test_explain(run):
    visit = str(run.visits["visit"][0])
    explained = run.explain(visit=visit)
    assert explained.offset.visit_mag == pytest.approx(run.visits["offset"][0], abs=1e-9)
    with pytest.raises(ConfigError, match="nothing to explain"):
        run.explain()


def test_plots_are_those_of_the_report(run):
    figure = run.plot.visit_time()
    assert figure.figure.axes and len(figure.data) > 0
    html = figure._repr_html_()
    assert html.startswith("<figure>") and figure.alt in html
    names = [name for name in dir(run.plot) if not name.startswith("_")]
    from scrframe.report.figures.drawing import DRAWINGS

    drawn = [each.__name__.removeprefix("figure_") for each in DRAWINGS.values()]
    assert sorted(names) == sorted(drawn)


def test_astropy_reads_the_products_with_units(small_run):
    """Plain strings: dictionaries are what astropy cannot read."""
    table = Table.read(small_run / "stars.parquet")
    assert table["mag_cal"].unit == u.mag
    assert table["visit"].dtype.kind == "U"
    assert table["delta"].description == "mag_model - mag_obs"


def test_a_run_is_read_without_pandas(small_run):
    code = (
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *more: None if name == 'pandas' else"
        " find(name, *more)\n"
        "import scrframe\n"
        f"run = scrframe.open_run({str(small_run)!r})\n"
        "print(len(run.stars()), run.correct(run.stars(['visit', 'ccd', 'x_pix', 'y_pix',"
        " 'mag_obs', 'mag_err', 'ra_deg', 'dec_deg']))['MAG_CAL'].unit)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rows = pq.read_metadata(small_run / "stars.parquet").num_rows
    assert done.stdout.split() == [str(rows), "mag"]


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(DataError, match="no finished run"):
        scrframe.open_run(tmp_path)
