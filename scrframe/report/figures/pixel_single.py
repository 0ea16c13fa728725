"""Figure 11 of a run: single stars of a CCD, with mean and scatter in fine bins and strips."""

from __future__ import annotations

import warnings

import numpy as np
from astropy.table import Table, vstack
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure
from matplotlib.patches import Rectangle

from scrframe.arrays import FloatArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.focal_plane import detector_size, fill_rectangles, has_places
from scrframe.report.figures.pixel_maps import BOUND, bin_edges, bin_moments, bounded
from scrframe.report.figures.strips import STRIP_PIX, Strips, strips
from scrframe.report.style import (
    AMOUNT_MAP,
    COLOURS,
    FAINT,
    MARGIN_IN,
    MMAG,
    SIGNED_MAP,
    house_style,
    new_figure,
)

#: Most single stars that are drawn, and the fewest that a fine bin should hold on average.
MOST_STARS, BIN_STARS, LEAST_STARS = 4000, 8, 3
#: Strips that stand out which the text names, and pieces outlined in the maps.
NAMED, OUTLINED = 4, 12
MAP_IN, PROFILE_IN = 2.05, 0.72
#: Room around what is framed, in units of the CCD.
FRAME_ROOM = 0.012
#: Percentiles between which most CCDs lie.
USUAL = (16.0, 84.0)


def figure_single_stars(data: RunData, ccd: int | None = None) -> FigureProduct | None:
    """Draw residuals of single stars over one CCD (paper, figure 11).

    By default it is the CCD whose narrow strips stand out most.
    """
    if not has_places(data):
        return None
    x_pix, y_pix = data.star("x_pix"), data.star("y_pix")
    residual = bounded(data.residual)
    size = detector_size(data)
    found = strips(data.ccd, x_pix, y_pix, residual, size)
    if not np.isfinite(found.mean_sigma).any():
        return None
    worst = found.worst_sigma
    why = "" if ccd is not None else ", the one whose strips stand out most,"
    if ccd is None:
        ccd = int(found.ccd[np.argmax(worst)])
    mine = (data.ccd == ccd) & np.isfinite(residual + x_pix + y_pix)
    if not mine.any():
        return None
    x_pix, y_pix = x_pix[mine], y_pix[mine]
    away = residual[mine] - residual[mine].mean()
    own = found.select(found.ccd == ccd)
    odd = own.select(own.worst_sigma > found.limit)
    fine = fine_bins(x_pix, y_pix, away, size)
    step = -(-len(away) // MOST_STARS)
    with house_style():
        figure = new_figure(MAP_IN + 2 * PROFILE_IN + 2.4 * MARGIN_IN)
        heights = [MAP_IN + 1.1 * MARGIN_IN, 2 * PROFILE_IN + MARGIN_IN]
        (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
        points = (x_pix[::step], y_pix[::step], away[::step])
        _draw_maps(above, points, fine, odd, size)
        _draw_profiles(below, found, ccd, odd)
    return FigureProduct(
        "single_stars",
        f"Single stars on CCD {ccd}",
        _caption(found, ccd, why, step, fine),
        f"Maps of CCD {ccd} and profiles of narrow strips along x and y. {_named(odd)}",
        figure,
        _table(own, fine),
    )


def fine_bins(
    x_pix: FloatArray, y_pix: FloatArray, value_mag: FloatArray, size_pix: tuple[float, float]
) -> Table:
    """Return mean and scatter of one CCD's values in square bins, a row for each bin.

    Bins have the paper's 25 pixels, doubled until they hold some stars on average. Places and
    values have shape (n,).
    """
    width = STRIP_PIX
    while width < min(size_pix) and len(value_mag) * width**2 / np.prod(size_pix) < BIN_STARS:
        width *= 2
    x_edges, y_edges = (bin_edges(length, width) for length in size_pix)
    column = np.clip(np.searchsorted(x_edges, x_pix, "right") - 1, 0, len(x_edges) - 2)
    row = np.clip(np.searchsorted(y_edges, y_pix, "right") - 1, 0, len(y_edges) - 2)
    shape = (len(y_edges) - 1, len(x_edges) - 1)
    key = np.ravel_multi_index((row, column), shape)
    count, mean, scatter = bin_moments(key, value_mag, int(np.prod(shape)))
    up, across = (one.ravel() for one in np.indices(shape))
    few = count < LEAST_STARS
    return Table(
        {
            "x_low": x_edges[across],
            "x_high": x_edges[across + 1],
            "y_low": y_edges[up],
            "y_high": y_edges[up + 1],
            "n_detections": count,
            "mean": np.where(few, np.nan, mean),
            "scatter": np.where(few, np.nan, scatter),
        }
    )


def _draw_maps(
    figure: SubFigure,
    points: tuple[FloatArray, FloatArray, FloatArray],
    fine: Table,
    odd: Strips,
    size: tuple[float, float],
) -> None:
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    names = ("x_low", "y_low", "x_high", "y_low", "x_high", "y_high", "x_low", "y_high")
    corners = np.stack([fine[name] for name in names], axis=-1).reshape(-1, 4, 2)
    x_pix, y_pix, away = points
    reach = MMAG * float(np.percentile(np.abs(away), 95))
    stars = panels[0].scatter(
        x_pix,
        y_pix,
        c=MMAG * away,
        s=0.8,
        lw=0,
        cmap=SIGNED_MAP,
        norm=Normalize(-reach, reach),
        rasterized=True,
    )
    mean = MMAG * fine["mean"]
    end = float(np.nanpercentile(np.abs(mean), 97))
    middle = fill_rectangles(panels[1], corners, mean, Normalize(-end, end))
    scatter = MMAG * fine["scatter"]
    low, high = np.nanpercentile(scatter, [3, 97])
    last = fill_rectangles(panels[2], corners, scatter, Normalize(low, high), AMOUNT_MAP)
    drawn = {"single stars": stars, "mean": middle, "scatter": last}
    for axes, (name, one) in zip(panels, drawn.items(), strict=True):
        figure.colorbar(
            one, ax=axes, location="top", aspect=14, extend="both", label=f"{name} (mmag)"
        )
        axes.set(xlim=(0.5, size[0] + 0.5), ylim=(0.5, size[1] + 0.5), xlabel="x (pix)")
        axes.set_facecolor("white" if axes is panels[0] else FAINT)
    panels[0].set_ylabel("y (pix)")
    for axes in panels[1:]:
        _outline(axes, odd, size)


def _outline(axes: Axes, odd: Strips, size: tuple[float, float]) -> None:
    """Frame what stands out with some room, so that the frame does not hide it."""
    narrow = np.where(odd.axis == "x", odd.x_pix[0], odd.y_pix[0])
    pieces = set(zip(odd.axis[~odd.whole], narrow[~odd.whole], strict=True))
    order = np.argsort(-odd.worst_sigma, kind="stable")[:OUTLINED]
    room = FRAME_ROOM * size[0], FRAME_ROOM * size[1]
    for row in order:
        # Where its pieces are framed, a whole strip is not.
        if odd.whole[row] and (odd.axis[row], narrow[row]) in pieces:
            continue
        low = odd.x_pix[0][row] - room[0], odd.y_pix[0][row] - room[1]
        wide = odd.x_pix[1][row] - odd.x_pix[0][row] + 2 * room[0]
        tall = odd.y_pix[1][row] - odd.y_pix[0][row] + 2 * room[1]
        axes.add_patch(Rectangle(low, wide, tall, fc="none", ec=COLOURS[2], lw=0.8))


def _draw_profiles(figure: SubFigure, found: Strips, ccd: int, odd: Strips) -> None:
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    shown = (("mean_mag", "mean"), ("scatter_mag", "scatter"))
    for column, axis in enumerate(("x", "y")):
        one = found.select(found.whole & (found.axis == axis))
        ccds, strip = np.unique(one.ccd), len(one.ccd) // len(np.unique(one.ccd))
        others = ccds != ccd if len(ccds) > 1 else ccds == ccd
        mine = one.select(one.ccd == ccd)
        low, high = mine.x_pix if axis == "x" else mine.y_pix
        marked = odd.select(odd.whole & (odd.axis == axis))
        at = marked.x_pix if axis == "x" else marked.y_pix
        for axes, (name, label) in zip(panels[:, column], shown, strict=True):
            every = MMAG * getattr(one, name).reshape(len(ccds), strip)
            with warnings.catch_warnings():  # a strip in which no CCD has a star
                warnings.simplefilter("ignore", RuntimeWarning)
                usual = np.nanpercentile(every[others], USUAL, axis=0)
            axes.fill_between(
                (low + high) / 2, *usual, color=FAINT, lw=0, label="16 to 84 per cent of others"
            )
            axes.plot(
                (low + high) / 2,
                MMAG * getattr(mine, name),
                color=COLOURS[0],
                lw=0.6,
                label=f"CCD {ccd}",
            )
            if len(marked.ccd):
                axes.plot(
                    (at[0] + at[1]) / 2,
                    MMAG * getattr(marked, name),
                    "v",
                    ms=4,
                    mfc="none",
                    color=COLOURS[1],
                    label="stands out",
                )
            if column == 0:
                axes.set_ylabel(label)
        panels[1, column].set_xlabel(f"{axis} (pix)")
    figure.supylabel("in strips (mmag)")
    named = {
        label: handle
        for axes in panels[0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=3)


def _named(odd: Strips) -> str:
    if not len(odd.ccd):
        return "No strip stands out beyond what chance gives."
    order = np.argsort(-odd.worst_sigma, kind="stable")[:NAMED]
    told = "; ".join(
        f"x {odd.x_pix[0][row]:.1f} to {odd.x_pix[1][row]:.1f},"
        f" y {odd.y_pix[0][row]:.1f} to {odd.y_pix[1][row]:.1f}:"
        f" mean {MMAG * odd.mean_mag[row]:+.0f}, scatter {MMAG * odd.scatter_mag[row]:.0f} mmag"
        f" ({odd.worst_sigma[row]:.1f} sigma)"
        for row in order
    )
    many = len(odd.ccd) > 1
    number = f"{len(odd.ccd)} strips or pieces of strips stand" if many else "One strip stands"
    return f"{number} out, most of all {told}."


def _caption(found: Strips, ccd: int, why: str, step: int, fine: Table) -> str:
    own = found.select(found.ccd == ccd)
    odd = own.select(own.worst_sigma > found.limit)
    wide = float(fine["x_high"][0] - fine["x_low"][0])
    each = "every star" if step == 1 else f"one star in {step}"
    return (
        f"Model less calibrated magnitude on CCD {ccd}{why} less its mean."
        f" Above: {each}, and mean and scatter in bins of {wide:.0f} pixels (paper: 25)."
        f" Below: the same in strips of {STRIP_PIX:.0f} pixels, of columns (against x) and of"
        f" rows (against y); the band holds most other CCDs. Single residuals count to {BOUND:.0f}"
        " robust standard deviations at most. Strips, and quarters of them, stand out beyond"
        f" {found.limit:.1f} standard errors: of all {len(found.ccd):,} on all CCDs, chance alone"
        f" would give one in one run of a hundred; they are framed above. {_named(odd)}"
    )


def _table(own: Strips, fine: Table) -> Table:
    part = np.where(own.axis == "x", "columns", "rows")
    strip = figure_data(
        {
            "part": np.where(own.whole, part, np.char.add(part, " (piece)")),
            "x_low": own.x_pix[0],
            "x_high": own.x_pix[1],
            "y_low": own.y_pix[0],
            "y_high": own.y_pix[1],
            "n_detections": own.count,
            "mean": own.mean_mag,
            "mean_err": own.mean_err_mag,
            "scatter": own.scatter_mag,
            "mean_sigma": own.mean_sigma,
            "scatter_sigma": own.scatter_sigma,
        },
        {
            "pix": ("x_low", "x_high", "y_low", "y_high"),
            "mag": ("mean", "mean_err", "scatter"),
        },
        {
            "part": "strip of columns or rows, a quarter of one, or a fine bin",
            "mean": "mean residual less that of the CCD",
            "mean_sigma": "mean over its standard error",
            "scatter_sigma": "standard errors by which the scatter differs from the CCD's",
        },
    )
    bins = fine.copy()
    bins.add_column(np.repeat("bin", len(bins)), name="part", index=0)
    for name in ("mean_err", "mean_sigma", "scatter_sigma"):
        bins[name] = np.nan
    return vstack([strip, bins[strip.colnames]])
