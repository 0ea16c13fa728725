"""Cells of the sky: what neighbouring stars have in common, whichever visit sees them.

Cells may be independent or a smooth function of the sky. The prior of the latter has a sparse
precision: each cell is predicted from its nearest predecessors alone (Vecchia 1988, J. R.
Stat. Soc. B 50, 297), which makes it sparse and positive definite whatever the cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy import sparse
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.plugin import OffsetLevel, PluginConfig
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

#: Predecessors on which a point depends, and how many are looked through to find them.
PREDECESSORS, LOOKED_AT = 20, 80
#: Share of the variance that is a point's own, so that close points do not make it singular.
OWN_SHARE = 1e-3
#: The correlation is 0.6 at the scale: (1 + t) exp(-t) with t = 1.376 there.
STRETCH = 1.376


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
    scale_deg = None if config.scale is None else float(config.scale)
    return SkyCellLevel(name, grid, cells[cells >= 0], scale_deg)


def restore_sky_cell(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SkyCellConfig
) -> SkyCellLevel:
    """Rebuild the cells from their stored labels and state."""
    cells = np.array(labels.column("cell").to_pylist(), dtype=np.int64)
    return SkyCellLevel(name, EqualAreaGrid(state["size_deg"]), cells, state["scale_deg"])


def needs_sky_cell(config: SkyCellConfig) -> tuple[str, ...]:
    """Return the columns that cells of the sky read."""
    return ("star_ra", "star_dec")


def smooth_precision(points: FloatArray, scale: float) -> sparse.csr_array:
    """Return the precision, shape (n, n), of a smooth function of unit variance.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Unit vectors.
    scale : float
        Chord at which the correlation is 0.6.
    """
    number = len(points)
    if number == 0:
        return sparse.csr_array((0, 0))
    before = _predecessors(points)
    known = before >= 0
    near = points[np.maximum(before, 0)]
    own = correlation(np.linalg.norm(near - points[:, None, :], axis=2), scale) * known
    own *= 1 - OWN_SHARE
    among = correlation(np.linalg.norm(near[:, :, None, :] - near[:, None, :, :], axis=3), scale)
    among *= (1 - OWN_SHARE) * (known[:, :, None] & known[:, None, :])
    among[:, np.arange(before.shape[1]), np.arange(before.shape[1])] = 1.0
    share = np.linalg.solve(among, own[:, :, None])[:, :, 0]
    rest = 1 - np.sum(share * own, axis=1)
    row = np.repeat(np.arange(number), known.sum(axis=1))
    chain = sparse.csr_array((-share[known], (row, before[known])), shape=(number, number))
    chain = sparse.csr_array(chain + sparse.identity(number, format="csr"))
    return sparse.csr_array(chain.T @ sparse.csr_array(sparse.diags_array(1 / rest)) @ chain)


def correlation(distance: FloatArray, scale: float) -> FloatArray:
    """Return the correlation at distances, same shape: a Matern function of order 3/2."""
    reach = STRETCH * np.asarray(distance) / scale
    return np.asarray((1 + reach) * np.exp(-reach))


def _predecessors(points: FloatArray) -> IntArray:
    """Return the nearest points of smaller index, shape (n, k), -1 for none."""
    number = len(points)
    looked = min(LOOKED_AT, number)
    found = np.asarray(cKDTree(points).query(points, k=looked)[1]).reshape(number, looked)
    earlier = found < np.arange(number)[:, None]
    order = np.argsort(~earlier, axis=1, kind="stable")[:, : min(PREDECESSORS, looked)]
    rows = np.arange(number)[:, None]
    return np.where(earlier[rows, order], found[rows, order], -1)


SKY_CELL = OffsetLevel(
    "sky_cell",
    "one nuisance term for each cell of the sky",
    "1",
    SkyCellConfig,
    prepare=prepare_sky_cell,
    restore=restore_sky_cell,
    needs=needs_sky_cell,
)
