"""The structural walk, judged by astropy's own account of the same files and by damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scrframe.errors import DataError
from scrframe.io.fits import BLOCK, Hdu, load, walk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with every kind of HDU, one of them with a heap."""
    primary = fits.PrimaryHDU(np.zeros((3, 7), dtype=np.int16))
    primary.header["HIERARCH ESO TEL AIRM START"] = 1.25
    primary.header["OBJECT"] = "vphas_0127"
    primary.header["LONG"] = "x" * 150
    primary.header["FLAG"] = True
    ragged = fits.Column("R", "PJ()", array=np.array([[1], [2, 3]], dtype=object))
    columns = [fits.Column("A", "1E", array=np.arange(400.0)[:2]), ragged]
    table = fits.BinTableHDU.from_columns(columns, name="HEAP")
    long = fits.BinTableHDU.from_columns([fits.Column("A", "1D", array=np.arange(1000.0))])
    ascii_table = fits.TableHDU.from_columns([fits.Column("A", "I4", array=np.arange(5))])
    empty = fits.ImageHDU()
    hdus = fits.HDUList([primary, table, long, ascii_table, empty])
    hdus.writeto(tmp_path / "all.fits")
    return tmp_path / "all.fits"


def walked(path: Path) -> tuple[Hdu, ...]:
    return walk(path, load(path))


def test_walk_finds_what_astropy_finds(path: Path) -> None:
    with fits.open(path) as expected:
        hdus = walked(path)
        assert len(hdus) == len(expected)
        for hdu, other in zip(hdus, expected, strict=True):
            place = other.fileinfo()
            assert (hdu.header_offset, hdu.data_offset) == (place["hdrLoc"], place["datLoc"])
            assert -(-hdu.data_size // BLOCK) * BLOCK == place["datSpan"]
            assert hdu.data_size == other.size
            assert hdu.header.tostring() == other.header.tostring()
            assert hdu.is_table == isinstance(other, fits.BinTableHDU)


def test_values_are_those_of_astropy(path: Path) -> None:
    primary = walked(path)[0]
    header = fits.getheader(path)
    for keyword in ("OBJECT", "LONG", "FLAG", "NAXIS1", "ESO TEL AIRM START"):
        assert primary.value(keyword) == header[keyword]
    assert primary.number("ESO TEL AIRM START") == 1.25
    assert primary.whole("NAXIS2") == 3


@pytest.mark.parametrize(
    ("method", "keyword", "message"),
    [
        ("value", "MAGZPT", "keyword MAGZPT is missing"),
        ("number", "OBJECT", "OBJECT is 'vphas_0127', expected a number"),
        ("number", "FLAG", "FLAG is True, expected a number"),
        ("whole", "ESO TEL AIRM START", "expected a whole number"),
    ],
)
def test_values_that_do_not_do(path: Path, method: str, keyword: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        getattr(walked(path)[0], method)(keyword)


def test_value_that_cannot_be_parsed(path: Path) -> None:
    content = path.read_bytes().replace(b"'vphas_0127'", b"vphas 0127' ")
    path.write_bytes(content)
    with pytest.raises(DataError, match="OBJECT has no readable value"):
        walked(path)[0].value("OBJECT")


def test_gzip_is_known_by_its_content(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "renamed.fits"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [hdu.raw for hdu in walked(packed)] == [hdu.raw for hdu in walked(path)]


def test_truncation_anywhere_is_seen_and_measured(path: Path) -> None:
    content = path.read_bytes()
    hdus = walked(path)
    starts = [hdu.header_offset for hdu in hdus]
    cuts = sorted({*range(1, len(content), 997), *(s + d for s in starts for d in (-1, 1, 80))})
    for cut in cuts:
        if not 0 < cut < len(content) or cut in starts:
            continue
        path.write_bytes(content[:cut])
        hdu = next(hdu for hdu in reversed(hdus) if hdu.header_offset < cut)
        with pytest.raises(DataError) as caught:
            walked(path)
        message = str(caught.value)
        assert str(path) in message
        assert "truncated" in message
        assert hdu.index == 0 or f"extension {hdu.index}" in message
        if cut >= hdu.data_offset:
            end = next((s for s in starts if s > hdu.header_offset), len(content))
            assert f"{end - cut} bytes are missing" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a FITS file at all", "is not a FITS file"),
        (bytes(range(256)) * 40, "is not a FITS file"),
        (gzip.compress(b"", mtime=0), "is empty once decompressed"),
        (gzip.compress(b"no FITS", mtime=0), "is not a FITS file"),
    ],
    ids=["empty", "text", "bytes", "empty-gzip", "text-gzip"],
)
def test_what_is_no_fits_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.fits"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        walked(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for bad in (tmp_path / "none.fits", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            load(bad)


def test_damaged_gzip(path: Path) -> None:
    packed = gzip.compress(path.read_bytes())
    for damaged in (packed[:-20], packed[:200] + b"\xff" * 60 + packed[260:], packed[:15]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="gzip"):
            walked(path)


def test_garbage_between_and_after_hdus(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content + bytes(BLOCK))  # filler is allowed
    assert len(walked(path)) == 5
    path.write_bytes(content + b"garbage".ljust(BLOCK))
    with pytest.raises(DataError, match="holds no FITS data after HDU 4"):
        walked(path)
    second = walked_offsets(content)[2]
    path.write_bytes(content[:second] + b"\xfe" * BLOCK + content[second + BLOCK :])
    with pytest.raises(DataError, match="holds no FITS data after HDU 1"):
        walked(path)
    path.write_bytes(content[: second + 800] + b"\0\xff" * 40 + content[second + 880 :])
    with pytest.raises(DataError, match="extension 2: the header is damaged"):
        walked(path)


def walked_offsets(content: bytes) -> list[int]:
    return [hdu.header_offset for hdu in walk(Path("memory"), content)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"NAXIS1  =                    7", b"NAXIS1  =                   -7", "negative size"),
        (b"NAXIS1  =                    7", b"NAXIS1  =                  7.5", "whole number"),
        (b"NAXIS1  =                    7", b"NAXISX  =                    7", "NAXIS1 is missing"),
    ],
)
def test_sizes_that_make_no_sense(path: Path, old: bytes, new: bytes, message: str) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        walked(path)
