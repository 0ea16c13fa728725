"""Parquet, by row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.errors import DataError
from scrframe.io.table_file import BLOCK_ROWS, only_length


class ParquetTable:
    """A Parquet file; its units are those that fields declare as ``unit``.

    Raises
    ------
    DataError
        If the file is none, or is cut short.
    """

    extension = 0

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, str(path)
        with _opened(path) as file:
            schema, meta = file.schema_arrow, file.metadata
            self.names: tuple[str, ...] = tuple(schema.names)
            self.units: dict[str, str] = {
                field.name: field.metadata[b"unit"].decode()
                for field in schema
                if field.metadata and b"unit" in field.metadata
            }
            self.row_groups: tuple[int, ...] = tuple(
                meta.row_group(i).num_rows for i in range(meta.num_row_groups)
            )

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the columns named, as they are stored."""
        groups = list(range(len(self.row_groups)) if row_groups is None else row_groups)
        start = sum(self.row_groups[: groups[0]]) if groups else 0
        with _opened(self.path) as file:
            try:
                for batch in file.iter_batches(
                    BLOCK_ROWS, row_groups=groups, columns=list(names), use_threads=False
                ):
                    table = pa.Table.from_batches([batch])
                    yield start, table if names else only_length(batch.num_rows)
                    start += batch.num_rows
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{self.path}: is damaged: {_line(error)}") from None

    def keyword(self, name: str) -> Any:
        """Return None: there are no keywords."""
        return None


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: is no readable Parquet file: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
