"""Figures 1 and 2 of a run: samples and control field on the sky."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table, vstack
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import SkyGrid, ratio, sky_grid
from scrframe.report.style import (
    MARGIN_IN,
    MMAG,
    SIGNED_MAP,
    bar_above,
    house_style,
    name_panel,
    new_figure,
)
from scrframe.statistics.groups import group_counts, group_medians

#: Cells tried along the longer side of a map, the finest first; the detections that the usual
#: cell must hold; the fewest that a cell with a median must hold.
CELLS, USUAL, LEAST = (128, 96, 72, 54, 40, 30, 22, 16, 12, 8), 25, 8
#: Share of cells or visits that a scale of colours leaves out at either end.
TAIL = 0.02
#: Fewest visits that show anything on the sky.
FEWEST = 2


def figure_sky_samples(data: RunData) -> FigureProduct | None:
    """Draw where the Calibration and the Control Sample lie, with their extinction (Fig. 1).

    None where no detection has a position.
    """
    ra, dec, extinction = (data.star(name) for name in ("ra_deg", "dec_deg", "extinction"))
    placed = np.isfinite(ra) & np.isfinite(dec) & np.isfinite(extinction)
    samples = {"Calibration Sample": placed, "Control Sample": placed & data.star("in_control")}
    samples = {name: mask for name, mask in samples.items() if mask.any()}
    if not samples:
        return None
    with house_style():
        figure = new_figure(1.55 * len(samples) + 0.3)
        panels = figure.subplots(len(samples), 1, squeeze=False)[:, 0]
        tables = []
        for axes, (name, mask) in zip(panels, samples.items(), strict=True):
            grid, cell = _fine_grid(ra[mask], dec[mask])
            count = np.bincount(cell, minlength=int(np.prod(grid.shape)))
            mean = ratio(np.bincount(cell, extinction[mask], len(count)), count)
            low, high = _limits(mean)
            mesh = _map(axes, grid, mean, low, high)
            axes.set_title(f"{name}: {int(mask.sum()):,} detections", fontweight="bold")
            figure.colorbar(mesh, ax=axes, label="mean E (mag)", extend="both", pad=0.02)
            tables.append(_cell_table(grid, name, {"extinction": mean}, count))
        panels[-1].set_xlabel("right ascension (deg)")
        figure.supylabel("declination (deg)")
    shown = vstack(tables)
    said = "; ".join(_said_of_sample(name, data, mask) for name, mask in samples.items())
    return FigureProduct(
        "sky_samples",
        "The samples on the sky",
        "Where the detections of the samples lie, in cells; the colour is the mean extinction E of"
        " the detections in a cell, and white cells hold none. The Control Sample trains the"
        " colour model; its extinction should be low, so that what is unsure of the law stays"
        " small.",
        f"Maps of the samples in right ascension and declination. {said}.",
        figure,
        shown,
    )


def figure_control_field(data: RunData) -> FigureProduct | None:
    """Draw model less observed magnitude in the control field before and after (Fig. 2).

    None of a Control Sample that fills hardly any cell.
    """
    ra, dec = data.star("ra_deg"), data.star("dec_deg")
    kept = data.star("in_control") & np.isfinite(data.residual) & np.isfinite(ra) & np.isfinite(dec)
    rows = np.flatnonzero(kept)
    if len(rows) < LEAST:
        return None
    grid, cell = _fine_grid(ra[rows], dec[rows])
    pair = {"before": data.star("delta")[rows], "after": data.residual[rows]}
    cells = int(np.prod(grid.shape))
    middles, count = {}, np.zeros(0, np.int64)
    for when, values in pair.items():
        middle, count = group_medians(values, cell, cells), group_counts(values, cell, cells)
        middles[when] = np.where(count >= LEAST, middle, np.nan)
    if not np.isfinite(middles["before"]).any():
        return None
    rms = {when: MMAG * float(np.nanstd(middle)) for when, middle in middles.items()}
    limit = float(np.nanquantile(np.abs(MMAG * middles["before"]), 1 - TAIL)) or 1.0
    with house_style():
        figure = new_figure(_height(grid, 1.35) + MARGIN_IN + 0.25)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (when, middle) in zip(panels, middles.items(), strict=True):
            mesh = _map(axes, grid, MMAG * middle, -limit, limit, SIGNED_MAP)
            axes.set_facecolor("#e6e6e6")
            name_panel(axes, f"{when}: {rms[when]:.1f} mmag")
        panels[0].set_ylabel("declination (deg)")
        figure.supxlabel("right ascension (deg)")
        bar_above(figure, mesh, panels, "median model \N{MINUS SIGN} observed (mmag)")
    table = _cell_table(grid, None, middles, count)
    table = table[np.isfinite(table["before"])]
    return FigureProduct(
        "control_field",
        "The control field before and after",
        f"Median of model less observed {data.band} magnitude of the Control Sample in cells of"
        f" {grid.side_deg:.2f} deg with at least {LEAST} detections, before and after the"
        " correction, on one scale; grey where there are fewer. Above the panels: standard"
        " deviation of the cells. Steps between fields are what visit offsets take out.",
        "Two maps of the control field. The cells' medians scatter by"
        f" {rms['before']:.1f} mmag before the correction and {rms['after']:.1f} mmag after it,"
        f" in {len(table)} cells.",
        figure,
        table,
    )


def _limits(values: FloatArray) -> tuple[float, float]:
    """Return the range of colours: all but a few values at either end."""
    low, high = np.nanquantile(values, [TAIL, 1 - TAIL])
    return float(low), float(max(high, low + 1e-3))


def _height(grid: SkyGrid, width_in: float) -> float:
    """Return the height in inches of a map of a width, with a degree alike on both axes."""
    up = float(np.ptp(grid.dec_edges))
    shrink = float(np.cos(np.deg2rad(grid.dec_edges.mean())))
    return float(np.clip(width_in * up / (shrink * np.ptp(grid.ra_edges)), 0.8, 3.5))


def _fine_grid(ra: FloatArray, dec: FloatArray) -> tuple[SkyGrid, IntArray]:
    """Return the finest cells whose usual one holds enough detections."""
    for most in CELLS:
        grid = sky_grid(ra, dec, most)
        cell = grid.cell(ra, dec)
        count = np.bincount(cell)
        if np.median(count[cell]) >= USUAL:
            break
    return grid, cell


def _map(
    axes: Axes, grid: SkyGrid, values: FloatArray, low: float, high: float, cmap: str | None = None
) -> QuadMesh:
    image = values.reshape(grid.shape).T
    mesh = axes.pcolormesh(
        grid.ra_edges, grid.dec_edges, image, cmap=cmap, vmin=low, vmax=high, rasterized=True
    )
    ra_axis(axes)
    return mesh


def ra_axis(axes: Axes) -> None:
    """Let right ascension grow to the left, as on the sky, and stay below 360."""
    if not axes.xaxis_inverted():
        axes.invert_xaxis()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value % 360:g}")


def _cell_table(
    grid: SkyGrid,
    sample: str | None,
    columns: dict[str, FloatArray],
    count: npt.NDArray[np.integer],
) -> Table:
    some = np.flatnonzero(count > 0)
    ra, dec = grid.centres(some)
    values: dict[str, npt.NDArray[Any]] = {}
    if sample is not None:
        values["sample"] = np.full(len(some), sample)
    values |= {"ra": ra, "dec": dec, **{name: one[some] for name, one in columns.items()}}
    return figure_data(
        {**values, "n_detections": count[some]},
        {"deg": ("ra", "dec"), "mag": tuple(columns)},
        dict.fromkeys(("ra", "dec"), "middle of the cell"),
    )


def _said_of_sample(name: str, data: RunData, mask: BoolArray) -> str:
    low, middle, high = np.quantile(data.star("extinction")[mask], [0.05, 0.5, 0.95])
    return (
        f"{name}: {int(mask.sum())} detections, median E {middle:.2f} mag, nine tenths from"
        f" {low:.2f} to {high:.2f}"
    )
