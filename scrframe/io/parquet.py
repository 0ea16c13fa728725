"""Parquet, by row groups, as pyarrow reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.errors import DataError
from scrframe.io.table_file import (
    ASTROPY,
    DAMAGE,
    TableFile,
    astropy_header,
    one_line,
    raise_if_small,
    rows_at_once,
    units_of,
)

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
            units = units_of(schema, path)
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
                raise_if_small(error)
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


def for_astropy(
    schema: pa.Schema, text_lengths: Mapping[str, int], label: object
) -> dict[str, str]:
    """Return metadata by which `astropy.table.Table.read` knows all columns of a file.

    Parameters
    ----------
    schema : pyarrow.Schema
        Fields whose metadata ``unit`` and ``description`` count, and the file's own metadata:
        what astropy has written there about columns stays.
    text_lengths : mapping of str to int
        Letters of the longest value of each column of text.
    label : object
        The file, for messages.

    Raises DataError if what astropy has written there is damaged.
    """
    from astropy.table import Table, meta  # noqa: PLC0415 - slow to import

    known = astropy_header(schema, label)
    header = Table(meta=known.get("meta", {}))
    own = known.get("columns", {})
    for field in schema:
        said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        kind: Any = object
        if field.name in text_lengths:
            kind = f"U{text_lengths[field.name]}"
        elif not pa.types.is_nested(field.type):
            kind = field.type.to_pandas_dtype()
        # Only names, units and the like are read of it: a column of arrays stands as any other.
        header[field.name] = np.zeros(0, dtype=np.float64 if kind is object else kind)
        for name, value in (said | own.get(field.name, {})).items():
            if name in ("unit", "description", "format", "meta"):
                setattr(header[field.name], name, value)
    lengths = {f"table::len::{name}": str(length) for name, length in text_lengths.items()}
    return {ASTROPY: "\n".join(meta.get_yaml_from_table(header)), **lengths}


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except DAMAGE as error:
        raise_if_small(error)
        raise DataError(f"{path}: is not a readable Parquet file: {one_line(error)}") from None
