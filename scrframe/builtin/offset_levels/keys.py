"""Keys: the values of some columns that set groups, maps or curves apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import IntArray
from scrframe.errors import ConfigError
from scrframe.statistics.groups import find_sorted
from scrframe.tables import Detections
from scrframe.tables.cuts import unknown_column

#: Columns that are the same for all detections of one detector in one visit.
_OF_EXPOSURES = frozenset(
    {
        "visit",
        "band",
        "ccd",
        "file",
        "extension",
        "field",
        "mjd",
        "season",
        "airmass",
        "seeing",
        "exposure_time",
    }
)


def vary_within_exposure(by: Iterable[str]) -> bool:
    """Return whether detections of one detector in one visit may differ in these columns."""
    return not _OF_EXPOSURES.issuperset(by)


@dataclass(frozen=True)
class Keys:
    """The known values of some key columns, and the combinations that occur.

    Attributes
    ----------
    values : mapping of str to sequence
        Sorted values of each column.
    codes : ndarray of int64, shape (g,)
        The combinations, ascending, as mixed-radix numbers over the values' positions.
    """

    values: Mapping[str, tuple[Any, ...]]
    codes: IntArray

    @classmethod
    def of(cls, table: Detections, by: tuple[str, ...]) -> Keys:
        """Collect the keys that occur in a table; with no columns there is one key.

        Raises
        ------
        ConfigError
            If the table lacks a column.
        """
        for name in by:
            if name not in table:
                raise ConfigError(unknown_column(name, table.names))
        values = {name: tuple(sorted(set(_distinct(table, name)))) for name in by}
        codes = np.unique(_combine(table, values))
        return cls(values, codes[codes >= 0])

    @classmethod
    def from_labels(cls, labels: pa.Table, by: tuple[str, ...]) -> Keys:
        """Rebuild the keys from stored labels, one row a group."""
        columns = {name: labels.column(name).to_pylist() for name in by}
        values = {name: tuple(sorted(set(column))) for name, column in columns.items()}
        code = np.zeros(labels.num_rows, dtype=np.int64)
        for name, known in values.items():
            place = {value: number for number, value in enumerate(known)}
            code = code * len(known) + np.array([place[value] for value in columns[name]])
        return cls(values, np.unique(code))

    def find(self, table: Detections) -> IntArray:
        """Return the group of each row, shape (n,), -1 for a combination that is not known."""
        return find_sorted(self.codes, _combine(table, self.values))

    def labels(self) -> dict[str, list[Any]]:
        """Return the key columns of the groups, in order."""
        columns: dict[str, list[Any]] = {}
        rest = self.codes
        for name, known in reversed(list(self.values.items())):
            columns[name] = [known[place] for place in rest % len(known)]
            rest = rest // len(known)
        return {name: columns[name] for name in self.values}


def _distinct(table: Detections, name: str) -> Iterable[Any]:
    if pa.types.is_dictionary(table.arrow.schema.field(name).type):
        codes, labels = table.codes(name)
        return [labels[code] for code in np.unique(codes)]
    # A missing value is no key: NaN in a column of floats, null in any other.
    column = table.arrow.column(name)
    missing = pc.is_null(column, nan_is_null=True)
    return list(pc.unique(column.filter(pc.invert(missing))).to_pylist())


def _combine(table: Detections, values: Mapping[str, tuple[Any, ...]]) -> IntArray:
    code = np.zeros(len(table), dtype=np.int64)
    strange = np.zeros(len(table), dtype=bool)
    for name, known in values.items():
        place = _places(table, name, known)
        strange |= place < 0
        code = code * max(len(known), 1) + place
    code[strange] = -1
    return code


def _places(table: Detections, name: str, known: tuple[Any, ...]) -> IntArray:
    if pa.types.is_dictionary(table.arrow.schema.field(name).type):
        codes, labels = table.codes(name)
        place = {value: number for number, value in enumerate(known)}
        lookup = np.array([place.get(label, -1) for label in labels], dtype=np.int64)
        return lookup[codes] if len(labels) else np.full(len(codes), -1, dtype=np.int64)
    return find_sorted(np.asarray(known), table[name])
