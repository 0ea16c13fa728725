"""Directions on the sky, its tangent plane, and its partitions by area or by numbers of points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray


def unit_vectors(ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> FloatArray:
    """Return unit vectors, shape (n, 3), of positions in degrees, shape (n,)."""
    ra, dec = np.deg2rad(np.asarray(ra_deg, float)), np.deg2rad(np.asarray(dec_deg, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def tangent_vectors(ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return unit vectors to the east and to the north at positions, both of shape (n, 3)."""
    ra, dec = np.deg2rad(np.asarray(ra_deg, float)), np.deg2rad(np.asarray(dec_deg, float))
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return east, north


def position_of(vector: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return right ascension from 0 to 360 and declination in deg of vectors (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(vector, float), -1, 0)
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def chord(angle_deg: float) -> float:
    """Return the straight distance on the unit sphere of an angle in degrees."""
    return float(2 * np.sin(np.deg2rad(angle_deg) / 2))


def to_plane(
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    ra0_deg: float | FloatArray,
    dec0_deg: float | FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return standard coordinates (xi east, eta north) in deg, each of shape (n,).

    The tangent point `ra0_deg`, `dec0_deg` is one for all, or one for each position.

    Calabretta & Greisen 2002 (A&A 395, 1077), Eqs. 12, 13 and 54. Positions must lie within
    90 deg of the tangent point.
    """
    ra = np.deg2rad(np.asarray(ra_deg) - ra0_deg)
    dec, dec0 = np.deg2rad(dec_deg), np.deg2rad(dec0_deg)
    depth = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra)
    xi = np.cos(dec) * np.sin(ra) / depth
    eta = (np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra)) / depth
    return np.rad2deg(xi), np.rad2deg(eta)


def to_sky(
    xi_deg: FloatArray, eta_deg: FloatArray, ra0_deg: float, dec0_deg: float
) -> tuple[FloatArray, FloatArray]:
    """Return right ascension and declination in deg: the inverse of `to_plane`."""
    xi, eta, dec0 = np.deg2rad(xi_deg), np.deg2rad(eta_deg), np.deg2rad(dec0_deg)
    depth = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0_deg + np.rad2deg(np.arctan2(xi, depth))
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, depth))
    return np.mod(ra, 360.0), np.rad2deg(dec)


@dataclass(frozen=True)
class EqualAreaGrid:
    """Cells of equal area: rings of equal height, each cut into cells of about equal width.

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

    def corners(self, ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the four cells whose centres surround each position, and their weights.

        Linear between the two rings whose middles enclose the declination, and within each
        between the two nearest centres: a function that is continuous over the sky, though
        the centres of neighbouring rings are not in line. Beyond the middle of the first or
        last ring that ring's value stands.

        Parameters
        ----------
        ra_deg, dec_deg : ndarray, shape (n,)

        Returns
        -------
        cell : ndarray of int64, shape (n, 4)
            -1 where a position is not finite.
        weight : ndarray, shape (n, 4)
            Not negative, with a sum of 1.
        """
        placed = np.isfinite(ra_deg) & np.isfinite(dec_deg)
        ra, dec = np.where(placed, ra_deg, 0) % 360, np.where(placed, dec_deg, 0)
        height = (dec + 90) / self.height_deg - 0.5
        low = np.floor(height).astype(np.int64)
        upper = height - low
        last = len(self.counts) - 1
        cells, weights = [], []
        for ring, share in ((low, 1 - upper), (low + 1, upper)):
            inside = np.clip(ring, 0, last)
            count = self.counts[inside]
            step = ra / 360 * count - 0.5
            left = np.floor(step).astype(np.int64)
            right = step - left
            for place, part in ((left, 1 - right), (left + 1, right)):
                cells.append(np.where(placed, self.firsts[inside] + place % count, -1))
                weights.append(share * part)
        return np.stack(cells, axis=1), np.stack(weights, axis=1)


def kd_partition(coordinates: FloatArray, cells: int) -> IntArray:
    """Part points by repeated cuts across the coordinate in which they spread most.

    The cells of a k-d tree; their numbers of points differ by one at most.

    Parameters
    ----------
    coordinates : ndarray, shape (n, k)
    cells : int
        From 1 to n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Code of each point's cell, from 0; cells next to each other in code are near in space.
    """
    codes = np.empty(len(coordinates), dtype=np.int64)
    # Sizes are settled beforehand: halves of odd numbers of cells would drift apart.
    ends = np.arange(cells + 1) * len(coordinates) // cells
    waiting = [(np.arange(len(coordinates)), 0, cells)]
    while waiting:
        rows, first, last = waiting.pop()
        if last - first == 1:
            codes[rows] = first
            continue
        middle = (first + last) // 2
        inside = coordinates[rows]
        axis = int(np.argmax(np.ptp(inside, axis=0)))
        order = rows[np.argsort(inside[:, axis], kind="stable")]
        cut = ends[middle] - ends[first]
        waiting += [(order[:cut], first, middle), (order[cut:], middle, last)]
    return codes
