"""From the sky to pixels: the gnomonic (TAN) projection and the camera."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.tables import Camera, chord, unit_vectors


def to_plane(
    ra_deg: FloatArray, dec_deg: FloatArray, ra0_deg: float, dec0_deg: float
) -> tuple[FloatArray, FloatArray]:
    """Return standard coordinates (xi east, eta north) in deg, each of shape (n,).

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
    east = xi
    depth = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0_deg + np.rad2deg(np.arctan2(east, depth))
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(east, depth))
    return np.mod(ra, 360.0), np.rad2deg(dec)


def shifted(
    ra_deg: float, dec_deg: float, east_arcsec: float, north_arcsec: float
) -> tuple[float, float]:
    """Return a position offset on the tangent plane."""
    ra, dec = to_sky(
        np.array([east_arcsec / 3600]), np.array([north_arcsec / 3600]), ra_deg, dec_deg
    )
    return float(ra[0]), float(dec[0])


def half_extent(camera: Camera) -> tuple[float, float]:
    """Return how far the camera reaches from the pointing in xi and in eta, in deg."""
    scale = camera.pixel_scale_arcsec / 3600
    return (
        float(np.abs(camera.xi_deg).max() + scale * camera.nx / 2),
        float(np.abs(camera.eta_deg).max() + scale * camera.ny / 2),
    )


def on_detectors(
    camera: Camera, ra_deg: FloatArray, dec_deg: FloatArray, ra0_deg: float, dec0_deg: float
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return which positions fall on a detector, and where.

    Returns
    -------
    index : ndarray of int64, shape (m,)
        Of the positions that fall on a detector.
    place : ndarray of int64, shape (m,)
        Place of the detector in the camera's list.
    x, y : ndarray, shape (m,)
        Pixel, FITS convention.
    """
    reach = 1.01 * float(np.hypot(*half_extent(camera)))
    near = np.flatnonzero(np.abs(dec_deg - dec0_deg) < reach)
    apart = unit_vectors(ra_deg[near], dec_deg[near]) - unit_vectors(ra0_deg, dec0_deg)
    near = near[(apart**2).sum(axis=1) < chord(reach) ** 2]
    xi, eta = to_plane(ra_deg[near], dec_deg[near], ra0_deg, dec0_deg)
    found: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
    for place in range(len(camera.ccd)):
        x, y = plane_to_pixel(camera, np.full(len(near), place), xi, eta)
        on = (x >= 0.5) & (x < camera.nx + 0.5) & (y >= 0.5) & (y < camera.ny + 0.5)
        found.append((near[on], np.full(int(on.sum()), place, np.int64), x[on], y[on]))
    index, places, x, y = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return index, places, x, y


def plane_to_pixel(
    camera: Camera, place: IntArray, xi_deg: FloatArray, eta_deg: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return pixels of standard coordinates on the detectors at `place` in the camera."""
    scale = camera.pixel_scale_arcsec / 3600
    x = (camera.nx + 1) / 2 + camera.x_sign * (xi_deg - camera.xi_deg[place]) / scale
    y = (camera.ny + 1) / 2 + camera.y_sign * (eta_deg - camera.eta_deg[place]) / scale
    return x, y


def pixel_to_plane(
    camera: Camera, place: IntArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return standard coordinates in deg: the inverse of `plane_to_pixel`."""
    scale = camera.pixel_scale_arcsec / 3600
    xi = camera.xi_deg[place] + camera.x_sign * (x - (camera.nx + 1) / 2) * scale
    eta = camera.eta_deg[place] + camera.y_sign * (y - (camera.ny + 1) / 2) * scale
    return xi, eta
