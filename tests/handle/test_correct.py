"""Detections in memory are corrected as a catalogue of them is, to the bit."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import Table

import scrframe
from scrframe.errors import CalibrationError, ConfigError, DataError

MODES = ("joint", "sequential")


@pytest.fixture(params=MODES)
def opened(request, small_run, small_sequential):
    return scrframe.open_run({"joint": small_run, "sequential": small_sequential}[request.param])


@pytest.fixture
def run(small_run):
    return scrframe.open_run(small_run)


def catalogue(run) -> pa.Table:
    """Return the corrected catalogue that the run wrote."""
    return pq.read_table(run.path / "catalogues" / "detections.parquet")


def test_a_frame_becomes_the_corrected_catalogue(opened, small_survey):
    frame = opened.correct(pd.read_parquet(small_survey.table))
    written = catalogue(opened).to_pandas()
    assert list(frame.columns) == list(written.columns)
    pd.testing.assert_frame_equal(frame, written, check_exact=True)
    assert np.isfinite(frame["MAG_CAL"]).sum() > 500
    assert frame.attrs["magnitude_system"] == "survey's own"


def test_rows_may_come_in_any_order_and_number(run, small_survey):
    frame = pd.read_parquet(small_survey.table).sample(frac=0.3, random_state=1)
    written = catalogue(run).to_pandas().loc[frame.index]
    pd.testing.assert_frame_equal(run.correct(frame), written, check_exact=True)


@pytest.mark.parametrize("kind", ["astropy", "arrow", "mapping", "records"])
def test_other_kinds_of_tables(run, small_survey, kind):
    arrow = pq.read_table(small_survey.table)
    table = Table({name: arrow[name].to_numpy() for name in arrow.column_names})
    for name in table.colnames:
        if table[name].dtype.kind == "O":
            table[name] = table[name].astype(str)
    given = {
        "astropy": table,
        "arrow": arrow,
        "mapping": {name: np.asarray(table[name]) for name in table.colnames},
        "records": table.as_array(),
    }[kind]
    found = run.correct(given)
    assert type(found) is (
        pa.Table
        if kind == "arrow"
        else type(run.stars(["ccd"]))
        if kind in ("mapping", "records")
        else Table
    )
    expected = catalogue(run)["MAG_CAL"].to_numpy()
    assert np.array_equal(np.asarray(found["MAG_CAL"]), expected, equal_nan=True)
    if kind != "arrow":
        assert found["MAG_CAL"].unit == found["MAG_CAL_ERR"].unit == u.mag
        assert found["OFFSET_LEVEL"].description


def test_the_names_of_the_vocabulary_do(opened):
    """Where a table has not the survey's own columns; dates and fields are the run's."""
    stars = opened.stars()
    names = {"ra": "ra_deg", "dec": "dec_deg", "x": "x_pix", "y": "y_pix", "mag": "mag_obs"}
    plain = stars[["visit", "ccd", "mag_err", *names.values()]]
    found = opened.correct(plain)
    assert np.array_equal(found["MAG_CAL"], stars["mag_cal"], equal_nan=True)
    assert np.array_equal(found["OFFSET_TOTAL"], stars["offset_total"], equal_nan=True)
    own = {f"mine_{name}": np.array(plain[column]) for name, column in names.items()}
    own |= {name: np.array(plain[name]) for name in ("visit", "ccd", "mag_err")}
    named = opened.correct(own, columns={name: f"mine_{name}" for name in names})
    assert np.array_equal(named["MAG_CAL"], stars["mag_cal"], equal_nan=True)


def test_units_are_converted(run):
    stars = run.stars(["visit", "ccd", "mag_err", "ra_deg", "dec_deg", "x_pix", "y_pix", "mag_obs"])
    turned = stars.copy()
    for name in ("ra_deg", "dec_deg"):
        turned[name] = np.deg2rad(stars[name])
        turned[name].unit = "rad"
    there, here = run.correct(turned)["MAG_CAL"], run.correct(stars)["MAG_CAL"]
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-9)
    turned["x_pix"].unit = "s"
    with pytest.raises(DataError, match="x_pix has the unit s; x is in pix"):
        run.correct(turned)


def test_unknown_visits_are_said_in_one_line(run, small_survey):
    frame = pd.read_parquet(small_survey.table)
    frame.loc[frame.index[:7], "image"] = 999
    frame["start"] = 2456000.5  # one date, so that the new visit has one
    with pytest.warns(UserWarning, match="^7 rows of 1 visits .* not corrected: 999$"):
        found = run.correct(frame)
    assert np.isnan(found["MAG_CAL"][:7]).all() and (found["CAL_FLAGS"][:7] & 2 > 0).all()
    with pytest.raises(CalibrationError, match="7 rows"):
        run.correct(frame, unknown_visit="stop")
    with pytest.raises(ConfigError, match="expected flag or stop"):
        run.correct(frame, unknown_visit="guess")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.correct(frame[7:])


def test_what_is_missing_is_said_in_one_line(run, small_survey):
    with pytest.raises(DataError, match="is it corrected"):
        run.correct(run.correct(pd.read_parquet(small_survey.table)))
    stars = run.stars(["visit", "ccd", "mag_obs"])
    with pytest.raises(
        DataError, match=r'no column "dec", "ra", "x", "y", which the correction needs'
    ) as caught:
        run.correct(stars)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="a list is no table"):
        run.correct([1, 2])
    with pytest.raises(DataError, match='names "magn", which is no column of scrframe'):
        run.correct(stars, columns={"magn": "mag_obs"})
    with pytest.raises(DataError, match='the table has no column "MAG_AUTO"'):
        run.correct(stars, columns={"mag": "MAG_AUTO"})


def test_no_row_is_no_error(run, small_survey):
    frame = run.correct(pd.read_parquet(small_survey.table)[:0])
    assert len(frame) == 0 and "MAG_CAL" in frame
