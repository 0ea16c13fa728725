"""Every format holds the same; astropy and pandas are the independent readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from scrframe.builtin.survey_loaders.table import loader
from scrframe.errors import DataError
from scrframe.io import detect_format, format_of_name, open_tables

FPACKED = Path(__file__).parents[3] / "io" / "fits" / "data"
ROWS = 60
NAMES = ("t.parquet", "t.csv", "t.csv.gz", "t.ecsv", "t.vot", "t.fits", "t.fits.gz")
READERS = {
    "t.parquet": lambda path: Table.from_pandas(pd.read_parquet(path)),
    "t.csv": lambda path: Table.read(path, format="ascii.csv"),
    "t.csv.gz": lambda path: Table.read(path, format="ascii.csv"),
    "t.ecsv": lambda path: Table.read(path, format="ascii.ecsv"),
    "t.vot": lambda path: Table.read(path, format="votable"),
    "t.fits": Table.read,
    "t.fits.gz": Table.read,
}


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_an_independent_reader_reads(name, tmp_path, columns, configure, read, write):
    path = write(tmp_path / name, columns)
    found = read(configure(name))
    table = READERS[name](path)
    assert len(found) == len(table) == ROWS
    for own, other in (("x", "xpos"), ("mjd", "mjd")):
        np.testing.assert_array_equal(found[own], np.asarray(table[other]))
    # FITS and Parquet keep single precision, text holds its digits.
    stellarity = np.asarray(table["stellarity"], dtype=np.float32)
    np.testing.assert_array_equal(found["class_star"].astype(np.float32), stellarity)
    assert [str(each) for each in found["visit"]] == [str(each) for each in table["exp"]]
    assert list(found["band"]) == [str(each) for each in table["filter"]]
    np.testing.assert_array_equal(found["ccd"], table["det"])
    np.testing.assert_array_equal(found["y"], np.asarray(table["ypos"]) + 1)
    np.testing.assert_array_equal(found["row"], np.arange(ROWS))
    assert set(found["file"]) == {name}


@pytest.mark.parametrize("name", NAMES[1:])
def test_formats_agree(name, tmp_path, columns, configure, read, write, assert_same):
    write(tmp_path / name, columns)
    write(tmp_path / "t.parquet", columns)
    keys = {"rows": ["filter == 'u'", "xpos > 3 and flags != 2"], "flags": ["bad"]}
    one, other = (read(configure(each, **keys)) for each in (name, "t.parquet"))
    assert 0 < len(one) < ROWS
    assert_same(one, other, "file", "extension", "class_star")


@pytest.mark.parametrize("name", NAMES)
def test_blocks_make_no_difference(
    name, tmp_path, columns, configure, read, monkeypatch, write, assert_same
):
    write(tmp_path / name, columns)
    config = configure(name, rows=["flags < 12"])
    whole = read(config)
    monkeypatch.setattr("scrframe.io.table_file.BLOCK_ROWS", 7)
    monkeypatch.setattr("scrframe.io.text.BLOCK_BYTES", 2000)
    (table,) = open_tables(tmp_path / name, "auto", None)
    assert len(list(table.blocks(["exp"]))) > 1
    assert_same(read(config), whole)


def test_format_is_found_by_content(tmp_path, columns, write):
    for name in NAMES:
        path = write(tmp_path / name, columns)
        bare = path.rename(tmp_path / f"{name.replace('.', '_')}.dat")
        assert detect_format(bare) == format_of_name(name)


def test_packed_fits():
    """The fixture was made by CFITSIO's ``fpack -table`` from the file beside it."""
    (table,) = open_tables(FPACKED / "fpacked.fits.fz", "auto", None)
    with fits.open(FPACKED / "fpacked.fits") as hdus:
        (block,) = table.blocks(["FLUX", "NAME"])
        assert block.rows[0] == 0
        np.testing.assert_array_equal(block.numbers("FLUX"), hdus[1].data["FLUX"])
        assert block.texts("NAME").to_pylist() == list(hdus[1].data["NAME"])


def test_directory_means_all_files_in_it(tmp_path, columns, configure, read, write, assert_same):
    half = {name: values[:30] for name, values in columns.items()}
    rest = {name: values[30:] for name, values in columns.items()}
    write(tmp_path / "cat" / "a" / "one.parquet", half)
    write(tmp_path / "cat" / "b" / "two.parquet", rest)
    (tmp_path / "cat" / "_SUCCESS").write_text("")
    (tmp_path / "cat" / ".hidden").write_text("")
    found = read(configure("cat"))
    assert len(found) == ROWS
    assert_same(read(configure("cat/**/*.parquet")), found)


def test_large_parquet_files_are_read_in_parts(
    tmp_path, columns, configure, read, write, assert_same
):
    write(tmp_path / "t.parquet", columns)
    config = configure("t.parquet", rows_per_part=20)
    parts = loader.parts(config, tmp_path)
    # Row groups of 16, 16, 16 and 12 rows.
    assert [part.detail["row_groups"] for part in parts] == [(0, 1), (2, 3)]
    assert len({part.key for part in parts}) == 2
    assert_same(read(config), read(configure("t.parquet")))


def test_extensions_are_detectors(tmp_path, columns, configure, read):
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["EXPNUM"] = 4711
    for number in (1, 2, 3):
        part = Table({name: values[number::3] for name, values in columns.items()})
        hdus.append(fits.table_to_hdu(part))
        hdus[-1].header["CCDNUM"] = 10 * number
        hdus[-1].header["EXTNAME"] = f"S{number}"
    fits.HDUList(hdus).writeto(tmp_path / "t.fits")
    mapping = {"visit": {"keyword": "EXPNUM"}, "mjd": {"value": 56000.5}}
    by_keyword = configure("t.fits", hdu="all", columns={**mapping, "ccd": {"keyword": "CCDNUM"}})
    found = read(by_keyword)
    sizes = [len(columns["exp"][number::3]) for number in (1, 2, 3)]
    np.testing.assert_array_equal(found["ccd"], np.repeat([10, 20, 30], sizes))
    np.testing.assert_array_equal(found["extension"], np.repeat([1, 2, 3], sizes))
    np.testing.assert_array_equal(found["row"], np.concatenate([np.arange(n) for n in sizes]))
    assert set(found["visit"]) == {"4711"}
    by_number = configure("t.fits", hdu="all", columns={**mapping, "ccd": {"extension": True}})
    np.testing.assert_array_equal(read(by_number)["ccd"], found["extension"])
    second = read(configure("t.fits", hdu="S2", columns={**mapping, "ccd": {"value": 2}}))
    assert second["x"].tolist() == columns["xpos"][2::3].tolist()
    assert set(second["extension"]) == {2}
    with pytest.raises(DataError, match=r"has no table extension 9; there are: 1 S1, 2 S2, 3 S3"):
        read(configure("t.fits", hdu=9))


def ldac(columns):
    """Return a mosaic of LDAC: for each detector a header of its image, and its table."""
    hdus = [fits.PrimaryHDU()]
    for ccd in (3, 7):
        rows = np.asarray(columns["det"]) % 2 == ccd % 3 % 2
        cards = fits.Header([("CCDNUM", ccd), ("MJD-OBS", 56000.25)]).tostring(padding=False)
        head = fits.Column("Field Header Card", f"{len(cards)}A", array=np.array([cards]))
        hdus.append(fits.BinTableHDU.from_columns([head], name="LDAC_IMHEAD"))
        table = Table({name: values[rows] for name, values in columns.items()})
        table["FLUX_APER"] = np.array([table["flux"] + 1, table["flux"]]).T
        hdus.append(fits.table_to_hdu(table))
        hdus[-1].name = "LDAC_OBJECTS"
    return fits.HDUList(hdus)


@pytest.mark.parametrize("keys", [{"format": "ldac"}, {"hdu": "LDAC_OBJECTS"}])
def test_mosaics_of_ldac(keys, tmp_path, columns, configure, read):
    ldac(columns).writeto(tmp_path / "night12_3.cat")
    mapping = {
        "visit": {"filename": r"night(\d+)_"},
        "field": {"filename": "_[0-9]"},
        "ccd": {"keyword": "CCDNUM"},
        "mjd": {"keyword": "MJD-OBS"},
        "mag": {"column": "FLUX_APER[1]", "unit": "nJy"},
    }
    found = read(configure("night12_3.cat", columns=mapping, **keys))
    assert np.unique(found["extension"]).tolist() == [2, 4]
    assert (found["ccd"] == np.where(found["extension"] == 2, 3, 7)).all()
    assert (found["visit"] == "12").all() and (found["field"] == "_3").all()
    assert (found["mjd"] == 56000.25).all()
    flux = np.concatenate([columns["flux"][columns["det"] % 2 == side] for side in (0, 1)])
    good = flux > 0
    np.testing.assert_allclose(found["mag"][good], 31.4 - 2.5 * np.log10(flux[good]), atol=1e-3)
    other = configure("night12_3.cat", columns={**mapping, "visit": {"filename": "x(.)"}}, **keys)
    with pytest.raises(DataError, match=r'night12_3\.cat: the name has no match of "x\(\.\)"'):
        read(other)


def test_no_ldac(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.fits", columns)
    with pytest.raises(DataError, match="holds no table LDAC_OBJECTS or OBJECTS, so it is no LDAC"):
        read(configure("t.fits", format="ldac"))
