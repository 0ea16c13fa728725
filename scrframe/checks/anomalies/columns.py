"""Bad columns, rows and regions of a detector: strips that differ from what is beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from scrframe.arrays import BoolArray, FloatArray
from scrframe.checks.anomalies.stars import SingleResiduals
from scrframe.checks.statistics import LIMIT, after_trials, normal_scores
from scrframe.statistics.robust import robust_sd

IntArray = npt.NDArray[Any]
Measure = Literal["offset", "scatter", "stars"]

#: Widths of strips in pixels, of which the narrowest with enough detections is taken.
STRIPS_PIX, STRIP_COUNT = (8.0, 16.0, 32.0, 64.0, 128.0), 25
#: Segments along a strip, and the side of a region's cell in pixels.
SEGMENTS, CELL_PIX = 8, 128.0
#: Windows, in cells across and along: strips of several widths, whole, half or a quarter; squares.
STRIP_WINDOWS = tuple((wide, long) for wide in (1, 2, 4) for long in (2, 3, 4, 8))
SQUARE_WINDOWS = ((1, 1), (2, 2))
#: Flanks that a window is compared with, on either side, in units of its width.
FLANKS = {"column": 2, "row": 2, "region": 1}
#: Fewest detections of a window that is judged, and fewest expected where stars are missing.
LEAST, LEAST_EXPECTED = 8, 12.0
#: Smaller deviations of a strip are within what maps of the detector leave, in mag.
LEAST_MAG = 0.003
#: Standard deviations by which stars of its own must make a place differ.
AT_ALL = 3.0
#: Share of the residuals left out at either end where their mean is taken.
TRIMMED = 0.1


@dataclass(frozen=True)
class DetectorDefect:
    """A strip or region that differs from its flanks."""

    #: One of "column", "row", "region".
    shape: str
    #: Position of the detector among those given, from 0.
    ccd: int
    #: From where to where it reaches, in pixels.
    x: tuple[float, float]
    y: tuple[float, float]
    #: What differs most: mean residual, its scatter, or the number of detections.
    measure: Measure
    #: Trimmed mean residual less that of its flanks.
    offset_mag: float
    #: Additional scatter of the residuals, 0 where there is none.
    scatter_mag: float
    #: Detections there, and how many the rest of the detector leads to expect.
    count: int
    expected: float
    #: In standard deviations, after the number of windows and measures tried.
    significance: float


@dataclass(frozen=True)
class _Windows:
    """Windows of one size on all detectors: significances by place, (c, a, b), and what of."""

    shape: str
    residuals: FloatArray  # of offset and scatter together
    by_offset: BoolArray  # whether the offset weighs more than the scatter
    stars: FloatArray
    expected: FloatArray
    size: tuple[int, int]
    cell: tuple[float, float]


def detector_defects(
    ccd: IntArray,
    x: FloatArray,
    y: FloatArray,
    singles: SingleResiduals,
    extent: tuple[float, float],
    limit: float = LIMIT,
    star: IntArray | None = None,
) -> list[DetectorDefect]:
    """Search strips and squares of all detectors; return the most significant first.

    A window is compared with its flanks, so that what varies smoothly over the detector does not
    alarm. The residuals enter by rank: outliers count no more than others. The spread of all
    windows of a size is the unit, where it is larger than noise alone makes it. No two of the
    places overlap on a detector.

    Parameters
    ----------
    ccd : ndarray of int, shape (n,)
        Position of the detector, from 0.
    x, y : ndarray, shape (n,)
        Pixels, from 0.5.
    singles : SingleResiduals
        Of the n detections, without corrections by maps over the detector, which would take part
        of a bad place with them and bring noise of their own.
    extent : tuple of float
        Pixels of a detector along x and y.
    limit : float
        Significance after trials that a place needs.
    star : ndarray of int, shape (n,), optional
        Number of the star, from 0. A bad place spoils what its stars' other detections are
        compared with, which may lie together elsewhere: a place that is odd only by stars of
        more significant places is their mirror, and is left out.
    """
    if len(ccd) < LEAST:
        return []
    score = normal_scores(singles.value / singles.sigma)
    spread = normal_scores(np.abs(score))
    gain = 1 / singles.sigma
    sums_of = (score * gain, gain**2, spread, None)
    found = list(_all_windows(ccd, (x, y), sums_of, extent))
    trials = sum(int(np.isfinite(z).sum()) for one in found for z in (one.residuals, one.stars))
    candidates = [entry for one in found for entry in _significant(one, trials, limit)]
    candidates.sort(key=lambda entry: -entry.significance)
    order = np.argsort(ccd, kind="stable")
    bounds = np.searchsorted(ccd[order], np.arange(int(ccd.max()) + 2))
    accounted = np.zeros(0 if star is None else int(star.max()) + 1, dtype=np.bool_)
    places: list[DetectorDefect] = []
    mirrors: list[DetectorDefect] = []
    for each in candidates:
        if any(_overlap(known, each) for known in (*places, *mirrors)):
            continue
        rows = order[bounds[each.ccd] : bounds[each.ccd + 1]]
        inside = _within(x[rows], y[rows], each.x, each.y)
        beside = _within(x[rows], y[rows], *_grown(each)) & ~inside
        offset, scatter = _sizes(singles.value[rows], inside, beside)
        one = replace(each, offset_mag=offset, scatter_mag=scatter, count=int(inside.sum()))
        if star is not None and one.measure != "stars":
            own = inside & ~accounted[star[rows]]
            if own.sum() < inside.sum() and not _differs(score[rows], spread[rows], own, beside):
                mirrors.append(one)
                continue
        if {"offset": abs(offset), "scatter": scatter, "stars": np.inf}[one.measure] < LEAST_MAG:
            continue
        places.append(one)
        if star is not None:
            accounted[star[rows[inside]]] = True
    return places


def _all_windows(
    ccd: IntArray, pixels: Sequence[FloatArray], sums_of: Sequence[Any], extent: tuple[float, float]
) -> Iterator[_Windows]:
    number = int(ccd.max()) + 1
    per_detector = len(ccd) / number
    for shape in ("column", "row", "region"):
        if shape == "region":
            cells = tuple(max(round(side / CELL_PIX), 1) for side in extent)
        else:
            across = extent[0] if shape == "column" else extent[1]
            wide = next(
                (one for one in STRIPS_PIX if per_detector * one / across >= STRIP_COUNT),
                STRIPS_PIX[-1],
            )
            fine = max(round(across / wide), 1)
            cells = (fine, SEGMENTS) if shape == "column" else (SEGMENTS, fine)
        place = ccd.astype(np.int64)
        for position, side, parts in zip(pixels, extent, cells, strict=True):
            step = np.clip(((position - 0.5) * (parts / side)).astype(np.int64), 0, parts - 1)
            place = place * parts + step
        grid = (number, *cells)
        sums = [
            np.bincount(place, weights, int(np.prod(grid))).reshape(grid).astype(float)
            for weights in sums_of
        ]
        cell = extent[0] / cells[0], extent[1] / cells[1]
        windows = SQUARE_WINDOWS if shape == "region" else STRIP_WINDOWS
        for size in windows if shape != "row" else [(long, wide) for wide, long in windows]:
            if size[0] <= cells[0] and size[1] <= cells[1]:
                yield _judge(shape, sums, size, cell)


def _judge(
    shape: str, sums: list[FloatArray], size: tuple[int, int], cell: tuple[float, float]
) -> _Windows:
    pull, gain, spread, count = (_slide(one, size) for one in sums)
    around = _reach(shape, size)
    flanks = [_slide(one, size, around) for one in sums]
    pull_out, gain_out, spread_out, count_out = (
        whole - own for whole, own in zip(flanks, (pull, gain, spread, count), strict=True)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = (pull / gain - pull_out / gain_out) / np.sqrt(1 / gain + 1 / gain_out)
        scatter = spread / count - spread_out / count_out
        scatter /= np.sqrt(1 / count + 1 / count_out)
    few = (count < LEAST) | (count_out < LEAST)
    offset[few], scatter[few] = np.nan, np.nan
    offset, scatter = (one / max(1.0, _unit(one)) for one in (offset, scatter))
    # less scatter is no harm; under chance alone the sum is chi2 with two degrees of freedom
    both = offset**2 + np.maximum(scatter, 0) ** 2
    residuals = -special.ndtri_exp(-both / 2 - np.log(2))
    # a gap leaves its neighbours across the strip as they are
    axes = {"column": (1,), "row": (2,), "region": (1, 2)}[shape]
    expected = np.broadcast_to(np.median(count, axis=axes, keepdims=True), count.shape)
    # a deficit, negative, of a Poisson distribution; one-sided: nobody loses sleep over too many
    # stars, which still tell the spread
    tail = special.pdtr(np.maximum(count, 0), np.maximum(expected, 1e-9))
    stars = special.ndtri(np.clip(tail, 1e-300, 1 - 1e-12))
    stars = np.where(expected < LEAST_EXPECTED, np.nan, stars)
    stars /= max(1.0, _unit(stars))
    return _Windows(shape, residuals, np.abs(offset) > scatter, -stars, expected, size, cell)


def _unit(z: FloatArray) -> float:
    return float(np.nan_to_num(robust_sd(z), nan=1.0))


def _reach(shape: str, size: tuple[int, int]) -> tuple[int, int]:
    """Return how many cells on either side of a window are its flanks, by axis."""
    more = FLANKS[shape]
    return (0 if shape == "row" else more * size[0], 0 if shape == "column" else more * size[1])


def _slide(grid: FloatArray, size: tuple[int, int], around: tuple[int, int] = (0, 0)) -> FloatArray:
    """Return sums over all windows of a size, grown by `around` as far as the detector goes."""
    total = np.zeros((grid.shape[0], grid.shape[1] + 1, grid.shape[2] + 1))
    total[:, 1:, 1:] = grid.cumsum(axis=1).cumsum(axis=2)
    first = [np.arange(grid.shape[axis + 1] - size[axis] + 1) for axis in (0, 1)]
    low = [np.maximum(start - more, 0) for start, more in zip(first, around, strict=True)]
    high = [
        np.minimum(start + size[axis] + around[axis], grid.shape[axis + 1])
        for axis, start in enumerate(first)
    ]
    by_row = total[:, high[0]] - total[:, low[0]]
    return np.asarray(by_row[:, :, high[1]] - by_row[:, :, low[1]])


def _significant(windows: _Windows, trials: int, limit: float) -> Iterator[DetectorDefect]:
    """Yield the windows above a limit, whose sizes are not known yet."""
    for z, stars in ((windows.residuals, False), (windows.stars, True)):
        found = np.argwhere(np.nan_to_num(z) > limit)
        sure = after_trials(z[tuple(found.T)], trials)
        for (place, a, b), significance in zip(
            found[sure >= limit], sure[sure >= limit], strict=True
        ):
            measure: Measure = "offset" if windows.by_offset[place, a, b] else "scatter"
            measure = "stars" if stars else measure
            x0, y0 = 0.5 + float(a) * windows.cell[0], 0.5 + float(b) * windows.cell[1]
            x = x0, x0 + windows.size[0] * windows.cell[0]
            y = y0, y0 + windows.size[1] * windows.cell[1]
            expected = float(windows.expected[place, a, b])
            yield DetectorDefect(
                windows.shape, int(place), x, y, measure, 0.0, 0.0, 0, expected, float(significance)
            )


def _overlap(known: DetectorDefect, other: DetectorDefect) -> bool:
    """Return whether a window touches a known place, which would be the same thing twice."""
    sides = ((known.x, other.x), (known.y, other.y))
    return known.ccd == other.ccd and all(a[0] <= b[1] and b[0] <= a[1] for a, b in sides)


def _within(
    x: FloatArray, y: FloatArray, x_range: tuple[float, float], y_range: tuple[float, float]
) -> BoolArray:
    across = (x >= x_range[0]) & (x < x_range[1])
    return np.asarray(across & (y >= y_range[0]) & (y < y_range[1]))


def _grown(place: DetectorDefect) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return a place with its flanks, along x and y."""
    shape, x, y = place.shape, place.x, place.y
    more_x = 0.0 if shape == "row" else FLANKS[shape] * (x[1] - x[0])
    more_y = 0.0 if shape == "column" else FLANKS[shape] * (y[1] - y[0])
    return (x[0] - more_x, x[1] + more_x), (y[0] - more_y, y[1] + more_y)


def _differs(score: FloatArray, spread: FloatArray, inside: BoolArray, beside: BoolArray) -> bool:
    """Return whether normal scores, or those of the spread, differ from the flanks at all."""
    own, rest = int(inside.sum()), int(beside.sum())
    if min(own, rest) < LEAST:
        return False
    error = np.sqrt(1 / own + 1 / rest)
    offset = abs(float(score[inside].mean() - score[beside].mean()))
    more = float(spread[inside].mean() - spread[beside].mean())
    return bool(max(offset, more) > AT_ALL * error)


def _sizes(value: FloatArray, inside: BoolArray, beside: BoolArray) -> tuple[float, float]:
    """Return offset and additional scatter of a place against its flanks."""
    rest, own = value[beside], value[inside]
    if not len(own) or not len(rest):
        return float("nan"), float("nan")
    more = robust_sd(own) ** 2 - robust_sd(rest) ** 2
    offset = stats.trim_mean(own, TRIMMED) - stats.trim_mean(rest, TRIMMED)
    return float(offset), float(np.sqrt(max(more, 0.0)))
