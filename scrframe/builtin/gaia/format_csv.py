"""CSV and ECSV, gzipped or not, in a stream."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.builtin.gaia.formats import Kind, TableInfo, Wanted
from scrframe.errors import DataError
from scrframe.plugin.helpers.fits import is_gzipped

#: Bytes of text parsed at a time; a row of a continuous spectrum takes 43 kB.
BLOCK_BYTES = 4 << 20
NULLS = ["", "null", "NULL", "None", "nan", "NaN", "NAN", "N/A", "--"]
_TYPES: dict[Kind, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "flag": pa.string(),
    "array": pa.string(),
}
_NAME = re.compile(r"\bname:\s*['\"]?([^,}'\"\s]+)")
_UNIT = re.compile(r"\bunit:\s*['\"]?([^,}'\"]+?)['\"]?\s*(?:[,}]|$)")
_DELIMITER = re.compile(r"^delimiter:\s*(['\"])(.)\1")
_MESSAGE = 200


@dataclass(frozen=True)
class _Header:
    """The lines above the data: how many are comments, the names, units and delimiter."""

    comments: int
    names: tuple[str, ...]
    units: Mapping[str, str]
    delimiter: str


def describe(path: Path) -> TableInfo:
    """Return what a file holds, from its header."""
    header = _header(path)
    return TableInfo(path, "csv", header.names, header.units)


def blocks(info: TableInfo, wanted: Mapping[str, Wanted]) -> Iterator[pa.Table]:
    """Yield the columns wanted; arrays and flags as text, missing values as null."""
    header = _header(info.path)
    names = {item.name: own for own, item in wanted.items()}
    with _readable(info.path), _stream(info.path) as stream:
        reader = pacsv.open_csv(
            stream,
            pacsv.ReadOptions(skip_rows=header.comments, block_size=BLOCK_BYTES, use_threads=False),
            pacsv.ParseOptions(delimiter=header.delimiter),
            pacsv.ConvertOptions(
                include_columns=list(names),
                column_types={item.name: _TYPES[item.kind] for item in wanted.values()},
                null_values=NULLS,
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns(
                [names[name] for name in batch.schema.names]
            )


def _header(path: Path) -> _Header:
    comments, units, delimiter, name = 0, {}, ",", ""
    with _readable(path), _open_text(path) as lines:
        for line in lines:
            if not line.startswith("#"):
                break
            comments += 1
            text = line[1:].strip()
            if text.startswith("%ECSV"):
                delimiter = " "  # unless a later line says otherwise
            if found := _DELIMITER.search(text):
                delimiter = found[2]
            if found := _NAME.search(text):
                name = found[1]
            if name and (found := _UNIT.search(text)):
                units[name] = found[1]
        else:
            line = ""
    names = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    return _Header(comments, tuple(name.strip() for name in names), units, delimiter)


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOBase]:
    opener = gzip.open if is_gzipped(path) else open
    with opener(path, "rt", encoding="utf-8") as handle:
        yield handle


@contextmanager
def _stream(path: Path) -> Iterator[pa.NativeFile]:
    with pa.OSFile(str(path)) as raw:
        if not is_gzipped(path):
            yield raw
            return
        with pa.CompressedInputStream(raw, "gzip") as stream:
            yield stream


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what damaged files raise into one line."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text") from None
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        message = " ".join(str(error).split())[:_MESSAGE]
        raise DataError(f"{path}: cannot be read as CSV: {message}") from None
