"""Means and medians of groups, and cells of the sky: what figures draw instead of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData

#: Values that set the edges of bins of like numbers well enough.
ENOUGH = 200_000


def equal_bins(values: FloatArray, bins: int) -> tuple[IntArray, FloatArray]:
    """Return the bin of each value, -1 where it is not finite, and edges of like numbers.

    Parameters
    ----------
    values : ndarray, shape (n,)
        At least one is finite.
    bins : int
        Wanted; equal values stay together, so that there may be fewer. Of very many values
        every so-many-th sets the edges; those beyond the outer ones belong to the last bins.
    """
    finite = np.isfinite(values)
    some = values[finite][:: max(1, int(finite.sum()) // ENOUGH)]
    edges = np.unique(np.quantile(some, np.linspace(0, 1, bins + 1)))
    code = np.searchsorted(edges[1:-1], values, side="right")
    return np.where(finite, code, -1), edges


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> FloatArray:
    """Return quotients, NaN where the divisor is not positive, same shape."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def cell_counts(
    x: FloatArray, y: FloatArray, x_edges: FloatArray, y_edges: FloatArray
) -> FloatArray:
    """Return how many points lie in the cells of a plane, shape (p, q).

    As `numpy.histogram2d`, but by arithmetic, which is faster by far for millions. Points, shape
    (n,), that lie outside or are not finite count nowhere; edges, (p + 1,) and (q + 1,), are
    evenly spaced.
    """
    places, inside = [], np.ones(len(x), dtype=np.bool_)
    for values, edges in ((x, x_edges), (y, y_edges)):
        place = (values - edges[0]) * ((len(edges) - 1) / (edges[-1] - edges[0]))
        inside &= (place >= 0) & (place < len(edges) - 1)
        places.append(place)
    shape = len(x_edges) - 1, len(y_edges) - 1
    column, row = (place[inside].astype(np.int64) for place in places)
    count = np.bincount(column * shape[1] + row, minlength=shape[0] * shape[1])
    return np.asarray(count.reshape(shape), dtype=np.float64)


def ra_start(ra_deg: FloatArray) -> float:
    """Return where an axis of right ascension begins, in deg: after the widest gap in the data.

    `ra_deg`, shape (n,), has at least one value, from 0 to 360.
    """
    seen = np.bincount((ra_deg % 360).astype(np.int64), minlength=360)[:360] > 0
    places = np.flatnonzero(seen)
    gaps = np.diff(places, prepend=places[-1] - 360)
    widest = int(np.argmax(gaps))
    return float(places[widest]) if gaps[widest] > 1 else 0.0


def unwrap_ra(ra_deg: npt.ArrayLike, start_deg: float) -> FloatArray:
    """Return right ascensions from `start_deg` to `start_deg` + 360, without a jump between."""
    return np.asarray(start_deg + (np.asarray(ra_deg, dtype=float) - start_deg) % 360)


@dataclass(frozen=True)
class SkyGrid:
    """Cells in right ascension and declination, about square on the sky."""

    #: Right ascensions count on from here.
    start_deg: float
    #: In deg; the first may pass 360. Shape (p + 1,), (q + 1,).
    ra_edges: FloatArray
    dec_edges: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along RA and Dec."""
        return len(self.ra_edges) - 1, len(self.dec_edges) - 1

    @property
    def side_deg(self) -> float:
        """Side of a cell in declination."""
        return float(self.dec_edges[1] - self.dec_edges[0])

    def cell(self, ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
        """Return the cell of each position, shape (n,): Dec runs fastest."""
        across, up = self.shape
        step = self.ra_edges[1] - self.ra_edges[0]
        ra = unwrap_ra(ra_deg, self.start_deg)
        column = np.clip(((ra - self.ra_edges[0]) / step).astype(np.int64), 0, across - 1)
        row = ((dec_deg - self.dec_edges[0]) / self.side_deg).astype(np.int64)
        return np.asarray(column * up + np.clip(row, 0, up - 1))

    def centres(self, cell: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return RA (0 to 360) and Dec of the middle of cells in deg."""
        column, row = np.divmod(cell, self.shape[1])
        ra = 0.5 * (self.ra_edges[column] + self.ra_edges[column + 1]) % 360
        return ra, 0.5 * (self.dec_edges[row] + self.dec_edges[row + 1])


def sky_grid(ra_deg: FloatArray, dec_deg: FloatArray, most: int) -> SkyGrid:
    """Return cells that cover all positions, at most about `most` along the longer side."""
    start = ra_start(ra_deg)
    ra = unwrap_ra(ra_deg, start)
    low, high = (np.array([axis.min(), axis.max()]) for axis in (ra, dec_deg))
    shrink = max(float(np.cos(np.deg2rad(high.mean()))), 0.05)
    extent = max(float(np.ptp(low)) * shrink, float(np.ptp(high)), 1e-3)
    side = extent / most * (1 + 1e-9)
    across = int(np.ptp(low) * shrink / side) + 1
    up = int(np.ptp(high) / side) + 1
    edges_ra = low.mean() + side / shrink * (np.arange(across + 1) - across / 2)
    return SkyGrid(start, edges_ra, high.mean() + side * (np.arange(up + 1) - up / 2))


#: Cells along each axis of a plane of counts, and the share of values left out at its ends.
CELLS, TAIL = 90, 0.0005


def count_plane(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    x_edges: FloatArray,
    y_edges: FloatArray,
    label: str,
    cmap: str | None = None,
) -> None:
    """Draw how many points (n,) lie in the cells between evenly spaced edges, with a scale."""
    count = cell_counts(x, y, x_edges, y_edges)
    mesh = axes.pcolormesh(
        x_edges,
        y_edges,
        np.where(count > 0, count, np.nan).T,
        cmap=cmap,
        norm=LogNorm(1, max(2.0, float(count.max()))),
        rasterized=True,
    )
    axes.figure.colorbar(mesh, ax=axes, label=label, pad=0.02)


def band_label(name: str) -> str:
    """Return a band for mathematical text, what follows "_" as a subscript: G_BP, u."""
    letter, _, below = name.partition("_")
    return rf"{letter}_{{\rm {below}}}" if below else rf"{{\rm {letter}}}"


def colour_label(data: RunData, index: str = "") -> str:
    """Return the colour for an axis, such as $(u - G_BP)_0$."""
    colour = rf"{{\rm {data.band}}} - {band_label(data.reference_band)}"
    return f"$({colour}){index}$" if index else f"${colour}$"


def plain_colour(data: RunData, index: str = "") -> str:
    """Return the colour for captions, such as (u - G_BP)_0."""
    colour = f"{data.band} - {data.reference_band}"
    return f"({colour}){index}" if index else colour
