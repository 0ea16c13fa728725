"""Figure 4 of a run: colour excess against extinction, and the law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table, vstack
from matplotlib.axes import Axes

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import (
    CELLS,
    TAIL,
    colour_label,
    count_plane,
    equal_bins,
    plain_colour,
    ratio,
)
from scrframe.report.style import COLOURS, MARKERS, house_style, new_figure
from scrframe.statistics.groups import group_counts, group_medians, group_spreads
from scrframe.statistics.robust import robust_sd

#: Bins of C0 with a slope each, and the fewest detections in one.
SLOPE_BINS, SLOPE_LEAST = 16, 100
#: Fewest detections of a field in a bin that give a slope.
GROUP_LEAST = 5
#: Residuals beyond this many standard deviations are left out of the slopes.
CLIP_SIGMA = 4.0


@dataclass(frozen=True)
class ColourSlopes:
    """Slopes of the colour excess on E in bins of intrinsic colour, one row a bin."""

    #: Mean C0 and mean E of the bin. Shape (b,).
    colour0_mag: FloatArray
    extinction_mag: FloatArray
    #: Slope in mag per unit E, see `colour_slopes`, and its error. Shape (b,).
    slope: FloatArray
    err: FloatArray
    #: The law's own slope, fitted to R E of the same detections, and the error of R. Shape (b,).
    law: FloatArray
    law_err: FloatArray
    #: Shape (b,).
    detections: IntArray


def colour_slopes(data: RunData, rows: IntArray) -> ColourSlopes:
    """Fit the slope of the colour excess on E in bins of C0, as the law's own fit does.

    Each field (else each visit) has an intercept and a slope of its own in each bin; the bin's
    slope is their mean, weighted by the inverse variances that noise and the variation of slopes
    between fields, where the law has it, give.

    `rows`, shape (m,), are detections that take part, with finite E, C0 and residuals; those whose
    residual is an outlier are left out, and others count by their robust weight.
    """
    residual = data.residual[rows]
    middle = np.median(residual)
    sigma = robust_sd(residual)
    rows = rows[np.abs(residual - middle) <= max(CLIP_SIGMA * sigma, 1e-12)]
    e, c = data.star("extinction")[rows], data.star("colour0")[rows]
    by_law = data.law.ratio(c, e) * e
    bins = max(1, min(SLOPE_BINS, len(rows) // SLOPE_LEAST))
    code, _ = equal_bins(c, bins)
    bins = int(code.max()) + 1
    group, groups = _groups(data, rows)
    part = code * groups + group
    weight = data.weight[rows]
    parts = np.full(bins * groups, np.nan), np.full(bins * groups, np.nan)
    for values, one in zip(parts, (by_law - data.residual[rows], by_law), strict=True):
        one_slope, sxx = _lines(part, e, one, weight, bins * groups)
        values[:] = one_slope
    many = np.bincount(part, weight > 0, bins * groups) >= GROUP_LEAST
    own = 0.0 if data.law.slopes is None else data.law.slopes.sd
    usable = many & (sxx > 0)
    variance = max(sigma, 1e-9) ** 2 / np.where(usable, sxx, 1.0) + own**2
    share = np.where(usable, 1 / variance, 0.0).reshape(bins, groups)
    total = share.sum(axis=1)
    slope, law = (
        ratio(np.sum(share * np.nan_to_num(values).reshape(bins, groups), axis=1), total)
        for values in parts
    )
    detections = np.bincount(code, minlength=bins)
    colour0, extinction = (ratio(np.bincount(code, values), detections) for values in (c, e))
    law_err = np.sqrt(data.law.variance(colour0, extinction))
    err = np.sqrt(ratio(np.ones(bins), total))
    return ColourSlopes(colour0, extinction, slope, err, law, law_err, detections)


def _lines(
    code: IntArray, x: FloatArray, y: FloatArray, weight: FloatArray, groups: int
) -> tuple[FloatArray, FloatArray]:
    """Return the least-squares slope of each group, with an intercept each, and Sxx."""
    total = np.bincount(code, weight, groups)
    x_off = x - ratio(np.bincount(code, weight * x, groups), total)[code]
    pull = weight * np.nan_to_num(x_off)
    sxx = np.asarray(np.bincount(code, pull * np.nan_to_num(x_off), groups), dtype=np.float64)
    return ratio(np.bincount(code, pull * y, groups), sxx), sxx


def _groups(data: RunData, rows: IntArray) -> tuple[IntArray, int]:
    """Return the field, or else the visit, of detections and the number of these."""
    visit = data.visit_code[rows].astype(np.int64)
    if len(data.fields) < 2:
        return visit, len(data.visits)
    names, field = np.unique(data.visit_table.field, return_inverse=True)
    return field[visit].astype(np.int64), len(names)


#: Fewest detections that show the reddening.
FEWEST = 500


#: Bins along E, the percentiles of C0 about which two slices lie, and their half width.
EXTINCTION_BINS, SLICES, SLICE = 10, (10, 90), 10


def figure_reddening(data: RunData) -> FigureProduct | None:
    """Draw colour excess against E, and its slope against colour, with the law (Fig. 4).

    None of hardly any detections, or where all have the same E.
    """
    extinction, colour0 = data.star("extinction"), data.star("colour0")
    rows = np.flatnonzero(
        data.in_solve & np.isfinite(data.residual) & np.isfinite(extinction) & np.isfinite(colour0)
    )
    if len(rows) < FEWEST or np.ptp(extinction[rows]) == 0:
        return None
    e, c = extinction[rows], colour0[rows]
    excess = data.law.ratio(c, e) * e - data.residual[rows]
    slopes = colour_slopes(data, rows)
    middle = float(np.median(e))
    unit = "fields" if len(data.fields) > 1 else "visits"
    excess_label = f"$E$({colour_label(data)})"
    with house_style():
        figure = new_figure(4.4)
        above, below = figure.subplots(2, 1, height_ratios=[1.25, 1])
        reach = [np.quantile(values, [0, 1 - 2 * TAIL]) for values in (e, excess)]
        reach[1][0] = np.quantile(excess, 2 * TAIL)
        edges = [np.linspace(low, high, CELLS + 1) for low, high in reach]
        count_plane(above, e, excess, edges[0], edges[1], "detections in a cell", "Greys")
        parts = _slices(above, data, e, c, excess)
        above.set_xlabel("extinction $E$ (mag)")
        above.set_ylabel(f"{excess_label} (mag)")
        above.legend(loc="upper left")
        law = _law(below, data, slopes, middle, np.quantile(c, [0.005, 0.995]))
        below.set_xlabel(f"intrinsic colour {colour_label(data, '_0')} (mag)")
        below.set_ylabel(f"$R$ = {excess_label}$/E$")
    pull = np.abs(slopes.slope - slopes.law) / slopes.err
    pull = pull[np.isfinite(pull)]
    departs = (
        f"the slopes of {len(pull)} bins of colour depart from it by at most {pull.max():.1f} of"
        " their errors"
        if len(pull)
        else f"no bin of colour has {unit} with enough detections for a slope of its own"
    )
    return FigureProduct(
        "reddening",
        "Reddening and its law",
        f"Above: colour excess E({plain_colour(data)}) of the detections (calibrated less reference"
        " magnitude less intrinsic colour) against extinction E, as counts; points: medians in bins"
        " of E of the bluest and the reddest fifth of the stars with bars of the residuals' spread,"
        " lines: the law for these. Below: slope of the excess on E in bins of intrinsic colour,"
        f" each the mean of the slopes within single {unit}, weighted by noise and by how much"
        f" these vary, and the fitted law R at the median E of {middle:.2f} mag with its error"
        " band.",
        f"Colour excess grows with E along the law. R at the median E goes from {law[0]:.3f} for"
        f" the bluest to {law[1]:.3f} for the reddest stars shown; {departs}.",
        figure,
        _reddening_table(slopes, parts),
    )


def _slices(
    axes: Axes, data: RunData, e: FloatArray, c: FloatArray, excess: FloatArray
) -> list[Table]:
    """Draw medians along E of the bluest and reddest stars, and the law for them."""
    tables = []
    for number, percentile in enumerate(SLICES):
        low, high = np.percentile(c, [percentile - SLICE, percentile + SLICE])
        here = (c >= low) & (c <= high)
        colour = float(np.median(c[here]))
        code, _ = equal_bins(e[here], EXTINCTION_BINS)
        bins = int(code.max()) + 1
        middle = group_medians(excess[here], code, bins)
        count = group_counts(excess[here], code, bins)
        # Of the residuals: within a wide bin the excess itself changes.
        residual = excess[here] - data.law.ratio(c[here], e[here]) * e[here]
        spread = group_spreads(residual, code, group_medians(residual, code, bins))
        centre = group_medians(e[here], code, bins)
        line = np.linspace(0, max(float(centre[-1]), 1e-6), 50)
        axes.errorbar(
            centre,
            middle,
            spread,
            fmt=MARKERS[number],
            ms=3,
            elinewidth=0.7,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"${colour_label(data, '_0').strip('$')}$ = {colour:.2f}",
            color=COLOURS[number],
            zorder=4,
        )
        ratio = data.law.ratio(np.full(len(line), colour), line)
        axes.plot(line, ratio * line, "-" if number else "--", color=COLOURS[number], zorder=4)
        columns = {
            "kind": np.full(bins, "excess"),
            "colour0": np.full(bins, colour),
            "extinction": centre,
            "value": middle,
            "spread": spread,
            "law": data.law.ratio(np.full(bins, colour), centre) * centre,
            "n_detections": count,
        }
        tables.append(Table(columns))
    return tables


def _law(
    axes: Axes, data: RunData, slopes: ColourSlopes, extinction: float, reach: FloatArray
) -> tuple[float, float]:
    """Draw R with its band and the slopes; return R at the ends."""
    line = np.linspace(reach[0], reach[1], 200)
    at = np.full(len(line), extinction)
    ratio, err = data.law.ratio(line, at), np.sqrt(data.law.variance(line, at))
    axes.fill_between(line, ratio - err, ratio + err, color=COLOURS[4], alpha=0.45, lw=0)
    axes.plot(line, ratio, color=COLOURS[0], label="law")
    axes.errorbar(
        slopes.colour0_mag,
        slopes.slope,
        slopes.err,
        fmt="s",
        ms=2.8,
        color=COLOURS[1],
        elinewidth=0.7,
        label="slope of each bin",
        zorder=4,
    )
    axes.legend(loc="upper left")
    return float(ratio[0]), float(ratio[-1])


def _reddening_table(slopes: ColourSlopes, parts: list[Table]) -> Table:
    bins = len(slopes.slope)
    table = figure_data(
        {
            "kind": np.full(bins, "slope"),
            "colour0": slopes.colour0_mag,
            "extinction": slopes.extinction_mag,
            "value": slopes.slope,
            "spread": slopes.err,
            "law": slopes.law,
            "n_detections": slopes.detections,
        },
        {"mag": ("colour0", "extinction", "value", "spread", "law")},
        {
            "kind": "slope: R, per unit E, in a bin of C0; excess: in a bin of E",
            "spread": "error of a slope; 1.4826 MAD of the residuals",
            "law": "the fitted law for the same",
        },
    )
    return vstack([table, *parts])
