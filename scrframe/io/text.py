"""CSV and ECSV, gzipped or not, in a stream; every column comes as text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.errors import DataError
from scrframe.io.table_file import NULLS, only_length
from scrframe.io.text_files import open_stream, open_text, readable

#: Bytes of text that are parsed at a time.
BLOCK_BYTES = 16 << 20
#: In the order in which they are tried where no header tells the delimiter.
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class Header:
    """The lines above the data.

    Attributes
    ----------
    comments : int
        How many of them come before the line of names.
    names : tuple of str
    delimiter : str
    units : mapping of str to str
    """

    comments: int
    names: tuple[str, ...]
    delimiter: str
    units: Mapping[str, str] = field(default_factory=dict)


class TextTable:
    """A CSV or ECSV file.

    Raises
    ------
    DataError
        If it is no text, or its header is damaged.
    """

    extension = 0
    row_groups: tuple[int, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, str(path)
        self.header = read_header(path)
        self.names, self.units = self.header.names, self.header.units

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the columns named as text; what is missing is null."""
        chosen = list(names) or [self.names[0]]
        start = 0
        with readable(self.path), open_stream(self.path) as stream:
            reader = pacsv.open_csv(
                stream,
                pacsv.ReadOptions(
                    skip_rows=self.header.comments + 1,
                    column_names=list(self.names),
                    block_size=BLOCK_BYTES,
                    use_threads=False,
                ),
                pacsv.ParseOptions(delimiter=self.header.delimiter, newlines_in_values=False),
                pacsv.ConvertOptions(
                    include_columns=chosen,
                    column_types=dict.fromkeys(chosen, pa.string()),
                    null_values=list(NULLS),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
            for batch in reader:
                rows = batch.num_rows
                yield start, pa.Table.from_batches([batch]) if names else only_length(rows)
                start += rows

    def keyword(self, name: str) -> Any:
        """Return None: there are no keywords."""
        return None


def read_header(path: Path) -> Header:
    """Return the names of the columns, and what an ECSV header says besides.

    Raises
    ------
    DataError
        If the file has no line of names, or two columns of one name.
    """
    comments: list[str] = []
    with readable(path), open_text(path) as lines:
        line = ""
        for line in lines:
            if not line.startswith("#"):
                break
            comments.append(line[1:].rstrip("\r\n"))
        else:
            line = ""
    is_ecsv = bool(comments) and comments[0].strip().startswith("%ECSV")
    delimiter, units = _ecsv(path, comments[1:]) if is_ecsv else (_guessed(line), {})
    names = tuple(
        name.strip() for name in next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    )
    if not any(names):
        raise DataError(f"{path}: has no line of column names")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{path}: has two columns called "{twice}"')
    return Header(len(comments), names, delimiter, units)


def _guessed(line: str) -> str:
    return next((each for each in _DELIMITERS if each in line), ",")


def _ecsv(path: Path, comments: list[str]) -> tuple[str, dict[str, str]]:
    """Return the delimiter and the units that an ECSV header declares."""
    from astropy.table import meta  # noqa: PLC0415 - slow to import
    from yaml import YAMLError  # noqa: PLC0415 - with it

    try:
        header = meta.get_header_from_yaml([line.removeprefix(" ") for line in comments])
        units = {item["name"]: str(item["unit"]) for item in header["datatype"] if "unit" in item}
    except (YAMLError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: has a damaged ECSV header: {said}") from None
    return header.get("delimiter", " "), units
