"""Cells of the sky: what neighbouring stars have in common, whichever visit sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import find_sorted
from scrframe.builtin.offset_levels.smooth import smooth_precision
from scrframe.plugin import PluginConfig
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


@dataclass(frozen=True)
class Rings:
    """A grid on the sphere: rings of equal height, each cut into cells of about equal width.

    The number of cells in a ring goes with the cosine of its declination, so that all cells
    have nearly the same area; only near the poles does the rounding tell.
    """

    size_deg: float

    @cached_property
    def height_deg(self) -> float:
        """Height of a ring."""
        return 180 / max(round(180 / self.size_deg), 1)

    @cached_property
    def counts(self) -> IntArray:
        """Number of cells of each ring, from the south."""
        rings = round(180 / self.height_deg)
        middle = -90 + self.height_deg * (np.arange(rings) + 0.5)
        width = 360 * np.cos(np.deg2rad(middle)) / self.size_deg
        return np.asarray(np.maximum(np.round(width).astype(np.int64), 1))

    @cached_property
    def firsts(self) -> IntArray:
        """Number of the first cell of each ring."""
        return np.asarray(np.cumsum(self.counts) - self.counts)

    def cell(self, ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
        """Return the cell of each position, shape (n,), -1 where it is not finite."""
        placed = np.isfinite(ra_deg) & np.isfinite(dec_deg)
        ra, dec = np.where(placed, ra_deg, 0) % 360, np.where(placed, dec_deg, 0)
        ring = np.floor((dec + 90) / self.height_deg).astype(np.int64)
        ring = np.clip(ring, 0, len(self.counts) - 1)
        # A remainder just below 360 may round to it.
        step = np.floor(ra / 360 * self.counts[ring]).astype(np.int64) % self.counts[ring]
        return np.where(placed, self.firsts[ring] + step, -1)

    def centre(self, cell: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return right ascension and declination of the centres of cells, in degrees."""
        ring = np.searchsorted(self.firsts, cell, side="right") - 1
        ra = 360 * (cell - self.firsts[ring] + 0.5) / self.counts[ring]
        return np.asarray(ra), np.asarray(-90 + self.height_deg * (ring + 0.5))


class SkyCellLevel(FittedLevel):
    """One column for each cell of the sky that holds a star."""

    role = SkyCellConfig.role
    within_exposure = True

    def __init__(
        self, name: str, rings: Rings, cells: IntArray, scale_deg: float | None = None
    ) -> None:
        self.name = name
        self._rings, self._cells, self._scale = rings, cells, scale_deg

    def labels(self) -> pa.Table:
        """Return number and centre of the cells, in ascending order."""
        ra, dec = self._rings.centre(self._cells)
        return pa.table({"cell": self._cells, "cell_ra_deg": ra, "cell_dec_deg": dec})

    def design(self, detections: Detections) -> LevelDesign:
        """Point each detection at the cell of its star."""
        cell = self._rings.cell(detections["star_ra"], detections["star_dec"])
        return LevelDesign.of_partition(find_sorted(self._cells, cell), len(self._cells))

    def state(self) -> Mapping[str, Any]:
        """Return the size of a cell and the scale of the prior."""
        return {"size_deg": self._rings.size_deg, "scale_deg": self._scale}

    def precision(self) -> sparse.csr_array | None:
        """Return independent cells, or a smooth function of the sky."""
        if self._scale is None:
            return super().precision()
        centres = unit_vectors(*self._rings.centre(self._cells))
        return smooth_precision(centres, chord(self._scale))


def prepare_sky_cell(name: str, matched: MatchedStars, config: SkyCellConfig) -> SkyCellLevel:
    """Find the cells that hold the stars of a calibration sample."""
    rings = Rings(float(config.size))
    detections = matched.detections
    cells = np.unique(rings.cell(detections["star_ra"], detections["star_dec"]))
    return SkyCellLevel(name, rings, cells[cells >= 0], _scale(config))


def _scale(config: SkyCellConfig) -> float | None:
    return None if config.scale is None else float(config.scale)


def restore_sky_cell(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SkyCellConfig
) -> SkyCellLevel:
    """Rebuild the cells from their stored labels and state."""
    cells = np.array(labels.column("cell").to_pylist(), dtype=np.int64)
    return SkyCellLevel(name, Rings(state["size_deg"]), cells, state["scale_deg"])


def needs_sky_cell(config: SkyCellConfig) -> tuple[str, ...]:
    """Return the columns that cells of the sky read."""
    return ("star_ra", "star_dec")
