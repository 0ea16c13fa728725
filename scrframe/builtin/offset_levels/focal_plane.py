"""Positions in the focal plane: standard coordinates about the centre of a visit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.statistics.sky import tangent_vectors
from scrframe.tables import Detections, unit_vectors

#: Right ascension and declination, in degrees, of the centre of each visit.
Centres = Mapping[str, tuple[float, float]]


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
    ra = np.rad2deg(np.arctan2(sums[:, 1], sums[:, 0])) % 360
    dec = np.rad2deg(np.arctan2(sums[:, 2], np.hypot(sums[:, 0], sums[:, 1])))
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
