"""Derived columns against published positions and plain arithmetic."""

import numpy as np
import pytest
from astropy.time import Time

from scrframe.errors import DataError
from scrframe.tables.columns import VOCABULARY
from scrframe.tables.cuts import Cut
from scrframe.tables.table import INPUTS, ColumnTable, derive


def test_galactic_coordinates_of_known_places():
    # The Galactic north pole and centre as the IAU defines them (B1950), here in ICRS, and
    # the star Sirius as SIMBAD gives it.
    table = ColumnTable.from_columns(
        {
            "ra": [192.859508, 266.404988, 101.28715533],
            "dec": [27.128336, -28.936178, -16.71611586],
        }
    )
    derived = derive(table, "detection")
    assert derived["gal_b"] == pytest.approx([90, 0, -8.8902], abs=2e-4)
    assert (derived["gal_l"][1:] + 180) % 360 - 180 == pytest.approx([0, 227.2303 - 360], abs=2e-4)


def test_colours_are_differences_at_their_stage():
    table = ColumnTable.from_columns(
        {"mag": [18.0], "reference_mag": [16.5], "bp_mag": [16.4], "rp_mag": [15.0]}
    )
    assert derive(table, "detection").names == table.names
    derived = derive(table, "reference")
    assert derived["colour"].tolist() == [1.5]
    assert derived["bp_rp"] == pytest.approx([1.4])


def test_only_what_is_asked_for_and_can_be_made():
    table = ColumnTable.from_columns({"ra": [10.0], "dec": [10.0], "mag": [18.0]})
    assert derive(table, "detection", ["gal_b"]).names == ("ra", "dec", "mag", "gal_b")
    assert derive(table, "detection", ["xp_snr"]) is table
    assert derive(table, "reference") is table


def test_a_column_that_is_there_is_kept():
    table = ColumnTable.from_columns({"ra": [10.0], "dec": [10.0], "gal_b": [5.0]})
    assert derive(table, "detection")["gal_b"].tolist() == [5.0]


def test_nan_positions_give_nan():
    table = ColumnTable.from_columns({"ra": [np.nan, 10.0], "dec": [np.nan, 10.0]})
    assert np.isnan(derive(table, "detection")["gal_b"]).tolist() == [True, False]


def test_a_declination_that_is_none_is_refused():
    table = ColumnTable.from_columns({"ra": [10.0, 10.0], "dec": [10.0, 1000.0]})
    with pytest.raises(DataError, match=r"the first \(1000\) in row 1"):
        derive(table, "detection")


def test_every_derived_column_says_what_it_is_made_from():
    assert set(INPUTS) == {column.name for column in VOCABULARY if column.derived}


def test_seasons_run_from_october_to_september():
    # From the calendar: the last moment of September and the first of October.
    dates = [
        ("2011-09-30T23:59:59", 2010),
        ("2011-10-01T00:00:00", 2011),
        ("2011-12-24T12:00:00", 2011),
        ("2012-02-29T00:00:00", 2011),
        ("2012-09-30T23:59:59", 2011),
        ("2012-10-01T00:00:00", 2012),
        ("1969-09-30T23:59:59", 1968),
        ("1969-10-01T00:00:00", 1969),
        ("1858-11-17T00:00:00", 1858),
    ]
    # Any scale will do for what is calendar arithmetic; UTC is not defined before 1960.
    mjd = Time([date for date, _ in dates], scale="tt").mjd
    derived = derive(ColumnTable.from_columns({"mjd": mjd}), "detection")
    assert derived["season"].tolist() == [season for _, season in dates]
    assert derived["season"].dtype == np.int32


def test_without_a_date_there_is_no_season():
    table = derive(ColumnTable.from_columns({"mjd": [np.nan, 55900.0]}), "detection")
    assert table.arrow.column("season").to_pylist() == [None, 2011]
    assert Cut("season != 2000").evaluate(table).tolist() == [False, True]
