"""Keys: the values of some columns that set groups, maps or curves apart, and groups by key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import ConfigError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.statistics.groups import find_sorted
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars, Role
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
    """The known values of some key columns, and the combinations that occur."""

    #: Sorted values of each column.
    values: Mapping[str, tuple[Any, ...]]
    #: The combinations, ascending, as mixed-radix numbers over the values' positions. Shape (g,).
    codes: IntArray

    @classmethod
    def of(cls, table: Detections, by: tuple[str, ...]) -> Keys:
        """Collect the keys that occur in a table; with no columns there is one key.

        Raises ConfigError if the table lacks a column.
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


class KeyedLevel(FittedLevel):
    """The same m columns for each of g keys, one key after the other: p = g m columns."""

    def __init__(self, name: str, keys: Keys) -> None:
        self.name = name
        self._keys = keys

    @abstractmethod
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what identifies the m columns of one key."""

    @abstractmethod
    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return columns within a key and their weights, both of shape (n, k).

        The columns ascend in each row. A detection with a weight that is not finite gets an
        empty row.
        """

    def prior(self) -> sparse.csr_array | None:
        """Return the precision of the columns of one key, shape (m, m); None if flat."""
        return sparse.csr_array(sparse.eye_array(self._width()))

    def labels(self) -> pa.Table:
        """Return the keys and what identifies the columns of each, one row a column."""
        groups, width = len(self._keys.codes), self._width()
        keys = {
            name: np.repeat(np.asarray(values), width)
            for name, values in self._keys.labels().items()
        }
        repeated = {name: np.tile(values, groups) for name, values in self.columns().items()}
        return pa.table({**keys, **repeated})

    def design(self, detections: Detections) -> LevelDesign:
        """Return the weights of each detection in the columns of its key."""
        group = self._keys.find(detections)
        column, weight = self.basis(detections)
        known = (group >= 0) & np.isfinite(weight).all(axis=1)
        # Most often all are known, and a slice needs no copy.
        rows = slice(None) if known.all() else known
        width = self._width()
        places = (group[:, np.newaxis] * width + column)[rows]
        indptr = weight.shape[1] * np.concatenate([[0], np.cumsum(known)])
        shape = (len(group), len(self._keys.codes) * width)
        entries = (weight[rows].ravel(), places.ravel(), indptr)
        return LevelDesign(sparse.csr_array(entries, shape=shape))

    def precision(self) -> sparse.csr_array | None:
        """Return the prior of one key, repeated for all keys, which are independent."""
        prior = self.prior()
        if prior is None:
            return None
        keys = sparse.eye_array(len(self._keys.codes))
        return sparse.csr_array(sparse.kron(keys, prior, format="csr"))

    def _width(self) -> int:
        return len(next(iter(self.columns().values())))


class GroupConfig(PluginConfig):
    """A group for each combination of keys that occurs."""

    by: tuple[str, ...] = Field(
        min_length=1, description="Columns whose values make a group.", examples=[["visit", "ccd"]]
    )
    role: Role = Field(
        "correction", description="A nuisance term enters the solve but never a correction."
    )


class GroupLevel(FittedLevel):
    """One column for each combination of keys."""

    def __init__(self, name: str, keys: Keys, role: Role) -> None:
        self.name, self.role = name, role
        self.within_exposure = vary_within_exposure(keys.values)
        self._keys = keys

    def labels(self) -> pa.Table:
        """Return the key columns, one row a group."""
        return pa.table(self._keys.labels())

    def design(self, detections: Detections) -> LevelDesign:
        """Point each detection at its group."""
        return LevelDesign.of_partition(self._keys.find(detections), len(self._keys.codes))

    def state(self) -> Mapping[str, Any]:
        """Return nothing: the labels say all."""
        return {}


def prepare_group(name: str, matched: MatchedStars, config: GroupConfig) -> GroupLevel:
    """Find the groups of a calibration sample."""
    return GroupLevel(name, Keys.of(matched.detections, config.by), config.role)


def restore_group(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: GroupConfig
) -> GroupLevel:
    """Rebuild a group level from its stored labels."""
    return GroupLevel(name, Keys.from_labels(labels, config.by), config.role)


def needs_group(config: GroupConfig) -> tuple[str, ...]:
    """Return the columns that a group level reads."""
    return config.by


GROUP = OffsetLevel(
    "group",
    "one offset for each combination of keys",
    "1",
    GroupConfig,
    prepare=prepare_group,
    restore=restore_group,
    needs=needs_group,
)
