"""Maps of a detector: values in square bins, or at nodes and bilinear between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import KeyedLevel, Keys
from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars
from scrframe.units import InUnit

Pixels = Annotated[float, InUnit("pix")]


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
        edges = {"x_low_pix": 0.5 + x_bin * self._size, "y_low_pix": 0.5 + y_bin * self._size}
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


def needs_map(config: BinConfig | BilinearConfig) -> tuple[str, ...]:
    """Return the columns that a map of a detector reads."""
    return (*config.by, "x", "y")


def bin_count(extent_pix: float, size_pix: float) -> int:
    """Return how many bins cover an extent: a remainder below half a bin joins the last."""
    whole, rest = divmod(extent_pix, size_pix)
    return max(int(whole) + (rest >= size_pix / 2), 1)


def extent_of(detections: Detections, given: tuple[float, float] | None) -> tuple[float, float]:
    """Return the size of a detector in pixels: what is given, or what the detections span.

    Raises DataError if nothing is given and no detection has a position on its detector.
    """
    x_size, y_size = given or (_span(detections, "x"), _span(detections, "y"))
    return float(x_size), float(y_size)


def _span(detections: Detections, axis: str) -> float:
    values = detections[axis]
    if not np.isfinite(values).any():
        raise DataError(f"no detection has a finite {axis} on its detector")
    return max(float(np.nanmax(values)) - 0.5, 1.0)


BIN = OffsetLevel(
    "bin",
    "one offset for each square bin of a detector",
    "1",
    BinConfig,
    prepare=prepare_bin,
    restore=restore_bin,
    needs=needs_map,
)
#: What is added to the sum of squared differences of neighbours to make a prior proper.
#: Its inverse root, about 3, is the distance in nodes over which a smooth map varies.
RIDGE = 0.1


class BilinearConfig(PluginConfig):
    """A map of each detector: values at the nodes of a grid, bilinear between them."""

    by: tuple[str, ...] = Field(default=("ccd",), description="Columns that set maps apart.")
    size: Pixels = Field(
        "256 pix",
        validate_default=True,
        description="Distance of nodes; adjusted so that they span the detector evenly.",
    )
    extent: tuple[Pixels, Pixels] | None = Field(
        None, description="Size of a detector in x and y; by default what the sample spans."
    )
    smooth: bool = Field(
        False,
        strict=True,
        description="Whether neighbouring nodes are alike beforehand; otherwise independent.",
    )


class BilinearLevel(KeyedLevel):
    """Nodes from edge to edge of a detector; positions outside take the value at the edge.

    Pixel edges lie at 0.5 and `extent_pix` + 0.5 (FITS convention), `intervals` apart.
    """

    within_exposure = True

    def __init__(
        self,
        name: str,
        keys: Keys,
        extent_pix: tuple[float, float],
        intervals: tuple[int, int],
        smooth: bool,
    ) -> None:
        super().__init__(name, keys)
        self._extent, self._intervals, self._smooth = extent_pix, intervals, smooth

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return number and position of the nodes, x running fastest."""
        nx, ny = (count + 1 for count in self._intervals)
        x_node, y_node = np.tile(np.arange(nx), ny), np.repeat(np.arange(ny), nx)
        spacing = [size / n for size, n in zip(self._extent, self._intervals, strict=True)]
        return {
            "x_node": x_node,
            "y_node": y_node,
            "x_node_pix": 0.5 + x_node * spacing[0],
            "y_node_pix": 0.5 + y_node * spacing[1],
        }

    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return the four nodes about each detection."""
        x_low, x_part = self._locate(detections["x"], 0)
        y_low, y_part = self._locate(detections["y"], 1)
        stride = self._intervals[0] + 1
        first = y_low * stride + x_low
        column = first[:, np.newaxis] + np.array([0, 1, stride, stride + 1])
        weight = [
            (1 - x_part) * (1 - y_part),
            x_part * (1 - y_part),
            (1 - x_part) * y_part,
            x_part * y_part,
        ]
        return column, np.stack(weight, axis=1)

    def prior(self) -> sparse.csr_array:
        """Return independent nodes, or a penalty on first differences of neighbours.

        The latter is R^2 times (L + `RIDGE`), with L the Laplacian of the grid's graph and
        R^2 such that the mean variance of the nodes is 1.
        """
        if not self._smooth:
            return sparse.csr_array(sparse.eye_array(len(self.columns()["x_node"])))
        nx, ny = (count + 1 for count in self._intervals)
        along_x = sparse.kron(sparse.eye_array(ny), _path_laplacian(nx))
        along_y = sparse.kron(_path_laplacian(ny), sparse.eye_array(nx))
        penalty = along_x + along_y + RIDGE * sparse.eye_array(nx * ny)
        # The eigenvalues of a path's Laplacian are known, and sums of them are the grid's.
        eigenvalues = _path_eigenvalues(nx) + _path_eigenvalues(ny)[:, np.newaxis] + RIDGE
        return sparse.csr_array(penalty * float(np.mean(1 / eigenvalues)))

    def state(self) -> Mapping[str, Any]:
        """Return the size of a detector and the number of intervals between nodes."""
        return {"extent_pix": list(self._extent), "intervals": list(self._intervals)}

    def _locate(self, coordinate: FloatArray, axis: int) -> tuple[IntArray, FloatArray]:
        """Return the node below each position and the part of the way to the next."""
        count = self._intervals[axis]
        steps = np.clip((coordinate - 0.5) * (count / self._extent[axis]), 0, count)
        low = np.minimum(np.floor(np.nan_to_num(steps)).astype(np.int64), count - 1)
        return low, steps - low


def _path_laplacian(nodes: int) -> sparse.csr_array:
    difference = sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(nodes - 1, nodes))
    return sparse.csr_array(difference.T @ difference)


def _path_eigenvalues(nodes: int) -> FloatArray:
    return np.asarray(2 - 2 * np.cos(np.pi * np.arange(nodes) / nodes))


def prepare_bilinear(name: str, matched: MatchedStars, config: BilinearConfig) -> BilinearLevel:
    """Lay out the nodes for a calibration sample."""
    detections = matched.detections
    extent = extent_of(detections, config.extent)
    nx, ny = (max(round(size / config.size), 1) for size in extent)
    return BilinearLevel(name, Keys.of(detections, config.by), extent, (nx, ny), config.smooth)


def restore_bilinear(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: BilinearConfig
) -> BilinearLevel:
    """Rebuild a bilinear map from its stored labels and state."""
    (x_size, y_size), (nx, ny) = state["extent_pix"], state["intervals"]
    keys = Keys.from_labels(labels, config.by)
    return BilinearLevel(name, keys, (x_size, y_size), (nx, ny), config.smooth)


BILINEAR = OffsetLevel(
    "bilinear",
    "a map of each detector, bilinear between nodes",
    "1",
    BilinearConfig,
    prepare=prepare_bilinear,
    restore=restore_bilinear,
    needs=needs_map,
)
