"""Units, dates, keys, codes, flags and filters; astropy is the judge of units."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.errors import DataError
from scrframe.tables import Detections

PLAIN = {"visit": "v", "ccd": "c", "ra": "ra", "dec": "dec", "mjd": "mjd", "x": "x", "y": "y"}


@pytest.fixture
def small(tmp_path, read):
    """Return a function from columns, a mapping and other keys to the detections."""

    def run(columns, mapping, **keys) -> Detections:
        rows = len(next(iter(columns.values())))
        base = {name: np.ones(rows, int) for name in ("v", "c")}
        base |= {name: np.full(rows, 30.0) for name in ("ra", "dec", "x", "y", "m")}
        base |= {"mjd": np.full(rows, 56030.0), "e": np.full(rows, 0.3)}
        pq.write_table(pa.table({**base, **columns}), tmp_path / "t.parquet")
        mapping = {**PLAIN, "mag": "m", "mag_err": "e", **mapping}
        return read(TableConfig.model_validate({"files": "t.parquet", "columns": mapping, **keys}))

    return run


FLUX = np.array([3631.0, 1e-3, 250.0, -4.0, 0.0, np.nan])


@pytest.mark.parametrize("unit", ["nJy", "uJy", "Jy", "erg / (s cm2 Hz)", "W / (m2 Hz)"])
def test_fluxes_become_ab_magnitudes(small, unit):
    flux = np.append(FLUX * u.mJy.to(unit), np.inf)
    found = small({"f": flux}, {"mag": {"column": "f", "unit": unit}, "mag_err": "e"})
    good = np.append(FLUX > 0, [False])
    expected = (flux[good] * u.Unit(unit)).to_value(u.ABmag)
    np.testing.assert_allclose(found["mag"][good], expected, rtol=0, atol=1e-12)
    assert np.isnan(found["mag"][~good]).all()


def test_nanomaggies(small):
    found = small({"f": [1.0, 1e9]}, {"mag": {"column": "f", "unit": "nmgy"}, "mag_err": "e"})
    np.testing.assert_allclose(found["mag"], [22.5, 0.0], atol=1e-12)


def test_errors_of_fluxes(small):
    """The derivative of -2.5 log10(flux), by finite differences."""
    flux, err = np.array([10.0, 1e4]), np.array([0.5, 30.0])
    mapping = {
        "mag": {"column": "f", "unit": "nJy"},
        "mag_err": {"column": "fe", "unit": "uJy"},
    }
    found = small({"f": flux, "fe": err / 1000}, mapping)
    step = 1e-6 * err
    slope = -2.5 * (np.log10(flux + step) - np.log10(flux - step)) / (2 * step)
    np.testing.assert_allclose(found["mag_err"], -slope * err, rtol=1e-7)


def test_zero_points_of_numbers_and_columns(small):
    counts, zero = np.array([100.0, 1e5]), np.array([25.0, 26.5])
    by_number = small({"f": counts}, {"mag": {"column": "f", "zero_point": 25.3}, "mag_err": "e"})
    np.testing.assert_allclose(by_number["mag"], [20.3, 12.8], atol=1e-12)
    same = small({"f": counts}, {"mag": {"column": "f", "zero_point": "25.3 mag"}, "mag_err": "e"})
    np.testing.assert_array_equal(same["mag"], by_number["mag"])
    by_column = small({"f": counts, "zp": zero}, {"mag": {"column": "f", "zero_point": "zp"}})
    np.testing.assert_allclose(by_column["mag"], [20.0, 14.0], atol=1e-12)
    per_second = {"mag": {"expression": "f / t", "zero_point": 25.0}}
    rate = small({"f": counts, "t": np.array([10.0, 1000.0])}, per_second)
    np.testing.assert_allclose(rate["mag"], [22.5, 20.0], atol=1e-12)


def test_units_of_angles_and_magnitudes(small):
    hours = np.array([0.5, 23.9])
    found = small(
        {"h": hours, "mas": hours * 3.6e6, "m": [17000.0, 18000.0], "e": [2.0, 30.0]},
        {
            "ra": {"column": "h", "unit": "hourangle"},
            "dec": {"column": "mas", "unit": "mas"},
            "mag": {"column": "m", "unit": "mmag"},
            "mag_err": {"column": "e", "unit": "mmag"},
        },
    )
    np.testing.assert_allclose(found["ra"], hours * 15)
    np.testing.assert_allclose(found["dec"], hours)
    np.testing.assert_allclose(found["mag"], [17.0, 18.0])
    np.testing.assert_allclose(found["mag_err"], [0.002, 0.03])


@pytest.mark.parametrize("scale", ["mjd", "jd", "iso"])
def test_dates(small, scale):
    mjd = np.array([55835.123456, 55835.5])
    times = Time(mjd, format="mjd", scale="utc")
    given = {"mjd": mjd, "jd": times.jd, "iso": times.isot}[scale]
    found = small({"t": given}, {"mjd": {"column": "t", "unit": scale}})
    np.testing.assert_allclose(found["mjd"], mjd, rtol=0, atol=2e-8)  # milliseconds in text


def test_texts_of_dates_need_no_unit(small):
    found = small({"t": ["2012-01-01T12:00:00", "2012-01-01 12:00:00"]}, {"mjd": "t"})
    assert (found["mjd"] == Time("2012-01-01T12:00:00").mjd).all()


def test_time_stamps(small):
    stamps = pa.array([1325376000000000], pa.timestamp("us"))  # 2012-01-01
    found = small({"t": stamps}, {"mjd": "t"})
    assert found["mjd"][0] == Time("2012-01-01").mjd


@pytest.mark.parametrize("kind", ["s", "ms", "us", "ns", "date", "zone"])
def test_time_stamps_of_every_resolution(small, kind):
    kinds = {"date": pa.date32(), "zone": pa.timestamp("ns", "UTC")}
    stamps = pa.array([np.datetime64("2012-01-02", "ns")], pa.timestamp("ns"))
    found = small({"t": stamps.cast(kinds.get(kind) or pa.timestamp(kind))}, {"mjd": "t"})
    assert found["mjd"][0] == Time("2012-01-02").mjd


def test_seconds_of_unix(small):
    time = Time("2012-01-01T12:00:00")
    found = small({"t": [time.unix]}, {"mjd": {"column": "t", "unit": "unix"}})
    assert found["mjd"][0] == time.mjd


@pytest.mark.parametrize(
    ("date", "unit", "says"),
    [
        (2457196.8, None, "looks like a Julian date: unit: jd"),
        (7196.8, None, "looks like JD - 2450000: add 49999.5"),
        (1.43e9, None, "looks like seconds of Unix: unit: unix"),
        (2015.4, None, "looks like a year"),
        (1.43e9, "s", "in s does not count from MJD 0: is its unit unix"),
        (1e7, None, "is its unit right"),
    ],
)
def test_dates_that_cannot_be_meant(small, date, unit, says):
    with pytest.raises(DataError, match=rf"t\.parquet, row [01]: mjd \(column t\) .*{says}"):
        small(
            {"t": [date] * 2 if unit else [56000.0, date]}, {"mjd": {"column": "t", "unit": unit}}
        )


@pytest.mark.parametrize("absent", [99.0, -999.0, 31.0])
def test_magnitudes_that_are_none_are_named(small, absent):
    mags = np.append(np.linspace(14, 20, 50), np.full(12, absent))
    with pytest.raises(DataError, match=rf"row 50: mag \(column m\) is {absent:g}, as 12 rows are"):
        small({"m": mags}, {})
    assert np.isnan(small({"m": mags}, {}, missing=[absent])["mag"]).sum() == 12
    shifted = {"mag": {"expression": "m + 25"}}
    assert np.isnan(small({"m": mags - 25}, shifted, missing=[absent - 25])["mag"]).sum() == 12


def test_magnitudes_that_are_clipped_or_repeated_are_measurements(small):
    clipped = np.maximum(np.linspace(11, 20, 90), 12.0)
    assert np.isfinite(small({"m": clipped}, {})["mag"]).all()
    assert np.isfinite(small({"m": np.full(90, 15.0)}, {})["mag"]).all()


def test_right_ascensions_count_on(small):
    found = small({"ra": [-180.0, -0.5, 359.0, 360.5, 540.0]}, {})
    np.testing.assert_allclose(found["ra"], [180, 359.5, 359, 0.5, 180])


def test_dates_of_years_apart_are_no_visit(small):
    with pytest.raises(DataError, match=r"visit 1 has dates from 55000\.0+ to 55002.*single"):
        small({"t": [55000.0, 55002.0]}, {"mjd": "t"})


def test_keys_become_text(small):
    ids = np.array([2**60 + 1, 7])
    assert list(small({"v": ids}, {})["visit"]) == [str(2**60 + 1), "7"]
    assert list(small({"v": [3.0, 7.0]}, {})["visit"]) == ["3", "7"]
    assert list(small({"v": [" a ", "b"]}, {})["visit"]) == ["a", "b"]
    by_template = small({"run": [94, 125], "f": ["a", "b"]}, {"visit": {"template": "r{run}-{f}"}})
    assert list(by_template["visit"]) == ["r94-a", "r125-b"]


def test_codes(small):
    found = small(
        {"name": ["N2", "S1"], "kind": [3, 6]},
        {
            "ccd": {"column": "name", "codes": {"S1": 1, "N2": 33}},
            "classification": {"column": "kind", "codes": {"6": -1, "3": 1}},
        },
    )
    assert found["ccd"].tolist() == [33, 1]
    assert found["classification"].tolist() == [1, -1]


def test_tiles_name_places(small):
    places = {"r": [10.0, 10.2, 359.9, 10.0], "d": [0.1, 0.2, 0.1, 60.1]}
    found = small(places, {"field": {"tile": ["r", "d"], "size": "2 deg"}})["field"]
    assert found[0] == found[1] and len(set(found)) == 3


def test_missing_numbers(small):
    found = small(
        {"m": np.array([99.99, 17.0, -9999.0], np.float32), "e": [0.1, 99.99, 0.1]},
        {},
        missing=[99.99, -9999],
    )
    assert np.isnan(found["mag"]).tolist() == [True, False, True]
    assert np.isnan(found["mag_err"]).tolist() == [False, True, False]


def test_least_errors(small):
    found = small({"e": [0.0, 0.004, 0.5, -1.0]}, {}, min_error="5 mmag")
    np.testing.assert_array_equal(found["mag_err"], [np.nan, 0.005, 0.5, np.nan])


def test_flags_leave_detections_that_do_not_calibrate(small):
    columns = {
        "q": [0, 1, 2, 16, 2**40],
        "bad": pa.array([False, False, None, False, False]),
        "primary": [True, True, True, True, False],
    }
    usable = small(columns, {}, flags=[{"column": "q", "bits": [0, 4, 40]}])["usable"]
    assert usable.tolist() == [True, False, True, False, False]
    assert small(columns, {}, flags=[{"column": "q", "mask": "0x11"}])["usable"].tolist() == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert small(columns, {}, flags=["q"])["usable"].tolist() == [True] + [False] * 4
    # What is not known to be clean is not used.
    assert small(columns, {}, flags=["bad"])["usable"].tolist() == [True, True, False, True, True]
    good = small(columns, {}, flags=[{"column": "primary", "good": True}])["usable"]
    assert good.tolist() == [True] * 4 + [False]
    assert len(small(columns, {}, flags=["q", "bad"])) == 5


def test_rows(small):
    columns = {"b": ["u", "g", "u", None], "id": [2**60, 2**60 + 1, 2**60 + 1, 5]}
    found = small(columns, {"band": "b"}, rows=["b == 'u'", f"id == {2**60 + 1}"])
    assert found["row"].tolist() == [2]
    assert small(columns, {}, rows=["b != 'u'"])["row"].tolist() == [1]


def test_declared_units_are_used_and_compared(tmp_path, read):
    table = Table({name: np.full(3, 0.5) for name in ("ra", "dec", "mjd", "x", "y", "m", "e")})
    table["v"] = table["c"] = 1
    table["mjd"] = 56000.5
    table["ra"].unit = table["dec"].unit = "rad"
    table["m"].unit = "nJy"
    mapping = {**PLAIN, "mag": "m", "mag_err": "e"}
    for name in ("t.ecsv", "t.fits"):
        table.write(tmp_path / name)
        found = read(TableConfig.model_validate({"files": name, "columns": mapping}))
        np.testing.assert_allclose(found["ra"], np.rad2deg(0.5))
        np.testing.assert_allclose(found["mag"], (0.5 * u.nJy).to_value(u.ABmag))


def test_own_columns_and_selection_of_columns(tmp_path, configure, columns, write, read):
    write(tmp_path / "t.parquet", columns)
    config = configure(
        columns={
            "quality": {"column": "flags", "dtype": "integer", "doc": "Flags."},
            "blend": {"column": "bad", "dtype": "flag"},
            "name": {"column": "filter", "dtype": "label"},
        }
    )
    assert [(each.name, each.kind) for each in config.own_columns] == [
        ("class_star", "float64"),
        ("quality", "int64"),
        ("blend", "bool"),
        ("name", "category"),
    ]
    whole = read(config)
    np.testing.assert_array_equal(whole["quality"], columns["flags"])
    np.testing.assert_array_equal(whole["blend"], columns["bad"])
    few = read(config, ["quality"])
    assert set(few.names) == {*Detections.required, "quality"}


SPELT = {
    "ra": ("hours", 15.0),
    "dec": ("DEGREES", 1.0),
    "x": ("PIXELS", 1.0),
    "mag": ("nanomaggies", None),
    "mag_err": ("counts/s", None),
}


def test_spellings_of_units(tmp_path, read):
    table = Table({name: np.full(3, 0.5) for name in ("ra", "dec", "x", "y", "mag", "mag_err")})
    table["mjd"], table["v"], table["c"] = 56000.5, 1, 1
    table.write(tmp_path / "t.fits")
    for name, (unit, _) in SPELT.items():
        fits.setval(
            tmp_path / "t.fits", f"TUNIT{table.colnames.index(name) + 1}", value=unit, ext=1
        )
    columns = {**PLAIN, "mag_err": {"value": 0.1, "unit": "mag"}}
    found = read(TableConfig.model_validate({"files": "t.fits", "columns": columns}))
    assert (found["ra"][0], found["dec"][0], found["x"][0]) == (7.5, 0.5, 0.5)
    np.testing.assert_allclose(found["mag"], 22.5 - 2.5 * np.log10(0.5))
    columns["mag"] = {"column": "mag", "unit": "nmgy"}
    read(TableConfig.model_validate({"files": "t.fits", "columns": columns}))  # the same unit


def test_units_that_nobody_knows_are_said(tmp_path, read):
    table = Table({name: np.full(3, 0.5) for name in ("ra", "dec", "x", "y", "mag", "mag_err")})
    table["mjd"], table["v"], table["c"] = 56000.5, 1, 1
    table.write(tmp_path / "t.fits")
    fits.setval(tmp_path / "t.fits", "TUNIT5", value="furlongs per night", ext=1)
    with pytest.raises(
        DataError, match='column mag has the unit "furlongs per night", which is not'
    ):
        read(TableConfig.model_validate({"files": "t.fits", "columns": PLAIN}))
    columns = {**PLAIN, "mag": {"column": "mag", "unit": "mag"}}
    assert (
        read(TableConfig.model_validate({"files": "t.fits", "columns": columns}))["mag"][0] == 0.5
    )
