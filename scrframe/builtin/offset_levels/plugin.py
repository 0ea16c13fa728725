"""Offset levels that ship inside: groups, bins, maps, curves in time, slopes, cells."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.offset_levels.bilinear import (
    BilinearConfig,
    needs_bilinear,
    prepare_bilinear,
    restore_bilinear,
)
from scrframe.builtin.offset_levels.partitions import (
    BinConfig,
    GroupConfig,
    bin_count,
    needs_bin,
    needs_group,
    prepare_bin,
    prepare_group,
    restore_bin,
    restore_group,
)
from scrframe.builtin.offset_levels.polynomial import (
    PolynomialConfig,
    needs_polynomial,
    prepare_polynomial,
    restore_polynomial,
)
from scrframe.builtin.offset_levels.sky import (
    SkyCellConfig,
    needs_sky_cell,
    prepare_sky_cell,
    restore_sky_cell,
)
from scrframe.builtin.offset_levels.slope import (
    SlopeConfig,
    needs_slope,
    prepare_slope,
    restore_slope,
)
from scrframe.builtin.offset_levels.time import (
    RandomWalkConfig,
    SplineConfig,
    needs_time,
    prepare_random_walk,
    prepare_spline,
    restore_random_walk,
    restore_spline,
)
from scrframe.plugin import OffsetLevel, PluginConfig, hookimpl
from scrframe.tables import Role

VERSION = "1"

__all__ = [
    "BilinearConfig",
    "BinConfig",
    "GroupConfig",
    "PolynomialConfig",
    "RandomWalkConfig",
    "SkyCellConfig",
    "SlopeConfig",
    "SplineConfig",
    "bin_count",
    "prepare_bilinear",
    "prepare_bin",
    "prepare_group",
    "prepare_polynomial",
    "prepare_random_walk",
    "prepare_sky_cell",
    "prepare_slope",
    "prepare_spline",
    "restore_bilinear",
    "restore_bin",
    "restore_group",
    "restore_polynomial",
    "restore_random_walk",
    "restore_sky_cell",
    "restore_slope",
    "restore_spline",
    "scrframe_offset_levels",
]


def nuisance(config: PluginConfig) -> Role:
    """Return the role of levels that are never part of a correction."""
    return "nuisance"


@hookimpl
def scrframe_offset_levels() -> Iterable[OffsetLevel]:
    """Yield the kinds of levels that ship inside."""
    yield OffsetLevel(
        "group",
        "one offset for each combination of keys",
        VERSION,
        GroupConfig,
        prepare=prepare_group,
        restore=restore_group,
        needs=needs_group,
    )
    yield OffsetLevel(
        "bin",
        "one offset for each square bin of a detector",
        VERSION,
        BinConfig,
        prepare=prepare_bin,
        restore=restore_bin,
        needs=needs_bin,
    )
    yield OffsetLevel(
        "bilinear",
        "a map of each detector, bilinear between nodes",
        VERSION,
        BilinearConfig,
        prepare=prepare_bilinear,
        restore=restore_bilinear,
        needs=needs_bilinear,
    )
    yield OffsetLevel(
        "polynomial",
        "a polynomial over a detector or the focal plane",
        VERSION,
        PolynomialConfig,
        prepare=prepare_polynomial,
        restore=restore_polynomial,
        needs=needs_polynomial,
    )
    yield OffsetLevel(
        "random_walk",
        "a damped random walk in time",
        VERSION,
        RandomWalkConfig,
        prepare=prepare_random_walk,
        restore=restore_random_walk,
        needs=needs_time,
    )
    yield OffsetLevel(
        "spline",
        "a cubic spline in time",
        VERSION,
        SplineConfig,
        prepare=prepare_spline,
        restore=restore_spline,
        needs=needs_time,
    )
    yield OffsetLevel(
        "slope",
        "nuisance terms in proportion to columns",
        VERSION,
        SlopeConfig,
        prepare=prepare_slope,
        restore=restore_slope,
        needs=needs_slope,
        role=nuisance,
    )
    yield OffsetLevel(
        "sky_cell",
        "one nuisance term for each cell of the sky",
        VERSION,
        SkyCellConfig,
        prepare=prepare_sky_cell,
        restore=restore_sky_cell,
        needs=needs_sky_cell,
        role=nuisance,
    )
