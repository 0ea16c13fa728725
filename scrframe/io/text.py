"""CSV, ECSV and plain text, gzipped or not, in a stream; every column comes as text.

Arrow's reader parses. By hand is the search for the header, since its reader knows neither
comments, nor ECSV, nor files without a line of names, nor which delimiter is meant; and
columns that any number of blanks separate are rewritten with single ones before it sees them.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.errors import DataError
from scrframe.io.block import NULLS
from scrframe.io.fits.structure import is_gzipped
from scrframe.io.table_file import TableFile, one_line

#: Bytes of text that are parsed at a time, and of rows of arrays, one of which takes 43 kB.
BLOCK_BYTES = 16 << 20
WIDE_BYTES = 4 << 20
#: In the order in which they are tried where no header tells the delimiter; else blanks.
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Header:
    """The lines above the data.

    Attributes
    ----------
    above : int
        How many comments and empty lines come before the names, or before the data of a
        file without them.
    named : bool
        Whether there is a line of names.
    units : mapping of str to str
    """

    above: int
    named: bool
    names: tuple[str, ...]
    delimiter: str
    is_ecsv: bool = False
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_blanks(self) -> bool:
        """Whether any number of blanks separates columns."""
        return self.delimiter == " " and not self.is_ecsv


class TextTable(TableFile):
    """A CSV, ECSV or plain text file.

    Raises
    ------
    DataError
        If it is not text, or its header is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.header = read_header(path)
        super().__init__(path, self.header.names, self.header.units)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        header = self.header
        with readable(self.path), _stream(self.path, header) as stream:
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(
                    skip_rows=header.above + header.named,
                    column_names=list(self.names),
                    block_size=WIDE_BYTES if wide else BLOCK_BYTES,
                    use_threads=False,
                ),
                pacsv.ParseOptions(
                    delimiter=header.delimiter, invalid_row_handler=_passed_over_if_comment
                ),
                pacsv.ConvertOptions(
                    include_columns=names, column_types=dict.fromkeys(names, pa.string())
                ),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])


def read_header(path: Path) -> Header:
    """Return the names of the columns, and what an ECSV header says besides.

    Raises DataError if the file has no line of names or data, or two columns of one name.
    """
    above: list[str] = []
    with readable(path), open_text(path) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                break
            above.append(line[1:].rstrip("\r\n"))
        else:
            line = ""
    is_ecsv = bool(above) and above[0].strip().startswith("%ECSV")
    delimiter, units = _ecsv(path, above[1:]) if is_ecsv else (_guessed(line.strip()), {})
    fields = line.split() if delimiter == " " and not is_ecsv else _split(line, delimiter)
    if not any(fields):
        raise DataError(f"{path}: has no line of column names")
    if not is_ecsv and _are_data(fields):
        names = tuple(f"col{number}" for number in range(1, len(fields) + 1))
        return Header(len(above), False, names, delimiter)
    twice = next((name for name in fields if fields.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{path}: has two columns called "{twice}"')
    return Header(len(above), True, tuple(fields), delimiter, is_ecsv, units)


def _guessed(line: str) -> str:
    return next((each for each in _DELIMITERS if each in line), " " if " " in line else ",")


def _split(line: str, delimiter: str) -> list[str]:
    return [
        name.strip() for name in next(csv.reader([line.strip("\r\n")], delimiter=delimiter), [])
    ]


def _are_data(fields: Sequence[str]) -> bool:
    """Return whether fields are numbers, or missing ones, and no names."""
    given = [each for each in fields if each not in NULLS]
    try:
        return bool([float(each) for each in given])
    except ValueError:
        return False


def _ecsv(path: Path, comments: list[str]) -> tuple[str, dict[str, str]]:
    """Return the delimiter and the units that an ECSV header declares."""
    import yaml  # noqa: PLC0415 - only for such files

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads the header, and nothing of what its tags stand for."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    try:
        header = yaml.load("\n".join(line.removeprefix(" ") for line in comments), Loader)
        units = {item["name"]: str(item["unit"]) for item in header["datatype"] if "unit" in item}
        return str(header.get("delimiter", " ")), units
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: has a damaged ECSV header: {one_line(error)}") from None


def _passed_over_if_comment(row: Any) -> str:
    return "skip" if row.text.lstrip().startswith("#") else "error"


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text, decompressing it; ends of lines stay as they are."""
    opener: Any = gzip.open if is_gzipped(path) else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as handle:
        yield handle


@contextmanager
def _stream(path: Path, header: Header) -> Iterator[Any]:
    """Open a file as Arrow's reader takes it, decompressing it."""
    if header.by_blanks:
        with open_text(path) as lines:
            single = (" ".join(line.split()) for line in lines)
            yield io.BytesIO("\n".join(single).encode())
        return
    with pa.OSFile(str(path)) as raw:
        if not is_gzipped(path):
            yield raw
            return
        with pa.CompressedInputStream(raw, "gzip") as stream:
            yield stream


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text") from None
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as text: {one_line(error)}") from None
