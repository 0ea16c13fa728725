"""Visits and exposures far from those they are compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scrframe.arrays import FloatArray
from scrframe.checks.anomalies.jumps import limited
from scrframe.checks.statistics import LIMIT, after_trials, normal_from_t
from scrframe.statistics.robust import MAD_EFFICIENCY, robust_sd

#: Groups of visits below so many visits say nothing about one of them.
LEAST_GROUP = 8
#: Exposures in time, itself among them, whose mean an exposure is compared with.
WINDOW = 11
#: Rounds in which the spread about the errors is found.
SPREAD_ROUNDS = 30


@dataclass(frozen=True)
class DeviatingOffset:
    """A visit or an exposure far from those it is compared with.

    Attributes
    ----------
    visit : int
        Position of the visit.
    ccd : int
        Position of the detector; -1 if the whole visit deviates.
    group : {"season", "survey", "field", "neighbours"}
        With what it was compared: visits of the season, all visits, the others of its field, or
        the same detector in the visits before and after.
    size_mag : float
        By how much its offset exceeds theirs, in mag.
    significance : float
        In standard deviations, after the number of visits or exposures tried.
    """

    visit: int
    ccd: int
    group: str
    size_mag: float
    significance: float


def deviating_visits(
    offset: FloatArray,
    err: FloatArray,
    season: npt.NDArray[Any],
    field: npt.NDArray[Any],
    limit: float = LIMIT,
) -> list[DeviatingOffset]:
    """Compare visits with those of their season, and with others of their field.

    Parameters
    ----------
    offset, err : ndarray, shape (v,)
        Offsets and their errors in mag; NaN where a visit has none.
    season, field : ndarray, shape (v,)
        Labels; an empty field name is none.
    limit : float
        Significance after trials that a visit needs.

    Returns
    -------
    list of DeviatingOffset
        The most significant first, each visit once.
    """
    found = []
    middle = np.full(len(offset), _median(offset))
    for label in np.unique(season):
        here = season == label
        if np.isfinite(offset[here]).sum() >= LEAST_GROUP:
            middle[here] = _median(offset[here])
    away = offset - middle
    found += _far(away, err, "season", limit)
    apart = _from_field(offset, field)
    # of two visits of a field the one farther from its season is the odd one
    for one in _far(apart, err, "field", limit):
        fellows = np.flatnonzero((field == field[one.visit]) & np.isfinite(away))
        if one.visit == fellows[np.argmax(np.abs(away[fellows]))]:
            found.append(one)
    best: dict[int, DeviatingOffset] = {}
    for one in sorted(found, key=lambda entry: -entry.significance):
        best.setdefault(one.visit, one)
    return list(best.values())


def deviating_exposures(
    offset: FloatArray, err: FloatArray, limit: float = LIMIT
) -> list[DeviatingOffset]:
    """Compare each detector in each visit with itself in the visits before and after.

    Parameters
    ----------
    offset, err : ndarray, shape (v, c)
        What each detector differs by from its visit, in order of time, and its error, in mag;
        NaN where there is nothing.
    limit : float
        Significance after trials that an exposure needs.
    """
    if offset.shape[0] < LEAST_GROUP:
        return []
    # from the mean of the visits before and after, without the visit itself
    values, _ = limited(offset)
    total = WINDOW * ndimage.uniform_filter1d(values, WINDOW, axis=0, mode="mirror")
    away = offset - (total - values) / (WINDOW - 1)
    ccds = offset.shape[1]
    return [
        replace(one, visit=one.visit // ccds, ccd=one.visit % ccds)
        for one in _far(away.ravel(), err.ravel(), "neighbours", limit)
    ]


def fitted_spread(away: FloatArray, err: FloatArray) -> float:
    """Return the spread in mag that, with the errors, makes up the usual deviation.

    Negative where the errors are too large: then its square is to be taken off theirs.
    """
    low, high = -float(np.nanmin(err)) * 0.999, 10 * robust_sd(away) + 1e-9
    for _ in range(SPREAD_ROUNDS):
        middle = (low + high) / 2
        if robust_sd(away / np.sqrt(err**2 + np.sign(middle) * middle**2)) > 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _far(away: FloatArray, err: FloatArray, group: str, limit: float) -> list[DeviatingOffset]:
    known = np.flatnonzero(np.isfinite(away) & np.isfinite(err) & (err > 0))
    if len(known) < LEAST_GROUP:
        return []
    spread = fitted_spread(away[known], err[known])
    sigma = np.sqrt(err[known] ** 2 + np.sign(spread) * spread**2)
    local = np.abs(normal_from_t(away[known] / sigma, MAD_EFFICIENCY * len(known)))
    significance = after_trials(local, len(known))
    return [
        DeviatingOffset(
            int(known[one]), -1, group, float(away[known[one]]), float(significance[one])
        )
        for one in np.argsort(-significance, kind="stable")
        if significance[one] >= limit
    ]


def _from_field(offset: FloatArray, field: npt.NDArray[Any]) -> FloatArray:
    """Return offsets less the mean of the others of the field; NaN where there are none."""
    _, code = np.unique(field, return_inverse=True)
    known = np.isfinite(offset) & (field != "")
    number = np.bincount(code, known, code.max() + 1 if len(code) else 0)[code] - known
    total = np.bincount(code, np.where(known, offset, 0.0))[code] - np.where(known, offset, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known & (number > 0), offset - total / number, np.nan)


def _median(values: FloatArray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0
