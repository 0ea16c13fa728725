"""FITS files, plain, gzipped or with compressed tables, and what their tables hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.arrays import Array
from scrframe.errors import DataError, named
from scrframe.io.fits.columns import Field, arrays_of, meant, physical, table_fields
from scrframe.io.fits.structure import CARD, Buffer, Hdu, cards_of, load, parse_card, walk
from scrframe.io.fits.tiles import is_compressed, uncompressed
from scrframe.io.table_file import (
    TableFile,
    TableInMemory,
    from_numpy,
    lists,
    one_line,
    rows_at_once,
)

#: Names of the extensions of LDAC.
_IMAGE, _OBJECTS = "LDAC_IMHEAD", ("LDAC_OBJECTS", "OBJECTS")
_NUMBERS = "BIJKED"
_READ = _NUMBERS + "CMLA"


@dataclass(frozen=True)
class FitsFile:
    """A FITS file that was found to be complete."""

    #: The file.
    path: Path
    #: Its content, decompressed.
    buffer: Buffer
    #: Its header and data units; compressed tables are restored.
    hdus: tuple[Hdu, ...]
    #: Whether there were compressed tables.
    restored: bool = False


def open_fits(path: Path) -> FitsFile:
    """Open a FITS file, plain, gzipped or with compressed tables, and check its structure.

    Raises DataError if the file is empty, truncated (with the extension and the bytes that are
    missing), no FITS file, or compressed in a way that is not read.
    """
    buffer = load(path)
    hdus = walk(path, buffer)
    if not any(map(is_compressed, hdus)):
        return FitsFile(path, buffer, hdus)
    content = uncompressed(buffer, hdus)
    return FitsFile(path, content, walk(path, content), restored=True)


def read_columns(
    file: FitsFile | Path, wanted: Mapping[int, Sequence[str]]
) -> dict[int, dict[str, Array]]:
    """Read columns of several extensions of a file, which is opened once.

    Parameters
    ----------
    file : FitsFile or Path
        The file, plain or compressed.
    wanted : mapping of int to sequence of str
        Names of the columns to read, by index of the extension.

    Returns
    -------
    dict of int to dict of str to ndarray
        By extension and name; numbers in native byte order, shape (n,) or (n, repeat),
        text without trailing blanks.

    Raises
    ------
    DataError
        If the file is damaged, or an extension or column is missing or cannot be read.
    """
    if isinstance(file, Path):
        file = open_fits(file)
    found: dict[int, dict[str, Array]] = {}
    for index, names in wanted.items():
        if not 0 <= index < len(file.hdus):
            raise DataError(f"{file.path} has no extension {index}, only {len(file.hdus) - 1}")
        hdu = file.hdus[index]
        fields = _chosen(hdu, names)
        rows = stored_rows(file, index, fields)
        found[index] = {field.name: physical(rows[field.name], field, hdu) for field in fields}
    return found


def _chosen(hdu: Hdu, names: Sequence[str], read: str = _READ) -> list[Field]:
    fields = table_fields(hdu)
    missing = [name for name in names if name not in fields]
    if missing:
        raise DataError(f"{hdu.label}: {named('column', missing)} missing")
    for name in names:
        if fields[name].code not in read:
            raise DataError(
                f"{hdu.label}: column {name} has format {fields[name].code}, which is not read"
            )
    return [fields[name] for name in names]


def stored_rows(file: FitsFile, index: int, fields: Sequence[Field]) -> Array:
    """Return a structured view of a table's rows as stored, shape (n,), with these fields."""
    hdu = file.hdus[index]
    layout = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [field.stored for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": hdu.whole("NAXIS1"),
        }
    )
    return np.ndarray(hdu.whole("NAXIS2"), layout, file.buffer, hdu.data_offset)


class FitsTable(TableFile):
    """One binary table of a FITS file."""

    def __init__(self, file: FitsFile, hdu: Hdu) -> None:
        self._file, self._hdu, self._image = file, hdu, _image_header(file, hdu)
        fields = table_fields(hdu)
        units = {name: field.unit for name, field in fields.items() if field.unit}
        super().__init__(file.path, tuple(fields), units, label=hdu.label, extension=hdu.index)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        fields = _chosen(self._hdu, names, _NUMBERS + "LAPQ")
        stored = stored_rows(self._file, self._hdu.index, fields)
        step = rows_at_once(wide)
        for start in range(0, len(stored), step):
            rows = stored[start : start + step]
            yield pa.table({field.name: self._column(rows, field) for field in fields})

    def _column(self, rows: Array, field: Field) -> pa.Array:
        cells = np.ascontiguousarray(rows[field.name])
        if field.code in "PQ":
            if field.element not in _NUMBERS:
                raise DataError(
                    f"{self.label}: column {field.name} has arrays of format {field.element},"
                    " which are not read"
                )
            return lists(arrays_of(self._file.buffer, self._hdu, field, cells))
        values, is_null = meant(cells, field)
        return from_numpy(values if is_null is None else np.ma.array(values, mask=is_null))

    def keyword(self, name: str) -> Any:
        """Return the value of a keyword of this extension, else of the primary header.

        Of LDAC the header of the image stands in the table before, and counts between the two.
        """
        for each in dict.fromkeys((name, name.upper())):
            if each in self._hdu:
                return self._hdu.value(each)
            if each in self._image:
                return parse_card(self._image[each])
            if each in self._file.hdus[0]:
                return self._file.hdus[0].value(each)
        return None


def _image_header(file: FitsFile, hdu: Hdu) -> Mapping[str, bytes]:
    """Return the cards of the image of a table of LDAC; none of another table."""
    before = file.hdus[hdu.index - 1]
    if _text(before, "EXTNAME") != _IMAGE or not before.is_table:
        return {}
    start = before.data_offset
    raw = bytes(file.buffer[start : start + before.whole("NAXIS1")])
    text = bytes(byte if 32 <= byte < 127 else 32 for byte in raw)
    return cards_of(text.ljust(-(-len(text) // CARD) * CARD))


class AsciiTable(TableInMemory):
    """One ASCII table of a FITS file (section 7.2), which astropy reads whole."""

    def __init__(self, file: FitsFile, hdu: Hdu) -> None:
        from astropy.table import Table  # noqa: PLC0415 - slow to import

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = Table.read(file.path, format="fits", hdu=hdu.index)
        except Exception as error:  # astropy raises what cards, columns and numpy raise
            raise DataError(f"{hdu.label}: cannot be read: {one_line(error)}") from None
        units = {name: str(table[name].unit) for name in table.colnames if table[name].unit}
        columns = {name: np.ma.asarray(table[name]) for name in table.colnames}
        super().__init__(file.path, columns, units, label=hdu.label, extension=hdu.index)


def fits_tables(
    path: Path, hdu: int | str | None, *, ldac: bool = False
) -> list[FitsTable | AsciiTable]:
    """Return the tables of a file that are asked for.

    Parameters
    ----------
    hdu : int, str or None
        Number of an extension, name of one or several, `all`, or None for the first table.
    ldac : bool
        Whether all and the first mean LDAC_OBJECTS only.

    Raises
    ------
    DataError
        If the file is damaged, or has no such table.
    """
    file = open_fits(path)
    tables = [
        each
        for each in file.hdus
        if each.is_table or (each.index and _text(each, "XTENSION") == "TABLE")
    ]
    if not tables:
        raise DataError(f"{path}: holds no table extension")
    if ldac and hdu in (None, "all"):
        tables = [each for each in tables if _text(each, "EXTNAME") in _OBJECTS]
        if not tables:
            raise DataError(f"{path}: holds no table {' or '.join(_OBJECTS)}, so it is no LDAC")
    elif hdu is None:
        tables = tables[:1]
    elif hdu != "all":
        known = ", ".join(f"{each.index} {_text(each, 'EXTNAME')}".strip() for each in tables)
        tables = [each for each in tables if hdu in (each.index, _text(each, "EXTNAME"))]
        if not tables:
            raise DataError(f"{path}: has no table extension {hdu}; there are: {known}")
    return [FitsTable(file, each) if each.is_table else AsciiTable(file, each) for each in tables]


def _text(hdu: Hdu, keyword: str) -> str:
    value = hdu.value(keyword) if keyword in hdu else ""
    return value.strip() if isinstance(value, str) else ""
