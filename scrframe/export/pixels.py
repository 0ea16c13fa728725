"""Pixels of a detector as rows that levels can read, with their places on the sky in a visit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import ConfigError, DataError
from scrframe.products.run_data import RunData
from scrframe.statistics.sky import to_plane, to_sky

#: Values that are worked out at a time.
_AT_ONCE = 1 << 17
#: Stars on a CCD in a visit from which the places of its pixels are fitted; else all visits'.
_FEWEST = 24
#: Rounds in which stars that lie off the fit are left out, and how far off in its scatter.
_ROUNDS, _CLIP = 3, 4.0


@dataclass(frozen=True)
class PixelGrid:
    """Squares of pixels of a detector, or single pixels.

    Attributes
    ----------
    shape : (int, int)
        Size of the detector along x and y, in pixels.
    binning : int
        Side of a square; those at the far edges may be narrower.
    """

    shape: tuple[int, int]
    binning: int = 1

    def __post_init__(self) -> None:
        if self.binning < 1 or min(self.shape) < 1:
            raise ConfigError("binning and the size of a detector are whole numbers from 1 on")

    @property
    def size(self) -> tuple[int, int]:
        """Number of squares along y and x, as of an image."""
        nx, ny = (-(-pixels // self.binning) for pixels in self.shape)
        return ny, nx

    def centres(self, axis: int) -> FloatArray:
        """Return the middle of the squares along x (axis 0) or y (axis 1), FITS convention."""
        edges = np.arange(0, self.shape[axis] + self.binning, self.binning)
        low, high = edges[:-1], np.minimum(edges[1:], self.shape[axis])
        return np.asarray(0.5 + (low + high) / 2)

    def pieces(self) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
        """Yield rows of squares with their x and y, some at a time; x runs fastest."""
        x, y = self.centres(0), self.centres(1)
        step = max(_AT_ONCE // len(x), 1)
        for first in range(0, len(y), step):
            rows = slice(first, min(first + step, len(y)))
            here = y[rows]
            yield rows, np.tile(x, len(here)), np.repeat(here, len(x))

    def counts(self, x: FloatArray, y: FloatArray) -> IntArray:
        """Return how many positions lie in each square, shape `size`; those outside in none."""
        ny, nx = self.size
        column, row = (np.floor((at - 0.5) / self.binning) for at in (x, y))
        inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        place = (row[inside] * nx + column[inside]).astype(np.int64)
        return np.bincount(place, minlength=nx * ny).reshape(ny, nx)


def detector_shape(data: RunData, ccd: int) -> tuple[int, int]:
    """Return the size of a detector: the camera's, else what its stars span.

    Raises DataError if the run has neither.
    """
    if data.camera is not None:
        return int(data.camera.nx), int(data.camera.ny)
    spans = []
    for name in ("x_pix", "y_pix"):
        # Of all detectors, which mostly are alike: a sparse one spans less than it is.
        values = data.star(name) if data.has(name) else np.zeros(0)
        values = values[np.isfinite(values)]
        if not len(values):
            raise DataError(
                f"CCD {ccd} has no known size: no star has a position on it; give shape"
            )
        spans.append(max(int(np.ceil(values.max() - 0.5)), 1))
    return spans[0], spans[1]


@dataclass(frozen=True)
class RowsByExposure:
    """Where the detections of each CCD, and of it in each visit, stand in a run's table."""

    #: Rows ordered by CCD and visit, and the CCD and visit of each as one number.
    order: IntArray
    keys: IntArray
    #: Visits in all.
    visits: int

    @classmethod
    def of(cls, data: RunData) -> RowsByExposure:
        """Sort the detections of a run."""
        visits = max(len(data.visits), 1)
        keys = np.asarray(data.ccd, dtype=np.int64) * visits + data.visit_code
        order = np.argsort(keys, kind="stable")
        return cls(order, keys[order], visits)

    def of_ccd(self, ccd: int, visit: int | None = None) -> IntArray:
        """Return the rows of a CCD, in one visit if it is given."""
        first, last = ccd * self.visits, (ccd + 1) * self.visits
        if visit is not None:
            first, last = first + visit, first + visit + 1
        low, high = np.searchsorted(self.keys, [first, last])
        return self.order[low:high]


@dataclass(frozen=True)
class SkyPlaces:
    """Where pixels of a CCD lie on the sky in a visit, from the stars that are on it.

    Standard coordinates about the visit's centre are polynomials of second degree in x and y,
    good to a fraction of a pixel; what varies over the focal plane varies over degrees.
    """

    centre_deg: tuple[float, float]
    #: Coefficients of both coordinates, shape (6, 2).
    coefficients: FloatArray
    #: Middle and half size of x and y, which scale them.
    middle: FloatArray
    half: FloatArray

    @classmethod
    def of(cls, data: RunData, stars: RowsByExposure, ccd: int, visit: int) -> SkyPlaces:
        """Fit the places from stars of the CCD in the visit, or in all visits if they are few.

        Where these are few, too, the camera tells. Raises DataError if there is none.
        """
        visits = data.visit_table
        centre = float(visits.ra_deg[visit]), float(visits.dec_deg[visit])
        rows = stars.of_ccd(ccd, visit)
        if len(rows) < _FEWEST:
            rows = stars.of_ccd(ccd)
        if len(rows) >= _FEWEST:
            code = data.visit_code[rows]
            ra, dec = data.star("ra_deg")[rows], data.star("dec_deg")[rows]
            plane = to_plane(ra, dec, visits.ra_deg[code], visits.dec_deg[code])
            return cls._fitted(centre, data.star("x_pix")[rows], data.star("y_pix")[rows], *plane)
        camera = data.camera
        if camera is None or ccd not in camera.ccd:
            raise DataError(
                f"CCD {ccd}: {len(rows)} stars, too few to tell where its pixels lie on the sky,"
                " which a term of visits over the focal plane needs"
            )
        x, y = (
            each.ravel()
            for each in np.meshgrid(*(np.linspace(1, n, 5) for n in (camera.nx, camera.ny)))
        )
        place = np.full(len(x), np.flatnonzero(camera.ccd == ccd)[0])
        return cls._fitted(centre, x, y, *camera.to_plane(place, x, y))

    @classmethod
    def _fitted(
        cls,
        centre: tuple[float, float],
        x: FloatArray,
        y: FloatArray,
        xi: FloatArray,
        eta: FloatArray,
    ) -> SkyPlaces:
        """Fit by least squares, without stars that lie far off."""
        place, plane = np.stack([x, y], axis=1), np.stack([xi, eta], axis=1)
        middle, half = (place.max(0) + place.min(0)) / 2, np.maximum(np.ptp(place, axis=0) / 2, 1)
        terms = _terms((place - middle) / half)
        kept = np.isfinite(plane).all(axis=1) & np.isfinite(terms).all(axis=1)
        for _ in range(_ROUNDS):
            found = np.linalg.lstsq(terms[kept], plane[kept], rcond=None)[0]
            off = np.hypot(*(plane - terms @ found).T)
            kept &= off <= max(_CLIP * float(np.sqrt(np.mean(off[kept] ** 2))), 1e-9)
        return cls(centre, np.asarray(found), middle, half)

    def of_pixels(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return right ascension and declination in deg, each of shape (n,)."""
        scaled = (np.stack([x, y], axis=1) - self.middle) / self.half
        xi, eta = (_terms(scaled) @ self.coefficients).T
        return to_sky(xi, eta, *self.centre_deg)


def _terms(place: FloatArray) -> FloatArray:
    x, y = place.T
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
