"""Parquet, by row groups, as pyarrow reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.errors import DataError
from scrframe.io.table_file import DAMAGE, TableFile, one_line, rows_at_once, units_of

#: More rows than this, and more than so many a byte, are not meant: equal ones take little.
_MOST_ROWS, _ROWS_A_BYTE = 1_000_000, 200
#: Rows of a row group, as pyarrow has them by default.
_GROUP_ROWS = 1 << 20


class ParquetTable(TableFile):
    """A Parquet file; its units are those that fields declare as ``unit``.

    Raises
    ------
    DataError
        If the file is none, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        with _opened(path) as file:
            schema, meta = file.schema_arrow, file.metadata
            units = units_of(schema)
            groups = tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
        size = path.stat().st_size
        if sum(groups) > max(_MOST_ROWS, size * _ROWS_A_BYTE):
            raise DataError(f"{path}: states {sum(groups)} rows in {size} bytes; no table does")
        super().__init__(path, schema.names, units, row_groups=groups)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        groups = list(range(len(self.row_groups)) if row_groups is None else row_groups)
        with _opened(self.path) as file:
            try:
                for batch in file.iter_batches(
                    rows_at_once(wide), row_groups=groups, columns=names, use_threads=False
                ):
                    yield pa.Table.from_batches([batch])
            except DAMAGE as error:
                raise DataError(f"{self.path}: is damaged: {one_line(error)}") from None

    def bounds(self, name: str) -> list[tuple[int, int] | None]:
        """Return the least and greatest value of an integer column in each row group.

        None stands where the file does not say.
        """
        own = self.own_name(name)
        with _opened(self.path) as file:
            meta = file.metadata
            found: list[tuple[int, int] | None] = []
            for group in range(meta.num_row_groups):
                columns = (meta.row_group(group).column(i) for i in range(meta.num_columns))
                column = next((item for item in columns if item.path_in_schema == own), None)
                stated = column.statistics if column is not None else None
                if stated is None or not stated.has_min_max:
                    found.append(None)
                else:
                    found.append((int(stated.min), int(stated.max)))
            return found


def write_plain(path: Path, table: pa.Table, meta: Mapping[str, str]) -> None:
    """Write a table as Parquet, dictionaries as plain strings, which every reader takes.

    `meta` is added to the key-value metadata.
    """
    plain = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    schema = pa.schema(plain, metadata={**(table.schema.metadata or {}), **meta})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, max(table.num_rows, 1), _GROUP_ROWS):
            writer.write_table(table.slice(first, _GROUP_ROWS).cast(schema))


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except DAMAGE as error:
        raise DataError(f"{path}: is not a readable Parquet file: {one_line(error)}") from None
