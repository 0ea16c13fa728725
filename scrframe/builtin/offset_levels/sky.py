"""Cells of the sky: what neighbouring stars have in common, whichever visit sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import sparse

from scrframe.arrays import IntArray
from scrframe.builtin.offset_levels.smooth import smooth_precision
from scrframe.plugin import PluginConfig
from scrframe.statistics.groups import find_sorted
from scrframe.statistics.sky import EqualAreaGrid
from scrframe.tables import (
    Detections,
    FittedLevel,
    LevelDesign,
    MatchedStars,
    Role,
    chord,
    unit_vectors,
)
from scrframe.units import InUnit


class SkyCellConfig(PluginConfig):
    """One nuisance term for each cell of the sky, by the star's catalogue position."""

    role: ClassVar[Role] = "nuisance"

    size: Annotated[float, InUnit("deg")] = Field(
        "0.5 deg", validate_default=True, description="Side of a cell, approximately."
    )
    scale: Annotated[float, InUnit("deg")] | None = Field(
        None,
        description="Angle at which two cells are correlated by 0.6; by default they are"
        " independent.",
    )


class SkyCellLevel(FittedLevel):
    """One column for each cell of the sky that holds a star."""

    role = SkyCellConfig.role
    within_exposure = True

    def __init__(
        self, name: str, grid: EqualAreaGrid, cells: IntArray, scale_deg: float | None = None
    ) -> None:
        self.name = name
        self._grid, self._cells, self._scale = grid, cells, scale_deg

    def labels(self) -> pa.Table:
        """Return number and centre of the cells, in ascending order."""
        ra, dec = self._grid.centre(self._cells)
        return pa.table({"cell": self._cells, "cell_ra_deg": ra, "cell_dec_deg": dec})

    def design(self, detections: Detections) -> LevelDesign:
        """Point each detection at the cell of its star."""
        cell = self._grid.cell(detections["star_ra"], detections["star_dec"])
        return LevelDesign.of_partition(find_sorted(self._cells, cell), len(self._cells))

    def state(self) -> Mapping[str, Any]:
        """Return the size of a cell and the scale of the prior."""
        return {"size_deg": self._grid.size_deg, "scale_deg": self._scale}

    def precision(self) -> sparse.csr_array | None:
        """Return independent cells, or a smooth function of the sky."""
        if self._scale is None:
            return super().precision()
        centres = unit_vectors(*self._grid.centre(self._cells))
        return smooth_precision(centres, chord(self._scale))


def prepare_sky_cell(name: str, matched: MatchedStars, config: SkyCellConfig) -> SkyCellLevel:
    """Find the cells that hold the stars of a calibration sample."""
    grid = EqualAreaGrid(float(config.size))
    detections = matched.detections
    cells = np.unique(grid.cell(detections["star_ra"], detections["star_dec"]))
    return SkyCellLevel(name, grid, cells[cells >= 0], _scale(config))


def _scale(config: SkyCellConfig) -> float | None:
    return None if config.scale is None else float(config.scale)


def restore_sky_cell(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SkyCellConfig
) -> SkyCellLevel:
    """Rebuild the cells from their stored labels and state."""
    cells = np.array(labels.column("cell").to_pylist(), dtype=np.int64)
    return SkyCellLevel(name, EqualAreaGrid(state["size_deg"]), cells, state["scale_deg"])


def needs_sky_cell(config: SkyCellConfig) -> tuple[str, ...]:
    """Return the columns that cells of the sky read."""
    return ("star_ra", "star_dec")
