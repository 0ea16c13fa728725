"""Fields and dates in a region of the sky that the description names."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.config.simulation import RegionSettings
from scrframe.simulate.observing.geometry import half_extent, to_sky
from scrframe.tables import Camera

#: Distance of neighbouring fields in widths of the camera: control fields overlap by a
#: twentieth, pairs of others by a third.
CONTROL_STEP, PAIR_STEP = 0.95, 0.67
#: Room in deg between a control field and the edge of its region.
MARGIN_DEG = 0.04


def control_fields(
    region: RegionSettings, camera: Camera, second_deg: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return the first pointings of control fields that lie wholly in the region.

    Parameters
    ----------
    second_deg : (float, float)
        The second pointing less the first, east and north.
    """
    wide, high = half_extent(camera)
    east, north = second_deg
    lower, upper = region.control_dec
    steepest = np.cos(np.deg2rad(max(abs(lower), abs(upper))))
    dec = _steps(
        lower - min(0.0, north) + high + MARGIN_DEG,
        upper - max(0.0, north) - high - MARGIN_DEG,
        CONTROL_STEP * 2 * high,
    )
    ra = _steps(
        region.control_ra[0] + (wide - min(0.0, east) + MARGIN_DEG) / steepest,
        region.control_ra[1] - (wide + max(0.0, east) + MARGIN_DEG) / steepest,
        CONTROL_STEP * 2 * wide / steepest,
    )
    grid_ra, grid_dec = (grid.ravel() for grid in np.meshgrid(ra, dec))
    return np.mod(grid_ra, 360.0), grid_dec


def other_fields(
    region: RegionSettings,
    camera: Camera,
    number: int,
    overlapping: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return further fields, a share of them in pairs that overlap.

    Single fields and the first of each pair lie evenly in right ascension, at random
    declinations; the second of a pair lies east of the first.
    """
    pairs = round(overlapping * number / 2)
    places = number - pairs
    low, high = region.other_ra
    ra = low + (high - low) * (np.arange(places) + rng.uniform(0.3, 0.7, places)) / max(places, 1)
    dec = rng.uniform(*region.other_dec, places)
    first = np.flatnonzero(np.diff(np.floor(np.arange(places + 1) * pairs / max(places, 1))) > 0)
    shift = np.full(len(first), PAIR_STEP * 2 * half_extent(camera)[0])
    second = [
        to_sky(shift[n : n + 1], np.zeros(1), float(ra[place]), float(dec[place]))
        for n, place in enumerate(first)
    ]
    order = np.argsort(np.r_[np.arange(places), first], kind="stable")
    all_ra = np.r_[ra, [float(position[0][0]) for position in second]][order]
    all_dec = np.r_[dec, [float(position[1][0]) for position in second]][order]
    return np.mod(all_ra, 360.0), all_dec


def visit_dates(region: RegionSettings, fields: int, rng: np.random.Generator) -> FloatArray:
    """Return the dates of the visits, two within an hour for each field, shape (2 fields,)."""
    first, last = region.dates
    night = np.floor(rng.uniform(first, max(last, first + 1), fields))
    start = night + rng.uniform(0.03, 0.35, fields)
    return np.stack([start, start + rng.uniform(0.003, 0.02, fields)], axis=1).ravel()


def _steps(low: float, high: float, step: float) -> FloatArray:
    """Return values from `low` to `high`; none where there is no room."""
    if high < low:
        return np.zeros(0)
    return np.asarray(low + step * np.arange(int((high - low) / step) + 1), dtype=np.float64)
