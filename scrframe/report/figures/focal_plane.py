"""Where detectors stand in a picture of the focal plane: as the camera says, else in a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.style import FAINT, INK, RULE, SIGNED_MAP
from scrframe.statistics.groups import find_sorted
from scrframe.tables import Camera

#: Percentile of absolute values at which colours end, so that one bad CCD hides no other.
COLOUR_END = 99.0
#: Room between the detectors of a plain grid, in widths of a detector.
GRID_GAP = 0.08
#: Room around the detectors, in units of the whole plane.
EDGE = 0.015


@dataclass(frozen=True)
class FocalPlane:
    """Detectors as placed in a drawing."""

    #: Detector numbers, in ascending order. Shape (c,).
    ccd: IntArray
    #: Where their centres are drawn. Shape (c, 2).
    centre: FloatArray
    #: Step in the drawing for one pixel of x and of y, with its sign. Shape (2,).
    pixel: FloatArray
    #: Size of a detector in pixels.
    nx: int
    ny: int
    #: Whether a camera says so: the drawing is then in degrees, east and north of the pointing.
    #: Else it is a grid in order of the numbers, in units of a detector's width.
    on_sky: bool

    @property
    def words(self) -> str:
        """Return what a caption says of the arrangement."""
        if self.on_sky:
            return "CCDs stand where they are on the sky: north is up, east to the left."
        return (
            "The arrangement of the CCDs is not known: they stand in a plain grid by number,"
            " from the upper left, with x to the right and y up."
        )

    def place_of(self, ccd: npt.ArrayLike) -> IntArray:
        """Return the row of each detector, same shape, -1 where the plane does not have it."""
        return find_sorted(self.ccd, np.asarray(ccd, dtype=np.int64))

    def corners(
        self,
        ccd: npt.ArrayLike,
        x_pix: tuple[FloatArray, FloatArray],
        y_pix: tuple[FloatArray, FloatArray],
    ) -> FloatArray:
        """Return the corners of rectangles on detectors, shape (n, 4, 2).

        The plane has all of `ccd`, shape (n,). Lower and upper edges are in pixels, shape (n,)
        each, FITS convention: a detector begins at 0.5.
        """
        across = np.stack([x_pix[0], x_pix[1], x_pix[1], x_pix[0]], axis=-1)
        up = np.stack([y_pix[0], y_pix[0], y_pix[1], y_pix[1]], axis=-1)
        middle = self.centre[self.place_of(ccd)]
        away = np.stack([across - (self.nx + 1) / 2, up - (self.ny + 1) / 2], axis=-1)
        return np.asarray(middle[:, None, :] + away * self.pixel)

    def outlines(self) -> FloatArray:
        """Return the corners of the detectors themselves, shape (c, 4, 2)."""
        low, one = np.full(len(self.ccd), 0.5), np.ones(len(self.ccd))
        return self.corners(self.ccd, (low, low + self.nx * one), (low, low + self.ny * one))

    def draw(
        self, axes: Axes, corners: FloatArray, values: FloatArray, norm: Normalize
    ) -> PolyCollection:
        """Fill rectangles with the colours of signed values, and outline the detectors.

        Axes get equal scales, and east to the left where the plane is on the sky. Corners have
        shape (n, 4, 2); values, shape (n,), that are not finite stay grey. What is returned is
        what a colour bar needs.
        """
        # Grey, as zero is white: what is empty must not look like no offset.
        axes.add_collection(PolyCollection(list(self.outlines()), fc=FAINT, lw=0))
        filled = fill_rectangles(axes, corners, values, norm)
        axes.add_collection(PolyCollection(list(self.outlines()), fc="none", ec=RULE, lw=0.3))
        low, high = self.outlines().min(axis=(0, 1)), self.outlines().max(axis=(0, 1))
        room = EDGE * float((high - low).max())
        axes.set_ylim(low[1] - room, high[1] + room)
        # Looking up at the sky with north at the top, east is at the left.
        span = (low[0] - room, high[0] + room)
        axes.set_xlim(*(span[::-1] if self.on_sky else span))
        axes.set_aspect("equal")
        if not self.on_sky:
            axes.set(xticks=[], yticks=[])
        return filled

    def name_detectors(self, axes: Axes, size: float = 4.5) -> None:
        """Write the numbers of the detectors into them."""
        halo = [withStroke(linewidth=0.8, foreground="white")]
        for number, (across, up) in zip(self.ccd, self.centre, strict=True):
            axes.text(
                across,
                up,
                str(number),
                ha="center",
                va="center",
                fontsize=size,
                color=INK,
                path_effects=halo,
            )


def fill_rectangles(
    axes: Axes, corners: FloatArray, values: FloatArray, norm: Normalize, cmap: str = SIGNED_MAP
) -> PolyCollection:
    """Fill rectangles, corners of shape (n, 4, 2), with the colours of values, shape (n,).

    Values that are not finite stay empty. What is returned is what a colour bar needs.
    """
    good = np.isfinite(values)
    filled = PolyCollection(
        list(corners[good]),
        array=values[good],
        cmap=cmap,
        norm=norm,
        lw=0,
        antialiased=False,
        rasterized=True,
    )
    axes.add_collection(filled)
    return filled


def has_places(data: RunData) -> bool:
    """Return whether the run knows where on their CCDs its detections are."""
    names = ("x_pix", "y_pix")
    return all(data.has(name) and bool(np.isfinite(data.star(name)).any()) for name in names)


def detector_size(data: RunData) -> tuple[float, float]:
    """Return the size of a detector in pixels: the camera's, else as far as positions go."""
    if data.camera is not None:
        return float(data.camera.nx), float(data.camera.ny)
    if not has_places(data):
        return 1.0, 1.0
    nx, ny = (float(np.ceil(np.nanmax(data.star(name)) - 0.5)) for name in ("x_pix", "y_pix"))
    return max(1.0, nx), max(1.0, ny)


def focal_plane(
    camera: Camera | None, ccds: npt.ArrayLike, size_pix: tuple[float, float]
) -> FocalPlane:
    """Place detectors as a camera has them, or in a grid where none is known.

    Parameters
    ----------
    camera : Camera or None
        Must have all of `ccds`; else it is not the camera of these data, and is not used.
    ccds : array_like of int
        Detectors with data.
    size_pix : pair of float
        Size of a detector where no camera tells it.
    """
    found = np.unique(np.asarray(ccds, dtype=np.int64))
    if camera is not None and np.isin(found, camera.ccd).all():
        order = np.argsort(camera.ccd)
        scale = camera.pixel_scale_arcsec / 3600.0
        return FocalPlane(
            camera.ccd[order],
            np.stack([camera.xi_deg, camera.eta_deg], axis=-1)[order],
            np.array([camera.x_sign * scale, camera.y_sign * scale]),
            camera.nx,
            camera.ny,
            True,
        )
    nx, ny = max(1, round(size_pix[0])), max(1, round(size_pix[1]))
    tall = ny / nx
    columns = max(1, round(float(np.sqrt(len(found) * tall))))
    rank = np.arange(len(found))
    step = np.array([1 + GRID_GAP, -(tall + GRID_GAP)])
    centre = np.stack([rank % columns, rank // columns], axis=-1) * step
    return FocalPlane(found, centre, np.full(2, 1 / nx), nx, ny, False)


def colour_end(values_mag: FloatArray, percentile: float = COLOUR_END) -> float:
    """Return where colours end on either side of zero, in mag: a percentile of absolute values."""
    good = np.abs(values_mag[np.isfinite(values_mag)])
    end = float(np.percentile(good, percentile)) if good.size else 0.0
    return end if end > 0 else 0.001
