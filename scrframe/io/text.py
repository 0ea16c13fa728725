"""CSV, ECSV and plain text, gzipped or not, in a stream; every column comes as text.

Arrow's reader parses. By hand is the search for the header, since its reader knows neither
comments, nor ECSV, nor files without a line of names, nor which delimiter is meant; and
columns that any number of blanks separate are rewritten with single ones before it sees them.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.errors import DataError
from scrframe.io.cells import NULLS
from scrframe.io.compressed import open_bytes
from scrframe.io.table_file import DAMAGE, TableFile, one_line, raise_if_small

#: Bytes of text that are parsed at a time, and of rows of arrays, one of which takes 43 kB.
BLOCK_BYTES = 16 << 20
WIDE_BYTES = 4 << 20
#: Longer lines, and more lines above the data, are no table's.
_LONGEST_LINE, _MOST_ABOVE = 8 << 20, 100_000
#: In the order in which they are tried where no header tells the delimiter; else blanks.
_DELIMITERS = (",", "\t", ";", "|")
#: Header of SExtractor (ASCII_HEAD): number, name, text, and unit in brackets.
_NUMBERED = re.compile(r"\s*(\d+)\s+(\S+)(?:\s+.*?)?(?:\[([^\]]*)\])?\s*")


@dataclass(frozen=True)
class Header:
    """The lines above the data."""

    #: How many lines come before the data: comments, names, units, dashes, and empty ones.
    above: int
    names: tuple[str, ...]
    delimiter: str
    is_ecsv: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    #: What the header tells besides.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    #: Which of the lines above holds the names, None where none does.
    line: int | None = None
    #: Whether each name has a comment of its own, with its number.
    numbered: bool = False

    #: Whether a comment holds them.
    in_comment: bool = False

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

    def keyword(self, name: str) -> Any:
        """Return a value of the `meta` of an ECSV header; None if there is none."""
        return self.header.keywords.get(name)

    def find(self, name: str) -> str | None:
        """Return the name in the file of a column; col1, col2, ... where a comment names them."""
        number = re.fullmatch(r"col(\d+)", name)
        if number and self.header.line is not None and self.header.in_comment:
            name = dict(enumerate(self.names, start=1)).get(int(number[1]), name)
        return super().find(name)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        header = self.header
        with readable(self.path), open_text(self.path) as lines:
            if next(islice(lines, header.above, None), None) is None:
                return  # names, and no row below them, which Arrow calls an error
        with readable(self.path), _stream(self.path, header) as stream:
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(
                    skip_rows=header.above,
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
    """Return the names of the columns, and what a header says besides.

    Names stand in a line above the data, in the last comment (``# a b``), or one a comment
    (SExtractor); units may stand below them, above a line of dashes (VizieR).

    Raises DataError if the file has no line of names or data, or two columns of one name.
    """
    above: list[str] = []
    with readable(path), open_text(path) as lines:
        line = ""
        for text in bounded(lines, path):
            if text.strip() and not text.startswith("#"):
                line = text
                break
            above.append(text[1:].rstrip("\r\n"))
            if len(above) > _MOST_ABOVE:
                raise DataError(f"{path}: has no line of column names or data in {_MOST_ABOVE}")
        below = list(islice(bounded(lines, path), 2))
    if above and above[0].strip().startswith("%ECSV"):
        return _ecsv(path, above, line)
    delimiter = _guessed(line.strip())
    fields = _fields(line, delimiter)
    if not any(fields):
        raise DataError(f"{path}: has no line of column names")
    numbered = _numbered([text for text in above if text.strip()], len(fields))
    if numbered is not None:
        return Header(len(above), numbered[0], delimiter, False, numbered[1], numbered=True)
    if any(map(_is_number, fields)):
        last = next((n for n in reversed(range(len(above))) if above[n].strip()), 0)
        said = _fields(above[last] if above else "", delimiter)
        if len(said) == len(fields) and not any(map(_is_number, said)):
            names = _names(path, said)
            return Header(len(above), names, delimiter, line=last, in_comment=True)
    if _are_data(fields):
        names = tuple(f"col{number}" for number in range(1, len(fields) + 1))
        return Header(len(above), names, delimiter)
    names = _names(path, fields)
    dashes = next((n for n, text in enumerate(below) if _is_rule(text, delimiter)), -1)
    units = _fields(below[0], delimiter) if dashes == 1 else []
    found = {name: unit for name, unit in zip(names, units, strict=False) if unit.strip("- ")}
    return Header(len(above) + 2 + dashes, names, delimiter, units=found, line=len(above))


def bounded(lines: Any, path: Path) -> Iterator[str]:
    """Yield lines of a text; raises DataError if one has no end."""
    while line := lines.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{path}: has a line of {_LONGEST_LINE >> 20} MB or more; no table has")
        yield line


def _names(path: Path, fields: Sequence[str]) -> tuple[str, ...]:
    """Return names of columns; those without one are col1, col2, ... by their place."""
    twice = next((name for name in fields if name and fields.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{path}: has two columns called "{twice[:60]}"')
    return tuple(name or f"col{number}" for number, name in enumerate(fields, start=1))


def _numbered(above: Sequence[str], width: int) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """Return names and units by the header of SExtractor, None where it is none.

    A column whose next one is several further is an array, of elements name[0], name[1], ...
    """
    found = [match for text in above if (match := _NUMBERED.fullmatch(text))]
    starts = [int(match[1]) for match in found]
    if not found or len(found) < len(above) or starts != sorted(set(starts)) or starts[0] != 1:
        return None
    if starts[-1] > width:
        return None
    names: list[str] = []
    units: dict[str, str] = {}
    for match, first, stop in zip(found, starts, [*starts[1:], width + 1], strict=True):
        name = match[2]
        own = [name] if stop == first + 1 else [f"{name}[{n}]" for n in range(stop - first)]
        names += own
        units |= dict.fromkeys(own, match[3]) if match[3] else {}
    return tuple(names), units


def _guessed(line: str) -> str:
    return next((each for each in _DELIMITERS if each in line), " " if " " in line else ",")


def _fields(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == " " else _split(line, delimiter)


def _is_rule(line: str, delimiter: str) -> bool:
    fields = _fields(line, delimiter)
    return max(map(len, fields), default=0) > 2 and not "".join(fields).strip("-")


def _is_number(text: str) -> bool:
    try:
        return text not in NULLS and bool([float(text)])
    except ValueError:
        return False


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


def _ecsv(path: Path, above: list[str], line: str) -> Header:
    """Return what an ECSV header declares; `line` holds the names."""
    import yaml  # noqa: PLC0415 - only for such files

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads the header, and nothing of what its tags stand for."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    try:
        header = yaml.load("\n".join(text.removeprefix(" ") for text in above[1:]), Loader)
        units = {item["name"]: str(item["unit"]) for item in header["datatype"] if "unit" in item}
        delimiter = str(header.get("delimiter", " "))
        if delimiter not in (" ", ","):
            raise ValueError(f"the delimiter {delimiter[:10]!r}")
        meta = header.get("meta")
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: has a damaged ECSV header: {one_line(error)}") from None
    except RecursionError:
        raise DataError(f"{path}: has a damaged ECSV header: it is nested too deeply") from None
    fields = _split(line, delimiter)
    if not any(fields):
        raise DataError(f"{path}: has no line of column names")
    pairs = meta.items() if isinstance(meta, dict) else meta if isinstance(meta, list) else ()
    keywords = dict(pair for pair in pairs if isinstance(pair, tuple) and len(pair) == 2)
    names = _names(path, fields)
    return Header(len(above) + 1, names, delimiter, True, units, keywords, len(above))


def _passed_over_if_comment(row: Any) -> str:
    return "skip" if row.text.lstrip().startswith("#") else "error"


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a text, decompressing it; ends of lines stay as they are."""
    with io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="") as handle:
        yield handle


class _Lines(io.RawIOBase):
    """A stream of bytes of lines."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._rest = lines, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and (more := b"".join(islice(self._lines, 4096))):
            self._rest = more
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


@contextmanager
def _stream(path: Path, header: Header) -> Iterator[Any]:
    """Open a file as Arrow's reader takes it, decompressing it."""
    if header.by_blanks:
        with open_text(path) as lines:
            single = (" ".join(line.split()).encode() + b"\n" for line in bounded(lines, path))
            yield io.BufferedReader(_Lines(single), 1 << 20)
        return
    with open_bytes(path) as stream:
        yield stream


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8") from None
    except (zlib.error, csv.Error, *DAMAGE) as error:
        raise_if_small(error)
        raise DataError(f"{path}: cannot be read as text: {one_line(error)}") from None
