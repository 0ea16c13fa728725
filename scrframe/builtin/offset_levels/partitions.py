"""Levels that put each detection into one part: groups by keys, square bins of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from scrframe.arrays import IntArray
from scrframe.builtin.offset_levels.keys import Keys, vary_within_exposure
from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars, Role
from scrframe.units import InUnit

Pixels = Annotated[float, InUnit("pix")]


class GroupConfig(PluginConfig):
    """A group for each combination of keys that occurs."""

    by: tuple[str, ...] = Field(
        min_length=1,
        description="Columns whose values make a group.",
        examples=[["visit", "ccd"]],
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


class BinConfig(PluginConfig):
    """Square bins in the two coordinates of a detector."""

    by: tuple[str, ...] = Field(default=("ccd",), description="Columns that set maps apart.")
    size: Pixels = Field("256 pix", validate_default=True, description="Side of a bin.")
    extent: tuple[Pixels, Pixels] | None = Field(
        None, description="Size of a detector in x and y; by default what the sample spans."
    )


class BinLevel(FittedLevel):
    """Bins floor((x - 0.5) / size); a last bin narrower than half a bin joins its neighbour."""

    within_exposure = True

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


def prepare_bin(name: str, matched: MatchedStars, config: BinConfig) -> BinLevel:
    """Lay out the bins of a calibration sample."""
    detections = matched.detections
    extent = extent_of(detections, config.extent)
    bins = (bin_count(extent[0], config.size), bin_count(extent[1], config.size))
    return BinLevel(name, Keys.of(detections, config.by), config.size, bins)


def restore_bin(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: BinConfig
) -> BinLevel:
    """Rebuild a bin level from its stored labels and state."""
    nx, ny = state["bins"]
    return BinLevel(name, Keys.from_labels(labels, config.by), state["size_pix"], (nx, ny))


def needs_bin(config: BinConfig) -> tuple[str, ...]:
    """Return the columns that a bin level reads."""
    return (*config.by, "x", "y")


def bin_count(extent_pix: float, size_pix: float) -> int:
    """Return how many bins cover an extent: a remainder below half a bin joins the last."""
    whole, rest = divmod(extent_pix, size_pix)
    return max(int(whole) + (rest >= size_pix / 2), 1)


def extent_of(detections: Detections, given: tuple[float, float] | None) -> tuple[float, float]:
    """Return the size of a detector in pixels: what is given, or what the detections span.

    Raises
    ------
    DataError
        If nothing is given and no detection has a position on its detector.
    """
    x_size, y_size = given or (_span(detections, "x"), _span(detections, "y"))
    return float(x_size), float(y_size)


def _span(detections: Detections, axis: str) -> float:
    values = detections[axis]
    if not np.isfinite(values).any():
        raise DataError(f"no detection has a finite {axis} on its detector")
    return max(float(np.nanmax(values)) - 0.5, 1.0)


GROUP = OffsetLevel(
    "group",
    "one offset for each combination of keys",
    "1",
    GroupConfig,
    prepare=prepare_group,
    restore=restore_group,
    needs=needs_group,
)
BIN = OffsetLevel(
    "bin",
    "one offset for each square bin of a detector",
    "1",
    BinConfig,
    prepare=prepare_bin,
    restore=restore_bin,
    needs=needs_bin,
)
