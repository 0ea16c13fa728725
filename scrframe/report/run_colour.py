"""Figures 3 and 4 of a run: predicted against observed colour, and reddening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from scrframe.report.figure import FigureProduct
from scrframe.report.panels import note
from scrframe.report.run_bins import MAD_TO_SIGMA, equal_bins, group_medians, group_spreads
from scrframe.report.run_data import BoolArray, FloatArray, IntArray, RunData
from scrframe.report.style import COLOURS, MARKERS, house_style, new_figure

MMAG = 1000.0
#: Fewest stars that judge predicted colours, and fewest detections that show the reddening.
FEWEST, FEWEST_REDDENED = 20, 500
#: Cells along each axis of a plane of counts, and the share of values left out at its ends.
CELLS, TAIL = 90, 0.0005
#: Bins of residuals along predicted colour.
COLOUR_BINS = 15
#: Bins along E, the percentiles of C0 about which two slices lie, and their half width.
EXTINCTION_BINS, SLICES, SLICE = 10, (10, 90), 10
#: Bins of C0 with a slope each, and the fewest detections in one.
SLOPE_BINS, SLOPE_LEAST = 16, 100
#: Fewest detections of a field in a bin that give a slope.
GROUP_LEAST = 5
#: Residuals beyond this many standard deviations are left out of the slopes.
CLIP_SIGMA = 4.0


def figure_predicted_colour(data: RunData) -> FigureProduct | None:
    """Draw predicted against observed intrinsic colour of the stars that judge (Fig. 3).

    Parameters
    ----------
    data : RunData

    Returns
    -------
    FigureProduct or None
        Of the test stars; of all control stars where a run of an earlier version does not
        tell them. None of hardly any.
    """
    told = data.has("in_test") and bool(data.star("in_test").any())
    stars = judged_stars(data, data.star("in_test") if told else data.star("in_control"))
    observed, predicted = stars.observed_mag, stars.predicted_mag
    if len(observed) < FEWEST:
        return None
    difference = predicted - observed
    r2 = 1 - float(np.sum(difference**2) / np.sum((observed - observed.mean()) ** 2))
    sd = MMAG * float(difference.std())
    mad = MMAG * MAD_TO_SIGMA * float(np.median(np.abs(difference - np.median(difference))))
    low, high = np.quantile(np.concatenate([observed, predicted]), [TAIL, 1 - TAIL])
    margin = 0.04 * (high - low)
    edges = np.linspace(low - margin, high + margin, CELLS + 1)
    code, _ = equal_bins(predicted, COLOUR_BINS)
    bins = int(code.max()) + 1
    middle, _ = group_medians(code, difference, bins)
    spread = group_spreads(code, difference, middle)
    centre, _ = group_medians(code, predicted, bins)
    colour = _label(data, "_0")
    who = "test stars" if told else "control stars"
    with house_style():
        figure = new_figure(4.3)
        plane, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
        _counts(plane, predicted, observed, edges, edges, f"{who} in a cell")
        plane.plot(edges[[0, -1]], edges[[0, -1]], color=COLOURS[1], lw=0.9, ls="--")
        plane.set_ylabel(f"observed {colour} (mag)")
        note(
            plane,
            [f"$r^2$ = {r2:.4f}", f"sd {sd:.1f} mmag", f"MAD {mad:.1f} mmag", f"{len(observed):,}"
             f" {who}"],
        )  # fmt: skip
        below.axhline(0, color=COLOURS[1], lw=0.9, ls="--")
        below.errorbar(
            centre, MMAG * middle, MMAG * spread, fmt="o", ms=2.5, color=COLOURS[0], elinewidth=0.7
        )
        below.set_xlabel(f"predicted {colour} (mag)")
        below.set_ylabel("pred. \N{MINUS SIGN} obs. (mmag)")
    test = data.summary.get("colour_model", {}).get("test", {})
    own = ""
    if {"r2", "dispersion_mag"} <= set(test):
        own = (
            f" With magnitudes corrected for visits only, as while training, the run found r2"
            f" {test['r2']:.4f} and {MMAG * test['dispersion_mag']:.1f} mmag."
        )
    return FigureProduct(
        "predicted_colour",
        "Predicted against observed colour",
        f"Intrinsic colour {_plain(data, '_0')} of {who}, observed (calibrated magnitude,"
        " dereddened) against predicted by a model that they did not train; dashed: equality."
        " Below: medians of predicted less observed in bins of like numbers, bars of 1.4826 times"
        f" the median absolute deviation. MAD is the same for all.{own}",
        f"Observed against predicted intrinsic colour of {len(observed)} {who}: r2 {r2:.4f},"
        f" standard deviation of the difference {sd:.1f} mmag, robust {mad:.1f} mmag. The medians"
        f" in bins go from {MMAG * np.nanmin(middle):.1f} to {MMAG * np.nanmax(middle):.1f} mmag.",
        figure,
        _star_table(stars),
    )


@dataclass(frozen=True)
class JudgedStars:
    """Stars with observed and predicted intrinsic colours.

    Attributes
    ----------
    source_id : ndarray of int64, shape (s,)
    observed_mag : ndarray, shape (s,)
        Mean over detections of (calibrated less reference magnitude) less R E, weighted by
        the inverse square of the photometric errors.
    predicted_mag : ndarray, shape (s,)
        C0.
    detections : ndarray of int64, shape (s,)
    """

    source_id: IntArray
    observed_mag: FloatArray
    predicted_mag: FloatArray
    detections: IntArray


def judged_stars(data: RunData, mask: BoolArray) -> JudgedStars:
    """Return observed and predicted colours of the stars of some control detections.

    Parameters
    ----------
    data : RunData
    mask : ndarray of bool, shape (n,)
        Detections; of these count the ones of the Control Sample that took part.
    """
    error = data.star("mag_err")
    kept = mask & data.star("in_control") & data.in_solve
    rows = np.flatnonzero(kept & np.isfinite(data.residual) & (error > 0))
    colour0 = data.star("colour0")[rows]
    # Calibrated magnitude less reference less R E is C0 less the residual (paper, Eq. 2).
    value = colour0 - data.residual[rows]
    source, first, star = np.unique(
        data.star("source_id")[rows], return_index=True, return_inverse=True
    )
    weight = error[rows] ** -2.0
    total = np.bincount(star, weight, len(source))
    observed = np.bincount(star, weight * value, len(source)) / total
    detections = np.bincount(star, minlength=len(source))
    return JudgedStars(source, observed, colour0[first], detections)


def figure_reddening(data: RunData) -> FigureProduct | None:
    """Draw colour excess against E, and its slope against colour, with the law (Fig. 4).

    Parameters
    ----------
    data : RunData

    Returns
    -------
    FigureProduct or None
        None of hardly any detections, or where all have the same E.
    """
    extinction, colour0 = data.star("extinction"), data.star("colour0")
    rows = np.flatnonzero(
        data.in_solve & np.isfinite(data.residual) & np.isfinite(extinction) & np.isfinite(colour0)
    )
    if len(rows) < FEWEST_REDDENED or np.ptp(extinction[rows]) == 0:
        return None
    e, c = extinction[rows], colour0[rows]
    excess = data.law.ratio(c, e) * e - data.residual[rows]
    slopes = colour_slopes(data, rows)
    middle = float(np.median(e))
    unit = "fields" if len(data.fields) > 1 else "visits"
    excess_label = f"$E$({_label(data)})"
    with house_style():
        figure = new_figure(4.4)
        above, below = figure.subplots(2, 1, height_ratios=[1.25, 1])
        reach = [np.quantile(values, [0, 1 - 2 * TAIL]) for values in (e, excess)]
        reach[1][0] = np.quantile(excess, 2 * TAIL)
        edges = [np.linspace(low, high, CELLS + 1) for low, high in reach]
        _counts(above, e, excess, edges[0], edges[1], "detections in a cell", "Greys")
        parts = _slices(above, data, e, c, excess)
        above.set_xlabel("extinction $E$ (mag)")
        above.set_ylabel(f"{excess_label} (mag)")
        above.legend(loc="upper left")
        law = _law(below, data, slopes, middle, np.quantile(c, [0.005, 0.995]))
        below.set_xlabel(f"intrinsic colour {_label(data, '_0')} (mag)")
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
        f"Above: colour excess E({_plain(data)}) of the detections (calibrated less reference"
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


@dataclass(frozen=True)
class ColourSlopes:
    """Slopes of the colour excess on E in bins of intrinsic colour, one row a bin.

    Attributes
    ----------
    colour0_mag, extinction_mag : ndarray, shape (b,)
        Mean C0 and mean E of the bin.
    slope, err : ndarray, shape (b,)
        Slope in mag per unit E, see `colour_slopes`, and its error.
    law, law_err : ndarray, shape (b,)
        The law's own slope, fitted to R E of the same detections, and the error of R.
    detections : ndarray of int64, shape (b,)
    """

    colour0_mag: FloatArray
    extinction_mag: FloatArray
    slope: FloatArray
    err: FloatArray
    law: FloatArray
    law_err: FloatArray
    detections: IntArray


def colour_slopes(data: RunData, rows: IntArray) -> ColourSlopes:
    """Fit the slope of the colour excess on E in bins of C0, as the law's own fit does.

    Each field (else each visit) has an intercept and a slope of its own in each bin; the bin's
    slope is their mean, weighted by the inverse variances that noise and the variation of
    slopes between fields, where the law has it, give.

    Parameters
    ----------
    data : RunData
    rows : ndarray of int, shape (m,)
        Detections that take part, with finite E, C0 and residuals; those whose residual is
        an outlier are left out, and others count by their robust weight.
    """
    residual = data.residual[rows]
    middle = np.median(residual)
    sigma = MAD_TO_SIGMA * np.median(np.abs(residual - middle))
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
        _ratio(np.sum(share * np.nan_to_num(values).reshape(bins, groups), axis=1), total)
        for values in parts
    )
    detections = np.bincount(code, minlength=bins)
    colour0, extinction = (_ratio(np.bincount(code, values), detections) for values in (c, e))
    law_err = np.sqrt(data.law.variance(colour0, extinction))
    err = np.sqrt(_ratio(np.ones(bins), total))
    return ColourSlopes(colour0, extinction, slope, err, law, law_err, detections)


def _ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> FloatArray:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _lines(
    code: IntArray, x: FloatArray, y: FloatArray, weight: FloatArray, groups: int
) -> tuple[FloatArray, FloatArray]:
    """Return the least-squares slope of each group, with an intercept each, and Sxx."""
    total = np.bincount(code, weight, groups)
    x_off = x - _ratio(np.bincount(code, weight * x, groups), total)[code]
    pull = weight * np.nan_to_num(x_off)
    sxx = np.asarray(np.bincount(code, pull * np.nan_to_num(x_off), groups), dtype=np.float64)
    return _ratio(np.bincount(code, pull * y, groups), sxx), sxx


def _groups(data: RunData, rows: IntArray) -> tuple[IntArray, int]:
    """Return the field, or else the visit, of detections and the number of these."""
    visit = data.visit_code[rows].astype(np.int64)
    if len(data.fields) < 2:
        return visit, len(data.visits)
    names, field = np.unique(data.visit_table.field, return_inverse=True)
    return field[visit].astype(np.int64), len(names)


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
        middle, count = group_medians(code, excess[here], bins)
        # Of the residuals: within a wide bin the excess itself changes.
        residual = excess[here] - data.law.ratio(c[here], e[here]) * e[here]
        spread = group_spreads(code, residual, group_medians(code, residual, bins)[0])
        centre, _ = group_medians(code, e[here], bins)
        line = np.linspace(0, max(float(centre[-1]), 1e-6), 50)
        axes.errorbar(
            centre, middle, spread, fmt=MARKERS[number], ms=3, elinewidth=0.7,
            markeredgecolor="white", markeredgewidth=0.4,
            label=f"${_label(data, '_0').strip('$')}$ = {colour:.2f}",
            color=COLOURS[number], zorder=4,
        )  # fmt: skip
        ratio = data.law.ratio(np.full(len(line), colour), line)
        axes.plot(line, ratio * line, "-" if number else "--", color=COLOURS[number], zorder=4)
        table = Table({"kind": np.full(bins, "excess")})
        table["colour0"], table["extinction"] = np.full(bins, colour), centre
        table["value"], table["spread"] = middle, spread
        table["law"] = data.law.ratio(np.full(bins, colour), centre) * centre
        table["n_detections"] = count
        tables.append(table)
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
        slopes.colour0_mag, slopes.slope, slopes.err, fmt="s", ms=2.8, color=COLOURS[1],
        elinewidth=0.7, label="slope of each bin", zorder=4,
    )  # fmt: skip
    axes.legend(loc="upper left")
    return float(ratio[0]), float(ratio[-1])


def _counts(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    x_edges: FloatArray,
    y_edges: FloatArray,
    label: str,
    cmap: str | None = None,
) -> None:
    count = np.histogram2d(x, y, [x_edges, y_edges])[0]
    mesh = axes.pcolormesh(
        x_edges, y_edges, np.where(count > 0, count, np.nan).T, cmap=cmap,
        norm=LogNorm(1, max(2.0, float(count.max()))), rasterized=True,
    )  # fmt: skip
    axes.figure.colorbar(mesh, ax=axes, label=label, pad=0.02)


def _label(data: RunData, index: str = "") -> str:
    """Return the colour for an axis, such as $(u - G_BP)_0$."""
    name, _, below = data.reference_band.partition("_")
    reference = rf"{name}_{{\rm {below}}}" if below else rf"{{\rm {name}}}"
    colour = rf"{{\rm {data.band}}} - {reference}"
    return f"$({colour}){index}$" if index else f"${colour}$"


def _plain(data: RunData, index: str = "") -> str:
    colour = f"{data.band} - {data.reference_band}"
    return f"({colour}){index}" if index else colour


def _star_table(stars: JudgedStars) -> Table:
    table = Table({"source_id": stars.source_id})
    table["predicted"] = stars.predicted_mag * u.mag
    table["observed"] = stars.observed_mag * u.mag
    table["n_detections"] = stars.detections
    table["predicted"].description = "intrinsic colour as predicted"
    table["observed"].description = "intrinsic colour as observed, mean of the detections"
    return table


def _reddening_table(slopes: ColourSlopes, parts: list[Table]) -> Table:
    from astropy.table import vstack  # noqa: PLC0415 - beside its only use

    bins = len(slopes.slope)
    table = Table({"kind": np.full(bins, "slope")})
    table["colour0"], table["extinction"] = slopes.colour0_mag, slopes.extinction_mag
    table["value"], table["spread"] = slopes.slope, slopes.err
    table["law"], table["n_detections"] = slopes.law, slopes.detections
    whole = vstack([table, *parts])
    for name in ("colour0", "extinction", "value", "spread", "law"):
        whole[name].unit = u.mag
    whole["kind"].description = "slope: R, per unit E, in a bin of C0; excess: in a bin of E"
    whole["spread"].description = "error of a slope; 1.4826 MAD of the residuals"
    whole["law"].description = "the fitted law for the same"
    return whole
