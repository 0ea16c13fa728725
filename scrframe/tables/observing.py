"""Where a survey looks, and what a simulation of it gives to the plugins that write it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.statistics.sky import chord, unit_vectors

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


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
        from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

        return cKDTree(unit_vectors(self.ra_deg, self.dec_deg))

    def contains(self, ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
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

    ccd: IntArray
    xi_deg: FloatArray
    eta_deg: FloatArray
    nx: int
    ny: int
    pixel_scale_arcsec: float
    x_sign: int = -1
    y_sign: int = 1

    def half_extent(self) -> tuple[float, float]:
        """Return how far the camera reaches from the pointing in xi and in eta, in deg."""
        scale = self.pixel_scale_arcsec / 3600
        return (
            float(np.abs(self.xi_deg).max() + scale * self.nx / 2),
            float(np.abs(self.eta_deg).max() + scale * self.ny / 2),
        )

    def to_pixels(
        self, place: IntArray, xi_deg: FloatArray, eta_deg: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return pixels of standard coordinates on the detectors at `place` in the list."""
        scale = self.pixel_scale_arcsec / 3600
        x = (self.nx + 1) / 2 + self.x_sign * (xi_deg - self.xi_deg[place]) / scale
        y = (self.ny + 1) / 2 + self.y_sign * (eta_deg - self.eta_deg[place]) / scale
        return x, y

    def to_plane(
        self, place: IntArray, x: FloatArray, y: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return standard coordinates in deg: the inverse of `to_pixels`."""
        scale = self.pixel_scale_arcsec / 3600
        xi = self.xi_deg[place] + self.x_sign * (x - (self.nx + 1) / 2) * scale
        eta = self.eta_deg[place] + self.y_sign * (y - (self.ny + 1) / 2) * scale
        return xi, eta


@dataclass(frozen=True)
class SimulatedVisit:
    """One visit of a simulated survey.

    Attributes
    ----------
    field : str
        Name of the pointing.
    number : int
        Running number of the visit in the survey, from 1.
    pointing : int
        Number of the pointing within its field, from 1.
    ra_deg, dec_deg : float
        Centre of the pointing.
    mjd : float
        Modified Julian date of the start.
    exposure_time_s, airmass, seeing_arcsec : float
        As they stand in the headers.
    band : str
        Band.
    detections : pyarrow.Table
        Columns ccd, x, y (pix), ra, dec (deg), mag, mag_err (mag, as catalogued),
        classification; sorted by ccd, and to be written in this order.
    """

    field: str
    number: int
    pointing: int
    ra_deg: float
    dec_deg: float
    mjd: float
    exposure_time_s: float
    airmass: float
    seeing_arcsec: float
    band: str
    detections: pa.Table


@dataclass(frozen=True)
class SimulatedStars:
    """Stars of a simulated survey, as a reference or extinction catalogue writes them.

    Attributes
    ----------
    table : pyarrow.Table
        Columns source_id, ref_ra, ref_dec (deg, at `ref_epoch`), pmra, pmdec (mas / yr),
        g_mag, bp_mag, rp_mag, reference_mag_err, phot_bp_rp_excess_factor,
        has_spectrum (bool), extinction, extinction_err, quality_flags, teff, logg, feh,
        parallax (mas).
    coefficients : ndarray of float64, shape (s, m)
        Spectrum coefficients of the stars with a spectrum, in table order.
    coefficient_errors : ndarray of float64, shape (s, m)
        Their errors.
    correlations : ndarray of float64, shape (t, packed)
        A few correlation matrices, packed as the format packs them.
    correlation_of : ndarray of int64, shape (s,)
        Which of them holds for each star.
    ref_epoch : float
        Epoch of the positions (Julian year).
    """

    table: pa.Table
    coefficients: FloatArray
    coefficient_errors: FloatArray
    correlations: FloatArray
    correlation_of: IntArray
    ref_epoch: float
