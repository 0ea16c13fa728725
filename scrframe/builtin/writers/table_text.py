"""Corrected CSV, ECSV and VOTables: what stands in the input stays as it is written there."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.builtin.writers.columns import WHOLE, Added, about, kind_of
from scrframe.errors import DataError
from scrframe.io.fits import is_gzipped
from scrframe.io.text import open_text, read_header, readable
from scrframe.io.votable import parse_votable

#: Fast, and within a few per cent of the size at the usual level.
_GZIP_LEVEL = 4
_BLOCK_ROWS = 200_000


def write_csv(source: Path, target: Path, added: Added) -> Path:
    """Write a CSV file with columns appended to each line; an empty field is no value.

    Raises
    ------
    DataError
        If the file is damaged, or texts with line breaks stand in it.
    """
    known = read_header(source)
    added.check(known.names, source)
    with readable(source), open_text(source) as lines, _written(source, target) as sink:
        if not known.named:
            raise DataError(f"{source}: has no line of names, to which columns could be added")
        above = [next(lines) for _ in range(known.above)]
        names = next(lines)
        end = "\r\n" if names.endswith("\r\n") else "\n"
        joined = known.delimiter.join([names.rstrip("\r\n"), *added.columns])
        sink.write("".join([*above, joined + end]).encode())
        rows = _append(lines, sink, added, known.delimiter, end, source)
    added.check_length(rows, source)
    return target


def write_ecsv(source: Path, target: Path, added: Added) -> Path:
    """Write an ECSV file with columns appended; its header keeps all that it says.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    with readable(source):
        try:
            table = Table.read(source, format="ascii.ecsv")
        except (ValueError, TypeError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"{source}: cannot be read as ECSV: {said}") from None
    added.check(table.colnames, source)
    added.check_length(len(table), source)
    for name, values in added.spread(len(table), source).items():
        table[name] = values
        table[name].description = about(name)
        if name not in WHOLE:
            table[name].unit = "mag"
    table.meta |= {**added.facts, "scrframe_columns": list(added.about)}
    text = io.StringIO()
    table.write(text, format="ascii.ecsv", delimiter=read_header(source).delimiter)
    with _written(source, target) as sink:
        sink.write(text.getvalue().encode())
    return target


def write_votable(source: Path, target: Path, added: Added) -> Path:
    """Write a VOTable with fields appended to its first table; all else stays.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    import numpy as np  # noqa: PLC0415 - with astropy
    from astropy.io.votable.tree import Field, Info  # noqa: PLC0415 - slow to import

    votable = parse_votable(source)
    table = votable.get_first_table()
    added.check([field.name for field in table.fields], source)
    old = table.array
    added.check_length(len(old), source)
    names = list(old.dtype.names or ())
    for name in added.columns:
        facts: dict[str, Any] = {} if name in WHOLE else {"unit": "mag"}
        kind = {"f": "double", "i": "int"}[kind_of(name).kind]
        kind = "short" if kind_of(name).itemsize == 2 else kind
        field = Field(votable, name=name, datatype=kind, **facts)
        field.description = about(name)
        table.fields.append(field)
    table.create_arrays(len(old))
    for name in names:
        table.array[name] = old[name]
        table.array.mask[name] = old.mask[name]
    for name, values in added.spread(len(old), source).items():
        table.array[name] = values
        table.array.mask[name] = np.isnan(values) if values.dtype.kind == "f" else False
    for name, value in added.facts.items():
        table.infos.append(Info(name=name, value=value))
    table.infos.append(Info(name="scrframe_columns", value="; ".join(added.about)))
    votable.to_xml(str(target), compressed=is_gzipped(source))
    return target


@contextmanager
def _written(source: Path, target: Path) -> Iterator[Any]:
    """Open the output; it is gzipped if the input is."""
    with target.open("wb") as raw:
        if not is_gzipped(source):
            yield raw
            return
        # No time stamp: the same input gives the same bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as sink:
            yield sink


def _append(
    lines: Iterable[str], sink: Any, added: Added, delimiter: str, end: str, source: Path
) -> int:
    """Write the rows block by block, and return their number."""
    first = 0
    rest = (line.rstrip("\r\n") for line in lines)
    # The reader skips empty lines, and so they are no rows.
    rest = (line for line in rest if line)
    while block := list(islice(rest, _BLOCK_ROWS)):
        if any(line.count('"') % 2 for line in block):
            raise DataError(
                f"{source}: has texts with line breaks, which this writer cannot write back"
            )
        further = _formatted(added.spread(len(block), source, first), delimiter)
        pairs = map(delimiter.join, zip(block, further, strict=True))
        sink.write((end.join(pairs) + end).encode())
        first += len(block)
    return first


def _formatted(columns: Mapping[str, Any], delimiter: str) -> list[str]:
    """Return the lines of columns; NaN is an empty field, which blanks cannot separate."""
    empty = delimiter != " "
    table = pa.table(
        {name: pa.array(values, from_pandas=empty) for name, values in columns.items()}
    )
    buffer = io.BytesIO()
    pacsv.write_csv(table, buffer, pacsv.WriteOptions(include_header=False, delimiter=delimiter))
    return buffer.getvalue().decode().split("\n")[:-1]
