"""Parquet, by row groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.builtin.reference_catalogues.gaia.products import TableInfo, Wanted, block_rows
from scrframe.errors import DataError


def describe(path: Path) -> TableInfo:
    """Return what a file holds, from its footer."""
    with _open(path) as file:
        schema, meta = file.schema_arrow, file.metadata
        return TableInfo(
            path,
            "parquet",
            tuple(schema.names),
            _units(schema),
            row_groups=tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups)),
        )


def blocks(
    info: TableInfo, wanted: Mapping[str, Wanted], row_groups: tuple[int, ...] | None
) -> Iterator[pa.Table]:
    """Yield the columns wanted, as they are stored."""
    names = {item.name: own for own, item in wanted.items()}
    with _open(info.path) as file:
        groups = range(len(info.row_groups)) if row_groups is None else row_groups
        try:
            for batch in file.iter_batches(
                block_rows(wanted), row_groups=list(groups), columns=list(names), use_threads=False
            ):
                table = pa.Table.from_batches([batch])
                yield table.rename_columns([names[name] for name in table.column_names])
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{info.path}: is damaged: {error}") from None


def bounds(info: TableInfo, name: str) -> list[tuple[int, int] | None]:
    """Return the least and greatest value of an integer column in each row group.

    None stands where the file does not say.
    """
    with _open(info.path) as file:
        meta = file.metadata
        found: list[tuple[int, int] | None] = []
        for group in range(meta.num_row_groups):
            columns = (meta.row_group(group).column(i) for i in range(meta.num_columns))
            column = next((item for item in columns if item.path_in_schema == name), None)
            stated = column.statistics if column is not None else None
            if stated is None or not stated.has_min_max:
                found.append(None)
            else:
                found.append((int(stated.min), int(stated.max)))
        return found


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: is no readable Parquet file: {error}") from None


def _units(schema: pa.Schema) -> dict[str, str]:
    return {
        item.name: item.metadata[b"unit"].decode()
        for item in schema
        if item.metadata and b"unit" in item.metadata
    }
