"""Null tests of what residuals share in a place: on the sky, in the focal plane, on a detector.

They name what a solution lacks: a law that changes from field to field or within fields, clouds,
maps of detectors that are too coarse or change, colour terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from scrframe.arrays import FloatArray, IntArray
from scrframe.checks.null_tests.detectors import tangent_places
from scrframe.checks.null_tests.inputs import NullTestLimits, StarSample, VisitSample
from scrframe.checks.null_tests.pairs import successive
from scrframe.checks.null_tests.structure import (
    repeat_surfaces,
    shared_across,
    shared_means,
    shared_slopes,
)
from scrframe.checks.statistics import bounded, cluster_fit
from scrframe.checks.verdict import Limit, NullTest, NullTestResult, judge, untestable
from scrframe.statistics.groups import codes, less_group_mean
from scrframe.statistics.sky import EqualAreaGrid

#: Side of the cells of the sky in deg, within which a law or the sky may differ.
CELL_DEG = 0.25
#: Parts of a detector along its axes: where maps are looked at, and their changes.
MAP_PARTS, SEASON_PARTS = (4, 8), (2, 4)
#: Orders of what a visit may show over the focal plane, and of what does not count.
PLANE, SURFACE = (1, 0), (3, 1)
#: Order of the map of a CCD that is taken out before visits are compared.
MAP_ORDER = 3
#: Detections, regions and seasons that a comparison needs.
LEAST_DETECTIONS, LEAST_REGIONS, LEAST_SEASONS = 100, 5, 2

FIELD_LAW = NullTest("law_fields", "Law from field to field")
INSIDE_LAW = NullTest("law_inside", "Law inside fields")
SKY = NullTest("sky_places", "Residual shared by places of the sky")
GRADIENT = NullTest("visit_gradient", "Gradient of a visit over the focal plane")
CLOUDS = NullTest("visit_surface", "Structure of a visit over the focal plane")
MAP = NullTest("ccd_map", "Residual by place on the CCDs")
SEASON = NullTest("ccd_season", "Change of CCD maps with season")
COLOUR = NullTest("ccd_colour", "Colour terms by CCD")
AIRMASS = NullTest("airmass_colour", "Residual against airmass times colour")


@dataclass(frozen=True)
class _Solved:
    """The m detections of the solve that are looked at."""

    #: Rows among all detections. Shape (m,).
    rows: IntArray
    #: Residuals with outliers bounded, and less the mean of their visit, in mag. Shape (m,).
    left: FloatArray
    even: FloatArray
    #: Numbers from 0. Shape (m,).
    visit: IntArray
    star: IntArray
    ccd: IntArray
    exposure: IntArray
    cell: IntArray

    @classmethod
    def of(cls, stars: StarSample) -> _Solved:
        rows = np.flatnonzero(_usable(stars))
        left = bounded(stars.left_mag[rows])
        visit, ccd = codes(stars.visit[rows]), codes(stars.ccd[rows])
        ra, dec = stars.position
        return cls(
            rows=rows,
            left=left,
            even=less_group_mean(left, visit),
            visit=visit,
            star=codes(stars.source[rows]),
            ccd=ccd,
            exposure=codes(visit * (int(ccd.max()) + 1) + ccd),
            cell=codes(EqualAreaGrid(CELL_DEG).cell(ra[rows], dec[rows])),
        )


def _usable(stars: StarSample) -> np.ndarray:
    known = np.isfinite(stars.left_mag) & np.isfinite(stars.apparent_colour)
    return np.asarray(stars.solved & known & np.isfinite(stars.quantities["extinction"]))


def structure_tests(
    stars: StarSample, visits: VisitSample, limits: NullTestLimits
) -> list[NullTestResult]:
    """Run all tests of structure."""
    usable = int(_usable(stars).sum())
    if usable < LEAST_DETECTIONS:
        reason = f"{usable} detections, {LEAST_DETECTIONS} are needed"
        sky = (FIELD_LAW, INSIDE_LAW, SKY, GRADIENT, CLOUDS)
        return [
            *(untestable(test, limits.structure, reason) for test in sky),
            *(untestable(test, limits.detector, reason) for test in (MAP, SEASON, COLOUR, AIRMASS)),
        ]
    seen = _Solved.of(stars)
    return [
        *_laws(stars, seen, limits.structure),
        _sky(stars, seen, limits.structure),
        *_clouds(stars, seen, limits.structure),
        *_maps(stars, visits, seen, limits.detector),
        _colour_terms(stars, seen, limits.detector),
        _airmass(stars, visits, seen, limits.detector),
    ]


def _laws(stars: StarSample, seen: _Solved, limit: Limit) -> list[NullTestResult]:
    # A star counts once: its detections share its deviation.
    first = np.unique(seen.star, return_index=True)[1]
    mean = np.bincount(seen.star, seen.even) / np.bincount(seen.star)
    extinction = stars.quantities["extinction"][seen.rows][first]
    field = stars.field[seen.rows][first]
    return [
        shared_slopes(FIELD_LAW, extinction, mean, field, limit),
        shared_slopes(INSIDE_LAW, extinction, mean, seen.cell[first], limit, field),
    ]


def _sky(stars: StarSample, seen: _Solved, limit: Limit) -> NullTestResult:
    whole = seen.left
    if stars.ccd_offset_mag is not None:  # exposures follow the sky, each by itself
        own = np.nan_to_num(stars.ccd_offset_mag[seen.rows])
        whole = bounded(whole + less_group_mean(own, seen.visit))
    whole = less_group_mean(whole, seen.visit)
    field = stars.field[seen.rows]
    return shared_across(SKY, whole, seen.star, seen.visit, seen.cell, field, limit)


def _clouds(stars: StarSample, seen: _Solved, limit: Limit) -> list[NullTestResult]:
    number = np.full(len(stars.solved), -1, dtype=np.int64)
    number[seen.rows] = np.arange(len(seen.rows))
    pairs = successive(stars.source, number >= 0)
    one, other = number[pairs.first], number[pairs.second]
    swapped = seen.visit[one] > seen.visit[other]
    one, other = np.where(swapped, other, one), np.where(swapped, one, other)
    apart = seen.visit[one] != seen.visit[other]
    one, other = one[apart], other[apart]
    two = seen.visit[one] * (int(seen.visit.max()) + 1) + seen.visit[other]
    exposures = seen.exposure[one] * (int(seen.exposure.max()) + 1) + seen.exposure[other]
    ra, dec = (axis[seen.rows] for axis in stars.position)
    place = np.stack(tangent_places(ra, dec, seen.visit), axis=1)[one]
    # What detectors do in all visits alike would pass for slopes of every pair.
    own = seen.left - _smooth_map(stars, seen)
    difference = own[one] - own[other]
    return [
        repeat_surfaces(test, difference, two, exposures, place, orders, limit)
        for test, orders in ((GRADIENT, PLANE), (CLOUDS, SURFACE))
    ]


def _smooth_map(stars: StarSample, seen: _Solved) -> FloatArray:
    """Return a polynomial of each CCD, fitted to residuals within exposures, shape (m,)."""
    u, v = (2 * axis[seen.rows] - 1 for axis in stars.detector_place)
    powers = [
        u**a * v ** (total - a) for total in range(1, MAP_ORDER + 1) for a in range(total + 1)
    ]
    basis = np.stack([less_group_mean(each, seen.exposure) for each in powers], axis=1)
    inside = less_group_mean(seen.left, seen.exposure)
    found = np.zeros(len(inside))
    for ccd in range(int(seen.ccd.max()) + 1):
        mine = np.flatnonzero(seen.ccd == ccd)
        if len(mine) > LEAST_DETECTIONS:
            fitted = np.linalg.lstsq(basis[mine], inside[mine], rcond=None)[0]
            found[mine] = basis[mine] @ fitted
    return found


def _maps(
    stars: StarSample, visits: VisitSample, seen: _Solved, limit: Limit
) -> list[NullTestResult]:
    inside = less_group_mean(seen.left, seen.exposure)
    whole = shared_means(MAP, inside, _parts(stars, seen, MAP_PARTS), limit)
    season = visits.season[stars.visit[seen.rows]]
    known = season >= 0
    if len(np.unique(season[known])) < LEAST_SEASONS:
        reason = f"{LEAST_SEASONS} observing seasons are needed"
        return [whole, untestable(SEASON, limit, reason)]
    part = codes(_parts(stars, seen, SEASON_PARTS)[known])
    changed = less_group_mean(inside[known], part)
    unit = part * (int(season.max()) + 1) + season[known]
    return [whole, shared_means(SEASON, changed, unit, limit)]


def _parts(stars: StarSample, seen: _Solved, parts: tuple[int, int]) -> IntArray:
    """Return the number of each detection's part of its detector, shape (m,)."""
    place = seen.ccd
    for axis, number in zip(stars.detector_place, parts, strict=True):
        step = np.clip((axis[seen.rows] * number).astype(np.int64), 0, number - 1)
        place = place * number + step
    return place


def _colour_terms(stars: StarSample, seen: _Solved, limit: Limit) -> NullTestResult:
    colour = stars.apparent_colour[seen.rows]
    field, typical = stars.field[seen.rows], float(np.std(colour))
    return shared_slopes(COLOUR, colour, seen.even, seen.ccd, limit, field, typical)


def _airmass(stars: StarSample, visits: VisitSample, seen: _Solved, limit: Limit) -> NullTestResult:
    """Test whether the slope on colour goes with the airmass; the number is its effect, rms."""
    airmass = visits.quantities.get("airmass", np.full(len(visits.date), np.nan))
    high = airmass[stars.visit[seen.rows]]
    good = np.isfinite(high)
    if good.sum() < LEAST_DETECTIONS:
        return untestable(AIRMASS, limit, "the airmass of visits is not known")
    region = codes(stars.region[seen.rows][good])
    regions = int(region.max()) + 1
    if regions < LEAST_REGIONS:
        reason = f"{regions} regions of the sky, {LEAST_REGIONS} are needed"
        return untestable(AIRMASS, limit, reason)
    visit, high = codes(seen.visit[good]), high[good] - high[good].mean()
    colour = less_group_mean(stars.apparent_colour[seen.rows][good], visit)
    columns = [high * colour, colour, less_group_mean(colour**2, visit)]
    fit = cluster_fit(np.stack(columns, axis=1), seen.even[good], region)
    if fit is None:
        return untestable(AIRMASS, limit, "it varies in too few regions")
    typical = float(np.std(high) * np.std(colour))
    slope, error = float(fit.coefficients[0]), float(np.sqrt(fit.covariance[0, 0]))
    freedom = regions - 1
    chance = float(2 * distributions.t.sf(abs(slope) / error, freedom))
    seen_mag = float(distributions.t.isf(limit.probability / 2, freedom)) * error * typical
    detail = {"slope": slope, "error": error, "regions": regions}
    return judge(AIRMASS, abs(slope) * typical, limit, chance, seen_mag, detail)
