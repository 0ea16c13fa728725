"""Tables: named, read-only columns with a declared vocabulary, on Arrow memory.

Columns that follow from others (Galactic coordinates, seasons, colours) are derived here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import DataError, named, number_of
from scrframe.tables.columns import (
    BY_NAME,
    DETECTION_REQUIRED,
    EXTINCTION_REQUIRED,
    REFERENCE_REQUIRED,
    VOCABULARY,
    Kind,
    Stage,
)

_ARROW_TYPES: dict[Kind, pa.DataType] = {
    "float64": pa.float64(),
    "float32": pa.float32(),
    "int64": pa.int64(),
    "int32": pa.int32(),
    "int16": pa.int16(),
    "bool": pa.bool_(),
    "category": pa.dictionary(pa.int32(), pa.string()),
}

#: Numbers beyond a column's range in so many rows, and more than so many of them different, are
#: measurements in another unit.
_MANY, _FEW = 10, 3
_OTHER_UNIT = {
    "mag_err": "is its unit mmag?",
    "airmass": "is it a zenith distance?",
    "exposure_time": "is its unit ms?",
    "seeing": "is its unit mas?",
    "ref_epoch": "is it a date? It must be a year",
}
#: Above this no more than half of the values can lie, whatever single ones do.
_TYPICAL = {"mag_err": 2.0}
#: All rows may have one of these.
_OF_ALL = ("ref_epoch",)


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the Arrow type in which a column of this kind is stored."""
    return _ARROW_TYPES[kind]


class ColumnTable:
    """Columns of equal length that cannot be changed; a step returns a new table.

    Columns of the vocabulary are cast to their declared type; others (a plugin's own)
    are kept as they come. A missing value is NaN in a float column, and reads as an empty
    text in a category.

    Parameters
    ----------
    table : pyarrow.Table
        The columns.

    Raises
    ------
    DataError
        If a required column is missing or lacks values, or a column cannot be cast to its
        declared type.
    """

    required: ClassVar[tuple[str, ...]] = ()

    def __init__(self, table: pa.Table) -> None:
        missing = [name for name in self.required if name not in table.column_names]
        if missing:
            raise DataError(f"{type(self).__name__} lacks the {named('column', missing)}")
        self._table = _cast(table)
        for name in self.required:
            nulls = self._table.column(name).null_count
            if nulls:
                raise DataError(f"column {name!r} lacks a value in {number_of(nulls, 'row')}")

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        """Build from arrays (numpy, Arrow or sequences), one per column."""
        return cls(pa.table({name: _to_arrow(name, value) for name, value in columns.items()}))

    @property
    def arrow(self) -> pa.Table:
        """The columns as an Arrow table."""
        return self._table

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __contains__(self, name: object) -> bool:
        return name in self._table.column_names

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return one column as a read-only array (a category as an array of strings)."""
        column = self._column(name)
        if pa.types.is_dictionary(column.type):
            codes, labels = self.codes(name)
            values = np.asarray(labels, dtype=object)[codes]
        else:
            values = column.to_numpy(zero_copy_only=False)
        values.flags.writeable = False
        return values

    def codes(self, name: str) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
        """Return a category column as codes, shape (n,), and its labels."""
        chunk = self._column(name)
        if not pa.types.is_dictionary(chunk.type):
            raise TypeError(f"column {name!r} is not a category")
        if chunk.null_count:
            chunk = pc.fill_null(chunk.cast(pa.string()), "").dictionary_encode()
        codes = chunk.indices.to_numpy(zero_copy_only=False)
        return codes, tuple(chunk.dictionary.to_pylist())

    def take(self, index: npt.NDArray[np.integer[Any]]) -> Self:
        """Return the rows of the given indices, shape (m,)."""
        return type(self)(self._table.take(pa.array(index)).combine_chunks())

    def filter(self, mask: BoolArray) -> Self:
        """Return the rows where the mask, shape (n,), is true."""
        return type(self)(self._table.filter(pa.array(mask)).combine_chunks())

    def with_columns(self, columns: Mapping[str, Any]) -> Self:
        """Return a table with further (or replaced) columns."""
        table = self._table
        for name, value in columns.items():
            array = _to_arrow(name, value)
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, array)
            else:
                table = table.append_column(name, array)
        return type(self)(table)

    def select(self, names: Sequence[str]) -> Self:
        """Return a table of these columns only."""
        return type(self)(self._table.select(list(names)))

    @classmethod
    def concat(cls, tables: Iterable[Self]) -> Self:
        """Stack tables; a column that only some have is filled with missing values."""
        parts = [table.arrow for table in tables]
        joined = pa.concat_tables(parts, promote_options="default").unify_dictionaries()
        return cls(joined.combine_chunks())

    def _column(self, name: str) -> pa.Array:
        try:
            column = self._table.column(name)
        except KeyError:
            raise KeyError(
                f"no column {name!r}; there are: {', '.join(self._table.column_names)}"
            ) from None
        if column.num_chunks == 1:
            return column.chunk(0)
        combined = column.combine_chunks()
        return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def plausible(table: T, label: str) -> T:
    """Return a table in which values outside the valid range of their column are NaN.

    Raises DataError that begins with `label` if such a value is a date, or if most values of a
    column are too large, as they are in another unit.
    """
    changed = {}
    for name in table.names:
        low, high = BY_NAME[name].valid if name in BY_NAME else (-np.inf, np.inf)
        if np.isfinite(low):
            values = table[name]
            good = (values > low) & (values < high)
            if name == "mjd":
                refuse_dates(values[~good & ~np.isnan(values)], f"{label}: mjd")
            elif name in _TYPICAL or not (good | np.isnan(values)).all():
                refuse_large(name, values, f"{label}: {name}")
                changed[name] = np.where(good, values, np.nan)
    return table.with_columns(changed) if changed else table


def refuse_large(name: str, values: FloatArray, label: str) -> None:
    """Raise DataError if most values of a column are larger than can be meant.

    Some are no values, and a single number stands for none; numbers of all kinds are of another
    unit.
    """
    low, high = BY_NAME[name].valid
    high = _TYPICAL.get(name, high)
    known = values[np.isfinite(values)]
    large = known[known >= high]
    if (
        len(large) >= _MANY
        and len(large) > len(known) / 2
        and (len(np.unique(large)) > _FEW or name in _OF_ALL)
    ):
        hint = _OTHER_UNIT.get(name, "is its unit right?")
        raise DataError(
            f"{label} is {large[0]:g} and the like in {len(large)} of {len(known)} rows, where"
            f" {max(low, 0):g} to {high:g} can be meant: {hint}"
        )


def refuse_dates(bad: FloatArray, label: str) -> None:
    """Raise DataError that names the first date out of range, if there is one."""
    if not len(bad):
        return
    low, high = BY_NAME["mjd"].valid
    likely = {
        "a Julian date: unit: jd": bad[0] - 2400000.5,
        "a year, which is no date": (bad[0] - 2000) * 365.25 + 51544.5,
        "JD - 2450000: add 49999.5, by an expression": bad[0] + 49999.5,
        "seconds of Unix: unit: unix": bad[0] / 86400 + 40587,
        "seconds: unit: s": bad[0] / 86400,
    }
    hints = [said for said, mjd in likely.items() if max(low, 41000) < mjd < high]
    looks = f"; it looks like {hints[0]}" if hints else "; is its unit right?"
    raise DataError(
        f"{label} is {bad[0]:.10g}, no modified Julian date of the years 1900 to 2100{looks}"
    )


class Detections(ColumnTable):
    """Detections of one or more visits, one row each, as a survey loader yields them."""

    required = DETECTION_REQUIRED


class ReferenceStars(ColumnTable):
    """Stars of a reference catalogue, one row each."""

    required = REFERENCE_REQUIRED


class Extinctions(ColumnTable):
    """Extinctions of stars, one row each, keyed by ``source_id``."""

    required = EXTINCTION_REQUIRED


def _to_arrow(name: str, value: Any) -> pa.Array:
    if isinstance(value, pa.ChunkedArray):
        value = value.combine_chunks()
    if isinstance(value, pa.Array):
        return value
    declared = BY_NAME.get(name)
    array = np.asarray(value)
    if declared is not None and declared.kind == "category":
        # An empty list is an array of floats to numpy.
        labels: Any = array if array.size else []
        return pa.array(labels, type=pa.string()).dictionary_encode()
    if array.dtype.kind in "OU":
        return pa.array(array)
    if array.dtype.byteorder not in "=|":
        array = array.astype(array.dtype.newbyteorder("="))
    return pa.array(np.ascontiguousarray(array))


def _cast(table: pa.Table) -> pa.Table:
    for index, name in enumerate(table.column_names):
        declared = BY_NAME.get(name)
        column = table.column(name)
        if declared is not None:
            column = _cast_column(name, column, arrow_type(declared.kind))
        if column.null_count and pa.types.is_floating(column.type):
            column = pc.fill_null(column, float("nan"))
        if column is not table.column(name):
            table = table.set_column(index, name, column)
    return table


def _cast_column(name: str, column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if column.type == wanted:
        return column
    try:
        if pa.types.is_dictionary(wanted):
            return column.cast(pa.string()).dictionary_encode().cast(wanted)
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"column {name!r} of type {column.type} cannot be stored as {wanted}: {error}"
        ) from None


T = TypeVar("T", bound=ColumnTable)
#: What each derived column is made from.
INPUTS: dict[str, tuple[str, ...]] = {
    column.name: column.inputs for column in VOCABULARY if column.derived
}
#: 1 January 1970 as a Modified Julian date, from which numpy counts its dates.
_MJD_1970 = 40587
#: Months from 1 January to the beginning of a season.
_SEASON_MONTHS = 9


def derive(table: T, stage: Stage, names: Collection[str] | None = None) -> T:
    """Add the derived columns of a stage whose inputs the table holds.

    Parameters
    ----------
    table : ColumnTable
        Detections, joined with what the stage has brought.
    stage : str
        Only columns that the vocabulary declares for this stage are made.
    names : collection of str, optional
        Restricts them further, so that what nobody asks for costs nothing.

    Returns
    -------
    ColumnTable
        The table with the columns; a column that it has already is kept as it is.

    Raises
    ------
    DataError
        If a declination lies outside -90..90 deg.
    """
    wanted = [
        name
        for name, inputs in INPUTS.items()
        if inputs
        and BY_NAME[name].stage == stage
        and (names is None or name in names)
        and name not in table
        and all(source in table for source in inputs)
    ]
    columns: dict[str, FloatArray | pa.Array] = {}
    if "gal_l" in wanted or "gal_b" in wanted:
        galactic = _galactic(table["ra"], table["dec"])
        columns.update((name, galactic[name]) for name in ("gal_l", "gal_b") if name in wanted)
    if "season" in wanted:
        columns["season"] = season_of(table["mjd"])
    if "bp_rp" in wanted:
        columns["bp_rp"] = table["bp_mag"] - table["rp_mag"]
    if "colour" in wanted:
        columns["colour"] = table["mag"] - table["reference_mag"]
    return table.with_columns(columns) if columns else table


def season_of(mjd: FloatArray) -> pa.Array:
    """Return the observing season (the year of its October) of each date, null for none.

    Dates are Modified Julian, shape (n,).
    """
    dated = np.isfinite(mjd)
    days = np.floor(np.where(dated, mjd, _MJD_1970)).astype(np.int64) - _MJD_1970
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    years = 1970 + (months - _SEASON_MONTHS) // 12
    return pa.array(years.astype(np.int32), mask=~dated)


def _galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> dict[str, FloatArray]:
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    outside = np.flatnonzero(np.abs(dec_deg) > 90)
    if len(outside):
        raise DataError(
            f"{len(outside)} declinations lie outside -90..90 deg, the first"
            f" ({dec_deg[outside[0]]:g}) in row {outside[0]}"
        )
    galactic = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return {"gal_l": np.asarray(galactic.l.deg), "gal_b": np.asarray(galactic.b.deg)}
