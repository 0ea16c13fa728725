"""Columns of binary tables as native arrays.

Rows are viewed where they lie in the file, by the layout that the header states; that is
faster than either library (see `READER_VARIABLE`), needs none and gives the same arrays.
Stored numbers become physical ones by TSCALn and TZEROn (FITS standard 4.0, section
7.3.2): integers with the offset of an unsigned type become that type, other scaled columns
float64. An integer column of up to 32 bits that declares TNULLn becomes float64 with NaN
for the nulls.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.arrays import Array
from scrframe.errors import ConfigError, DataError
from scrframe.io.fits.fields import Field, table_fields
from scrframe.io.fits.structure import Buffer, Hdu, load, walk
from scrframe.io.fits.tiles import is_compressed, uncompressed

Stored = dict[int, Array]

#: Environment variable that makes another reader fetch the stored rows: "fitsio" or
#: "astropy". The results are identical; it serves to cross-check.
READER_VARIABLE = "SCRFRAME_FITS"
READERS = ("numpy", "fitsio", "astropy")

_NUMBERS = "BIJKEDCM"
_UNSIGNED = {("I", 2.0**15): "u2", ("J", 2.0**31): "u4", ("K", 2.0**63): "u8", ("B", -128.0): "i1"}


@dataclass(frozen=True)
class FitsFile:
    """A FITS file that was found to be complete.

    Attributes
    ----------
    path : Path
        The file.
    buffer : bytes or mmap
        Its content, decompressed.
    hdus : tuple of Hdu
        Its header and data units; compressed tables are restored.
    restored : bool
        Whether there were compressed tables.
    """

    path: Path
    buffer: Buffer
    hdus: tuple[Hdu, ...]
    restored: bool = False


def open_fits(path: Path) -> FitsFile:
    """Open a FITS file, plain, gzipped or with compressed tables, and check its structure.

    Raises
    ------
    DataError
        If the file is empty, truncated (with the extension and the bytes that are
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
    chosen = {index: _chosen(_at(file, index), names) for index, names in wanted.items()}
    return {
        index: {field.name: physical(rows[field.name], field, file.hdus[index]) for field in fields}
        for (index, fields), rows in zip(chosen.items(), _fetched(file, chosen), strict=True)
    }


def reader() -> str:
    """Return the reader that is in force, one of `READERS`.

    Raises
    ------
    ConfigError
        If the environment asks for another.
    """
    asked = os.environ.get(READER_VARIABLE, "") or READERS[0]
    if asked not in READERS:
        raise ConfigError(f"{READER_VARIABLE} is {asked!r}; expected {', '.join(READERS)}")
    return asked


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


def physical(stored: Array, field: Field, hdu: Hdu) -> Array:
    """Return physical values, in native byte order, of stored cells.

    Raises
    ------
    DataError
        If a 64-bit integer column has nulls, which no number could stand for.
    """
    if field.code == "A":
        text: Array = np.char.rstrip(np.char.decode(stored, "ascii", "replace"))
        return text
    if field.code == "L":
        flags: Array = stored == ord("T")
        return flags
    values: Array = stored.astype(stored.dtype.newbyteorder("="), order="C")
    is_null = None if field.null is None else values == field.null
    if is_null is not None and values.dtype.itemsize == 8:
        if is_null.any():
            raise DataError(
                f"{hdu.label}, row {np.argwhere(is_null)[0, 0]}: column {field.name} is null,"
                " which a 64-bit integer cannot hold"
            )
        is_null = None
    if is_null is None and field.scale == 1.0:
        if field.zero == 0.0:
            return values
        if (field.code, field.zero) in _UNSIGNED:
            return _shifted(values, np.dtype(_UNSIGNED[field.code, field.zero]))
    scaled = values * np.float64(field.scale) + np.float64(field.zero)
    if is_null is not None:
        scaled[is_null] = np.nan
    return scaled


def _shifted(values: Array, kind: np.dtype[Any]) -> Array:
    """Add half the range: it flips the highest bit and leaves the others."""
    bits = np.dtype(f"u{kind.itemsize}")
    flipped: Array = values.view(bits) ^ bits.type(2 ** (8 * kind.itemsize - 1))
    return flipped.view(kind)


def _at(file: FitsFile, index: int) -> Hdu:
    if not 0 <= index < len(file.hdus):
        raise DataError(f"{file.path} has no extension {index}, only {len(file.hdus) - 1}")
    return file.hdus[index]


def _chosen(hdu: Hdu, names: Sequence[str]) -> list[Field]:
    fields = table_fields(hdu)
    missing = [name for name in names if name not in fields]
    if missing:
        raise DataError(f"{hdu.label}: column(s) {', '.join(missing)} missing")
    for name in names:
        if fields[name].code not in _NUMBERS + "LA":
            raise DataError(
                f"{hdu.label}: column {name} has format {fields[name].code}, which is not read"
            )
    return [fields[name] for name in names]


def _fetched(file: FitsFile, chosen: Mapping[int, Sequence[Field]]) -> list[Any]:
    """Return the stored rows of each extension by the reader that is in force."""
    by = reader()
    if by == "numpy" or file.restored:
        return [stored_rows(file, index, fields) for index, fields in chosen.items()]
    fetch = _by_fitsio if by == "fitsio" else _by_astropy
    try:
        return fetch(file, chosen)
    except ImportError:
        raise ConfigError(f"{READER_VARIABLE} asks for {by}, which is not installed") from None
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {' '.join(str(error).split())}") from None


def _by_astropy(file: FitsFile, chosen: Mapping[int, Sequence[Field]]) -> list[Any]:
    from astropy.io import fits  # noqa: PLC0415 - slow to import

    with fits.open(file.path, memmap=False) as hdus:
        return [hdus[index].data.view(np.ndarray) for index in chosen]


def _by_fitsio(file: FitsFile, chosen: Mapping[int, Sequence[Field]]) -> list[Any]:
    import fitsio  # noqa: PLC0415 - optional

    found: list[Any] = []
    with fitsio.FITS(str(file.path)) as hdus:
        for index, fields in chosen.items():
            rows = stored_rows(file, index, fields)
            columns = {field.name: rows[field.name] for field in fields}
            # It scales by itself, in the stored type; leave to it what it cannot change.
            easy = [field.name for field in fields if field.plain and field.code in _NUMBERS]
            if easy and len(rows):
                read = hdus[index].read(columns=easy)
                columns |= {name: read[name] for name in easy}
            found.append(columns)
    return found
