"""Reading columns: what was written, and what astropy and fitsio read."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scrframe.errors import DataError
from scrframe.io.fits import open_fits, read_columns, table_fields

DATA = Path(__file__).parent / "data"


def native(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def by_astropy(path: Path, wanted: dict[int, list[str]]) -> dict[int, dict[str, np.ndarray]]:
    with fits.open(path, memmap=False) as hdus:
        return {
            index: {name: native(np.asarray(hdus[index].data[name])) for name in names}
            for index, names in wanted.items()
        }


def by_fitsio(path: Path, wanted: dict[int, list[str]]) -> dict[int, dict[str, np.ndarray]]:
    fitsio = pytest.importorskip("fitsio")
    with fitsio.FITS(str(path)) as hdus:
        return {
            index: {name: native(hdus[index].read_column(name)) for name in names}
            for index, names in wanted.items()
        }


#: Ours, and two others that cross-check it.
READERS = {"scrframe": read_columns, "astropy": by_astropy, "fitsio": by_fitsio}


def raw_values(rows: int) -> dict[str, tuple[str, np.ndarray]]:
    """Return format and stored values of one column of each kind."""
    generator = np.random.default_rng(5)
    floats = generator.normal(size=rows)
    floats[::7] = np.nan
    floats[3:4] = np.inf
    return {
        "E": ("1E", floats.astype("f4")),
        "D": ("1D", floats),
        "B": ("1B", generator.integers(0, 255, rows).astype("u1")),
        "I": ("1I", generator.integers(-(2**15), 2**15, rows).astype("i2")),
        "J": ("1J", generator.integers(-(2**31), 2**31, rows).astype("i4")),
        "K": ("1K", generator.integers(-(2**62), 2**62, rows).astype("i8")),
        "C": ("1C", (floats + 2j).astype("c8")),
        "V": ("3E", generator.normal(size=(rows, 3)).astype("f4")),
        "A": ("8A", np.array([f"star {n}" for n in range(rows)])),
        "L": ("1L", generator.random(rows) > 0.5),
    }


def write(path: Path, hdus: int = 2, rows: int = 50) -> Path:
    tables = [
        fits.BinTableHDU.from_columns(
            [
                fits.Column(name, form, array=values)
                for name, (form, values) in raw_values(rows + number).items()
            ]
        )
        for number in range(hdus)
    ]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(path)
    return path


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_what_was_written(tmp_path: Path, reader: str) -> None:
    path = write(tmp_path / "t.fits")
    names = list(raw_values(1))
    read = READERS[reader](path, {1: names, 2: names[::-1]})
    for index, rows in ((1, 50), (2, 51)):
        for name, (_, values) in raw_values(rows).items():
            got = read[index][name]
            assert got.dtype.isnative
            assert got.shape == values.shape
            if values.dtype.kind == "U":  # the others' types are as wide as the cells
                assert np.char.rstrip(got).tolist() == values.tolist()
            else:
                assert got.dtype == values.dtype
                assert got.tobytes() == np.ascontiguousarray(values).tobytes()


def test_gzip(tmp_path: Path) -> None:
    plain = write(tmp_path / "t.fits", hdus=1)
    packed = tmp_path / "t.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    read = read_columns(packed, {1: ["D", "J"]})[1]
    with fits.open(plain) as hdus:
        np.testing.assert_array_equal(read["D"], hdus[1].data["D"])
        np.testing.assert_array_equal(read["J"], hdus[1].data["J"])


def scaled_table(path: Path, rows: int = 20) -> Path:
    stored = np.arange(rows, dtype="i2") * 100
    columns = [
        fits.Column("RAW", "1I", array=stored),
        fits.Column("FLOAT", "1E", array=stored.astype("f4")),
        fits.Column("NULL", "1J", array=stored.astype("i4"), null=300),
        fits.Column("BIG", "1K", array=stored.astype("i8"), null=-1),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    # Keywords are set afterwards, so that what is stored is known.
    with fits.open(path, mode="update") as hdus:
        for number in (1, 2):
            hdus[1].header[f"TSCAL{number}"] = 0.25
            hdus[1].header[f"TZERO{number}"] = -7.5
    return path


def test_scaling_and_nulls(tmp_path: Path) -> None:
    path = scaled_table(tmp_path / "s.fits")
    read = read_columns(path, {1: ["RAW", "FLOAT", "NULL", "BIG"]})[1]
    stored = np.arange(20) * 100
    for name in ("RAW", "FLOAT"):
        assert read[name].dtype == np.float64
        np.testing.assert_array_equal(read[name], stored * 0.25 - 7.5)
        with fits.open(path) as hdus:
            np.testing.assert_array_equal(read[name], hdus[1].data[name])
    assert read["NULL"].dtype == np.float64
    np.testing.assert_array_equal(read["NULL"], np.where(stored == 300, np.nan, stored))
    assert read["BIG"].dtype == np.int64  # identifiers keep all their digits
    np.testing.assert_array_equal(read["BIG"], stored)


def test_null_in_64_bits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k.fits"
    column = fits.Column("ID", "1K", array=np.array([1, -1, 3]), null=-1)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(path)
    with pytest.raises(DataError, match="extension 1, row 1: column ID is null"):
        read_columns(path, {1: ["ID"]})


@pytest.mark.parametrize("kind", ["u2", "u4", "u8", "i1"])
def test_unsigned_and_signed_conventions(tmp_path: Path, kind: str) -> None:
    info = np.iinfo(kind)
    values = np.array([info.min, 0, 1, info.max // 2, info.max - 1, info.max], dtype=kind)
    form = {"u2": "1I", "u4": "1J", "u8": "1K", "i1": "1B"}[kind]
    zero = {"u2": 2**15, "u4": 2**31, "u8": 2**63, "i1": -128}[kind]
    stored = (values.astype(object) - zero).astype(
        np.dtype(f"{'u' if kind == 'i1' else 'i'}{kind[1]}")
    )
    path = tmp_path / "u.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("U", form, array=stored)])
    table.header["TZERO1"] = zero
    table.writeto(path)
    read = read_columns(path, {1: ["U"]})[1]["U"]
    assert read.dtype == np.dtype(kind)
    np.testing.assert_array_equal(read, values)
    np.testing.assert_array_equal(read, by_astropy(path, {1: ["U"]})[1]["U"])


def test_empty_table(tmp_path: Path) -> None:
    write(tmp_path / "e.fits", hdus=1, rows=0)
    read = read_columns(tmp_path / "e.fits", {1: ["E", "V"]})[1]
    assert read["E"].shape == (0,)
    assert read["V"].shape == (0, 3)


def test_brackets_in_the_name(tmp_path: Path) -> None:
    path = write(tmp_path / "t[1].fits", hdus=1)
    assert len(read_columns(path, {1: ["E"]})[1]["E"]) == 50


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({1: ["E", "RA"]}, "extension 1: column RA missing"),
        ({3: ["E"]}, "has no extension 3, only 2"),
        ({0: ["E"]}, "is not a binary table"),
    ],
)
def test_what_is_missing(tmp_path: Path, wanted: dict[int, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_columns(write(tmp_path / "t.fits"), wanted)


def test_variable_length_columns_are_refused(tmp_path: Path) -> None:
    ragged = fits.Column("R", "PJ()", array=np.array([[1], [2, 3]], dtype=object))
    fits.BinTableHDU.from_columns([ragged]).writeto(tmp_path / "r.fits")
    with pytest.raises(DataError, match="column R has format P"):
        read_columns(tmp_path / "r.fits", {1: ["R"]})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"TFORM2  = '1D      '", b"TFORM2  = '1E      '", "NAXIS1 says"),
        (b"TFORM2  = '1D      '", b"TFORM2  = '1?      '", "not a column format"),
        (b"TTYPE2  = 'D ", b"TTYPE2  = 'E ", "column E appears twice"),
        (b"TFIELDS =", b"TFIELDX =", "TFIELDS is missing"),
    ],
)
def test_contradictory_headers(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = write(tmp_path / "t.fits", hdus=1)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_columns(path, {1: ["E"]})


def test_fields_carry_units(tmp_path: Path) -> None:
    fields = table_fields(open_fits(DATA / "fpacked.fits").hdus[1])
    assert list(fields) == ["FLUX", "RA", "XY", "NAME", "GOOD"]
    assert (fields["RA"].unit, fields["RA"].code, fields["XY"].repeat) == ("deg", "D", 2)


def test_tables_packed_by_fpack_are_restored() -> None:
    """The fixture was made by CFITSIO 4.2's ``fpack -table`` from the file beside it."""
    restored = open_fits(DATA / "fpacked.fits.fz")
    assert restored.restored
    assert bytes(restored.buffer) == (DATA / "fpacked.fits").read_bytes()
    with fits.open(DATA / "fpacked.fits") as hdus:
        read = read_columns(DATA / "fpacked.fits.fz", {1: ["FLUX", "XY", "NAME"]})[1]
        for name, values in read.items():
            np.testing.assert_array_equal(values, hdus[1].data[name])


def test_packing_that_is_not_read() -> None:
    with pytest.raises(DataError, match=r"COUNT is compressed by RICE_1.*funpack"):
        open_fits(DATA / "rice.fits.fz")


def test_damage_in_a_packed_table(tmp_path: Path) -> None:
    content = (DATA / "fpacked.fits.fz").read_bytes()
    start = content.index(b"\x1f\x8b\x08")
    path = tmp_path / "d.fits.fz"
    path.write_bytes(content[: start + 12] + b"\xff" * 30 + content[start + 42 :])
    with pytest.raises(DataError, match="extension 1: the compressed column FLUX is damaged"):
        open_fits(path)
