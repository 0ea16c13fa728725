"""Figures of a comparison that show single stars: predictions, scatter, errors, the sky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.colors import LogNorm

from scrframe.analysis.compare.result import Comparison, ResidualTable, judged
from scrframe.analysis.compare.scores import disperse
from scrframe.arrays import FloatArray
from scrframe.report import style
from scrframe.report.figure import FigureProduct
from scrframe.statistics.robust import robust_sd

#: Cells along each axis of predicted against observed.
CELLS = 72
#: Share of observed colours left out at either end of predicted against observed, before
#: the axes are widened a little.
TAIL = 0.0005
#: Bins of like numbers of stars, and the fewest stars in one.
BINS, BIN_STARS = 12, 30
#: Stars that a sky cell holds on average, the fewest it shows a mean of, the most cells a side.
SKY_STARS, SKY_LEAST, SKY_SIDE = 40, 10, 36
#: From mag, the unit of all products, to mmag, the unit of axes.
MMAG = 1000.0


def predicted_figure(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> FigureProduct | None:
    """Draw predicted against observed colour, a panel for each backend."""
    tables = with_stars(comparison, residuals)
    if not tables:
        return None
    # Axes follow what was observed: a backend that is far off must not shrink the others.
    low, high = np.nanquantile(next(iter(tables.values())).observed_mag, [TAIL, 1 - TAIL])
    edges = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), CELLS + 1)
    counts = {
        name: np.histogram2d(one.observed_mag, one.predicted_mag, edges)[0]
        for name, one in tables.items()
    }
    scores = {name: disperse(one.predicted_mag, one.observed_mag) for name, one in tables.items()}
    with style.house_style():
        figure, panels = style.panel_grid(len(tables), 1.75)
        norm = LogNorm(1, max(2.0, *(count.max() for count in counts.values())))
        for axes, (name, count) in zip(panels, counts.items(), strict=True):
            mesh = axes.pcolormesh(
                edges, edges, np.where(count > 0, count, np.nan).T, norm=norm, rasterized=True
            )
            axes.plot(edges[[0, -1]], edges[[0, -1]], color=style.INK, lw=0.6, ls="--")
            style.name_panel(axes, name)
            axes.set_aspect("equal")
            score = scores[name]
            lines = [f"sd {MMAG * score.sd_mag:.1f} mmag", f"MAD {MMAG * score.mad_mag:.1f}"]
            style.note(axes, [*lines, f"$r^2$ {score.r2:.3f}"])
        figure.supxlabel("observed colour (mag)", fontsize=7.5)
        figure.supylabel("predicted colour (mag)", fontsize=7.5)
        figure.colorbar(mesh, ax=panels, location="top", label="stars in a cell", aspect=40)
    shown = {name: int(count.sum()) for name, count in counts.items()}
    beyond = max(len(one.observed_mag) - shown[name] for name, one in tables.items())
    middle = (edges[:-1] + edges[1:]) / 2
    parts = {}
    for name, count in counts.items():
        row, column = np.nonzero(count)
        parts[name] = {
            "observed_mag": middle[row],
            "predicted_mag": middle[column],
            "stars": count[row, column].astype(np.int64),
        }
    first = next(iter(tables.values()))
    spread = listed([f"{name} {MMAG * score.sd_mag:.1f}" for name, score in scores.items()])
    return FigureProduct(
        "predicted_observed",
        "Predicted against observed colour",
        f"Intrinsic colour of {len(first.observed_mag):,} control stars, each predicted while it"
        " was held out with its cell of the sky, one seed. The dashed line is equality;"
        f" MAD is 1.4826 times the median absolute deviation. Cells are {edges[1] - edges[0]:.3f}"
        f" mag wide; at most {beyond} stars of a backend lie outside the axes.",
        f"Two-dimensional histograms of predicted against observed colour, one for each backend."
        f" Standard deviation of the residual in mmag: {spread}.",
        figure,
        stacked(parts, {"observed_mag": "mag", "predicted_mag": "mag", "stars": ""}),
    )


def scatter_figure(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> FigureProduct | None:
    """Draw the scatter of residuals against colour, magnitude and extinction."""
    tables = with_stars(comparison, residuals)
    axes_of = {
        "colour": "predicted colour (mag)",
        "reference_mag": "reference magnitude (mag)",
        "extinction": "extinction E (mag)",
    }
    parts = {name: _scatter(one, list(axes_of)) for name, one in tables.items()}
    if not any(len(part["centre_mag"]) for part in parts.values()):
        return None
    looks = styles(comparison)
    with style.house_style():
        figure, panels = style.panel_grid(len(axes_of), 1.25, columns=1, share=False)
        for axes, (variable, label) in zip(panels, axes_of.items(), strict=True):
            for name, part in parts.items():
                mine = part["variable"] == variable
                centre, scatter = part["centre_mag"][mine], MMAG * part["scatter_mag"][mine]
                axes.plot(centre, scatter, label=name, **looks[name])
            axes.set_xlabel(label)
            highest = max(float(part["scatter_mag"].max(initial=0)) for part in parts.values())
            axes.set_ylim(0, 1.12 * MMAG * highest)
        panels[len(panels) // 2].set_ylabel("scatter of the residual (mmag)")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=3)
    units = {"variable": "", "centre_mag": "mag", "scatter_mag": "mag", "stars": ""}
    return FigureProduct(
        "scatter",
        "Where the scatter is",
        "1.4826 times the median absolute deviation of the residual in bins of equal numbers of"
        " control stars, against the colour predicted by the reference backend, magnitude in the"
        " reference band and extinction. What rises for faint stars is noise; what rises at the"
        " ends in colour is want of training stars.",
        "Lines of residual scatter against predicted colour, reference magnitude and extinction,"
        f" for {listed(list(parts))}; the numbers are in the table of data.",
        figure,
        stacked(parts, units),
    )


def _scatter(table: ResidualTable, variables: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Return variable, centre, scatter and number of stars of all bins."""
    found: list[tuple[str, float, float, int]] = []
    for variable in variables:
        value, residual = getattr(table, variable), table.residual_mag
        good = np.isfinite(value) & np.isfinite(residual)
        order = np.argsort(value[good], kind="stable")
        value, residual = value[good][order], residual[good][order]
        bins = min(BINS, len(value) // BIN_STARS)
        for rows in np.array_split(np.arange(len(value)), bins) if bins else ():
            scatter = robust_sd(residual[rows])
            found.append((variable, float(np.median(value[rows])), scatter, len(rows)))
    names = ("variable", "centre_mag", "scatter_mag", "stars")
    kinds = (np.str_, np.float64, np.float64, np.int64)
    columns = zip(*found, strict=True) if found else ([] for _ in names)
    return {n: np.array(c, dtype=k) for n, c, k in zip(names, columns, kinds, strict=True)}


def sky_figure(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> FigureProduct | None:
    """Draw the mean residual in cells of the sky, a map for each backend."""
    tables = with_stars(comparison, residuals)
    if not tables:
        return None
    first = next(iter(tables.values()))
    middle, edges = _sky_edges(first.ra, first.dec)
    parts = {name: _sky_means(one, middle, edges) for name, one in tables.items()}
    errors = np.concatenate([part["err_mag"] for part in parts.values()])
    if not errors.size:
        return None
    limit = MMAG * style.shared_limit([part["mean_mag"] for part in parts.values()])
    stretch = 1 / float(np.cos(np.radians(first.dec.mean())))
    shape = stretch * float(np.ptp(edges[1]) / np.ptp(edges[0]))
    with style.house_style():
        figure, panels = style.panel_grid(len(tables), float(np.clip(1.45 * shape, 0.6, 2.2)) + 0.2)
        for axes, (name, part) in zip(panels, parts.items(), strict=True):
            image = np.full((len(edges[0]) - 1, len(edges[1]) - 1), np.nan)
            image[part["column"], part["row"]] = MMAG * part["mean_mag"]
            mesh = axes.pcolormesh(
                middle + edges[0],
                edges[1],
                image.T,
                cmap=style.SIGNED_MAP,
                vmin=-limit,
                vmax=limit,
                rasterized=True,
            )
            axes.set_facecolor("#e6e6e6")
            style.name_panel(axes, name)
            axes.set_xlim(middle + edges[0][-1], middle + edges[0][0])
            axes.set_aspect(stretch)
        figure.supxlabel("right ascension (deg)", fontsize=7.5)
        figure.supylabel("declination (deg)", fontsize=7.5)
        label = "mean residual (mmag)"
        figure.colorbar(mesh, ax=panels, location="top", label=label, aspect=40, extend="both")
    typical = MMAG * float(np.median(errors))
    rms = {
        name: MMAG * float(np.sqrt(np.mean(part["mean_mag"] ** 2))) for name, part in parts.items()
    }
    units = {"ra_deg": "deg", "dec_deg": "deg", "mean_mag": "mag", "err_mag": "mag", "stars": ""}
    side = float(edges[1][1] - edges[1][0])
    return FigureProduct(
        "sky",
        "Mean residual on the sky",
        f"Mean residual (predicted less observed colour) in cells of {side:.2f} deg with at least"
        f" {SKY_LEAST} control stars; grey where there are fewer. Chance alone scatters a typical"
        f" cell by {typical:.1f} mmag; what is patchy beyond it becomes an error of offsets.",
        "Maps of the mean residual by cell of the sky, one for each backend. Root mean square of"
        f" the cells in mmag, of which chance gives {typical:.1f}:"
        f" {listed([f'{name} {value:.1f}' for name, value in rms.items()])}.",
        figure,
        stacked(parts, units),
    )


def _sky_edges(ra: FloatArray, dec: FloatArray) -> tuple[float, tuple[FloatArray, FloatArray]]:
    """Return a middle RA, and edges of cells in RA about it and in Dec, about square."""
    angle = np.radians(ra)
    middle = float(np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360)
    offset = (ra - middle + 180) % 360 - 180
    shrink = float(np.cos(np.radians(dec.mean())))
    wide, high = max(float(np.ptp(offset)) * shrink, 1e-3), max(float(np.ptp(dec)), 1e-3)
    side = max(np.sqrt(wide * high * SKY_STARS / len(ra)), max(wide, high) / SKY_SIDE)
    across, up = (max(1, int(np.ceil(extent / side))) for extent in (wide, high))
    first = float(offset.min() + offset.max()) / 2 - across * side / shrink / 2
    base = float(dec.min() + dec.max()) / 2 - up * side / 2
    edges = first + side / shrink * np.arange(across + 1), base + side * np.arange(up + 1)
    return middle, edges


def _sky_means(
    table: ResidualTable, middle: float, edges: tuple[FloatArray, FloatArray]
) -> dict[str, npt.NDArray[Any]]:
    """Return place, mean, its error and number of stars of the cells with enough stars."""
    offset = (table.ra - middle + 180) % 360 - 180
    shape = (len(edges[0]) - 1, len(edges[1]) - 1)
    column = np.clip(np.searchsorted(edges[0], offset, side="right") - 1, 0, shape[0] - 1)
    row = np.clip(np.searchsorted(edges[1], table.dec, side="right") - 1, 0, shape[1] - 1)
    good = np.isfinite(table.residual_mag)
    cell, residual = (column * shape[1] + row)[good], table.residual_mag[good]
    size = shape[0] * shape[1]
    stars = np.bincount(cell, minlength=size)
    kept = np.flatnonzero(stars >= SKY_LEAST)
    stars = stars[kept]
    mean = np.bincount(cell, residual, size)[kept] / stars
    square = np.bincount(cell, residual**2, size)[kept] / stars
    column, row = np.divmod(kept, shape[1])
    return {
        "column": column,
        "row": row,
        "ra_deg": (middle + (edges[0][column] + edges[0][column + 1]) / 2) % 360,
        "dec_deg": (edges[1][row] + edges[1][row + 1]) / 2,
        "mean_mag": mean,
        "err_mag": np.sqrt(np.maximum(square - mean**2, 0) / (stars - 1)),
        "stars": stars.astype(np.int64),
    }


def styles(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return colour, marker and line of each backend for matplotlib, the same in all figures."""
    looks = [style.series_style(number) for number in range(len(comparison.backends))]
    return {
        one.name: {"color": look.colour, "marker": look.marker, "ls": look.line}
        for one, look in zip(comparison.backends, looks, strict=True)
    }


def with_stars(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> dict[str, ResidualTable]:
    """Return the residuals of the backends that have figures, in their order."""
    return {one.name: residuals[one.name] for one, _ in judged(comparison) if one.name in residuals}


def stacked(parts: Mapping[str, Mapping[str, npt.ArrayLike]], units: Mapping[str, str]) -> Table:
    """Return the arrays of all backends as one long table, led by a column `backend`.

    Parameters
    ----------
    parts : mapping of backend to mapping of column to array
    units : mapping of column to unit
        Of all columns, in their order.
    """
    columns = {
        name: np.concatenate([np.asarray(part[name]) for part in parts.values()]) for name in units
    }
    lengths = [len(np.asarray(next(iter(part.values())))) for part in parts.values()]
    table = Table({"backend": np.repeat(list(parts), lengths), **columns})
    for name, unit in units.items():
        table[name].unit = unit or None
    return table


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence."""
    return ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1] if items else ""
