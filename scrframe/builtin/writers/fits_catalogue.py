"""Corrected catalogues as FITS: the input file with columns appended, row by row.

Every HDU, row, header card and original column is kept as it is. Tables that hold
detections gain MAG_OBS, MAG_CAL, one OFFSET_<LEVEL> per level, OFFSET_TOTAL and CAL_FLAGS,
of a joint solution also the errors and OFFSET_LEVEL, the level that a correction came from;
all offsets are float64, so that MAG_CAL = MAG_OBS + OFFSET_TOTAL holds to the last bit.
Of the cards only NAXIS1, TFIELDS and THEAP change; CHECKSUM and DATASUM, which would no
longer hold, are left out. A gzipped file is gzipped again; compressed tables (fpack
-table) are written as ordinary tables under the same name.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.arrays import Array
from scrframe.builtin.writers.columns import WHOLE, corrected_columns, history, meaning, place_below
from scrframe.errors import DataError
from scrframe.io.fits import BLOCK, FitsFile, Hdu, is_gzipped, open_fits, table_fields
from scrframe.plugin import NoConfig, Part, Writer, hookimpl
from scrframe.tables import Corrections, Detections
from scrframe.version import __version__

SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".fit.fz")
MAX_COLUMNS = 999
#: Fast, and within a few per cent of the size at the usual level.
_GZIP_LEVEL = 4
_CHECKSUMS = ("CHECKSUM", "DATASUM")


def write(
    part: Part,
    detections: Detections,
    corrections: Corrections,
    root: Path,
    out: Path,
    config: NoConfig,
    note: str,
) -> list[Path]:
    """Write one corrected catalogue below `out` and return its path.

    The contract is that of `scrframe.plugin.Writer.write`. Rows of the file that are not among
    the detections get NaN and the flag ``no_magnitude``; `note` is said in the primary header
    (keyword SCRNOTE).

    Raises DataError if the file is damaged, is corrected already, or does not hold the detections.
    """
    file = open_fits(part.path)
    columns = corrected_columns(detections, corrections)
    chosen = _tables(file, detections)
    for hdu in chosen.values():
        existing = {name.upper() for name in table_fields(hdu)}
        clash = [name for name in columns if name in existing]
        if clash:
            raise DataError(
                f"{hdu.label} has a column {clash[0]} already: is it a corrected catalogue?"
            )
        if len(existing) + len(columns) > MAX_COLUMNS:
            raise DataError(f"{hdu.label} has no room for {len(columns)} more columns")
    place = detections["extension"].astype(np.int64), detections["row"].astype(np.int64)
    pieces: list[bytes | memoryview] = []
    for hdu in file.hdus:
        if hdu.index == 0:
            pieces.append(_primary(hdu, detections, columns, corrections, note))
            pieces.append(_data(file, hdu))
        elif hdu.index in chosen:
            pieces += _extended(file, hdu, columns, *place)
        else:
            pieces.append(hdu.raw)
            pieces.append(_data(file, hdu))
    return [_saved(part.path, out / place_below(part.path, root), pieces)]


def _saved(source: Path, target: Path, pieces: Iterable[bytes | memoryview]) -> Path:
    if target.exists() and target.samefile(source):
        raise DataError(f"{target} is the input itself; choose another output directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_gzipped(source):
        # No time stamp: the same input gives the same bytes.
        content = b"".join(pieces)
        target.write_bytes(gzip.compress(content, compresslevel=_GZIP_LEVEL, mtime=0))
    else:
        with target.open("wb") as file:
            file.writelines(pieces)
    return target


def _tables(file: FitsFile, detections: Detections) -> dict[int, Hdu]:
    """Return the tables that gain columns: those with detections, and others like them."""
    tables = {hdu.index: hdu for hdu in file.hdus if hdu.is_table}
    present = np.unique(detections["extension"]).tolist()
    for index in present:
        if index not in tables:
            raise DataError(f"{file.path} has no table in extension {index}, where detections are")
    if not present:
        return tables
    # A CCD without a single detection keeps the layout of the others.
    layouts = [table_fields(tables[index]) for index in present]
    return {
        index: hdu
        for index, hdu in tables.items()
        if index in present or table_fields(hdu) in layouts
    }


def _data(file: FitsFile, hdu: Hdu) -> bytes:
    """Return the data of an HDU with their padding."""
    content = bytes(file.buffer[hdu.data_offset : hdu.data_offset + hdu.data_size])
    filler = b" " if hdu.index and str(hdu.value("XTENSION")).strip() == "TABLE" else b"\0"
    return content + filler * (-len(content) % BLOCK)


def _extended(
    file: FitsFile, hdu: Hdu, columns: Mapping[str, Array], extension: Array, row: Array
) -> list[bytes | memoryview]:
    """Return header, rows and heap of a table with columns appended."""
    width, rows = hdu.whole("NAXIS1"), hdu.whole("NAXIS2")
    here = np.flatnonzero(extension == hdu.index)
    at = row[here]
    if len(at) and (at.min() < 0 or at.max() >= rows or np.bincount(at).max() > 1):
        raise DataError(f"{hdu.label}: the detections' row numbers do not fit its {rows} rows")
    kinds = {"I": ">i2", "J": ">i4", "D": ">f8"}
    forms = [(name, kinds[_form(name)[0]]) for name in columns]
    added = np.empty(rows, dtype=np.dtype(forms))
    for name, values in columns.items():
        added[name] = _form(name)[1]
        added[name][at] = values[here]
    table = np.empty((rows, width + added.dtype.itemsize), dtype=np.uint8)
    old = np.frombuffer(file.buffer, np.uint8, rows * width, hdu.data_offset)
    table[:, :width] = old.reshape(rows, width)
    table[:, width:] = added.view(np.uint8).reshape(rows, added.dtype.itemsize)
    # Descriptors of variable-length arrays count from the start of the heap, which moves.
    start = hdu.data_offset + rows * width
    heap = bytes(file.buffer[start : hdu.data_offset + hdu.data_size])
    padding = bytes(-(table.size + len(heap)) % BLOCK)
    return [_table_header(hdu, columns, added.dtype), table.data, heap, padding]


def _form(name: str) -> tuple[str, float]:
    """Return the format of a column, and its value in rows without a detection."""
    return WHOLE.get(name, ("D", np.nan))


def _table_header(hdu: Hdu, columns: Mapping[str, Array], added: np.dtype[Any]) -> bytes:
    count = hdu.whole("TFIELDS")
    changed = {"NAXIS1": hdu.whole("NAXIS1") + added.itemsize, "TFIELDS": count + len(columns)}
    if "THEAP" in hdu:
        changed["THEAP"] = hdu.whole("THEAP") + added.itemsize * hdu.whole("NAXIS2")
    cards = []
    for keyword, card in _kept(hdu):
        value = changed.get(keyword)
        cards.append(card if value is None else _with_value(keyword, value, card))
    for number, name in enumerate(columns, start=count + 1):
        cards += _cards(f"TTYPE{number}", name, meaning(name))
        cards += _cards(f"TFORM{number}", f"1{_form(name)[0]}")
        if name not in WHOLE:
            cards += _cards(f"TUNIT{number}", "mag")
    return _joined(cards)


def _primary(
    hdu: Hdu, detections: Detections, columns: Iterable[str], corrections: Corrections, note: str
) -> bytes:
    """Return the primary header with the provenance of the correction."""
    cards = [card for _, card in _kept(hdu)]
    cards += _cards("SCRVERS", __version__, "version of scrframe")
    visits = detections.codes("visit")[1] if len(detections) else ()
    used = [visits[code] for code in np.unique(detections.codes("visit")[0])] if visits else []
    if len(used) == 1:
        cards += _cards("SCRVISIT", used[0], "key of the visit")
    cards += _cards("SCRVISN", len(used), "number of visits in this file")
    cards += _cards("SCRMSYS", corrections.system, "system of MAG_CAL")
    if note:
        cards += _cards("SCRNOTE", note)
    lines = history(columns, corrections.reference_colour_mag)
    for line in [*lines, *([note] if note else [])]:
        cards += _cards("HISTORY", line)
    return _joined(cards)


def _kept(hdu: Hdu) -> Iterator[tuple[str, bytes]]:
    """Yield the cards that stay: all but END, checksums and blank ones at the end."""
    cards = [(keyword, card) for keyword, card in hdu.cards_in_order() if keyword != "END"]
    while cards and not cards[-1][1].strip():
        cards.pop()
    return iter([(keyword, card) for keyword, card in cards if keyword not in _CHECKSUMS])


@lru_cache(maxsize=1024)
def _with_value(keyword: str, value: int, card: bytes) -> bytes:
    from astropy.io.fits import Card  # noqa: PLC0415 - slow to import

    return str(Card(keyword, value, Card.fromstring(card).comment)).encode("ascii")


@lru_cache(maxsize=1024)
def _cards(keyword: str, value: str | int, comment: str = "") -> tuple[bytes, ...]:
    """Return the card of a keyword, with its continuations where the value is long."""
    from astropy.io.fits import Card  # noqa: PLC0415 - slow to import

    if isinstance(value, str):
        value = re.sub(r"[^ -~]", "?", value)
    text = str(Card(keyword, value, comment or None))
    return tuple(text[at : at + 80].encode("ascii") for at in range(0, len(text), 80))


def _joined(cards: Sequence[bytes]) -> bytes:
    header = b"".join(cards) + b"END".ljust(80)
    return header + b" " * (-len(header) % BLOCK)


@hookimpl
def scrframe_writers() -> Iterable[Writer]:
    """Yield the writer of corrected FITS catalogues."""
    yield Writer(
        name="fits_catalogue",
        summary="the input FITS catalogue with corrected magnitudes and offsets appended",
        version=__version__,
        write=write,
        suffixes=SUFFIXES,
    )
