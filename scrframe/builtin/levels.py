"""Offset levels that ship inside: groups of equal keys, and bins of the detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, PluginConfig, hookimpl
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars
from scrframe.units import InUnit

VERSION = "1"
IntArray = npt.NDArray[np.int64]
Pixels = Annotated[float, InUnit("pix")]


class GroupConfig(PluginConfig):
    """A group for each combination of keys that occurs."""

    by: tuple[str, ...] = Field(min_length=1, description="Columns whose values make a group.")


class BinConfig(PluginConfig):
    """Square bins in the two coordinates of a detector."""

    by: tuple[str, ...] = Field(default=("ccd",), description="Columns that set maps apart.")
    size: Pixels = Field("256 pix", validate_default=True, description="Side of a bin.")
    extent: tuple[Pixels, Pixels] | None = Field(
        None, description="Size of a detector in x and y; by default what the sample spans."
    )


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
        """Collect the keys that occur in a table."""
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
        code = _combine(table, self.values)
        if not len(self.codes):
            return np.full(len(code), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        return np.where(self.codes[place] == code, place, -1)

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
    return [value.item() for value in np.unique(table[name])]


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
    if not known:
        return np.full(len(table), -1, dtype=np.int64)
    values, array = table[name], np.asarray(known)
    found = np.minimum(np.searchsorted(array, values), len(array) - 1)
    return np.where(array[found] == values, found, -1)


class GroupLevel(FittedLevel):
    """One column for each combination of keys."""

    def __init__(self, name: str, keys: Keys) -> None:
        self.name = name
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


class BinLevel(FittedLevel):
    """Bins floor((x - 0.5) / size); a last bin narrower than half a bin joins its neighbour."""

    def __init__(self, name: str, keys: Keys, size_pix: float, bins: tuple[int, int]) -> None:
        self.name = name
        self._keys, self._size, self._bins = keys, size_pix, bins

    def labels(self) -> pa.Table:
        """Return keys, bin numbers and lower edges, one row a bin."""
        nx, ny = self._bins
        maps = {
            key: np.repeat(np.asarray(column), nx * ny)
            for key, column in self._keys.labels().items()
        }
        groups = len(self._keys.codes)
        y_bin = np.tile(np.repeat(np.arange(ny), nx), groups)
        x_bin = np.tile(np.arange(nx), groups * ny)
        edges = {
            "x_low_pix": 0.5 + x_bin * self._size,
            "y_low_pix": 0.5 + y_bin * self._size,
        }
        return pa.table({**maps, "x_bin": x_bin, "y_bin": y_bin, **edges})

    def design(self, detections: Detections) -> LevelDesign:
        """Point each detection at its bin."""
        nx, ny = self._bins
        group = self._keys.find(detections)
        x_bin, y_bin = self._bin(detections["x"], nx), self._bin(detections["y"], ny)
        column = (group * ny + y_bin) * nx + x_bin
        unplaced = (group < 0) | ~np.isfinite(detections["x"]) | ~np.isfinite(detections["y"])
        column[unplaced] = -1
        return LevelDesign.of_partition(column, len(self._keys.codes) * nx * ny)

    def state(self) -> Mapping[str, Any]:
        """Return the size and number of bins."""
        return {"size_pix": self._size, "bins": list(self._bins)}

    def _bin(self, coordinate: npt.NDArray[np.float64], count: int) -> IntArray:
        place = np.floor((np.nan_to_num(coordinate) - 0.5) / self._size).astype(np.int64)
        return np.clip(place, 0, count - 1)


def bin_count(extent_pix: float, size_pix: float) -> int:
    """Return how many bins cover an extent: a remainder below half a bin joins the last."""
    whole, rest = divmod(extent_pix, size_pix)
    return max(int(whole) + (rest >= size_pix / 2), 1)


def prepare_group(name: str, matched: MatchedStars, config: GroupConfig) -> GroupLevel:
    """Find the groups of a calibration sample."""
    return GroupLevel(name, Keys.of(matched.detections, config.by))


def restore_group(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: GroupConfig
) -> GroupLevel:
    """Rebuild a group level from its stored labels."""
    return GroupLevel(name, Keys.from_labels(labels, config.by))


def prepare_bin(name: str, matched: MatchedStars, config: BinConfig) -> BinLevel:
    """Lay out the bins of a calibration sample."""
    detections = matched.detections
    if config.extent is not None:
        extent = config.extent
    else:
        extent = (_span(detections, "x"), _span(detections, "y"))
    bins = (bin_count(extent[0], config.size), bin_count(extent[1], config.size))
    return BinLevel(name, Keys.of(detections, config.by), config.size, bins)


def _span(detections: Detections, axis: str) -> float:
    values = detections[axis]
    if not np.isfinite(values).any():
        raise DataError(f"no detection has a finite {axis} on its detector")
    return float(np.nanmax(values)) - 0.5


def restore_bin(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: BinConfig
) -> BinLevel:
    """Rebuild a bin level from its stored labels and state."""
    nx, ny = state["bins"]
    return BinLevel(name, Keys.from_labels(labels, config.by), state["size_pix"], (nx, ny))


def needs_group(config: GroupConfig) -> tuple[str, ...]:
    """Return the columns that a group level reads."""
    return config.by


def needs_bin(config: BinConfig) -> tuple[str, ...]:
    """Return the columns that a bin level reads."""
    return (*config.by, "x", "y")


@hookimpl
def scrframe_offset_levels() -> Iterable[OffsetLevel]:
    """Yield the levels `group` and `bin`."""
    yield OffsetLevel(
        "group", "one offset for each combination of keys", VERSION, GroupConfig,
        prepare=prepare_group, restore=restore_group, needs=needs_group,
    )  # fmt: skip
    yield OffsetLevel(
        "bin", "one offset for each square bin of a detector", VERSION, BinConfig,
        prepare=prepare_bin, restore=restore_bin, needs=needs_bin,
    )  # fmt: skip
