"""Null test of the CCDs' offsets in time: none steps where the others do not."""

from __future__ import annotations

import numpy as np
from scipy import stats

from scrframe.arrays import FloatArray
from scrframe.checks.judge import Limit, Named, judge, untestable
from scrframe.checks.verdict import Check

#: Least number of CCDs, which are each other's kin, and of visits on either side of a step.
LEAST_CCDS, LEAST_SIDE = 8, 6
#: Steps at neighbouring dates are alike: all dates count as so many looks for each CCD.
LOOKS = 10


def ccd_steps(test: Named, offset_mag: FloatArray, mjd: FloatArray, limit: Limit) -> Check:
    """Test whether the offset of a CCD steps at some date, more than those of other CCDs do.

    For each date, the mean of a CCD's offsets afterwards less that before is compared with
    the scatter of the same difference among the other CCDs, which holds noise and whatever
    drift is usual. The number is the step that stands out most.

    Parameters
    ----------
    test : Named
    offset_mag : ndarray, shape (v, c)
        Offset of each CCD in each visit; NaN where there is none.
    mjd : ndarray, shape (v,)
    limit : Limit
        In mag.
    """
    order = np.argsort(mjd, kind="stable")
    order = order[np.isfinite(mjd[order]) & np.isfinite(offset_mag[order]).any(axis=1)]
    rows, dates = offset_mag[order], mjd[order]
    number, ccds = rows.shape
    if ccds < LEAST_CCDS or number < 2 * LEAST_SIDE:
        return untestable(
            test,
            limit,
            f"{ccds} CCDs in {number} visits, {LEAST_CCDS} in {2 * LEAST_SIDE} are needed",
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
        return np.where(known & (number >= LEAST_CCDS - 1), np.sqrt(variance), np.nan)
