"""Detectors whose numbers look exchanged: each fits the other's offsets and map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.checks.anomalies.stars import SingleResiduals
from scrframe.checks.statistics import LIMIT, after_trials
from scrframe.statistics.robust import robust_sd

IntArray = npt.NDArray[Any]

#: Cells of a detector along x and y in which its map is compared.
CELLS = (8, 16)
#: Share of the other's pattern that must be found: 1 for exchanged numbers, 0 for none.
SHARES = (0.5, 1.5)
#: Share, beyond that of other visits, that each of the two must show by itself.
LEAST_SHARE = 0.35
#: By how many standard deviations the maps alone must lean to it, where they differ so much.
MAP_SIGMA, MAP_GAIN = 0.5, 4.0


@dataclass(frozen=True)
class Swap:
    """Two detectors that look exchanged in a visit."""

    #: Position of the visit.
    visit: int
    #: Positions of the detectors.
    first: int
    second: int
    #: Root mean square of what their offsets and maps differ by, in mag.
    size_mag: float
    #: Share of the difference that the residuals show; 1 if exchanged.
    share: float
    #: In standard deviations, after the number of visits and pairs tried.
    significance: float


@dataclass(frozen=True)
class Patterns:
    """What the detectors differ by, and what is left of each exposure."""

    #: Of each detector in each visit, and its error, in mag; NaN where there is nothing. Shape (v,
    #: c).
    offset: FloatArray
    err: FloatArray
    #: What is usual for the detector, in mag. Shape (c,).
    usual: FloatArray
    #: Correction of the map over the detector that each detection got, in mag. Shape (n,).
    applied: FloatArray


def swapped_detectors(
    visit: IntArray,
    ccd: IntArray,
    x: FloatArray,
    y: FloatArray,
    singles: SingleResiduals,
    patterns: Patterns,
    extent: tuple[float, float],
    limit: float = LIMIT,
) -> list[Swap]:
    """Ask of each visit and pair of detectors whether each fits the other's pattern better.

    The statistic is the projection of the residuals onto the difference of the two maps and of
    the two usual offsets, for both detectors together. The most significant pairs come first; a
    detector stands once in a visit.

    Parameters
    ----------
    visit, ccd : ndarray of int, shape (n,)
        Positions, from 0.
    x, y : ndarray, shape (n,)
        Pixels, from 0.5.
    singles : SingleResiduals
        Of the n detections, with the correction of the map applied.
    extent : tuple of float
        Pixels of a detector along x and y.
    limit : float
        Significance after trials that a pair needs.
    """
    visits, ccds = patterns.offset.shape
    if ccds < 2 or not len(visit):
        return []
    cell = _cells(x, y, extent)
    maps = _maps(ccd, cell, patterns.applied, ccds)
    pull, gain = np.zeros((visits, ccds, ccds)), np.zeros((visits, ccds, ccds))
    square = np.zeros((ccds, ccds))
    order = np.argsort(ccd, kind="stable")
    bounds = np.searchsorted(ccd[order], np.arange(ccds + 1))
    value = singles.clipped()
    for one in range(ccds):
        rows = order[bounds[one] : bounds[one + 1]]
        pull[:, one], gain[:, one] = _map_evidence(
            visit[rows], cell[rows], value[rows], singles.sigma[rows], maps - maps[one], visits
        )
        square[one] = ((maps - maps[one]) ** 2).mean(axis=1)
    by_map, map_gain = _both(pull), _both(gain)
    map_share = _shares(by_map, map_gain)
    map_z = (map_share - np.median(map_share, axis=0)) * np.sqrt(map_gain)
    _add_offsets(pull, gain, square, patterns)
    own = _shares(pull, gain)
    own = own - np.median(own, axis=0)
    pull, gain = _both(pull), _both(gain)
    share = _shares(pull, gain)
    # noise of a map is part of the residuals and of the difference: what all visits have
    z = (share - np.median(share, axis=0)) * np.sqrt(gain)
    upper = np.triu_indices(ccds, 1)
    z /= max(1.0, robust_sd(z[:, upper[0], upper[1]]))
    fits = (own > LEAST_SHARE) & (own.transpose(0, 2, 1) > LEAST_SHARE)
    fits &= (share > SHARES[0]) & (share < SHARES[1])
    # offsets alone may have moved; maps, where they can tell, must agree in one visit at least
    sure = fits & ((map_z > MAP_SIGMA) | (map_gain < MAP_GAIN)) & (z > limit)
    fits &= (sure & (after_trials(z, z.size) > limit)).any(axis=0)
    return _chosen(z, share, np.sqrt(square), fits, visits * len(upper[0]), limit)


def _both(one: FloatArray) -> FloatArray:
    """Return what both detectors of a pair say together."""
    return np.asarray(one + one.transpose(0, 2, 1))


def _shares(pull: FloatArray, gain: FloatArray) -> FloatArray:
    return np.where(gain > 0, pull / np.where(gain > 0, gain, 1.0), 0.0)


def _cells(x: FloatArray, y: FloatArray, extent: tuple[float, float]) -> IntArray:
    a = np.clip(((x - 0.5) * (CELLS[0] / extent[0])).astype(np.int64), 0, CELLS[0] - 1)
    b = np.clip(((y - 0.5) * (CELLS[1] / extent[1])).astype(np.int64), 0, CELLS[1] - 1)
    return np.asarray(a * CELLS[1] + b)


def _maps(ccd: IntArray, cell: IntArray, applied: FloatArray, ccds: int) -> FloatArray:
    """Return the mean correction in each cell of each detector, shape (c, cells)."""
    cells = CELLS[0] * CELLS[1]
    place = ccd * np.int64(cells) + cell
    count = np.bincount(place, minlength=ccds * cells)
    total = np.bincount(place, applied, ccds * cells)
    return np.asarray((total / np.maximum(count, 1)).reshape(ccds, cells))


def _map_evidence(
    visit: IntArray,
    cell: IntArray,
    value: FloatArray,
    sigma: FloatArray,
    difference: FloatArray,
    visits: int,
) -> tuple[FloatArray, FloatArray]:
    """Return the projection on each difference of maps, and its variance, shape (v, c).

    The mean of the exposure is its own offset, and taken out of both.
    """
    cells = difference.shape[1]
    place = visit * np.int64(cells) + cell
    shape = visits, cells
    weight = np.bincount(place, sigma**-2, visits * cells).reshape(shape)
    weighted = np.bincount(place, value * sigma**-2, visits * cells).reshape(shape)
    total = weight.sum(axis=1, keepdims=True)
    total[total == 0] = np.inf
    first = weight @ difference.T
    pull = weighted @ difference.T - weighted.sum(axis=1, keepdims=True) * first / total
    gain = weight @ (difference**2).T - first**2 / total
    return pull, gain


def _add_offsets(
    pull: FloatArray, gain: FloatArray, square: FloatArray, patterns: Patterns
) -> None:
    """Add what the offsets of the exposures say: usual of the other less the own."""
    away = patterns.offset - patterns.usual
    spread = robust_sd(away)
    variance = np.maximum(patterns.err**2, np.nan_to_num(spread) ** 2)
    weight = np.where(np.isfinite(away) & (variance > 0), 1 / variance, 0.0)
    away = np.nan_to_num(away)
    difference = patterns.usual - patterns.usual[:, None]
    square += difference**2
    # an exposure that is far off fits no other; it counts as much as one of the other's size
    most = np.abs(difference) + 3 * np.sqrt(np.where(weight > 0, variance, 0.0))[:, :, None]
    seen = np.clip(away[:, :, None], -most, most)
    pull += weight[:, :, None] * seen * difference
    gain += weight[:, :, None] * difference**2


def _chosen(
    z: FloatArray, share: FloatArray, size: FloatArray, fits: BoolArray, trials: int, limit: float
) -> list[Swap]:
    strong = np.argwhere((z > limit) & fits)
    strong = strong[strong[:, 1] < strong[:, 2]]
    local = z[tuple(strong.T)]
    significance = after_trials(local, trials)
    taken: set[tuple[int, int]] = set()
    swaps: list[Swap] = []
    for row in np.argsort(-local, kind="stable"):
        visit, first, second = (int(entry) for entry in strong[row])
        if significance[row] < limit or {(visit, first), (visit, second)} & taken:
            continue
        taken |= {(visit, first), (visit, second)}
        differ, shown = float(size[first, second]), float(share[visit, first, second])
        swaps.append(Swap(visit, first, second, differ, shown, float(significance[row])))
    return swaps
