"""Columns of binary tables as native arrays, by fitsio or by astropy's definitions.

Both ways give the same arrays. Stored numbers become physical ones by TSCALn and TZEROn
(FITS standard 4.0, section 7.3.2): integers with the offset of an unsigned type become
that type, other scaled columns float64. An integer column that declares TNULLn becomes
float64 with NaN for the nulls.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import ConfigError, DataError
from scrframe.plugin.helpers.fits_structure import Buffer, Hdu, load, walk

Array = npt.NDArray[Any]

#: Which reader to take: "fitsio" or "astropy"; by default fitsio where it is installed.
READER_VARIABLE = "SCRFRAME_FITS"

#: Bytes and numpy type of the TFORM codes of fixed width.
_TYPES = {
    "L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "A": "S", "E": ">f4", "D": ">f8",
    "C": ">c8", "M": ">c16",
}  # fmt: skip
_NUMBERS = "BIJKEDCM"
_UNSIGNED = {("I", 2.0**15): "u2", ("J", 2.0**31): "u4", ("K", 2.0**63): "u8", ("B", -128.0): "i1"}


@dataclass(frozen=True)
class Field:
    """A column of a binary table, as the header defines it.

    Attributes
    ----------
    name, unit : str
        TTYPE and TUNIT; empty where the header has none.
    code : str
        Letter of the TFORM.
    repeat : int
        Elements in a cell.
    offset, width : int
        Place in a row, in bytes.
    scale, zero : float
        TSCAL and TZERO.
    null : int or None
        TNULL.
    """

    name: str
    unit: str
    code: str
    repeat: int
    offset: int
    width: int
    scale: float = 1.0
    zero: float = 0.0
    null: int | None = None

    @property
    def plain(self) -> bool:
        """Whether the numbers stored are the numbers meant."""
        return self.scale == 1.0 and self.zero == 0.0 and self.null is None

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the cells as they are stored."""
        if self.code in "AXPQ":
            return np.dtype(f"{'S' if self.code == 'A' else 'V'}{self.width}")
        base = np.dtype(_TYPES[self.code])
        return base if self.repeat == 1 else np.dtype((base, (self.repeat,)))


def table_fields(hdu: Hdu) -> Mapping[str, Field]:
    """Return the columns of a binary table by name, in order.

    Raises
    ------
    DataError
        If the HDU is no binary table, or its header contradicts itself.
    """
    if not hdu.is_table:
        raise DataError(f"{hdu.label} is no binary table")
    cards = hdu.cards
    count = hdu.value("TFIELDS")
    names = [f"{kind}{n}" for n in range(1, int(count) + 1) for kind in _FIELD_KEYWORDS]
    definition = tuple((name, cards[name]) for name in names if name in cards)
    try:
        fields = _fields(int(count), definition)
    except ValueError as error:
        raise DataError(f"{hdu.label}: {error}") from None
    width = sum(field.width for field in fields)
    if width != hdu.value("NAXIS1"):
        raise DataError(
            f"{hdu.label}: the columns take {width} bytes a row, NAXIS1 says {hdu.value('NAXIS1')}"
        )
    return {field.name: field for field in fields}


_FIELD_KEYWORDS = ("TTYPE", "TFORM", "TUNIT", "TSCAL", "TZERO", "TNULL")


@lru_cache(maxsize=64)
def _fields(count: int, definition: tuple[tuple[str, bytes], ...]) -> tuple[Field, ...]:
    """Parse column keywords; tables of one survey share them, so that one parse serves all."""
    from astropy.io.fits import Card

    values = {keyword: Card.fromstring(card).value for keyword, card in definition}
    fields, offset = [], 0
    for number in range(1, count + 1):
        form = str(values.get(f"TFORM{number}", "")).strip()
        match = re.match(r"(\d*)([LXBIJKAEDCMPQ])", form)
        if match is None:
            raise ValueError(f"TFORM{number} is {form!r}, which is no column format")
        repeat, code = int(match[1] or 1), match[2]
        width = _width(code, repeat)
        null = values.get(f"TNULL{number}")
        fields.append(
            Field(
                name=str(values.get(f"TTYPE{number}", f"col{number}")).strip(),
                unit=str(values.get(f"TUNIT{number}", "")).strip(),
                code=code,
                repeat=repeat,
                offset=offset,
                width=width,
                scale=float(values.get(f"TSCAL{number}", 1.0)),
                zero=float(values.get(f"TZERO{number}", 0.0)),
                null=int(null) if null is not None and code in "BIJK" else None,
            )
        )
        offset += width
    return tuple(fields)


def _width(code: str, repeat: int) -> int:
    if code == "X":
        return -(-repeat // 8)
    if code in "PQ":
        return repeat * (8 if code == "P" else 16)
    return repeat * (1 if code == "A" else np.dtype(_TYPES[code]).itemsize)


def read_columns(
    path: Path,
    wanted: Mapping[int, Sequence[str]],
    *,
    hdus: Sequence[Hdu] | None = None,
    buffer: Buffer | None = None,
) -> dict[int, dict[str, Array]]:
    """Read columns of several extensions of a file, which is opened once.

    Parameters
    ----------
    path : Path
        The file, plain or gzipped.
    wanted : mapping of int to sequence of str
        Names of the columns to read, by index of the extension.
    hdus : sequence of Hdu, optional
        Structure of the file, where `walk` has found it already.
    buffer : bytes or mmap, optional
        Content of the file, where `load` has it already.

    Returns
    -------
    dict of int to dict of str to ndarray
        By extension and name; numbers in native byte order, shape (n,) or (n, repeat).

    Raises
    ------
    DataError
        If the file is damaged, or an extension or column is missing or cannot be read.
    """
    buffer = load(path) if buffer is None else buffer
    hdus = walk(path, buffer) if hdus is None else hdus
    chosen = {index: _chosen(_at(hdus, index, path), names) for index, names in wanted.items()}
    library = _library(path)
    if library is None:
        return {index: _viewed(hdus[index], fields, buffer) for index, fields in chosen.items()}
    return _by_fitsio(library, path, hdus, chosen, buffer)


def reader() -> str:
    """Return the reader that will be used, "fitsio" or "astropy".

    Raises
    ------
    ConfigError
        If the environment asks for another, or for fitsio where it is not installed.
    """
    return "astropy" if _fitsio() is None else "fitsio"


def _fitsio() -> ModuleType | None:
    asked = os.environ.get(READER_VARIABLE, "")
    if asked not in ("", "fitsio", "astropy"):
        raise ConfigError(f"{READER_VARIABLE} is {asked!r}; expected fitsio or astropy")
    if asked == "astropy":
        return None
    try:
        import fitsio
    except ImportError:
        if asked:
            raise ConfigError(
                f"{READER_VARIABLE} asks for fitsio, which is not installed"
            ) from None
        return None
    return fitsio  # type: ignore[no-any-return]


def _library(path: Path) -> ModuleType | None:
    # CFITSIO would read brackets and the like in a file name as a selection of rows.
    return None if re.search(r"[\[\](){}+;,]", str(path)) else _fitsio()


def _at(hdus: Sequence[Hdu], index: int, path: Path) -> Hdu:
    if not 0 <= index < len(hdus):
        raise DataError(f"{path} has no extension {index}, only {len(hdus) - 1}")
    return hdus[index]


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


def _viewed(hdu: Hdu, fields: Sequence[Field], buffer: Buffer) -> dict[str, Array]:
    """Copy columns out of the rows as they lie in the file."""
    rows = stored_rows(hdu, fields, buffer)
    return {field.name: _physical(rows[field.name], field) for field in fields}


def stored_rows(hdu: Hdu, fields: Sequence[Field], buffer: Buffer) -> Array:
    """Return a structured view of a table's rows, shape (n,), with the fields given."""
    if "ZTABLE" in hdu and hdu.value("ZTABLE") is True:
        raise DataError(f"{hdu.label} is a compressed table; unpack the file with funpack")
    layout = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [field.stored for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": hdu.value("NAXIS1"),
        }
    )
    return np.ndarray(hdu.value("NAXIS2"), layout, buffer, hdu.data_offset)


def _by_fitsio(
    library: ModuleType,
    path: Path,
    hdus: Sequence[Hdu],
    chosen: Mapping[int, Sequence[Field]],
    buffer: Buffer,
) -> dict[int, dict[str, Array]]:
    found: dict[int, dict[str, Array]] = {}
    try:
        with library.FITS(str(path)) as file:
            for index, fields in chosen.items():
                easy = [field.name for field in fields if field.plain and field.code in _NUMBERS]
                other = [field for field in fields if field.name not in easy]
                columns = _viewed(hdus[index], other, buffer)
                if easy and hdus[index].value("NAXIS2"):
                    rows = file[index].read(columns=easy)
                    columns |= {name: np.ascontiguousarray(rows[name]) for name in easy}
                elif easy:
                    columns |= _viewed(hdus[index], [f for f in fields if f.name in easy], buffer)
                found[index] = {field.name: columns[field.name] for field in fields}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return found


def _physical(stored: Array, field: Field) -> Array:
    """Turn stored cells into physical values in native byte order."""
    if field.code == "A":
        return np.char.rstrip(np.char.decode(stored, "ascii", "replace"))
    if field.code == "L":
        return np.asarray(stored == b"T")
    values = stored.astype(stored.dtype.newbyteorder("="), order="C")
    if field.plain:
        return values
    unsigned = _UNSIGNED.get((field.code, field.zero))
    if field.null is None and field.scale == 1.0 and unsigned is not None:
        # Adding half the range is a flip of the highest bit.
        flip = values.dtype.type(np.iinfo(values.dtype).max ^ -1) if unsigned != "i1" else 128
        return np.bitwise_xor(values, flip).view(unsigned)
    return _scaled(values, field)


def _scaled(values: Array, field: Field) -> Array:
    is_null = None if field.null is None else values == field.null
    if is_null is not None and field.scale == 1.0 and field.zero == 0.0:
        if values.dtype.itemsize == 8 and not is_null.any():
            return values
        if values.dtype.itemsize == 8:
            raise DataError(f"column {field.name}: nulls in 64-bit integers cannot be represented")
    physical = values * np.float64(field.scale) + np.float64(field.zero)
    if is_null is not None:
        physical[is_null] = math.nan
    return physical
