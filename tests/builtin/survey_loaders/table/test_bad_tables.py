"""Bad input is one clear line that names file, column and row."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable.tree import VOTableFile
from astropy.table import Table
from pydantic import ValidationError

from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.errors import DataError


def changed(columns, name, row, value, kind=None):
    values = np.array(columns[name], dtype=kind or columns[name].dtype)
    values[row] = value
    return {**columns, name: values}


CELLS = {
    "ra": (
        ("ra_rad", 4, 12.0),
        r"t\.parquet, row 4: ra \(column ra_rad\) is 687\.\d+ deg, outside",
    ),
    "dec": (("dec_rad", 4, -2.0), r"row 4: dec \(column dec_rad\) is -114\.\d+ deg, outside -90"),
    "no ra": (("ra_rad", 9, np.nan), r"row 9: ra \(column ra_rad\) has no value"),
    "no x": (("xpos", 59, np.inf), r"row 59: x \(column xpos\) has no value"),
    "no date": (("mjd", 0, np.nan), r"row 0: mjd \(column mjd\) has no value"),
    "half ccd": (("det", 3, 1.5, float), r"row 3: column det is 1\.5, expected a whole number"),
    "huge ccd": (("det", 3, 70000), r"row 3: ccd \(column det\) is too large"),
    "half visit": (("exp", 2, 1.5, float), r"row 2: column exp is 1\.5, which is not a key"),
}


@pytest.mark.parametrize("case", CELLS)
def test_cells(case, tmp_path, columns, configure, read, write):
    change, message = CELLS[case]
    write(tmp_path / "t.parquet", changed(columns, *change))
    with pytest.raises(DataError, match=message):
        read(configure("t.parquet"))


def test_text_among_numbers(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.csv", changed(columns, "xpos", 31, "12 px", "U20"))
    with pytest.raises(DataError, match=r't\.csv, row 31: column xpos is "12 px", expected a num'):
        read(configure("t.csv"))
    write(tmp_path / "t.csv", changed(columns, "det", 31, "S1", "U20"))
    with pytest.raises(DataError, match=r'row 31: column det is "S1", expected a whole number'):
        read(configure("t.csv"))


def test_text_columns_and_arrays(tmp_path, columns, configure, read, write):
    for name in ("t.parquet", "t.fits", "t.vot"):
        write(tmp_path / name, columns)
        with pytest.raises(DataError, match=r'row 0: column filter is "[ug]", expected a number'):
            read(configure(name, columns={"x": "filter"}))
    write(tmp_path / "a.fits", {**columns, "xy": np.ones((60, 2))})
    with pytest.raises(DataError, match="extension 1: column xy holds arrays, not numbers"):
        read(configure("a.fits", columns={"x": "xy"}))


def test_missing_columns_are_named_with_near_misses(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.parquet", columns)
    for keys, message in (
        (
            {"columns": {"mag": {"column": "fluxx", "unit": "nJy"}}},
            r'no column "fluxx" \(columns\.mag\); did you mean "flux"',
        ),
        ({"columns": {"x": None}}, r'has no column "x" \(x, which is not mapped\)'),
        ({"flags": ["flagz"]}, r'has no column "flagz" \(flags\); did you mean "flags"'),
        ({"rows": ["band == 'u'"]}, r'no column "band" \(the cut "band == \'u\'" of rows\)'),
        ({"columns": {"ccd": {"keyword": "CCD"}}}, r"has no keyword CCD \(columns\.ccd\)"),
    ):
        with pytest.raises(DataError, match=message):
            read(configure("t.parquet", **keys))


def test_units_that_contradict_the_file(tmp_path, columns, configure, read):
    from astropy.table import Table

    table = Table(columns)
    table["ra_rad"].unit = "deg"
    table.write(tmp_path / "t.ecsv")
    with pytest.raises(DataError, match="column ra_rad has the unit deg in the file, but rad in"):
        read(configure("t.ecsv"))
    table["ra_rad"].unit = "rad"
    table["xpos"].unit = "s"
    table.write(tmp_path / "t.ecsv", overwrite=True)
    with pytest.raises(DataError, match=r'x \(column xpos\) has the unit "s", which does not conv'):
        read(configure("t.ecsv"))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz", "t.fits", "t.vot"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_files_cut_short(name, share, tmp_path, columns, configure, read, write):
    path = write(tmp_path / name, columns)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=str(path)):
        read(configure(name))


def test_no_files_and_other_files(tmp_path, configure, read):
    with pytest.raises(DataError, match=r"no catalogues match '\*\.csv' below"):
        read(configure("*.csv"))
    (tmp_path / "t.csv").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        read(configure("t.csv"))
    (tmp_path / "t.csv").write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(DataError, match="is no Parquet, FITS, VOTable, HDF5, CSV or ECSV file"):
        read(configure("t.csv"))
    (tmp_path / "t.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(DataError, match='has two columns called "a"'):
        read(configure("t.csv"))


def test_tables_without_rows_are_read(tmp_path, columns, configure, read, write):
    for name in ("t.parquet", "t.csv", "t.fits"):
        write(tmp_path / name, {key: values[:0] for key, values in columns.items()})
        assert len(read(configure(name))) == 0


SETTINGS = {
    "unknown unit": ({"columns": {"ra": {"column": "a", "unit": "degg"}}}, "degg"),
    "wrong unit": ({"columns": {"ra": {"column": "a", "unit": "s"}}}, "does not convert to deg"),
    "unit of none": ({"columns": {"airmass": {"column": "a", "unit": "s"}}}, "takes none"),
    "counts": ({"columns": {"mag": {"column": "a", "unit": "adu"}}}, "need a zero_point"),
    "mag and zero": (
        {"columns": {"mag": {"column": "a", "unit": "mag", "zero_point": 25}}},
        "needs no zero_point",
    ),
    "flux error": ({"columns": {"mag_err": {"column": "a", "unit": "nJy"}}}, "mag is no flux"),
    "two origins": ({"columns": {"x": {"column": "a", "value": 1}}}, "it has column and value"),
    "no origin": ({"columns": {"x": {"unit": "pix"}}}, "it has none of them"),
    "number": ({"columns": {"field": 3}}, "a constant is written"),
    "derived": ({"columns": {"gal_b": "b"}}, "scrframe makes itself"),
    "made": ({"columns": {"row": "b"}}, "scrframe makes itself"),
    "star's": ({"columns": {"source_id": "b"}}, "scrframe makes itself"),
    "near miss": ({"columns": {"mag-err": "b"}}, "mag_err"),
    "template": ({"columns": {"visit": {"template": "x"}}}, "columns in braces"),
    "expression": ({"columns": {"x": {"expression": "x +"}}}, "is not an expression"),
    "root": ({"files": "/data/*"}, "not a pattern of files below"),
    "above": ({"files": "../*"}, "not a pattern of files below"),
    "bits": ({"flags": [{"column": "a", "bits": [64]}]}, "bits are 0 to 63"),
    "both": ({"flags": [{"column": "a", "bits": [1], "mask": 2}]}, "not both"),
    "cut": ({"rows": ["a ="]}, "is not an expression"),
    "camera twice": (
        {"camera": {"pixels": [10, 10], "pixel_scale": "1 arcsec", "rows": [[1, 1]]}},
        "has detector 1 twice",
    ),
    "no camera": (
        {"camera": {"pixels": [10, 10], "pixel_scale": "1 arcsec"}},
        "needs rows or detectors",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_meant(case):
    keys, message = SETTINGS[case]
    with pytest.raises(ValidationError, match=message):
        TableConfig.model_validate(keys)


def test_numbers_that_stand_for_no_pixel(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.parquet", changed(columns, "xpos", slice(0, 12), -999.0))
    with pytest.raises(DataError, match=r"row 0: x \(column xpos\) is -999, as 12 rows are"):
        read(configure("t.parquet"))
    found = read(configure("t.parquet", rows=["xpos > -999"]))
    assert len(found) == len(columns["xpos"]) - 12


def test_errors_in_another_unit(tmp_path, columns, configure, read, write):
    rows = len(columns["xpos"])
    own = {"m": np.linspace(14, 20, rows), "e": np.linspace(20, 90, rows)}
    write(tmp_path / "t.parquet", {**columns, **own})
    with pytest.raises(DataError, match=r"mag_err \(column e\) is 20 .* in 60 of 60 rows.*mmag"):
        read(configure("t.parquet", columns={"mag": "m", "mag_err": "e"}))
    found = read(
        configure("t.parquet", columns={"mag": "m", "mag_err": {"column": "e", "unit": "mmag"}})
    )
    np.testing.assert_allclose(found["mag_err"], own["e"] / 1000)


def test_one_of_several_tables_is_not_taken_unasked(tmp_path, columns, configure, read):
    table = fits.BinTableHDU(Table(columns))
    other = fits.BinTableHDU(Table({"xpos": columns["xpos"]}))
    fits.HDUList([fits.PrimaryHDU(), other, table]).writeto(tmp_path / "a.fits")
    assert len(read(configure("a.fits", hdu=2))) == len(columns["xpos"])
    fits.HDUList([fits.PrimaryHDU(), table, other]).writeto(tmp_path / "b.fits")
    assert len(read(configure("b.fits"))) == len(columns["xpos"])  # the other has not the columns
    fits.HDUList([fits.PrimaryHDU(), table, table.copy()]).writeto(tmp_path / "c.fits")
    with pytest.raises(DataError, match=r"c\.fits: extensions 1 and 2 both have the columns; set"):
        read(configure("c.fits"))
    assert len(read(configure("c.fits", hdu="all"))) == 2 * len(columns["xpos"])
    votable = VOTableFile.from_table(Table(columns))
    votable.resources[0].tables.append(VOTableFile.from_table(Table(columns)).get_first_table())
    votable.to_xml(str(tmp_path / "t.vot"))
    with pytest.raises(DataError, match=r"t\.vot: has several tables of the same columns"):
        read(configure("t.vot"))


def test_keywords_in_any_case_and_dates_of_any_zone(tmp_path, columns, configure, read, recwarn):
    table = fits.BinTableHDU(Table(columns))
    table.header["DATE-OBS"] = "2015-03-01T06:00:00+05:00"
    table.writeto(tmp_path / "t.fits")
    found = read(configure("t.fits", columns={"mjd": {"keyword": "date-obs", "unit": "iso"}}))
    assert found["mjd"].tolist() == [57082 + 1 / 24] * len(found)
    assert not list(recwarn)
