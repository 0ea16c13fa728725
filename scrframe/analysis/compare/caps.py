"""Circles on the sky, as candidate control regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.statistics.sky import chord, unit_vectors

#: Caps that share more of their stars than this (of the stars of either) are one candidate.
ALIKE = 0.8


@dataclass(frozen=True)
class Cap:
    """A circle on the sky.

    Attributes
    ----------
    ra_deg, dec_deg, radius_deg : float
    """

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def holds(self, ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
        """Return which positions lie in it, shape (n,)."""
        # The chord: cosines of small angles have no digits left.
        apart = unit_vectors(ra_deg, dec_deg) - unit_vectors(self.ra_deg, self.dec_deg)
        return np.asarray(np.linalg.norm(apart, axis=1) <= chord(self.radius_deg))


def centre_of(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[float, float]:
    """Return the mean direction of positions, RA from 0 to 360 deg and Dec."""
    x, y, z = unit_vectors(ra_deg, dec_deg).mean(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def low_extinction_caps(
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    extinction: FloatArray,
    place: IntArray,
    radii_deg: Sequence[float],
    each: int,
    min_stars: int,
) -> list[Cap]:
    """Return caps about the places of least extinction, a few of each radius.

    For each radius the caps about the centres of all places are ranked by the median E of
    their stars; the first are taken, but none that overlaps by half with one of the same radius
    before it, or holds nearly the stars of any.

    Parameters
    ----------
    ra_deg, dec_deg, extinction : ndarray, shape (n,)
        Of stars.
    place : ndarray of int64, shape (n,)
        Code of the field or cell of each star.
    radii_deg : sequence of float
        Ascending.
    each : int
        Most caps of one radius.
    min_stars : int
        Stars that a cap must hold.
    """
    rows = [np.flatnonzero(place == code) for code in np.unique(place)]
    centres = [centre_of(ra_deg[row], dec_deg[row]) for row in rows]
    caps: list[Cap] = []
    taken: list[BoolArray] = []
    for radius in radii_deg:
        found = [Cap(*centre, float(radius)) for centre in centres]
        inside = [cap.holds(ra_deg, dec_deg) for cap in found]
        level = [float(np.median(extinction[mask])) for mask in inside]
        before = len(caps)
        for number in np.argsort(level, kind="stable"):
            mask = inside[number]
            if len(caps) - before == each:
                break
            near = any(overlap(mask, one) for one in taken[before:])
            if mask.sum() < min_stars or near or any(alike(mask, one) for one in taken):
                continue
            caps.append(found[number])
            taken.append(mask)
    return caps


def overlap(first: BoolArray, second: BoolArray) -> bool:
    """Return whether the smaller of two regions has half its stars in the other."""
    return bool((first & second).sum() > min(first.sum(), second.sum()) / 2)


def alike(first: BoolArray, second: BoolArray) -> bool:
    """Return whether two regions hold nearly the same stars."""
    return bool((first & second).sum() > ALIKE * (first | second).sum())
