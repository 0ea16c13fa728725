"""Means over the pixels of CCDs: maps of the run's level of bins, and of residuals by season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import LevelData, RunData
from scrframe.report.figures.focal_plane import detector_size
from scrframe.statistics.robust import robust_sd

#: Width of the paper's bins in pixels; where a season has few stars, twice and more.
BIN_PIX = 256.0
#: Fewest detections that a bin should hold, in the median, and those below which it is empty.
BIN_STARS, LEAST_STARS = 20, 5
#: Seasons that fit beside each other: the ones with most detections.
MOST_SEASONS = 7
#: How many robust standard deviations a single residual counts at most.
BOUND = 5.0


@dataclass(frozen=True)
class PixelMap:
    """Values in rectangles on CCDs, p of them."""

    #: Shape (p,).
    ccd: IntArray
    #: Lower and upper edges. Arrays of shape (p,).
    x_pix: tuple[FloatArray, FloatArray]
    y_pix: tuple[FloatArray, FloatArray]
    #: NaN where there are too few detections. Errors of means follow from the scatter within all
    #: bins together. Shape (p,).
    value_mag: FloatArray
    err_mag: FloatArray
    #: Detections. Shape (p,).
    count: IntArray


def pixel_level(data: RunData) -> LevelData | None:
    """Return the first level of bins over the pixels of each CCD, None where there is none."""
    wanted = {"ccd", "x_low_pix", "y_low_pix"}
    return next(
        (
            one
            for one in data.levels.values()
            if wanted <= set(one.labels) and not {"visit", "season", "field"} & set(one.labels)
        ),
        None,
    )


def bin_edges(length: float, size_pix: float) -> FloatArray:
    """Return edges of bins along an axis; a last one below half a bin joins its neighbour."""
    inner = np.arange(1, max(1, int(length / size_pix + 0.5)))
    return np.concatenate([[0.5], 0.5 + size_pix * inner, [0.5 + length]])


def bin_of(place_pix: FloatArray, size_pix: float, bins: int) -> IntArray:
    """Return the bin between the edges of `bin_edges` that finite places lie in, same shape."""
    return np.clip(((place_pix - 0.5) / size_pix).astype(np.int64), 0, bins - 1)


def number_codes(numbers: npt.NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """Return the distinct numbers, ascending, and the place of each among them.

    As `numpy.unique`, but without sorting millions of rows: numbers of CCDs are small.
    """
    if not len(numbers):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    low = int(numbers.min())
    away = numbers.astype(np.int64) - low
    seen = np.bincount(away) > 0
    return np.flatnonzero(seen) + low, (np.cumsum(seen) - 1)[away]


def level_map(level: LevelData, size_pix: tuple[float, float]) -> PixelMap:
    """Return the offsets of a level of bins, with the upper edges that follow from the lower."""
    ccd = np.asarray(level.labels["ccd"], dtype=np.int64)
    sides = []
    for axis, length in zip("xy", size_pix, strict=True):
        low = np.asarray(level.labels[f"{axis}_low_pix"], dtype=np.float64)
        edges = np.unique(low)
        step = edges[1] - edges[0] if len(edges) > 1 else length
        edges = np.append(edges, max(length + 0.5, edges[-1] + step / 2))
        sides.append((low, edges[np.searchsorted(edges, low) + 1]))
    few = level.count == 0
    value = np.where(few, np.nan, level.offset_mag)
    return PixelMap(ccd, sides[0], sides[1], value, level.err_mag, level.count)


def binned_map(
    ccd: IntArray,
    x_pix: FloatArray,
    y_pix: FloatArray,
    value_mag: FloatArray,
    size_pix: tuple[float, float],
    bin_pix: float,
) -> PixelMap:
    """Return means of values, one a detection, in bins of all CCDs that occur.

    Values and places, shape (n,), that are not finite are left out; `size_pix` is that of a
    detector.
    """
    good = np.isfinite(value_mag) & np.isfinite(x_pix) & np.isfinite(y_pix)
    names, code = number_codes(ccd[good])
    x_edges, y_edges = (bin_edges(length, bin_pix) for length in size_pix)
    column = bin_of(x_pix[good], bin_pix, len(x_edges) - 1)
    row = bin_of(y_pix[good], bin_pix, len(y_edges) - 1)
    shape = (len(names), len(y_edges) - 1, len(x_edges) - 1)
    key = (code * shape[1] + row) * shape[2] + column
    count, mean, spread = bin_moments(key, value_mag[good], int(np.prod(shape)))
    few = count < LEAST_STARS
    number, up, across = (one.ravel() for one in np.indices(shape))
    # The scatter within bins of few stars is poorly known: that of all bins together is used.
    free = np.maximum(count - 1, 0)
    pooled = np.sqrt(np.nansum(free * spread**2) / max(1, free.sum()))
    with np.errstate(divide="ignore"):
        error = pooled / np.sqrt(count)
    return PixelMap(
        names[number].astype(np.int64),
        (x_edges[across], x_edges[across + 1]),
        (y_edges[up], y_edges[up + 1]),
        np.where(few, np.nan, mean),
        np.where(few, np.nan, error),
        count,
    )


def bin_moments(
    key: IntArray, value: FloatArray, bins: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return count, mean and standard deviation (n - 1) of values in bins, NaN where not defined.

    `key`, shape (n,), is the bin of each value, 0 to bins - 1.
    """
    count = np.bincount(key, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(key, value, minlength=bins) / count
        square = np.bincount(key, (value - mean[key]) ** 2, minlength=bins)
        spread = np.sqrt(square / (count - 1))
    return count, mean, np.where(count > 1, spread, np.nan)


def bounded(residual_mag: FloatArray) -> FloatArray:
    """Return residuals held within 5 robust standard deviations of their median, same shape.

    A variable star or a blend shall not paint its bin, yet it counts as far off.
    """
    good = residual_mag[np.isfinite(residual_mag)]
    if not good.size:
        return residual_mag
    middle = float(np.median(good))
    reach = BOUND * robust_sd(good)
    return np.clip(residual_mag, middle - reach, middle + reach)


def before_map(data: RunData) -> FloatArray:
    """Return model magnitudes less those corrected by all but the pixel map, in mag, shape (n,).

    It is the paper's single-star difference du_3 of section 4.1.3; NaN where another level
    has no offset.
    """
    level = pixel_level(data)
    own = None if level is None else f"offset_{level.name}"
    left = np.asarray(data.star("delta") - data.zero_point_mag, dtype=np.float64)
    for name in data.correction_columns():
        if name != own:
            left = left - data.star(name)
    return left


@dataclass(frozen=True)
class SeasonMaps:
    """Maps of all CCDs in each season, in the same bins."""

    #: By the name of the season, in order of time, ``all`` being the last.
    maps: dict[str, PixelMap]
    bin_pix: float
    #: Of seasons about their weighted mean in each bin: near 1 where maps stand still; NaN where
    #: no bin has two seasons.
    chi2_per_dof: float


def season_maps(data: RunData) -> SeasonMaps | None:
    """Return pixel maps by season from residuals; None where no season has enough stars."""
    season = data.visit_table.season[data.visit_code]
    value = bounded(before_map(data))
    usable = np.isfinite(value) & (season >= 0)
    names, code = number_codes(season[usable])
    counts = np.bincount(code, minlength=len(names))
    names = np.sort(names[np.argsort(-counts, kind="stable")[:MOST_SEASONS]])
    usable &= np.isin(season, names)
    if not usable.any():
        return None
    ccd, x_pix, y_pix = (data.star(name)[usable] for name in ("ccd", "x_pix", "y_pix"))
    value, season = value[usable], season[usable]
    size = detector_size(data)
    parts = len(names) * len(number_codes(ccd)[0])
    bin_pix = roomy_bin(len(value) / parts, size)
    maps = {}
    for name in names:
        mine = season == name
        maps[str(name)] = binned_map(
            ccd[mine], x_pix[mine], y_pix[mine], value[mine], size, bin_pix
        )
    chi2 = steadiness(list(maps.values()))
    maps["all"] = binned_map(ccd, x_pix, y_pix, value, size, bin_pix)
    return SeasonMaps(maps, bin_pix, chi2)


def roomy_bin(stars: float, size_pix: tuple[float, float]) -> float:
    """Return the paper's width of bins, doubled until a bin holds `BIN_STARS` of a CCD's stars."""
    bin_pix = BIN_PIX
    while (
        bin_pix < max(size_pix)
        and stars / np.prod([len(bin_edges(side, bin_pix)) - 1 for side in size_pix]) < BIN_STARS
    ):
        bin_pix *= 2
    return bin_pix


def steadiness(maps: list[PixelMap]) -> float:
    """Return chi2 per degree of freedom of maps in like bins about their weighted mean.

    All have the same bins, but a map may lack CCDs.
    """
    ccd = np.concatenate([one.ccd for one in maps])
    low = np.concatenate([np.stack([one.x_pix[0], one.y_pix[0]], axis=-1) for one in maps])
    value = np.concatenate([one.value_mag for one in maps])
    weight = np.concatenate([one.err_mag for one in maps]) ** -2.0
    good = np.isfinite(value) & np.isfinite(weight)
    if not good.any():
        return np.nan
    places = np.column_stack([ccd[:, None], low])[good]
    key = np.unique(places, axis=0, return_inverse=True)[1].ravel()
    mean = np.bincount(key, weight[good] * value[good]) / np.bincount(key, weight[good])
    chi2 = float((weight[good] * (value[good] - mean[key]) ** 2).sum())
    degrees = len(key) - len(mean)
    return chi2 / degrees if degrees > 0 else np.nan


def most_uneven(one: PixelMap, most: int) -> list[int]:
    """Return the CCDs whose values spread most over their bins, ascending."""
    good = np.isfinite(one.value_mag)
    names, code = np.unique(one.ccd[good], return_inverse=True)
    _, _, spread = bin_moments(code, one.value_mag[good], len(names))
    order = np.argsort(-np.nan_to_num(spread), kind="stable")
    return sorted(int(ccd) for ccd in names[order[:most]])
