"""The control regions that are tried: the described one and its parts, low extinction, circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.run.colour_model import FittedModel
from scrframe.statistics.sky import chord, kd_partition, unit_vectors
from scrframe.tables import MatchedStars

#: Circles that share more of their stars than this (of the stars of either) are one candidate.
ALIKE = 0.8
#: Radii of the circles that are tried, in deg, and how many of each.
RADII_DEG, CIRCLES_PER_RADIUS = (1.0, 2.0, 4.0, 8.0), 3
#: Parts of the described region about its centre, by share of its stars.
PARTS = (0.5, 0.25)
#: Share of a candidate's stars that an independent one may have in common with others.
SHARED = 0.1
#: Fewest training stars of a candidate.
MIN_STARS = 500
#: Cells of the sky that stand for fields where catalogues name none, by stars in each.
STARS_PER_CELL = 2000
Kind = Literal["described", "part of described", "low extinction", "cap"]


@dataclass(frozen=True)
class SkyCircle:
    """A circle on the sky."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def holds(self, ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
        """Return which positions lie in it, shape (n,)."""
        # The chord: cosines of small angles have no digits left.
        apart = unit_vectors(ra_deg, dec_deg) - unit_vectors(self.ra_deg, self.dec_deg)
        return np.asarray(np.linalg.norm(apart, axis=1) <= chord(self.radius_deg))


@dataclass(frozen=True)
class Region:
    """A candidate control region and the stars in it.

    Attributes
    ----------
    cap : SkyCircle or None
        Where it is a circle.
    stars : int
        Stars that train.
    extinction_median, extinction_p90 : float
        Of these stars.
    colour_low, colour_high : float
        1st and 99th percentile of their intrinsic colour, mag.
    """

    name: str
    kind: Kind
    cap: SkyCircle | None
    stars: int
    extinction_median: float
    extinction_p90: float
    colour_low: float
    colour_high: float


@dataclass(frozen=True)
class CandidateRegion:
    """A region by its stars."""

    region: Region
    #: Shape (s,).
    inside: BoolArray
    #: Whether it shares few stars with the candidates before it.
    independent: bool = True


@dataclass(frozen=True)
class TriedRegion:
    """A region on which a model was trained."""

    region: Region
    #: Model less observed magnitude of the judging detections; None where it has a fault. Shape
    #: (n,), or None.
    error_mag: FloatArray | None = None
    #: Zero points of the visits. Shape (v,), or None.
    zero_point_mag: FloatArray | None = None
    #: Share of the calibration stars unlike any training star.
    outside: float = np.nan
    fault: str | None = None
    #: Whether it shares few stars with those before it, so that it counts in the consensus.
    independent: bool = True


def find_candidates(
    sample: MatchedStars, fitted: FittedModel, used: BoolArray
) -> list[CandidateRegion]:
    """Return the regions to try; the described one is the first.

    Parameters
    ----------
    used : ndarray of bool, shape (n,)
        Detections that may train.
    """
    sky = _Sky.of(sample, fitted)
    able = _stars_of(sample, used)
    described = _stars_of(sample, used & sample.in_control)
    found = [sky.candidate("described", "described", described)]
    for share, circle in _inner_circles(sky, described):
        inside = described & circle.holds(sky.ra_deg, sky.dec_deg)
        if inside.sum() >= MIN_STARS:
            name = f"described, inner {circle.radius_deg:.2g} deg ({100 * share:.0f} %)"
            found.append(sky.candidate(name, "part of described", inside, circle))
    limit = found[0].region.extinction_p90
    inside = able & (sky.extinction < limit)
    found.append(sky.candidate(f"E < {limit:.2f} anywhere", "low extinction", inside))
    rows = np.flatnonzero(able)
    ra, dec, extinction = (column[rows] for column in (sky.ra_deg, sky.dec_deg, sky.extinction))
    place, each = _places(sample, sky)[rows], CIRCLES_PER_RADIUS
    for circle in low_extinction_circles(ra, dec, extinction, place, RADII_DEG, each, MIN_STARS):
        name = f"{circle.radius_deg:g} deg about RA {circle.ra_deg:.1f}, Dec {circle.dec_deg:+.1f}"
        inside = able & circle.holds(sky.ra_deg, sky.dec_deg)
        found.append(sky.candidate(name, "cap", inside, circle))
    # Whether each shares few stars with the independent ones before.
    marked: list[CandidateRegion] = []
    taken = np.zeros_like(found[0].inside)
    for candidate in found:
        fresh = bool((candidate.inside & taken).sum() <= SHARED * candidate.inside.sum())
        taken |= candidate.inside & fresh
        marked.append(replace(candidate, independent=fresh))
    return marked


@dataclass(frozen=True)
class _Sky:
    """Positions, extinctions and intrinsic colours of all stars, shape (s,)."""

    ra_deg: FloatArray
    dec_deg: FloatArray
    extinction: FloatArray
    colour_mag: FloatArray

    @classmethod
    def of(cls, sample: MatchedStars, fitted: FittedModel) -> _Sky:
        ra, dec, extinction = (
            np.asarray(sample.stars[name], dtype=np.float64)
            for name in ("ref_ra", "ref_dec", "extinction")
        )
        return cls(ra, dec, extinction, fitted.model.colour0_mag)

    def candidate(
        self, name: str, kind: Kind, inside: BoolArray, circle: SkyCircle | None = None
    ) -> CandidateRegion:
        median, p90 = np.quantile(self.extinction[inside], [0.5, 0.9])
        low, high = np.quantile(self.colour_mag[inside], [0.01, 0.99])
        values = float(median), float(p90), float(low), float(high)
        return CandidateRegion(Region(name, kind, circle, int(inside.sum()), *values), inside)


def _inner_circles(sky: _Sky, inside: BoolArray) -> list[tuple[float, SkyCircle]]:
    """Return circles about the middle of a region that hold given shares of its stars."""
    ra, dec = sky.ra_deg[inside], sky.dec_deg[inside]
    centre = centre_of(ra, dec)
    chord = np.linalg.norm(unit_vectors(ra, dec) - unit_vectors(*centre), axis=1)
    radius = np.degrees(2 * np.arcsin(np.quantile(chord, PARTS) / 2))
    return [
        (share, SkyCircle(*centre, float(size))) for share, size in zip(PARTS, radius, strict=True)
    ]


def _places(sample: MatchedStars, sky: _Sky) -> IntArray:
    """Return a code of the field of each star, of a sky cell where no field is named."""
    stars = len(sample.stars)
    if "field" not in sample.detections:
        return kd_partition(unit_vectors(sky.ra_deg, sky.dec_deg), max(1, stars // STARS_PER_CELL))
    place = np.zeros(stars, dtype=np.int64)
    place[sample.star] = sample.detections.codes("field")[0]
    return place


def low_extinction_circles(
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    extinction: FloatArray,
    place: IntArray,
    radii_deg: Sequence[float],
    each: int,
    min_stars: int,
) -> list[SkyCircle]:
    """Return circles about the places of least extinction, a few of each radius.

    For each radius the circles about the centres of all places are ranked by the median E of
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
        Most circles of one radius.
    min_stars : int
        Stars that a circle must hold.
    """
    rows = [np.flatnonzero(place == code) for code in np.unique(place)]
    centres = [centre_of(ra_deg[row], dec_deg[row]) for row in rows]
    circles: list[SkyCircle] = []
    taken: list[BoolArray] = []
    for radius in radii_deg:
        found = [SkyCircle(*centre, float(radius)) for centre in centres]
        inside = [circle.holds(ra_deg, dec_deg) for circle in found]
        level = [float(np.median(extinction[mask])) for mask in inside]
        before = len(circles)
        for number in np.argsort(level, kind="stable"):
            mask = inside[number]
            if len(circles) - before == each:
                break
            near = any(overlap(mask, one) for one in taken[before:])
            if mask.sum() < min_stars or near or any(alike(mask, one) for one in taken):
                continue
            circles.append(found[number])
            taken.append(mask)
    return circles


def centre_of(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[float, float]:
    """Return the mean direction of positions, RA from 0 to 360 deg and Dec."""
    x, y, z = unit_vectors(ra_deg, dec_deg).mean(axis=0)
    ra, dec = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    return float(ra), float(dec)


def overlap(first: BoolArray, second: BoolArray) -> bool:
    """Return whether the smaller of two regions has half its stars in the other."""
    return bool((first & second).sum() > min(first.sum(), second.sum()) / 2)


def alike(first: BoolArray, second: BoolArray) -> bool:
    """Return whether two regions hold nearly the same stars."""
    return bool((first & second).sum() > ALIKE * (first | second).sum())


def _stars_of(sample: MatchedStars, detections: BoolArray) -> BoolArray:
    """Return which stars have a detection among some, shape (s,)."""
    found = np.zeros(len(sample.stars), dtype=bool)
    found[sample.star[detections]] = True
    return found
