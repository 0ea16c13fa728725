"""Groups: one offset for each combination of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pydantic import Field

from scrframe.builtin.offset_levels.keys import Keys, vary_within_exposure
from scrframe.plugin import PluginConfig
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars, Role


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
