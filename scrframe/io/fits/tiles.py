"""Compressed binary tables (FITS standard 4.0, section 10.3), as ``fpack -table`` makes them.

A compressed table has one row per tile of original rows, and in each cell the bytes of one
column of that tile. GZIP_1 holds them as they are, GZIP_2 with the first bytes of all
elements before all second ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from scrframe.errors import DataError
from scrframe.io.compressed import refuse_bomb
from scrframe.io.fits.columns import Field, table_fields
from scrframe.io.fits.structure import BLOCK, Buffer, Hdu

Bytes = npt.NDArray[np.uint8]

_ALGORITHMS = ("GZIP_1", "GZIP_2")
#: Keywords of the original table, by the names under which compression keeps them.
_KEPT = {
    "ZNAXIS1": "NAXIS1",
    "ZNAXIS2": "NAXIS2",
    "ZPCOUNT": "PCOUNT",
    "ZTHEAP": "THEAP",
    "ZHECKSUM": "CHECKSUM",
    "ZDATASUM": "DATASUM",
}


def is_compressed(hdu: Hdu) -> bool:
    """Return whether an HDU is a compressed table."""
    return "ZTABLE" in hdu and hdu.value("ZTABLE") is True


def uncompressed(buffer: Buffer, hdus: Sequence[Hdu]) -> bytes:
    """Return the content of a file with its compressed tables restored, headers included.

    Raises DataError if a table is damaged or compressed in a way that is not read.
    """
    pieces: list[bytes] = []
    for hdu in hdus:
        if is_compressed(hdu):
            header = _restored_header(hdu)
            pieces += [header, _restored_rows(hdu, header, buffer)]
        else:
            end = hdu.data_offset + -(-hdu.data_size // BLOCK) * BLOCK
            pieces.append(bytes(buffer[hdu.header_offset : end]))
    return b"".join(pieces)


def _restored_header(hdu: Hdu) -> bytes:
    """Return the original table's header: the same cards with the values put back."""
    names = dict(_KEPT)
    names |= {f"ZFORM{n}": f"TFORM{n}" for n in range(1, hdu.whole("TFIELDS") + 1)}
    originals = {
        name: name.ljust(8).encode("ascii") + hdu.cards[kept][8:]
        for kept, name in names.items()
        if kept in hdu
    }
    cards = []
    for keyword, card in hdu.cards_in_order():
        dropped = keyword in names or keyword in ("ZTABLE", "ZTILELEN", "CHECKSUM", "DATASUM")
        if not dropped and not keyword.startswith("ZCTYP"):
            cards.append(originals.pop(keyword, card))
    # Checksums of the original were renamed; the others had a card to go back to.
    cards[-1:] = [*originals.values(), cards[-1]]
    header = b"".join(cards)
    return header + b" " * (-len(header) % BLOCK)


def _restored_rows(hdu: Hdu, header: bytes, buffer: Buffer) -> bytes:
    original = Hdu(hdu.path, hdu.index, header, 0, 0, 0)
    fields = list(table_fields(original).values())
    rows, tile = original.whole("NAXIS2"), hdu.whole("ZTILELEN")
    if original.whole("PCOUNT") or any(field.code in "CMPQ" for field in fields):
        raise DataError(
            f"{hdu.label}: a compressed table with complex numbers or variable-length"
            " arrays is not read; unpack the file with funpack"
        )
    if tile < 1 or hdu.whole("NAXIS2") != -(-rows // tile):
        raise DataError(f"{hdu.label}: the compressed table's tiles do not add up to its rows")
    refuse_bomb(hdu.path, rows * original.whole("NAXIS1"), hdu.data_size)
    out: Bytes = np.zeros((rows, original.whole("NAXIS1")), dtype=np.uint8)
    for number, field in enumerate(fields, start=1):
        algorithm = str(hdu.value(f"ZCTYP{number}")).strip()
        if algorithm not in _ALGORITHMS:
            raise DataError(
                f"{hdu.label}: column {field.name} is compressed by {algorithm}, which is not"
                " read; unpack the file with funpack"
            )
        for row, cell in enumerate(_cells(hdu, number, buffer)):
            target = out[row * tile : (row + 1) * tile, field.offset : field.offset + field.width]
            _restore(hdu, field, cell, algorithm == "GZIP_2", target)
    content = out.tobytes()
    return content + bytes(-len(content) % BLOCK)


def _cells(hdu: Hdu, number: int, buffer: Buffer) -> Iterator[bytes]:
    """Yield the compressed bytes of one column, tile by tile."""
    packed = list(table_fields(hdu).values())[number - 1]
    width, rows = hdu.whole("NAXIS1"), hdu.whole("NAXIS2")
    kind = np.dtype((">i4" if packed.code == "P" else ">i8", (2,)))
    layout = np.dtype(
        {"names": ["d"], "formats": [kind], "offsets": [packed.offset], "itemsize": width}
    )
    heap = hdu.whole("THEAP") if "THEAP" in hdu else width * rows
    end = hdu.data_offset + hdu.data_size
    for length, offset in np.ndarray(rows, layout, buffer, hdu.data_offset)["d"].tolist():
        start = hdu.data_offset + heap + offset
        if length < 0 or offset < 0 or start + length > end:
            raise DataError(f"{hdu.label}: the compressed column {packed.name} is damaged")
        yield bytes(buffer[start : start + length])


def _restore(hdu: Hdu, field: Field, cell: bytes, shuffled: bool, target: Bytes) -> None:
    """Put the bytes of one column of one tile, shape (rows, width), where they belong."""
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(cell, target.size + 1)
        content: npt.NDArray[np.uint8] = np.frombuffer(unpacked, dtype=np.uint8)
    except zlib.error as error:
        raise DataError(
            f"{hdu.label}: the compressed column {field.name} is damaged: {error}"
        ) from None
    if content.size != target.size:
        raise DataError(f"{hdu.label}: the compressed column {field.name} has the wrong length")
    size = field.width // field.repeat if field.code in "IJKED" and field.repeat else 1
    if shuffled and size > 1:
        content = content.reshape(size, -1).T
    target[...] = content.reshape(target.shape)
