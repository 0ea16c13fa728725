"""Tables of a handle: astropy's, with units and descriptions, from and to Arrow and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Column, Table

from scrframe.errors import DataError, did_you_mean
from scrframe.io.table_file import from_numpy
from scrframe.products.columns import ProductColumn, ecsv_table
from scrframe.products.files import damaged, read_ecsv


class ProductTable(Table):  # type: ignore[misc]
    """An astropy table of a run; `to_pandas` and `to_arrow` give the same in other forms."""

    def to_arrow(self) -> pa.Table:
        """Return the columns as an Arrow table, units and descriptions in the fields' metadata."""
        return arrow_of(self)


def declared_table(
    columns: Sequence[ProductColumn], values: Mapping[str, Any], meta: Mapping[str, Any]
) -> ProductTable:
    """Return declared columns as a table, with units, descriptions and facts about the whole."""
    return ProductTable(ecsv_table(columns, values, meta), copy=False)


def ecsv_product(path: Path) -> ProductTable:
    """Return a table of a run's solution.

    Raises DataError if the file is missing or not readable.
    """
    return ProductTable(read_ecsv(path), copy=False)


def parquet_product(
    path: Path, columns: Sequence[str] | None, meta: Mapping[str, Any]
) -> ProductTable:
    """Return columns of a Parquet product, all by default.

    Raises DataError if the file is missing or damaged, or lacks a column.
    """
    try:
        known = pq.read_schema(path).names
        for name in columns or ():
            if name not in known:
                near = did_you_mean(name, known)
                raise DataError(f'{path}: has no column "{name}"{near}')
        read = pq.read_table(path, columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise DataError(f"{path}: not found; make the run anew") from None
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None
    return astropy_of(read, meta)


def astropy_of(table: pa.Table, meta: Mapping[str, Any]) -> ProductTable:
    """Return an Arrow table as astropy's; units and descriptions are those of its fields."""
    made = ProductTable(meta=dict(meta))
    for field in table.schema:
        values = table.column(field.name).to_numpy()
        if values.dtype.kind == "O" and not pa.types.is_nested(field.type):
            values = values.astype(str)
        said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        made[field.name] = Column(
            values, unit=said.get("unit"), description=said.get("description")
        )
    return made


def arrow_of(table: Any) -> pa.Table:
    """Return a table of any of the usual kinds as an Arrow table.

    Columns that have no counterpart in Arrow, such as those of mixed objects, are left out.

    Parameters
    ----------
    table : astropy Table, pandas DataFrame, pyarrow Table, structured ndarray or mapping of arrays
        Anything with ``__arrow_c_stream__`` is taken, too.

    Raises
    ------
    DataError
        If it is none of these.
    """
    if isinstance(table, pa.Table):
        return table
    if is_frame(table):
        return _arrays({name: table[name].array for name in table.columns}, pa.array)
    if hasattr(table, "__arrow_c_stream__"):
        return pa.table(table)
    if isinstance(table, np.ndarray) and table.dtype.names:
        table = {name: table[name] for name in table.dtype.names}
    if isinstance(table, Table):
        made = _arrays({name: np.ma.asanyarray(table[name]) for name in table.colnames}, from_numpy)
        for place, name in enumerate(made.column_names):
            said = {
                "unit": str(table[name].unit or ""),
                "description": table[name].info.description,
            }
            field = made.schema.field(name).with_metadata({k: v for k, v in said.items() if v})
            made = made.set_column(place, field, made.column(name))
        return made
    if isinstance(table, Mapping):
        return _arrays({k: np.ma.asanyarray(v) for k, v in table.items()}, from_numpy)
    raise DataError(
        f"a {type(table).__name__} is no table; give an astropy Table, a pandas DataFrame, an Arrow"
        " table or a mapping of arrays"
    )


def is_frame(table: Any) -> bool:
    """Return whether a table is a DataFrame of pandas, which is not imported for it."""
    kind = type(table)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _arrays(columns: Mapping[Any, Any], convert: Any) -> pa.Table:
    made = {}
    for name, values in columns.items():
        try:
            made[str(name)] = convert(values)
        except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
            continue
    try:
        return pa.table(made)
    except pa.ArrowInvalid as error:
        raise DataError(f"the table's columns differ in length: {error}") from None


def with_columns(table: Any, added: Sequence[Column], meta: Mapping[str, str]) -> Any:
    """Return a table of the same kind with further columns; the one given stays as it is.

    Units, descriptions and facts about the whole go where the kind has a place for them.
    """
    if is_frame(table):
        frame = table.assign(**{column.name: np.asarray(column) for column in added})
        frame.attrs.update(meta)
        return frame
    if isinstance(table, Table):
        whole = table.copy()
        whole.meta.update(meta)
        for column in added:
            whole[column.name] = column
        return whole
    whole = arrow_of(table)
    further = arrow_of(ProductTable(list(added)))
    for place, field in enumerate(further.schema):
        whole = whole.append_column(field, further.column(place))
    whole = whole.replace_schema_metadata({**(whole.schema.metadata or {}), **meta})
    return whole if isinstance(table, pa.Table) else astropy_of(whole, meta)
