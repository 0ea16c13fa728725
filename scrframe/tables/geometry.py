"""Where things are: the discs of sky that visits cover, and a camera's detectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray
from scrframe.statistics.sky import chord, unit_vectors


@dataclass(frozen=True)
class Footprint:
    """A union of discs of one radius on the sky.

    Attributes
    ----------
    ra_deg, dec_deg : ndarray, shape (m,)
        Centres.
    radius_deg : float
        Radius of every disc.
    """

    ra_deg: FloatArray
    dec_deg: FloatArray
    radius_deg: float

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(unit_vectors(self.ra_deg, self.dec_deg))

    def contains(self, ra_deg: FloatArray, dec_deg: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which positions lie in any disc, shape (n,)."""
        distance, _ = self._tree.query(
            unit_vectors(ra_deg, dec_deg), distance_upper_bound=chord(self.radius_deg)
        )
        return np.asarray(np.isfinite(distance))


@dataclass(frozen=True)
class Camera:
    """Detectors of a camera, as a simulation needs them.

    A detector's pixel (x, y), FITS convention, lies at standard coordinates
    ``xi = xi_deg + x_sign * (x - x_centre) * scale``,
    ``eta = eta_deg + y_sign * (y - y_centre) * scale`` about the pointing, with the centre
    at ``((nx + 1) / 2, (ny + 1) / 2)``.

    Attributes
    ----------
    ccd : ndarray of int64, shape (c,)
        Detector numbers.
    xi_deg, eta_deg : ndarray, shape (c,)
        Standard coordinates (east, north) of the detectors' centres.
    nx, ny : int
        Size of a detector in pixels.
    pixel_scale_arcsec : float
        Size of a pixel on the sky.
    x_sign, y_sign : int
        Direction of x along xi (east) and of y along eta (north), +1 or -1.
    """

    ccd: npt.NDArray[np.int64]
    xi_deg: FloatArray
    eta_deg: FloatArray
    nx: int
    ny: int
    pixel_scale_arcsec: float
    x_sign: int = -1
    y_sign: int = 1
