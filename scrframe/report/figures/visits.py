"""Figures 5 and 6 of a run: offsets of visits on the sky and in time."""

from __future__ import annotations

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import ra_start, unwrap_ra
from scrframe.report.figures.sky import FEWEST, TAIL, ra_axis
from scrframe.report.style import (
    COLOURS,
    INK,
    MMAG,
    RULE,
    SIGNED_MAP,
    bar_above,
    house_style,
    new_figure,
    note,
)

#: What a column of offsets holds.
OFFSET = "correction, to be added to observed magnitudes"
#: From here on points are drawn as an image within PDF and SVG.
MANY = 500
#: How far the axis of scatter reaches, in medians.
FAR = 2.0
#: Bands that tell seasons apart, and the share of the axis that a season's name needs.
BAND, ROOM = "#efefef", 0.06


def figure_visit_sky(data: RunData) -> FigureProduct | None:
    """Draw the offsets of visits on the sky (Fig. 5), and against right ascension.

    None of fewer than two visits with an offset.
    """
    visits = data.visit_table
    rows = np.flatnonzero(
        np.isfinite(visits.offset_mag) & np.isfinite(visits.ra_deg) & np.isfinite(visits.dec_deg)
    )
    if len(rows) < FEWEST:
        return None
    ra = unwrap_ra(visits.ra_deg[rows], ra_start(visits.ra_deg[rows]))
    offset = MMAG * visits.offset_mag[rows]
    err = MMAG * np.nan_to_num(visits.err_mag[rows])
    low, high = np.quantile(offset, [TAIL, 1 - TAIL])
    limit = max(abs(low), abs(high)) or 1.0
    size = float(np.clip(3000 / len(rows), 4, 24))
    with house_style():
        figure = new_figure(3.6)
        sky, against = figure.subplots(2, 1, sharex=True, height_ratios=[1.25, 1])
        # The largest last: what stands out must not be hidden by a neighbour.
        order = np.argsort(np.abs(offset), kind="stable")
        points = sky.scatter(
            ra[order],
            visits.dec_deg[rows][order],
            c=offset[order],
            s=size,
            cmap=SIGNED_MAP,
            vmin=-limit,
            vmax=limit,
            edgecolors=INK,
            linewidths=0.25,
            rasterized=len(rows) > MANY,
        )
        sky.set_ylabel("declination (deg)")
        bar_above(figure, points, sky, "offset of the visit (mmag)")
        against.axhline(0, color=RULE, lw=0.6)
        against.errorbar(
            ra,
            offset,
            err,
            fmt="o",
            ms=2,
            color=COLOURS[0],
            ecolor=RULE,
            elinewidth=0.5,
            rasterized=len(rows) > MANY,
        )
        against.set_ylabel("offset (mmag)")
        against.set_xlabel("right ascension (deg)")
        ra_axis(against)
    sd = float(np.std(offset))
    return FigureProduct(
        "visit_sky",
        "Visit offsets on the sky",
        f"Offsets of {len(rows)} visits, corrections to be added, where they point (above; visits"
        " of one field nearly cover each other) and against right ascension with their errors"
        " (below). Patches of one colour mean that the observed zero points depend on the"
        " region, or on when it was observed.",
        f"Map of the offsets of {len(rows)} visits and the same against right ascension: mean"
        f" {offset.mean():.1f} mmag, standard deviation {sd:.1f} mmag, from {offset.min():.1f} to"
        f" {offset.max():.1f} mmag.",
        figure,
        _sky_table(data, rows),
    )


def _sky_table(data: RunData, rows: IntArray) -> Table:
    visits = data.visit_table
    values = {
        "visit": np.array(visits.visit),
        "field": visits.field,
        "ra": visits.ra_deg,
        "dec": visits.dec_deg,
        "offset": visits.offset_mag,
        "offset_err": visits.err_mag,
        "n_detections": visits.count,
    }
    return figure_data(
        {name: column[rows] for name, column in values.items()},
        {"deg": ("ra", "dec"), "mag": ("offset", "offset_err")},
        {"offset": OFFSET},
    )


def figure_visit_time(data: RunData) -> FigureProduct | None:
    """Draw offset and scatter of visits against date, with their seasons (Fig. 6).

    None of fewer than two dated visits with an offset.
    """
    visits = data.visit_table
    rows = np.flatnonzero(np.isfinite(visits.offset_mag) & np.isfinite(visits.mjd))
    if len(rows) < FEWEST:
        return None
    rows = rows[np.argsort(visits.mjd[rows], kind="stable")]
    table = _table(data, rows)
    mjd, offset = np.asarray(table["mjd"]), MMAG * np.asarray(table["offset"])
    scatter = MMAG * np.asarray(table["scatter"])
    mean, sd = float(offset.mean()), float(offset.std())
    with house_style():
        figure = new_figure(3.3)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.3, 1])
        _offsets(above, mjd, offset, MMAG * np.nan_to_num(np.asarray(table["offset_err"])))
        for value, line in ((mean, "--"), (mean - sd, ":"), (mean + sd, ":")):
            above.axhline(value, color=COLOURS[1], lw=0.8, ls=line, zorder=3)
        note(above, [f"mean {mean:.1f} mmag, sd {sd:.1f} mmag"], "lower left")
        above.set_ylabel("offset of the visit (mmag)")
        middle = float(np.nanmedian(scatter)) if np.isfinite(scatter).any() else np.nan
        beyond = _scatter(below, mjd, scatter, middle)
        below.axhline(middle, color=COLOURS[1], lw=0.8, ls="--", zorder=3)
        note(below, [f"median {middle:.1f} mmag", *beyond], "lower left")
        below.set_ylabel("scatter within it (mmag)")
        below.xaxis.set_major_locator(MaxNLocator(6))
        below.set_xlabel("modified Julian date (d)")
        seasons = _seasons(above, below, mjd, np.asarray(table["season"]), offset)
    return FigureProduct(
        "visit_time",
        "Visit offsets in time",
        "Offsets of visits, corrections to be added, with their errors (above), and the standard"
        " deviation of model less observed magnitude within each visit (below), against date."
        " Dashed: mean of the offsets, and median of the scatter; dotted: one standard deviation of"
        " the offsets. Bands: observing seasons, October to September, named by the year in which"
        " they begin; black lines: their mean offsets.",
        f"Offsets of {len(rows)} visits in {seasons} seasons: mean {mean:.1f} mmag, standard"
        f" deviation {sd:.1f} mmag; the scatter within a visit has a median of {middle:.1f} mmag"
        f" and reaches {np.nanmax(scatter, initial=0):.1f} mmag.",
        figure,
        table,
    )


def _offsets(axes: Axes, mjd: FloatArray, offset: FloatArray, err: FloatArray) -> None:
    axes.errorbar(
        mjd,
        offset,
        err,
        fmt="o",
        ms=2.2,
        color=COLOURS[0],
        ecolor=RULE,
        elinewidth=0.5,
        rasterized=len(mjd) > MANY,
        zorder=4,
    )


def _scatter(axes: Axes, mjd: FloatArray, scatter: FloatArray, middle: float) -> list[str]:
    """Draw scatter against date; what is far beyond the usual stands as a triangle at the top."""
    top = FAR * middle if middle > 0 else 1.0
    far = scatter > top
    many = len(mjd) > MANY
    axes.plot(mjd[~far], scatter[~far], "o", ms=2.2, color=COLOURS[0], rasterized=many, zorder=4)
    axes.plot(mjd[far], np.full(int(far.sum()), 0.94 * top), "^", ms=4, color=COLOURS[1], zorder=5)
    axes.set_ylim(0, top)
    return [f"triangle: beyond, up to {scatter[far].max():.0f} mmag"] if far.any() else []


def _seasons(
    above: Axes, below: Axes, mjd: FloatArray, season: IntArray, offset: FloatArray
) -> int:
    """Shade every other season, draw and name each; return their number."""
    known = np.unique(season[season >= 0])
    reach = np.ptp(mjd) or 1.0
    above.set_xlim(mjd.min() - 0.03 * reach, mjd.max() + 0.03 * reach)
    left, right = above.get_xlim()
    for number, year in enumerate(known):
        here = season == year
        # 1 October of the season's year and of the next.
        first, last = (_october(int(year) + later) for later in (0, 1))
        if number % 2 == 0:
            for axes in (above, below):
                axes.axvspan(max(first, left), min(last, right), color=BAND, lw=0, zorder=0)
        ends = [max(first, left), min(last, right)]
        above.plot(ends, [offset[here].mean()] * 2, color=INK, lw=0.8, zorder=3)
        if ends[1] - ends[0] > ROOM * (right - left):
            above.text(
                0.5 * sum(ends),
                0.97,
                f"{year}",
                transform=above.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=6,
            )
    low, high = above.get_ylim()
    above.set_ylim(low - 0.12 * (high - low), high + 0.1 * (high - low))
    return len(known)


def _october(year: int) -> float:
    """Return the modified Julian date of 1 October of a year."""
    days = np.datetime64(f"{year}-10-01") - np.datetime64("1858-11-17")
    return float(days / np.timedelta64(1, "D"))


def _table(data: RunData, rows: IntArray) -> Table:
    visits = data.visit_table
    values = {
        "visit": np.array(visits.visit),
        "season": visits.season,
        "mjd": visits.mjd,
        "offset": visits.offset_mag,
        "offset_err": visits.err_mag,
        "scatter": visits.scatter_mag,
        "n_detections": visits.count,
    }
    return figure_data(
        {name: column[rows] for name, column in values.items()},
        {"d": ("mjd",), "mag": ("offset", "offset_err", "scatter")},
        {
            "season": "year in whose October the season begins; -1 without a date",
            "offset": OFFSET,
            "scatter": "standard deviation of model less observed within the visit",
        },
    )
