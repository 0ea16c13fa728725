"""The structure of a FITS file: its HDUs, found without reading data or building tables.

Sizes follow the FITS standard 4.0 (sections 3.1, 4.4.1 and 7): blocks of 2880 bytes,
headers of 80-byte cards up to END, data of the size that the header states.
"""

from __future__ import annotations

import gzip
import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scrframe.errors import DataError

BLOCK = 2880
CARD = 80
_GZIP_MAGIC = b"\x1f\x8b"

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Hdu:
    """One header and data unit.

    Attributes
    ----------
    path : Path
        The file, for messages.
    index : int
        Place in the file; 0 is the primary HDU.
    raw : bytes
        The header as it stands, END and padding included.
    header_offset, data_offset : int
        Where header and data start, in bytes of the (decompressed) file.
    data_size : int
        Size of the data in bytes, without padding.
    """

    path: Path
    index: int
    raw: bytes
    header_offset: int
    data_offset: int
    data_size: int

    @property
    def label(self) -> str:
        """File and extension, as messages name them."""
        return f"{self.path}, extension {self.index}" if self.index else str(self.path)

    @cached_property
    def header(self) -> Any:
        """The header as an ``astropy.io.fits.Header``."""
        from astropy.io.fits import Header

        return Header.fromstring(self.raw.decode("ascii"))

    @cached_property
    def cards(self) -> dict[str, bytes]:
        """First card of each keyword (HIERARCH ones without that word), continuations joined."""
        return _cards(self.raw)

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.cards

    def value(self, keyword: str) -> Any:
        """Return a keyword's value; only this card is parsed, which is cheap.

        Raises
        ------
        DataError
            If the keyword is missing or its value cannot be read.
        """
        from astropy.io.fits import Card, VerifyError

        card = self.cards.get(keyword)
        if card is None:
            raise DataError(f"{self.label}: keyword {keyword} is missing")
        try:
            value = Card.fromstring(card).value
        except (VerifyError, ValueError):
            value = None
        if value is None or not isinstance(value, (bool, int, float, str)):
            raise DataError(f"{self.label}: keyword {keyword} has no readable value")
        return value

    def number(self, keyword: str) -> float:
        """Return a keyword's value as a finite float.

        Raises
        ------
        DataError
            If the keyword is missing or is no number.
        """
        value = self.value(keyword)
        if isinstance(value, (bool, str)):
            raise DataError(f"{self.label}: keyword {keyword} is {value!r}, expected a number")
        return float(value)

    @property
    def is_table(self) -> bool:
        """Whether this is a binary table."""
        return self.index > 0 and self.value("XTENSION").strip() in ("BINTABLE", "A3DTABLE")


def load(path: Path) -> Buffer:
    """Return the bytes of a file, mapped into memory, or decompressed where it is gzipped.

    Raises
    ------
    DataError
        If the file cannot be opened, is empty, or its compression is damaged.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(2)
            if not magic:
                raise DataError(f"{path} is empty")
            if magic != _GZIP_MAGIC:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            file.seek(0)
            content = gzip.decompress(file.read())
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip stream ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not content:
        raise DataError(f"{path} is empty once decompressed")
    return content


def is_gzipped(path: Path) -> bool:
    """Return whether a file starts as gzip files do."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def walk(path: Path, buffer: Buffer | None = None) -> tuple[Hdu, ...]:
    """Return the HDUs of a FITS file (plain or gzipped), checked to be complete.

    Parameters
    ----------
    path : Path
        The file.
    buffer : bytes or mmap, optional
        Its content, where it is already loaded.

    Raises
    ------
    DataError
        If the file is empty, truncated (with the extension and the bytes that are
        missing), or no FITS file.
    """
    return tuple(_hdus(path, load(path) if buffer is None else buffer))


def _hdus(path: Path, buffer: Buffer) -> Iterator[Hdu]:
    offset, index, size = 0, 0, len(buffer)
    while offset < size:
        first = bytes(buffer[offset : offset + 10])
        expected = b"SIMPLE  = " if index == 0 else b"XTENSION= "
        if not first.startswith(expected[: len(first)]):
            if index and not bytes(buffer[offset:]).strip(b"\0 "):
                return  # filler after the last HDU
            where = "is no FITS file" if index == 0 else f"holds no FITS data after HDU {index - 1}"
            raise DataError(f"{path} {where} (found {first!r} where a header should start)")
        raw = _header(path, buffer, offset, index)
        start = offset + len(raw)
        hdu = Hdu(path, index, raw, offset, start, 0)
        data_size = _data_size(hdu)
        end = start + -(-data_size // BLOCK) * BLOCK
        if end > size:
            raise DataError(f"{hdu.label}: the file is truncated, {end - size} bytes are missing")
        yield Hdu(path, index, raw, offset, start, data_size)
        offset, index = end, index + 1


def _header(path: Path, buffer: Buffer, offset: int, index: int) -> bytes:
    """Return the header that starts at `offset`, up to the end of END's block."""
    where = f"{path}, extension {index}" if index else str(path)
    raw = b""
    while True:
        block = bytes(buffer[offset + len(raw) : offset + len(raw) + BLOCK])
        if len(block) < BLOCK:
            raise DataError(
                f"{where}: the file is truncated in the header,"
                f" at least {BLOCK - len(block)} bytes are missing"
            )
        if not block.isascii() or b"\0" in block:
            raise DataError(f"{where}: the header is damaged (bytes that are no text)")
        raw += block
        if any(block[at : at + CARD] == b"END".ljust(CARD) for at in range(0, BLOCK, CARD)):
            return raw


def _data_size(hdu: Hdu) -> int:
    def whole(keyword: str, default: int | None = None) -> int:
        if default is not None and keyword not in hdu:
            return default
        value = hdu.value(keyword)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DataError(f"{hdu.label}: keyword {keyword} is {value!r}, expected a whole number")
        return value

    axes = [whole(f"NAXIS{axis}") for axis in range(1, whole("NAXIS") + 1)]
    groups = bool(axes) and axes[0] == 0 and "GROUPS" in hdu and hdu.value("GROUPS") is True
    if groups:
        axes = axes[1:]
    if not axes:
        return 0
    cells = 1
    for length in axes:
        cells *= length
    size = abs(whole("BITPIX")) // 8 * whole("GCOUNT", 1) * (whole("PCOUNT", 0) + cells)
    if min(axes) < 0 or size < 0:
        raise DataError(f"{hdu.label}: the header states a negative size")
    return size


def _cards(raw: bytes) -> dict[str, bytes]:
    cards: dict[str, bytes] = {}
    last = ""
    for at in range(0, len(raw), CARD):
        card = raw[at : at + CARD]
        keyword = card[:8].rstrip().decode("ascii")
        if keyword == "CONTINUE":
            if last:
                cards[last] += card
            continue
        if keyword == "HIERARCH":
            keyword = card[8:].split(b"=", 1)[0].strip().decode("ascii")
        last = "" if keyword in cards else keyword
        if last:
            cards[keyword] = card
        if keyword == "END":
            break
    return cards
