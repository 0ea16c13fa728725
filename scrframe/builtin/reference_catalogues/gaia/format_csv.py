"""CSV and ECSV, gzipped or not, in a stream."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from scrframe.builtin.reference_catalogues.gaia.products import Kind, TableInfo, Wanted
from scrframe.io.text_files import open_stream, open_text, readable

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
    with readable(info.path), open_stream(info.path) as stream:
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
    with readable(path), open_text(path) as lines:
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
