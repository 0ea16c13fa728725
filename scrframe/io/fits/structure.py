"""The structure of a FITS file: its HDUs, found without reading data or building tables.

Sizes follow the FITS standard 4.0 (sections 3.1, 4.4.1 and 7): blocks of 2880 bytes,
headers of 80-byte cards up to END, data of the size that the header states.
"""

from __future__ import annotations

import gzip
import math
import mmap
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from scrframe.errors import DataError
from scrframe.io.compressed import is_gzipped, open_bytes

BLOCK = 2880
CARD = 80
_END = b"END".ljust(CARD)
#: Larger headers are none.
_MOST_HEADER = 16 << 20

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Hdu:
    """One header and data unit."""

    #: The file, for messages.
    path: Path
    #: Place in the file; 0 is the primary HDU.
    index: int
    #: The header as it stands, END and padding included.
    raw: bytes
    #: Where header and data start, in bytes of the (decompressed) file.
    header_offset: int
    data_offset: int
    #: Size of the data in bytes, without padding.
    data_size: int

    @property
    def label(self) -> str:
        """File and extension, as messages name them."""
        return _label(self.path, self.index)

    @cached_property
    def header(self) -> Any:
        """The header as an ``astropy.io.fits.Header``."""
        from astropy.io.fits import Header  # noqa: PLC0415 - slow to import

        return Header.fromstring(self.raw.decode("ascii"))

    @cached_property
    def cards(self) -> dict[str, bytes]:
        """First card of each keyword (HIERARCH ones without that word), continuations joined."""
        return cards_of(self.raw)

    @cached_property
    def column_cards(self) -> bytes:
        """The cards that define a table's columns (and others that start with T), joined."""
        return b"".join(card for keyword, card in self.cards.items() if keyword[:1] == "T")

    def cards_in_order(self) -> Iterator[tuple[str, bytes]]:
        """Yield keyword and card of every 80 bytes of the header, up to END."""
        for at in range(0, len(self.raw), CARD):
            card = self.raw[at : at + CARD]
            keyword = card[:8].rstrip().decode("ascii")
            yield keyword, card
            if keyword == "END":
                return

    def __contains__(self, keyword: object) -> bool:
        return keyword in self.cards

    def value(self, keyword: str) -> Any:
        """Return a keyword's value; only its card is parsed, which is cheap.

        Raises DataError if the keyword is missing or its value cannot be read.
        """
        return _value(self.label, self.cards, keyword)

    def whole(self, keyword: str) -> int:
        """Return a keyword's value as an integer.

        Raises DataError if the keyword is missing or is not an integer.
        """
        return _whole(self.label, self.cards, keyword)

    def number(self, keyword: str) -> float:
        """Return a keyword's value as a finite float.

        Raises DataError if the keyword is missing or is not a number.
        """
        value = self.value(keyword)
        if isinstance(value, (bool, str)):
            raise DataError(f"{self.label}: keyword {keyword} is {value!r}, expected a number")
        return float(value)

    @property
    def is_table(self) -> bool:
        """Whether this is a binary table."""
        return self.index > 0 and str(self.value("XTENSION")).strip() in ("BINTABLE", "A3DTABLE")


def load(path: Path) -> Buffer:
    """Return the bytes of a file, mapped into memory, or decompressed where it is gzipped.

    Raises DataError if the file cannot be opened, is empty, or its compression is damaged.
    """
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path} is empty")
            if not is_gzipped(path):
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with open_bytes(path) as unpacked:
            content = unpacked.read()
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip stream ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not content:
        raise DataError(f"{path} is empty once decompressed")
    return content


def walk(path: Path, buffer: Buffer) -> tuple[Hdu, ...]:
    """Return the HDUs of a FITS file, checked to be complete.

    Parameters
    ----------
    path : Path
        The file, for messages.
    buffer : bytes or mmap
        Its content, decompressed.

    Raises
    ------
    DataError
        If the file is empty, truncated (with the extension and the bytes that are
        missing), or no FITS file.
    """
    hdus: list[Hdu] = []
    offset, index, size = 0, 0, len(buffer)
    while offset < size:
        first = bytes(buffer[offset : offset + 10])
        expected = b"SIMPLE  = " if index == 0 else b"XTENSION= "
        if not first.startswith(expected[: len(first)]):
            if index and not bytes(buffer[offset:]).strip(b"\0 "):
                break  # filler after the last HDU
            where = (
                "is not a FITS file" if index == 0 else f"holds no FITS data after HDU {index - 1}"
            )
            raise DataError(f"{path} {where} (found {first!r} where a header should start)")
        raw = _header(_label(path, index), buffer, offset)
        start = offset + len(raw)
        cards = cards_of(raw)
        data_size = _data_size(_label(path, index), cards)
        end = start + -(-data_size // BLOCK) * BLOCK
        if end > size:
            raise DataError(
                f"{_label(path, index)}: the file is truncated, {end - size} bytes are missing"
            )
        hdu = Hdu(path, index, raw, offset, start, data_size)
        hdu.__dict__["cards"] = cards  # found already: fill the cache
        hdus.append(hdu)
        offset, index = end, index + 1
    return tuple(hdus)


def _header(label: str, buffer: Buffer, offset: int) -> bytes:
    """Return the header that starts at `offset`, up to the end of END's block."""
    raw = bytearray()
    while True:
        if len(raw) > _MOST_HEADER:
            raise DataError(f"{label}: the header has no end within {_MOST_HEADER >> 20} MB")
        block = bytes(buffer[offset + len(raw) : offset + len(raw) + BLOCK])
        if len(block) < BLOCK:
            raise DataError(
                f"{label}: the file is truncated in the header,"
                f" at least {BLOCK - len(block)} bytes are missing"
            )
        if not block.isascii() or b"\0" in block:
            raise DataError(f"{label}: the header is damaged (bytes that are no text)")
        raw += block
        if _END in block and any(block.startswith(_END, at) for at in range(0, BLOCK, CARD)):
            return bytes(raw)


def _data_size(label: str, cards: Mapping[str, bytes]) -> int:
    """Return the size of the data in bytes (FITS standard 4.0, Eqs. 1, 2 and 4)."""
    axes = [
        _whole(label, cards, f"NAXIS{axis}") for axis in range(1, _whole(label, cards, "NAXIS") + 1)
    ]
    if axes and axes[0] == 0 and "GROUPS" in cards and _value(label, cards, "GROUPS") is True:
        axes = axes[1:]
    if not axes:
        return 0
    groups = _whole(label, cards, "GCOUNT") if "GCOUNT" in cards else 1
    extra = _whole(label, cards, "PCOUNT") if "PCOUNT" in cards else 0
    if min(*axes, groups, extra) < 0:
        raise DataError(f"{label}: the header states a negative size")
    return abs(_whole(label, cards, "BITPIX")) // 8 * groups * (extra + math.prod(axes))


def cards_of(raw: bytes) -> dict[str, bytes]:
    """Return the first card of each keyword of a header, with its continuations."""
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


def _label(path: Path, index: int) -> str:
    return f"{path}, extension {index}" if index else str(path)


def _value(label: str, cards: Mapping[str, bytes], keyword: str) -> Any:
    card = cards.get(keyword)
    if card is None:
        raise DataError(f"{label}: keyword {keyword} is missing")
    value = parse_card(card)
    if value is None:
        raise DataError(f"{label}: keyword {keyword} has no readable value")
    return value


def _whole(label: str, cards: Mapping[str, bytes], keyword: str) -> int:
    value = _value(label, cards, keyword)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{label}: keyword {keyword} is {value!r}, expected a whole number")
    return value


@lru_cache(maxsize=8192)
def parse_card(card: bytes) -> bool | int | float | str | None:
    """Return the value of a card, None where there is none that can be read."""
    from astropy.io.fits import Card, VerifyError  # noqa: PLC0415 - slow to import

    try:
        value = Card.fromstring(card).value
    except (VerifyError, ValueError):
        return None
    return value if isinstance(value, (bool, int, float, str)) else None
