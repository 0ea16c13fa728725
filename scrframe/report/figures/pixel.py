"""Figures 9 and 10 of a run: what magnitudes differ by over the pixels of CCDs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table, vstack
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize

from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.focal_plane import (
    colour_end,
    detector_size,
    fill_rectangles,
    focal_plane,
    has_places,
)
from scrframe.report.figures.pixel_maps import (
    BIN_PIX,
    BOUND,
    LEAST_STARS,
    PixelMap,
    SeasonMaps,
    binned_map,
    bounded,
    level_map,
    most_uneven,
    pixel_level,
    season_maps,
)
from scrframe.report.merit import beside_paper
from scrframe.report.style import FAINT, MARGIN_IN, MMAG, bar_above, house_style, new_figure

#: CCDs in the figure by season.
SHOWN_CCDS = 2


def figure_pixel_seasons(data: RunData) -> FigureProduct | None:
    """Draw pixel maps of two CCDs season by season (paper, figure 9)."""
    found = season_maps(data) if has_places(data) else None
    if found is None:
        return None
    level = pixel_level(data)
    size = detector_size(data)
    whole = found.maps["all"] if level is None else level_map(level, size)
    shown = most_uneven(whole, SHOWN_CCDS)
    values = [one.value_mag[np.isin(one.ccd, shown)] for one in found.maps.values()]
    end = colour_end(np.concatenate(values), 95.0)  # single bins of a season are noisy
    with house_style():
        wide = 2.75 / len(found.maps)
        tall = min(wide * size[1] / size[0], 1.6)
        figure = new_figure(len(shown) * (tall + 0.05) + MARGIN_IN + 0.4)
        middle = float(f"{size[0] / 2:.0e}")  # one tick: narrow panels have no room for more
        grid = figure.subplots(len(shown), len(found.maps), sharex=True, sharey=True, squeeze=False)
        norm = Normalize(-MMAG * end, MMAG * end)
        for row, ccd in zip(grid, shown, strict=True):
            for axes, (name, one) in zip(row, found.maps.items(), strict=True):
                mesh = draw_map(axes, one, int(ccd), size, norm)
                if axes in grid[0]:
                    axes.set_title(name, fontsize=6.5)
                axes.set_xticks([middle])
            row[0].set_ylabel(f"CCD {ccd}: y (pix)", fontsize=6.5)
        grid[-1, len(found.maps) // 2].set_xlabel("x (pix)")
        bar_above(figure, mesh, grid, "model less magnitude corrected but for the map (mmag)")
    steady = f"{found.chi2_per_dof:.2f}" if np.isfinite(found.chi2_per_dof) else "not defined"
    coarse = (
        ""
        if found.bin_pix == BIN_PIX
        else f", wider than the paper's {BIN_PIX:.0f}, as stars are few"
    )
    return FigureProduct(
        "pixel_seasons",
        "Pixel maps of CCDs by season",
        f"Mean difference of model and magnitude, corrected for visit and CCD but not for the"
        f" pixel map, of the {len(shown)} CCDs that are least uniform, by observing season (October"
        f" to September, named by its first year) and of all seasons together. Bins are"
        f" {found.bin_pix:.0f} pixels wide{coarse}; single differences count"
        f" to {BOUND:.0f} robust standard deviations at most; bins with fewer than {LEAST_STARS}"
        f" detections are grey. Over the bins of all CCDs chi2 of the seasons about their mean"
        f" is {steady} per degree of freedom: near 1, maps are stable.",
        f"Maps of CCD {' and '.join(map(str, shown))} in pixels, a column for each season. Chi2"
        f" per degree of freedom between seasons over all CCDs: {steady}.",
        figure,
        _season_table(found, shown),
    )


def draw_map(
    axes: Axes, one: PixelMap, ccd: int, size_pix: tuple[float, float], norm: Normalize
) -> PolyCollection:
    """Draw the map of one CCD in its own pixels, x to the right and y up."""
    mine = one.ccd == ccd
    (left, right), (low, high) = ((side[0][mine], side[1][mine]) for side in (one.x_pix, one.y_pix))
    corners = np.stack([left, low, right, low, right, high, left, high], axis=-1)
    values = MMAG * one.value_mag[mine]
    mesh = fill_rectangles(axes, corners.reshape(-1, 4, 2), values, norm)
    axes.set_facecolor(FAINT)
    axes.set(xlim=(0.5, size_pix[0] + 0.5), ylim=(0.5, size_pix[1] + 0.5))
    return mesh


def _season_table(found: SeasonMaps, shown: list[int]) -> Table:
    parts = []
    for name, one in found.maps.items():
        mine = np.isin(one.ccd, shown)
        parts.append(map_table(one, mine, {"season": np.repeat(name, mine.sum())}))
    return vstack(parts)


def map_table(one: PixelMap, rows: npt.NDArray[np.bool_], more: dict[str, Any]) -> Table:
    """Return rows of a map as a table, after further columns."""
    return figure_data(
        {
            **more,
            "ccd": one.ccd[rows],
            "x_low": one.x_pix[0][rows],
            "x_high": one.x_pix[1][rows],
            "y_low": one.y_pix[0][rows],
            "y_high": one.y_pix[1][rows],
            "offset": one.value_mag[rows],
            "offset_err": one.err_mag[rows],
            "n_detections": one.count[rows],
        },
        {"pix": ("x_low", "x_high", "y_low", "y_high"), "mag": ("offset", "offset_err")},
        {"offset": "correction of the bin, to be added"},
    )


def figure_pixel_plane(data: RunData) -> FigureProduct | None:
    """Draw the pixel maps of all CCDs where these stand (paper, figure 10)."""
    level = pixel_level(data)
    if level is None and not has_places(data):
        return None
    size = detector_size(data)
    if level is None:
        value = bounded(data.residual)
        one = binned_map(data.ccd, data.star("x_pix"), data.star("y_pix"), value, size, BIN_PIX)
        what = "the mean residual after correction (the run has no level of pixels)"
    else:
        one = level_map(level, size)
        what = f"the offset of the level {level.name}"
    good = np.isfinite(one.value_mag)
    if not good.any():
        return None
    plane = focal_plane(data.camera, np.union1d(data.ccds, one.ccd), size)
    end, value = colour_end(one.value_mag), one.value_mag[good]
    with house_style():
        low, high = plane.outlines().min(axis=(0, 1)), plane.outlines().max(axis=(0, 1))
        shape = float((high - low)[1] / (high - low)[0])
        figure = new_figure(min(2.9 * shape, 5.0) + MARGIN_IN + 0.35)
        axes = figure.subplots()
        corners = plane.corners(one.ccd, one.x_pix, one.y_pix)
        drawn = plane.draw(axes, corners, MMAG * one.value_mag, Normalize(-MMAG * end, MMAG * end))
        plane.name_detectors(axes)
        if plane.on_sky:
            axes.set(xlabel="east of the pointing (deg)", ylabel="north of the pointing (deg)")
        bar_above(figure, drawn, axes, "offset of the pixel bin (mmag)")
    by_ccd = ", ".join(map(str, most_uneven(one, 4)))
    wide = float(np.median((one.x_pix[1] - one.x_pix[0])[good]))
    return FigureProduct(
        "pixel_plane",
        "Pixel maps over the focal plane",
        f"In mmag {what}, of all seasons together, in bins mostly {wide:.0f} pixels wide."
        f" {plane.words} Bins without stars are grey. Over all bins the mean is"
        f" {MMAG * value.mean():+.1f} and the standard deviation {MMAG * value.std():.1f} mmag"
        f"{beside_paper(data.survey, ' (paper: +0.3 and 9)')}.",
        f"A map of the focal plane in pixel bins. Mean {MMAG * value.mean():+.1f}, standard"
        f" deviation {MMAG * value.std():.1f} mmag over {len(value):,} bins; least uniform are CCDs"
        f" {by_ccd}.",
        figure,
        map_table(one, np.ones(len(one.ccd), dtype=bool), {}),
    )
