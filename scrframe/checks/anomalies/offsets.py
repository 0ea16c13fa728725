"""Odd offsets: change points and drifts in time, and what is far from comparable offsets.

Of one detector among many, or of one series of visits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, stats

from scrframe.arrays import FloatArray, IntArray
from scrframe.checks.statistics import LIMIT, after_trials, normal_from_t
from scrframe.statistics.robust import MAD_EFFICIENCY, MEDIAN_CHI2, robust_sd

#: Values on either side of a jump; fewer are values that deviate, and no jump.
LEAST_SIDE = 3
#: Series below so many values say nothing about jumps.
LEAST_VALUES = 12
#: Detectors from which on the others tell how much they drift, and visits how far one is off.
LEAST_GROUP = 8
#: Values count up to so many standard deviations about their running median.
CLIP, RUNNING = 3.0, 7
#: Share of the values that the standard deviation of clipped ones is worth.
CLIPPED_EFFICIENCY = 0.8
#: Changes looked for in one series.
MOST_CHANGES = 5
#: Ratios of drift to noise that are tried, at the lowest frequency.
DRIFT_RATIOS = np.r_[0.0, np.logspace(-1, 6, 71)]
#: Modes that tell how much all of them drift.
DRIFT_MODES = 3
#: How fast the variance of a drift falls with frequency: a random walk, and a smoother one.
DRIFT_POWERS = (2, 4)
#: Exposures in time, itself among them, whose mean an exposure is compared with.
WINDOW = 11
#: Rounds in which the spread about the errors is found.
SPREAD_ROUNDS = 30


@dataclass(frozen=True)
class Change:
    """A jump or a drift of a series."""

    kind: Literal["jump", "drift"]
    #: Which of the series, from 0.
    series: int
    #: The values between which it jumps, or the first and last of a drift.
    before: int
    after: int
    #: After less before in mag; of a drift the change from first to last value.
    size_mag: float
    #: Its standard error.
    error_mag: float
    #: In standard deviations, after the number of series and of places tried.
    significance: float


def find_changes(series: FloatArray, time: FloatArray, limit: float = LIMIT) -> list[Change]:
    """Search series for steps and for a constant drift in time; return by series and significance.

    Of many series (the detectors of a camera) the rest tells how much is usual: their spectrum is
    noise and a random drift, whose sizes are medians over the series, so that one odd detector
    does not hide itself. A single series stands by itself: its noise is what is left without the
    change, and the correlation of neighbours counts.

    The tail of the largest of all steps is bounded by the number of times the statistic crosses
    the level (Davies 1987, Biometrika 74, 33), which knows that neighbouring steps are alike.

    Parameters
    ----------
    series : ndarray, shape (m, s)
        Values in order of time; NaN where there is none.
    time : ndarray, shape (m,)
        In days, ascending.
    limit : float
        Significance after trials that a change needs.
    """
    if len(time) < LEAST_VALUES:
        return []
    values, counted = limited(series)
    found: list[Change] = []
    others = series.shape[1] >= LEAST_GROUP
    looks = _looks(time, _usual_spectrum(_modes(values)) if others else None, series.shape[1])
    for one in np.flatnonzero(counted >= LEAST_VALUES):
        found += _changes_of(values[:, one], int(one), looks, limit)
    return found


def without(series: FloatArray, time: FloatArray, changes: Iterable[Change]) -> FloatArray:
    """Return series, shape (m, s), less the changes that were found in them."""
    templates = _templates(time) if len(time) >= LEAST_VALUES else np.zeros((len(time), 0))
    left = series.copy()
    for one in changes:
        column = -1 if one.kind == "drift" else one.after - LEAST_SIDE
        left[:, one.series] -= one.size_mag * templates[:, column]
    return left


def limited(series: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return series without gaps and values far from their neighbours, and the values of each."""
    filled = np.where(np.isnan(series), typical(series), series)
    smooth = ndimage.median_filter(filled, size=(RUNNING, 1), mode="nearest")
    rest = np.where(np.isnan(series), 0.0, series - smooth)
    sd = np.array([robust_sd(column[np.isfinite(column)]) for column in (series - smooth).T])
    # the running median takes part of the noise with it
    reach = CLIP * 1.15 * np.nan_to_num(sd)
    return smooth + np.clip(rest, -reach, reach), np.isfinite(series).sum(axis=0)


def typical(series: FloatArray) -> FloatArray:
    """Return the median of each series, shape (s,); 0 where all of it is NaN."""
    empty = np.isnan(series).all(axis=0)
    usual = np.zeros(series.shape[1])
    if (~empty).any():
        usual[~empty] = np.nanmedian(series[:, ~empty], axis=0)
    return usual


def _modes(values: FloatArray) -> FloatArray:
    """Return coefficients of cosines, of which the constant is left out."""
    return np.asarray(fft.dct(values, norm="ortho", axis=0)[1:])


def _templates(time: FloatArray) -> FloatArray:
    """Return a step of 1 mag at each place, and last the drift of 1 mag in all, shape (m, t)."""
    number = len(time)
    after = np.arange(LEAST_SIDE, number - LEAST_SIDE + 1)
    steps = (np.arange(number)[:, None] >= after).astype(float)
    span = time[-1] - time[0]
    ramp = (time - time[0]) / span if span > 0 else np.zeros(number)
    return np.column_stack([steps, ramp])


def _usual_spectrum(modes: FloatArray) -> FloatArray:
    """Return the variance of each mode: noise and a drift, medians over the series.

    The cosines are the principal components of a random walk, with variances as 1 / k^2; those of
    a smoother drift fall as 1 / k^4. The more likely one is taken.
    """
    power = np.median(modes**2, axis=1) / MEDIAN_CHI2
    order = np.arange(1, len(power) + 1)
    shape = np.concatenate([1 + DRIFT_RATIOS[:, None] / order**one for one in DRIFT_POWERS])
    noise = (power / shape).mean(axis=1)
    cost = np.log(noise[:, None] * shape).sum(axis=1) + len(power)
    best = int(np.argmin(cost))
    return np.asarray(noise[best] * shape[best])


@dataclass(frozen=True)
class _Looks:
    """All steps and the drift as they are compared with series: by modes in units of the noise."""

    templates: FloatArray  # (m, t)
    shapes: FloatArray  # (m - 1, t), of unit length
    norm: FloatArray  # (t,), length of each before
    noise: FloatArray  # (m - 1,), standard deviation of each mode
    others: bool
    dof: FloatArray  # (t,), of the noise that each is judged by
    turn: float  # sum of the angles between neighbouring steps
    series: int

    def trials(self, level: float) -> float:
        """Return as how many independent looks all of them count at a level."""
        most = float(self.shapes.shape[1])
        single = 2 * float(stats.norm.sf(level))
        if single > 1e-290:
            # the first step, every crossing of the level, and the drift
            most = min(2 + float(np.exp(-(level**2) / 2)) / np.pi * self.turn / single, most)
        return most * self.series


def _looks(time: FloatArray, usual: FloatArray | None, series: int) -> _Looks:
    templates = _templates(time)
    noise = np.ones(len(time) - 1) if usual is None else np.sqrt(usual)
    shapes = _modes(templates) / noise[:, None]
    norm = np.sqrt((shapes**2).sum(axis=0))
    norm[norm == 0] = np.inf
    shapes /= norm
    alike = (shapes[:, 1:-1] * shapes[:, :-2]).sum(axis=0)
    turn = float(np.sqrt(2 * np.clip(1 - alike, 0, 4)).sum())
    if usual is None:
        dof = np.full(len(norm), CLIPPED_EFFICIENCY * len(noise))
    else:
        # the noise is known from all modes, the drift of the others from a few: the more of a look
        # rests on modes where the drift rules, the less certain is its error
        drifting = (shapes**2 * (1 - usual[-1] / usual)[:, None]).sum(axis=0)
        modes = 1 / np.maximum(drifting**2 / DRIFT_MODES, 1 / len(noise))
        dof = MAD_EFFICIENCY * series * modes
    return _Looks(templates, shapes, norm, noise, usual is not None, dof, turn, series)


def _changes_of(values: FloatArray, one: int, looks: _Looks, limit: float) -> list[Change]:
    found: list[Change] = []
    left = values
    while len(found) < MOST_CHANGES:
        z = (_modes(left[:, None])[:, 0] / looks.noise) @ looks.shapes
        best = int(np.argmax(np.abs(z)))
        size, error = float(z[best] / looks.norm[best]), float(1 / looks.norm[best])
        rest = left - size * looks.templates[:, best]
        unit = 1.0 if looks.others else _noise(rest)
        local = abs(float(normal_from_t(z[best] / unit, float(looks.dof[best]))))
        significance = float(after_trials(local, looks.trials(local)))
        if not significance >= limit:
            break
        drift = best == looks.templates.shape[1] - 1
        before = 0 if drift else best + LEAST_SIDE - 1
        after = len(values) - 1 if drift else best + LEAST_SIDE
        kind: Literal["jump", "drift"] = "drift" if drift else "jump"
        found.append(Change(kind, one, before, after, size, unit * error, significance))
        left = rest
    return found


def _noise(left: FloatArray) -> float:
    """Return the noise that counts for slow changes: larger where neighbours are alike."""
    reach = CLIP * robust_sd(left)
    calm = np.clip(left - np.median(left), -reach, reach)
    power = float(calm.var(ddof=2))
    if power <= 0:
        return float("inf")
    alike = float((calm[1:] * calm[:-1]).mean()) / power
    alike = min(max(alike, 0.0), 0.9)
    return float(np.sqrt(power * (1 + alike) / (1 - alike)))


@dataclass(frozen=True)
class DeviatingOffset:
    """A visit or an exposure far from those it is compared with."""

    #: Position of the visit.
    visit: int
    #: Position of the detector; -1 if the whole visit deviates.
    ccd: int
    #: With what it was compared: visits of the season, all visits, the others of its field, or the
    #: same detector in the visits before and after. One of "season", "survey", "field",
    #: "neighbours".
    group: str
    #: By how much its offset exceeds theirs, in mag.
    size_mag: float
    #: In standard deviations, after the number of visits or exposures tried.
    significance: float


def deviating_visits(
    offset: FloatArray,
    err: FloatArray,
    season: npt.NDArray[Any],
    field: npt.NDArray[Any],
    limit: float = LIMIT,
) -> list[DeviatingOffset]:
    """Compare visits with those of their season, and with others of their field.

    The most significant come first, each visit once.

    Parameters
    ----------
    offset, err : ndarray, shape (v,)
        Offsets and their errors in mag; NaN where a visit has none.
    season, field : ndarray, shape (v,)
        Labels; an empty field name is none.
    limit : float
        Significance after trials that a visit needs.
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
