"""Null tests of the CCDs: each lies where it always lies, and none steps in time by itself."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray
from scrframe.checks.verdict import Limit, NullTest, NullTestResult, judge, untestable
from scrframe.statistics.robust import MEDIAN_CHI2

#: Stars that an exposure needs for its centre, CCDs that a visit, visits that the survey needs.
LEAST_STARS, LEAST_CCDS, LEAST_VISITS = 5, 3, 3
#: Rounds of moving visits and CCDs to each other's medians.
ROUNDS = 4
#: Least number of CCDs, which are compared with each other, and of visits on either side of a step.
LEAST_STEP_CCDS, LEAST_SIDE = 8, 6
#: Steps at neighbouring dates are alike: all dates count as so many looks for each CCD.
LOOKS = 10


def ccd_places(
    test: NullTest,
    position: tuple[FloatArray, FloatArray],
    visit: IntArray,
    ccd: IntArray,
    limit: Limit,
) -> NullTestResult:
    """Test whether a CCD lies at its usual place in the camera, in each visit.

    The number is the largest distance of an exposure's centre from the CCD's usual place, in
    units of the distance to the nearest other CCD: near 1 and above where numbers were
    swapped. Distances that are no chance come first.

    Parameters
    ----------
    position : two ndarrays, shape (n,)
        Right ascension and declination in deg.
    visit, ccd : ndarray of int64, shape (n,)
        Numbers, from 0 for visits.
    limit : Limit
        In units of that distance.
    """
    names, place = np.unique(ccd, return_inverse=True)
    if len(names) < LEAST_CCDS:
        return untestable(test, limit, f"{len(names)} CCDs, {LEAST_CCDS} are needed")
    shape = (int(visit.max()) + 1, len(names))
    flat = visit * shape[1] + place
    count = np.bincount(flat, minlength=shape[0] * shape[1]).astype(np.float64)
    xi, eta = tangent_places(*position, visit)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.stack([np.bincount(flat, v, len(count)) / count for v in (xi, eta)], axis=1)
    centre[count < LEAST_STARS] = np.nan
    centre = centre.reshape(*shape, 2)
    known = np.isfinite(centre[:, :, 0])
    centre[known.sum(axis=1) < LEAST_CCDS] = np.nan
    known = np.isfinite(centre[:, :, 0])
    used = known.sum(axis=0) >= LEAST_VISITS
    if used.sum() < LEAST_CCDS:
        return untestable(test, limit, f"too few CCDs with {LEAST_VISITS} visits of enough stars")
    left, usual = _settled(centre[:, used])
    nearest = np.asarray(cKDTree(usual).query(usual, k=2)[0])[:, 1]
    known, number = known[:, used], count.reshape(shape)[:, used]
    apart = np.where(known, np.hypot(left[..., 0], left[..., 1]) / nearest, 0.0)
    # Per axis the centre of n stars scatters by the stars' spread over the root of n.
    scatter = np.sqrt(np.nanmedian(left**2 * number[..., None], axis=(0, 1)) / MEDIAN_CHI2)
    chi2 = np.where(known, number * np.nansum((left / scatter) ** 2, axis=2), 0.0)
    chance = np.minimum(stats.chi2.sf(chi2, 2) * known.sum(), 1.0)
    sure = np.where(chance < limit.probability, apart, 0.0)
    far = np.argwhere(sure > limit.size)
    ranked = sure if sure.any() else apart
    worst = np.unravel_index(int(np.argmax(ranked)), ranked.shape)
    needed = np.sqrt(stats.chi2.isf(limit.probability / known.sum(), 2))
    noise = np.sqrt(np.mean(scatter**2) / np.median(number[known])) / np.median(nearest)
    detail = {
        "worst_visit": int(worst[0]),
        "worst_ccd": names[used][worst[1]],
        "visits": far[:, 0],
        "ccds": names[used][far[:, 1]],
    }
    value = float(ranked[worst])
    return judge(test, value, limit, float(chance[worst]), float(needed * noise), detail)


def ccd_steps(
    test: NullTest, offset_mag: FloatArray, mjd: FloatArray, limit: Limit
) -> NullTestResult:
    """Test whether the offset of a CCD steps at some date, more than those of other CCDs do.

    For each date, the mean of a CCD's offsets afterwards less that before is compared with the
    scatter of the same difference among the other CCDs, which holds noise and whatever drift is
    usual. The number is the step that stands out most; the limit is in mag.

    Offsets are of each CCD in each visit, shape (v, c), NaN where there is none; dates have shape
    (v,).
    """
    order = np.argsort(mjd, kind="stable")
    order = order[np.isfinite(mjd[order]) & np.isfinite(offset_mag[order]).any(axis=1)]
    rows, dates = offset_mag[order], mjd[order]
    number, ccds = rows.shape
    if ccds < LEAST_STEP_CCDS or number < 2 * LEAST_SIDE:
        return untestable(
            test,
            limit,
            f"{ccds} CCDs in {number} visits, {LEAST_STEP_CCDS} in {2 * LEAST_SIDE} are needed",
        )
    step = _steps(rows)
    others = _spread_of_others(step)
    if not np.isfinite(others).any():
        return untestable(test, limit, "no date has enough visits of enough CCDs on both sides")
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.nan_to_num(np.abs(step) / others)
    place, worst = np.unravel_index(int(np.argmax(z)), z.shape)
    trials, freedom = LOOKS * ccds, ccds - 2
    needed = float(stats.t.isf(limit.probability / 2 / trials, freedom))
    before = int(place) + LEAST_SIDE - 1
    detail = {
        "worst_ccd_place": int(worst),
        "step_mag": float(step[place, worst]),
        "error_mag": float(others[place, worst]),
        "visits": number,
        "mjd_before": float(dates[before]),
        "mjd_after": float(dates[before + 1]),
    }
    return judge(
        test,
        abs(float(step[place, worst])),
        limit,
        min(1.0, float(2 * trials * stats.t.sf(z[place, worst], freedom))),
        needed * float(np.nanmedian(others)),
        detail,
    )


def tangent_places(
    ra_deg: FloatArray, dec_deg: FloatArray, visit: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return places in deg, east and north of the first star of the visit, shape (n,) each."""
    first = np.zeros(int(visit.max()) + 1, dtype=np.int64)
    first[visit[::-1]] = np.arange(len(visit))[::-1]
    # Differences to the first star keep clear of the jump at 360 deg.
    east = (ra_deg - ra_deg[first[visit]] + 180) % 360 - 180
    north = dec_deg - dec_deg[first[visit]]
    return east * np.cos(np.radians(dec_deg)), north


def _settled(centre: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what is left of centres (v, c, 2) less visits and CCDs, and the CCDs' places."""
    usual = np.zeros(centre.shape[1:])
    with np.errstate(invalid="ignore"):
        for _ in range(ROUNDS):
            pointing = _median(centre - usual, 1)[:, None]
            usual = _median(centre - pointing, 0)
    return centre - pointing - usual, usual


def _median(values: FloatArray, axis: int) -> FloatArray:
    """Return medians of what is finite, 0 where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of slices without any value
        middle = np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=axis)
    return np.asarray(np.nan_to_num(middle))


def _steps(rows: FloatArray) -> FloatArray:
    """Return the mean after less that before each date, shape (k, c); NaN with too few."""
    known = np.isfinite(rows)
    count, total = np.cumsum(known, axis=0), np.cumsum(np.where(known, rows, 0.0), axis=0)
    cut = slice(LEAST_SIDE - 1, len(rows) - LEAST_SIDE)
    first, last = count[cut], count[-1] - count[cut]
    with np.errstate(invalid="ignore", divide="ignore"):
        step = (total[-1] - total[cut]) / last - total[cut] / first
    return np.where(np.minimum(first, last) >= LEAST_SIDE, step, np.nan)


def _spread_of_others(step: FloatArray) -> FloatArray:
    """Return the sd of each date's steps (k, c) without each CCD, as a prediction's error."""
    known = np.isfinite(step)
    number = known.sum(axis=1, keepdims=True) - known
    filled = np.where(known, step, 0.0)
    total = filled.sum(axis=1, keepdims=True) - filled
    squares = (filled**2).sum(axis=1, keepdims=True) - filled**2
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - total**2 / number) / (number - 1) * (1 + 1 / number)
        return np.where(known & (number >= LEAST_STEP_CCDS - 1), np.sqrt(variance), np.nan)
