"""Match detections of a visit to reference stars at the visit's epoch (paper, Section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray
from scrframe.statistics.sky import chord, tangent_vectors, unit_vectors
from scrframe.tables import ReferenceStars

MAS_PER_RADIAN = 180 / np.pi * 3600e3
J2000_MJD = 51544.5
DAYS_PER_YEAR = 365.25


def julian_year(mjd: float) -> float:
    """Return the Julian epoch of a modified Julian date."""
    return 2000.0 + (mjd - J2000_MJD) / DAYS_PER_YEAR


@dataclass(frozen=True)
class SkyIndex:
    """Reference stars arranged for finding those near a point."""

    #: Unit vectors at the catalogue epoch, sorted by declination. Shape (s, 3).
    position: FloatArray
    #: Proper motion as a vector in radians a year. Shape (s, 3).
    motion: FloatArray
    #: Catalogue epoch (Julian year). Shape (s,).
    epoch: FloatArray
    #: Row of each in the table from which the index was built. Shape (s,).
    row: npt.NDArray[np.int64]

    def near(self, centre: FloatArray, radius_deg: float) -> npt.NDArray[np.int64]:
        """Return indices of the stars within `radius_deg` of a unit vector, shape (k,)."""
        height = np.clip(centre[2], -1.0, 1.0)
        declination = np.arcsin(height)
        reach = np.deg2rad(radius_deg)
        low, high = np.sin(np.clip(declination + np.array([-reach, reach]), -np.pi / 2, np.pi / 2))
        first, last = np.searchsorted(self.position[:, 2], [low, high])
        inside = self.position[first:last] @ centre >= np.cos(reach)
        return np.asarray(first + np.flatnonzero(inside))

    def at(self, index: npt.NDArray[np.int64], year: float) -> FloatArray:
        """Return unit vectors of stars propagated to an epoch, shape (k, 3)."""
        years = (year - self.epoch[index])[:, None]
        moved = self.position[index] + years * self.motion[index]
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def sky_index(stars: ReferenceStars) -> SkyIndex:
    """Arrange reference stars for matching; a missing proper motion counts as none."""
    position = unit_vectors(stars["ref_ra"], stars["ref_dec"])
    east, north = tangent_vectors(stars["ref_ra"], stars["ref_dec"])
    pmra = np.nan_to_num(stars["pmra"]) / MAS_PER_RADIAN
    pmdec = np.nan_to_num(stars["pmdec"]) / MAS_PER_RADIAN
    motion = pmra[:, None] * east + pmdec[:, None] * north
    order = np.argsort(position[:, 2], kind="stable")
    return SkyIndex(position[order], motion[order], stars["ref_epoch"][order], order)


def match_visit(
    ra_deg: FloatArray, dec_deg: FloatArray, mjd: float, index: SkyIndex, radius_arcsec: float
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Match the detections of one visit, each star to its nearest detection at most.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        Positions of the detections.
    mjd : float
        Date of the visit, to which proper motions are propagated.
    index : SkyIndex
        The reference stars.
    radius_arcsec : float
        Matching radius.

    Returns
    -------
    row : ndarray of int64, shape (n,)
        Row of the matched star in the reference table; -1 for none.
    distance_arcsec : ndarray, shape (n,)
        Distance of the match; NaN for none.
    """
    row = np.full(len(ra_deg), -1, dtype=np.int64)
    distance = np.full(len(ra_deg), np.nan)
    if not len(ra_deg):
        return row, distance
    here = unit_vectors(ra_deg, dec_deg)
    centre = here.mean(axis=0)
    centre /= np.linalg.norm(centre)
    reach = np.rad2deg(np.arccos(np.clip((here @ centre).min(), -1, 1)))
    # A margin for the proper motion of the fastest stars over decades.
    near = index.near(centre, reach + radius_arcsec / 3600 + 0.1)
    if not len(near):
        return row, distance
    tree = cKDTree(index.at(near, julian_year(mjd)))
    limit = chord(radius_arcsec / 3600)
    separation, found = map(np.asarray, tree.query(here, distance_upper_bound=limit))
    hit = np.flatnonzero(np.isfinite(separation))
    # Of several detections near one star the nearest keeps it.
    hit = hit[np.argsort(separation[hit], kind="stable")]
    _, first = np.unique(found[hit], return_index=True)
    hit = hit[first]
    row[hit] = index.row[near[found[hit]]]
    distance[hit] = np.rad2deg(2 * np.arcsin(separation[hit] / 2)) * 3600
    return row, distance
