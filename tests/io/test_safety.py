"""No address is requested because a file names it, and small files do not unpack to gigabytes."""

import bz2
import gzip
import lzma
import urllib.request

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from scrframe.errors import DataError
from scrframe.io import compressed, open_tables, read_table
from scrframe.io.block import Block
from scrframe.io.fits import open_fits, table_fields

VOTABLE = (
    '<?xml version="1.0" encoding="{code}"?>{doctype}<VOTABLE version="1.3"><RESOURCE><TABLE{rows}>'
    '<FIELD name="a" datatype="double"{size}/><DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>'
)
PLAIN = {"code": "utf-8", "doctype": "", "rows": "", "size": ""}
CELLS = "<TABLEDATA><TR><TD>1.5</TD></TR></TABLEDATA>"
HREF = '<BINARY><STREAM actuate="a>b" xlink:href="http://localhost/x" href="http://localhost/x"/>'
ENTITY = '<!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "http://localhost/x">]>'


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"data": HREF + "</BINARY>"}, "another file .STREAM href."),
        ({"data": HREF + "</BINARY>", "code": "utf-16"}, "another file .STREAM href."),
        ({"data": CELLS, "doctype": ENTITY}, "defines the entity x"),
        ({"data": CELLS, "rows": ' nrows="30000000000"'}, "states 30000000000 rows"),
        ({"data": CELLS, "size": ' arraysize="20000x50000"'}, "states 1 rows of 16000000000 bytes"),
    ],
)
def test_votables_that_reach_out_or_claim_too_much(parts, says, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: pytest.fail("an address was asked"))
    path = tmp_path / "t.vot"
    text = VOTABLE.format(**{**PLAIN, **parts})
    path.write_text(text.replace("<VOTABLE ", '<VOTABLE xmlns:xlink="x" ', 1), parts.get("code"))
    with pytest.raises(DataError, match=rf"t\.vot: .*{says}"):
        open_tables(path, "votable")


def test_a_plain_votable_is_read(tmp_path):
    path = tmp_path / "t.vot"
    path.write_text(VOTABLE.format(**PLAIN, data=CELLS))
    assert read_table(path, ["a"]).numbers("a").tolist() == [1.5]


def test_what_lies_in_other_hdf5_files_is_not_read(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(3)
    source = h5py.VirtualSource(tmp_path / "other.h5", "secret", shape=(3,))
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = source
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["own"] = np.arange(3)
        file["linked"] = h5py.ExternalLink("other.h5", "secret")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (3,), "i8", external=[(str(tmp_path / "raw"), 0, 24)])
    assert open_tables(tmp_path / "t.h5")[0].names == ("own",)


def test_hdf5_datasets_that_hold_nothing_of_what_they_state(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("a", (10**10,), "f8", chunks=(1024,))
    with pytest.raises(DataError, match=r"t\.h5: 0 bytes unpack to 80000000000"):
        open_tables(tmp_path / "t.h5")


@pytest.mark.parametrize("name", ["t.fits.gz", "t.csv.gz", "t.vot.gz"])
def test_gzipped_bombs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed, "_MOST_BYTES", 1 << 20)
    heads = {"t.csv.gz": b"a,b\n" + b"1,2\n" * 100, "t.vot.gz": b"<?xml version='1.0'?><VOTABLE>"}
    head = heads.get(name, b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800))
    body = b"1,2\n" if "csv" in name else b" "
    (tmp_path / name).write_bytes(gzip.compress(head + body * ((8 << 20) // len(body)), 9))
    with pytest.raises(DataError, match=rf"{name}: \d+ bytes unpack to \d+ and more"):
        for block in open_tables(tmp_path / name)[0].blocks(["a"]):
            assert len(block)


def test_fits_tables_of_rows_without_bytes(tmp_path):
    table = fits.BinTableHDU(Table({"a": [1.0]}))
    table.writeto(tmp_path / "t.fits")
    content = (tmp_path / "t.fits").read_bytes()
    for old, new in (
        ("NAXIS1  =                    8", 0),
        ("NAXIS2  =                    1", 10**10),
    ):
        content = content.replace(old.encode(), f"{old[:10]}{new:20d}".encode())
    content = content.replace(b"'D       '", b"'0D      '")[:5760]
    (tmp_path / "t.fits").write_bytes(content)
    with pytest.raises(DataError, match="extension 1: states 10000000000 rows of no bytes"):
        table_fields(open_fits(tmp_path / "t.fits").hdus[1])


ARRAYS = {
    "[1.5, 2.5]": [1.5, 2.5],
    "(1.5, 2.5)": [1.5, 2.5],
    "{1.5,2.5}": [1.5, 2.5],
    "1.5, 2.5": [1.5, 2.5],
    " [ 1.5 , nan ] ": [1.5, np.nan],
    "": [np.nan, np.nan],
    **dict.fromkeys(
        (
            "[1.5, 2.5",
            "1.5, 2.5]",
            "[1.5, 2.5)",
            "[1.5 2.5]",
            "[1.5,,2.5]",
            "[1.5, 2.5 x]",
            "[[1, 2]]",
        )
    ),
}


@pytest.mark.parametrize("text", ARRAYS)
def test_arrays_in_text_are_read_wholly_or_not_at_all(text):
    block = Block("here", np.arange(2), pa.table({"a": ["[0, 1]", text]}))
    if ARRAYS[text] is None:
        with pytest.raises(DataError, match=r"here, row 1: column a is not an array of numbers"):
            block.matrix("a", 2)
    else:
        np.testing.assert_array_equal(block.matrix("a", 2)[1], ARRAYS[text])


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (["12", "7.0", " 5 "], None, [12, 7, 5]),
        (["4611686018427387905.0"], None, [2**62 + 1]),
        (["1e3"], None, [1000]),
        (["5.9e18"], None, r"digits beyond 2\*\*53 are lost"),
        ([7.0], pa.float64(), [7]),
        ([2.0**60], pa.float64(), r"digits beyond 2\*\*53 are lost"),
        ([2.0**25], pa.float32(), r"digits beyond 2\*\*24 are lost"),
        ([1.5], pa.float64(), "expected a whole number"),
        (["1.5"], None, 'is "1.5", expected a whole number'),
    ],
)
def test_whole_numbers_keep_their_digits(values, kind, says):
    block = Block("here", np.arange(len(values)), pa.table({"a": pa.array(values, kind)}))
    if isinstance(says, str):
        with pytest.raises(DataError, match=f"here, row 0: column a .*{says}"):
            block.identifiers("a")
    else:
        assert block.identifiers("a").tolist() == says


def test_bits_of_unsigned_numbers():
    column = pa.array([2**63, 1, 0], pa.uint64())
    block = Block("here", np.arange(3), pa.table({"a": column}))
    assert block.bits("a", 2**63 + 2).tolist() == [True, False, False]
    assert block.flags("a").to_pylist() == [True, True, False]


def test_elements_of_arrays(tmp_path):
    Table({"m": np.arange(6.0).reshape(2, 3), "n": [1, 2]}).write(tmp_path / "t.fits")
    assert read_table(tmp_path / "t.fits", ["M[1]"]).numbers("M[1]").tolist() == [1, 4]
    with pytest.raises(DataError, match=r"row 0: column m is an array without an element 3"):
        read_table(tmp_path / "t.fits", ["m[3]"])
    with pytest.raises(DataError, match="column n holds int64, not arrays"):
        read_table(tmp_path / "t.fits", ["n[0]"])
    (tmp_path / "t.csv").write_text('m\n"[1, 2]"\n"(3, 4)"\n')
    assert read_table(tmp_path / "t.csv", ["m[1]"]).numbers("m[1]").tolist() == [2, 4]


def test_names_that_fit_several_columns(tmp_path):
    (tmp_path / "t.csv").write_text("Mag,MAG\n1,2\n")
    assert read_table(tmp_path / "t.csv", ["MAG"]).numbers("MAG").tolist() == [2]
    with pytest.raises(DataError, match='has columns Mag and MAG, so that "mag" can be either'):
        read_table(tmp_path / "t.csv", ["mag"])


def test_messages_are_one_printable_line():
    said = str(DataError("t.csv: the text " + "\x1b[31m\n" + "x" * 5000))
    assert said.startswith("t.csv: the text ?[31m xxx") and len(said) < 1100


def test_parquet_of_more_rows_than_a_file_can_mean(tmp_path):
    with pq.ParquetWriter(tmp_path / "t.parquet", pa.schema({"a": pa.null()})) as writer:
        for _ in range(2):
            writer.write_table(pa.table({"a": pa.nulls(20_000_000)}), row_group_size=20_000_000)
    with pytest.raises(DataError, match=r"t\.parquet: states 40000000 rows in \d+ bytes"):
        open_tables(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"Obj\x01", "an Avro file"),
        (b"PK\x03\x04", "a zip or a spreadsheet"),
        (bz2.compress(b"a,b"), "compressed by bzip2"),
        (lzma.compress(b"a,b"), "compressed by xz"),
        (b"ARROW1\0\0", "an Arrow"),
        ("a,b\n1,2\n".encode("utf-16"), "text in UTF-16"),
        (b"<!DOCTYPE HTML><html>", "a web page and no table"),
    ],
)
def test_files_of_other_kinds_are_told_by_name(start, says, tmp_path):
    (tmp_path / "t.csv").write_bytes(start)
    with pytest.raises(DataError, match=rf"t\.csv: is {says}"):
        open_tables(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("said", "is_small"),
    [
        ("malloc of size 393408 failed", True),
        ("Unable to allocate 12.5 KiB for an array with shape (1600,)", True),
        ("realloc of size 39340800000 failed", False),
        ("Unable to allocate 1.25 TiB for an array with shape (10, 10)", False),
    ],
)
def test_files_are_not_blamed_where_memory_is_short(said, is_small, tmp_path, monkeypatch):
    def short(*_, **__):
        raise MemoryError(said)

    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    monkeypatch.setattr(pq, "ParquetFile", short)
    with pytest.raises(MemoryError if is_small else DataError, match=said.partition(" for")[0]):
        open_tables(tmp_path / "t.parquet")
