"""Cells of the sky: what neighbouring stars have in common, whichever visit sees them.

Cells may be independent or a smooth function of the sky. The prior of the latter has a sparse
precision: each cell is predicted from its nearest predecessors alone (Vecchia 1988, J. R.
Stat. Soc. B 50, 297), which makes it sparse and positive definite whatever the cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator
from scipy import sparse
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.slope import ExpressionText, values_of
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
from scrframe.tables.cuts import Expression
from scrframe.units import InUnit

#: Predecessors on which a point depends, and how many are looked through to find them.
PREDECESSORS, LOOKED_AT = 20, 80
#: Points farther apart than so many scales, correlated by less than 0.05, are independent:
#: fields that lie apart then stay apart in the factor.
REACH = 3.5
#: Share of the variance that is a point's own, so that close points do not make it singular.
OWN_SHARE = 1e-3
#: The correlation is 0.6 at the scale: (1 + t) exp(-t) with t = 1.376 there.
STRETCH = 1.376


#: Fields of this scale and larger have two nodes a scale: there are few of them, and between nodes
#: at a scale's distance the field would vary less than at them.
DENSE_DEG = 0.8


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


class SkyFieldConfig(PluginConfig):
    """A smooth function of the sky, alone or times a property of the star: a nuisance term."""

    role: ClassVar[Role] = "nuisance"

    of: ExpressionText | None = Field(
        None,
        description="What the field multiplies, such as `extinction`: then it is a slope that"
        " varies over the sky; by default the field itself is added.",
        examples=["extinction"],
    )
    scale: tuple[Annotated[float, InUnit("deg")], ...] = Field(
        ("0.1 deg", "0.2 deg", "0.4 deg", "0.8 deg", "1.6 deg"),
        validate_default=True,
        min_length=1,
        description="Angles at which the field may be correlated by 0.6; of several the data"
        " choose.",
    )
    nodes: int = Field(
        4000, strict=True, ge=10, description="Most nodes; scales that need more are left out."
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str | int | float) else value


class SkyFieldLevel(FittedLevel):
    """Values at the nodes of a grid on the sky, linear between them, times a factor.

    Parameters
    ----------
    name : str
    grid : EqualAreaGrid
        Its cells' centres are the nodes.
    nodes : ndarray of int64, shape (p,)
        Cells that are in use, ascending.
    scale_deg : float
        Angle at which the field is correlated by 0.6.
    of : str, optional
        The factor, an expression in columns; 1 without.
    """

    role = SkyFieldConfig.role
    within_exposure = True

    def __init__(
        self, name: str, grid: EqualAreaGrid, nodes: IntArray, scale_deg: float, of: str | None
    ) -> None:
        self.name = name
        self._grid, self._nodes, self._scale, self._of = grid, nodes, scale_deg, of
        self._others: tuple[FittedLevel, ...] = (self,)

    @classmethod
    def at_scales(
        cls, name: str, detections: Detections, scales: Sequence[float], of: str | None, most: int
    ) -> SkyFieldLevel:
        """Return the level at the middle of the scales that need no more nodes than `most`."""
        levels = []
        for scale in sorted(scales):
            grid = EqualAreaGrid(scale if scale < DENSE_DEG else scale / 2)
            cells, _ = grid.corners(detections["star_ra"], detections["star_dec"])
            nodes = np.unique(cells[cells >= 0])
            if len(nodes) <= most or scale == max(scales):
                levels.append(cls(name, grid, nodes, scale, of))
        for level in levels:
            level._others = tuple(levels)
        return levels[len(levels) // 2]

    def alternatives(self) -> Sequence[FittedLevel]:
        """Return the level at all its scales, from the smallest."""
        return self._others

    def own_settings(self) -> Mapping[str, Any]:
        """Return the scale."""
        return {"scale": [f"{self._scale:g} deg"]}

    def labels(self) -> pa.Table:
        """Return number and place of the nodes, in ascending order."""
        ra, dec = self._grid.centre(self._nodes)
        return pa.table({"node": self._nodes, "node_ra_deg": ra, "node_dec_deg": dec})

    def design(self, detections: Detections) -> LevelDesign:
        """Return the weights of the nodes about each detection's star.

        Raises
        ------
        ConfigError
            If the expression names a column that is not there, or that is not a number.
        """
        cell, weight = self._grid.corners(detections["star_ra"], detections["star_dec"])
        if self._of is not None:
            weight = weight * values_of(self.name, (self._of,), detections)
        column = find_sorted(self._nodes, cell.ravel()).reshape(cell.shape)
        known = (column >= 0).all(axis=1) & np.isfinite(weight).all(axis=1)
        order = np.argsort(column[known], axis=1)
        places = np.take_along_axis(column[known], order, axis=1)
        values = np.take_along_axis(weight[known], order, axis=1)
        indptr = cell.shape[1] * np.concatenate([[0], np.cumsum(known)])
        table = sparse.csr_array(
            (values.ravel(), places.ravel(), indptr), shape=(len(cell), len(self._nodes))
        )
        table.sum_duplicates()  # near the poles two nodes may be one
        return LevelDesign(table)

    def state(self) -> Mapping[str, Any]:
        """Return the distance of the nodes, the scale and the factor."""
        return {"size_deg": self._grid.size_deg, "scale_deg": self._scale, "of": self._of}

    def precision(self) -> sparse.csr_array:
        """Return that of a smooth function of the sky."""
        return smooth_precision(unit_vectors(*self._grid.centre(self._nodes)), chord(self._scale))


def prepare_sky_field(name: str, matched: MatchedStars, config: SkyFieldConfig) -> SkyFieldLevel:
    """Lay nodes about the stars of a calibration sample."""
    scales = [float(scale) for scale in config.scale]
    return SkyFieldLevel.at_scales(name, matched.detections, scales, config.of, config.nodes)


def restore_sky_field(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SkyFieldConfig
) -> SkyFieldLevel:
    """Rebuild the field from its stored nodes and state."""
    nodes = np.array(labels.column("node").to_pylist(), dtype=np.int64)
    return SkyFieldLevel(
        name, EqualAreaGrid(state["size_deg"]), nodes, state["scale_deg"], state["of"]
    )


def needs_sky_field(config: SkyFieldConfig) -> tuple[str, ...]:
    """Return the columns that a field on the sky reads."""
    names = () if config.of is None else Expression(config.of).names
    return ("star_ra", "star_dec", *names)


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
    near = points[np.maximum(before, 0)]
    distance = np.linalg.norm(near - points[:, None, :], axis=2)
    known = (before >= 0) & (distance < REACH * scale)
    own = correlation(distance, scale) * known * (1 - OWN_SHARE)
    among = correlation(np.linalg.norm(near[:, :, None, :] - near[:, None, :, :], axis=3), scale)
    among *= (1 - OWN_SHARE) * (known[:, :, None] & known[:, None, :])
    among[:, np.arange(before.shape[1]), np.arange(before.shape[1])] = 1.0
    share = np.linalg.solve(among, own[:, :, None])[:, :, 0]
    rest = 1 - np.sum(share * own, axis=1)
    row = np.repeat(np.arange(number), known.sum(axis=1))
    chain = sparse.csr_array((-share[known], (row, before[known])), shape=(number, number))
    chain = sparse.csr_array(chain + sparse.identity(number, format="csr"))
    precision = chain.T @ sparse.csr_array(sparse.diags_array(1 / rest)) @ chain
    return sparse.csr_array(0.5 * (precision + precision.T))  # symmetric to the last bit


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

SKY_FIELD = OffsetLevel(
    "sky_field",
    "a smooth function of the sky, or a slope that varies over it",
    "1",
    SkyFieldConfig,
    prepare=prepare_sky_field,
    restore=restore_sky_field,
    needs=needs_sky_field,
)
