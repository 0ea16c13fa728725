"""Smooth shapes: Legendre polynomials over a detector or the focal plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.polynomial import legendre
from pydantic import Field, model_validator

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import KeyedLevel, Keys
from scrframe.builtin.offset_levels.maps import Pixels, extent_of
from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.statistics.sky import position_of, tangent_vectors
from scrframe.tables import Detections, MatchedStars, unit_vectors

#: Right ascension and declination, in degrees, of the centre of each visit.
Centres = Mapping[str, tuple[float, float]]
#: A focal plane that is smaller, in degrees, is a single point with errors of rounding.
SMALLEST_PLANE_DEG = 1e-6


class PolynomialConfig(PluginConfig):
    """A polynomial over a detector or the focal plane, without its constant."""

    over: Literal["ccd", "focal_plane"] = Field(
        "ccd",
        description="Coordinates: x and y on the detector, or offsets on the sky from the mean"
        " position of the visit.",
    )
    order: int = Field(2, strict=True, ge=1, le=12, description="Highest total degree in x and y.")
    lowest: int = Field(
        1,
        strict=True,
        ge=1,
        le=12,
        description="Lowest total degree: above 1 beside another polynomial of lower order.",
    )
    by: tuple[str, ...] = Field(
        default=(), description="Columns that set polynomials apart; none: one for all."
    )
    spread: Literal["one", "each"] = Field(
        "one",
        description="Whether all polynomials scatter alike, or each has a standard deviation of"
        " its own that scatters about that of all, as clouds do in few visits.",
    )
    extent: tuple[Pixels, Pixels] | None = Field(
        None,
        description="Size of a detector in x and y; by default what the sample spans. Not for"
        " the focal plane.",
    )

    @model_validator(mode="after")
    def _extent_of_detectors(self) -> Self:
        if self.over == "focal_plane" and self.extent is not None:
            raise ValueError("has an extent, which is that of a detector; remove it")
        if self.lowest > self.order:
            raise ValueError(f"has lowest: {self.lowest}, above its order, {self.order}")
        return self


class PolynomialLevel(KeyedLevel):
    """Products of Legendre polynomials over the square -1..1, the constant left out.

    Each is scaled by sqrt((2 i + 1) (2 j + 1)), so that its mean square over the square is 1
    and they are orthonormal there. Positions outside take the value at the edge.
    """

    within_exposure = True

    def __init__(
        self,
        name: str,
        keys: Keys,
        degrees: tuple[int, int],
        frame: DetectorFrame | FocalPlaneFrame,
        *,
        own_spread: bool = False,
    ) -> None:
        super().__init__(name, keys)
        self._own_spread = own_spread
        self._frame = frame
        lowest, order = degrees
        # By total degree, then by the degree in y.
        totals = range(lowest, order + 1)
        pairs = [(total - y, y) for total in totals for y in range(total + 1)]
        self._x_degree, self._y_degree = np.array(pairs, dtype=np.int64).T
        self._order = order

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the degrees of the products."""
        return {"x_degree": self._x_degree, "y_degree": self._y_degree}

    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return all products at each detection."""
        root = np.sqrt(2 * np.arange(self._order + 1) + 1)
        x, y = (
            legendre.legvander(np.clip(u, -1, 1), self._order) * root
            for u in self._frame.scaled(detections)
        )
        weight = x[:, self._x_degree] * y[:, self._y_degree]
        column = np.arange(len(self._x_degree), dtype=np.int64)
        return np.broadcast_to(column, weight.shape), weight

    def variance_groups(self) -> IntArray | None:
        """Return the key of each column, where each key has a spread of its own."""
        if not self._own_spread:
            return None
        return np.repeat(np.arange(len(self._keys.codes)), len(self._x_degree))

    def state(self) -> Mapping[str, Any]:
        """Return what scales the coordinates."""
        return self._frame.state()


class DetectorFrame:
    """Coordinates on a detector, -1..1 from edge to edge."""

    def __init__(self, extent_pix: tuple[float, float]) -> None:
        self._extent = extent_pix

    def scaled(self, detections: Detections) -> tuple[FloatArray, FloatArray]:
        """Return both coordinates, shape (n,)."""
        x, y = (
            2 * (detections[axis] - 0.5) / size - 1
            for axis, size in zip("xy", self._extent, strict=True)
        )
        return x, y

    def state(self) -> Mapping[str, Any]:
        """Return the size of a detector."""
        return {"extent_pix": list(self._extent)}


class FocalPlaneFrame:
    """Standard coordinates about the centre of each visit, divided by the largest."""

    def __init__(self, centres: Centres, scale_deg: float) -> None:
        self._centres, self._scale = centres, scale_deg

    def scaled(self, detections: Detections) -> tuple[FloatArray, FloatArray]:
        """Return both coordinates, shape (n,), NaN in a visit without a centre."""
        xi, eta = focal_plane(detections, self._centres)
        return xi / self._scale, eta / self._scale

    def state(self) -> Mapping[str, Any]:
        """Return the scale and the centres."""
        centres = {visit: list(place) for visit, place in self._centres.items()}
        return {"scale_deg": self._scale, "centres_deg": centres}


def prepare_polynomial(
    name: str, matched: MatchedStars, config: PolynomialConfig
) -> PolynomialLevel:
    """Scale the coordinates of a calibration sample.

    Raises DataError if the sample has no positions that span the frame.
    """
    detections = matched.detections
    frame: DetectorFrame | FocalPlaneFrame
    if config.over == "ccd":
        frame = DetectorFrame(extent_of(detections, config.extent))
    else:
        centres = visit_centres(detections)
        offsets = np.abs(np.stack(focal_plane(detections, centres)))
        scale = float(np.max(offsets, initial=0, where=np.isfinite(offsets)))
        if scale < SMALLEST_PLANE_DEG:
            raise DataError(f"offsets.levels.{name}: no visit has detections at two positions")
        frame = FocalPlaneFrame(centres, scale)
    keys, own = Keys.of(detections, config.by), config.spread == "each"
    return PolynomialLevel(name, keys, (config.lowest, config.order), frame, own_spread=own)


def restore_polynomial(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: PolynomialConfig
) -> PolynomialLevel:
    """Rebuild a polynomial from its stored labels and state."""
    frame: DetectorFrame | FocalPlaneFrame
    if config.over == "ccd":
        x_size, y_size = state["extent_pix"]
        frame = DetectorFrame((x_size, y_size))
    else:
        centres = {visit: (ra, dec) for visit, (ra, dec) in state["centres_deg"].items()}
        frame = FocalPlaneFrame(centres, state["scale_deg"])
    degrees = config.lowest, config.order
    return PolynomialLevel(name, Keys.from_labels(labels, config.by), degrees, frame)


def needs_polynomial(config: PolynomialConfig) -> tuple[str, ...]:
    """Return the columns that a polynomial reads."""
    place = ("x", "y") if config.over == "ccd" else ("visit", "ra", "dec")
    return (*config.by, *place)


def visit_centres(detections: Detections) -> dict[str, tuple[float, float]]:
    """Return the mean position of each visit's detections, sorted by visit."""
    codes, visits = detections.codes("visit")
    vectors = unit_vectors(detections["ra"], detections["dec"])
    placed = np.isfinite(vectors).all(axis=1)
    sums = np.stack(
        [
            np.bincount(codes[placed], weights=vectors[placed, axis], minlength=len(visits))
            for axis in range(3)
        ],
        axis=1,
    )
    ra, dec = position_of(sums)
    seen = np.any(sums != 0, axis=1)
    found = {visits[code]: (float(ra[code]), float(dec[code])) for code in np.flatnonzero(seen)}
    return dict(sorted(found.items()))


def focal_plane(detections: Detections, centres: Centres) -> tuple[FloatArray, FloatArray]:
    """Return the standard coordinates xi (east) and eta (north), shape (n,), in degrees.

    They are NaN for a detection without a position, of a visit without a centre, or more
    than 90 deg from it.
    """
    codes, visits = detections.codes("visit")
    nowhere = (np.nan, np.nan)
    places = np.array([centres.get(visit, nowhere) for visit in visits], dtype=np.float64)
    ra, dec = places.reshape(-1, 2).T
    axes = (*tangent_vectors(ra, dec), unit_vectors(ra, dec))
    position = unit_vectors(detections["ra"], detections["dec"])
    east, north, along = (np.einsum("ij,ij->i", position, axis[codes]) for axis in axes)
    along = np.where(along > 0, along, np.nan)
    return np.rad2deg(east / along), np.rad2deg(north / along)


POLYNOMIAL = OffsetLevel(
    "polynomial",
    "a polynomial over a detector or the focal plane",
    "1",
    PolynomialConfig,
    prepare=prepare_polynomial,
    restore=restore_polynomial,
    needs=needs_polynomial,
)
