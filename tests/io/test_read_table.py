"""Tables that a user supplies: every format gives the same columns, and damage one line."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from scrframe.errors import DataError
from scrframe.io import read_table

IDS = np.array([2**62 + 1, 5, 7])
MAG = np.array([18.25, np.nan, 17.5])


def table():
    found = Table({"Source_ID": IDS, "u_mag": MaskedColumn(MAG, mask=np.isnan(MAG), unit=u.mag)})
    found["name"] = ["a", "b", "c"]
    return found


def write_parquet(path):
    columns = {"Source_ID": IDS, "u_mag": pa.array(MAG, from_pandas=True), "name": ["a", "b", "c"]}
    written = pa.table(columns)
    field = written.schema.field("u_mag").with_metadata({"unit": "mag"})
    pq.write_table(written.cast(written.schema.set(1, field)), path)


def write_csv_gz(path):
    with gzip.open(path, "wt") as handle:
        handle.write(f"# a comment\nSource_ID,u_mag,name\n{IDS[0]},18.25,a\n5,null,b\n7,17.5,c\n")


WRITERS = {
    "standards.fits": lambda path: table().write(path),
    "standards.fits.gz": lambda path: table().write(path, format="fits"),
    "standards.ecsv": lambda path: table().write(path),
    "standards.vot": lambda path: table().write(path, format="votable"),
    "standards.csv": lambda path: table().write(path, format="ascii.csv"),
    "standards.dat": lambda path: table().filled(np.nan).write(path, format="ascii.basic"),
    "standards.parquet": write_parquet,
    "standards.csv.gz": write_csv_gz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_columns(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    found = read_table(path, ["source_id", "u_mag"])
    assert found.identifiers("source_id").tolist() == IDS.tolist()
    np.testing.assert_array_equal(found.numbers("u_mag"), MAG)
    if not name.startswith(("standards.csv", "standards.dat")):
        assert found.units == {"u_mag": "mag"}


def test_the_fits_table_with_the_columns_is_taken(tmp_path):
    path = tmp_path / "two.fits"
    other = fits.BinTableHDU(Table({"nothing": [1]}))
    fits.HDUList([fits.PrimaryHDU(), other, fits.BinTableHDU(table())]).writeto(path)
    assert read_table(path, ["U_MAG"]).numbers("U_MAG")[0] == 18.25


@pytest.mark.parametrize("text", ["500 0.1\n600 0.9\n", "# lambda T\n 500,0.1\n 600,0.9\n"])
def test_a_text_without_names_has_numbered_columns(text, tmp_path):
    path = tmp_path / "band.dat"
    path.write_text(text)
    found = read_table(path, ["col1", "col2"])
    assert found.numbers("col1").tolist() == [500, 600]
    assert found.numbers("col2").tolist() == [0.1, 0.9]


def truncated(suffix):
    def write(path):
        WRITERS[f"standards.{suffix}"](path)
        path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])

    return write


DAMAGED = {
    "missing.fits": (lambda path: None, "no such file"),
    "empty.csv": (lambda path: path.write_text(" \n"), "the file is empty"),
    "binary.csv": (
        lambda path: path.write_bytes(b"a\0b"),
        "is no Parquet, FITS, VOTable, HDF5",
    ),
    "cut.fits": (truncated("fits"), "extension 1: the file is truncated, 2880 bytes"),
    "cut.vot": (truncated("vot"), "is not a readable VOTable"),
    "cut.parquet": (truncated("parquet"), "is not a readable Parquet file"),
    "cut.csv.gz": (truncated("csv.gz"), "cannot be read"),
    "ragged.csv": (lambda path: path.write_text("u_mag,b\n1,2\n3\n"), "cannot be read as text"),
    "image.fits": (lambda path: fits.PrimaryHDU(np.ones((2, 2))).writeto(path), "no table"),
    "header.csv": (lambda path: path.write_text("u_mag,source_id\n"), "holds no row"),
    "other.csv": (
        lambda path: path.write_text("umag,b\n1,2\n"),
        'has no column u_mag; did you mean "umag"?; there are: umag, b',
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_wrong_is_said_in_one_line(name, tmp_path):
    write, said = DAMAGED[name]
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError) as caught:
        read_table(path, ["u_mag"])
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert said in message


def test_columns_of_the_wrong_kind_are_refused(tmp_path):
    path = tmp_path / "standards.ecsv"
    found = table()
    found["half"] = MaskedColumn([1, 2, 3], mask=[True, False, True])
    found.write(path)
    columns = read_table(path, ["name", "u_mag", "half"])
    with pytest.raises(DataError, match=r'row 0: column name is "a", expected a number'):
        columns.numbers("name")
    with pytest.raises(DataError, match=r'u_mag is "18\.25", expected a whole number'):
        columns.integers("u_mag")
    with pytest.raises(DataError, match=r"row 0: column half has no value.*and 1 more"):
        columns.integers("half")
