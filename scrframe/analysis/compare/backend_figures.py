"""Figures of a comparison by backend: differences, trends of residuals, errors, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.axes import Axes

from scrframe.analysis.compare.behaviour import Costs
from scrframe.analysis.compare.result import (
    Comparison,
    Difference,
    ResidualTable,
    judged,
    main_kind,
)
from scrframe.analysis.compare.scores import Coverage
from scrframe.analysis.compare.star_figures import MMAG, listed, stacked, styles, with_stars
from scrframe.report import style
from scrframe.report.figure import FigureProduct

#: Colour and marker of each verdict; "not told apart" is hollow.
VERDICTS = {
    "better": (style.COLOURS[0], "<"),
    "worse": (style.COLOURS[1], ">"),
    "not told apart": (style.RULE, "o"),
}
#: Rates are drawn in thousands a second.
THOUSAND = 1000.0
#: Bins of stated error, and the fewest stars in one.
ERROR_BINS, ERROR_STARS = 8, 50
#: Names of variables on axes, with their units.
VARIABLES = {
    "predicted_colour": ("predicted colour", "mag"),
    "reference_mag": ("reference magnitude", "mag"),
    "extinction": ("extinction E", "mag"),
    "ra": ("right ascension", "deg"),
    "dec": ("declination", "deg"),
    "xp_snr": ("S/N of the spectrum", ""),
}
LEVELS = {"ccd": "CCD x visit"}


def difference_figure(comparison: Comparison) -> FigureProduct | None:
    """Draw the differences against the reference backend with their intervals."""
    results = [one for one, _ in judged(comparison) if one.against_reference]
    keys = list(dict.fromkeys(key for one in results for key in one.against_reference))
    if not keys:
        return None
    names = [one.name for one in results]
    with style.house_style():
        figure, panels = style.panel_grid(len(keys), 0.5 + 0.16 * len(names), share=False)
        for number, (axes, key) in enumerate(zip(panels, keys, strict=True)):
            found = [one.against_reference.get(key) for one in results]
            _forest(axes, found)
            axes.set_title(figure_name(key))
            axes.set_yticks(range(len(names)), names if number % 2 == 0 else [""] * len(names))
        figure.supxlabel(
            f"difference against {comparison.reference} (mmag); left is better", fontsize=7.5
        )
    rows = [
        (one.name, key, gap.value, gap.low, gap.high, gap.verdict)
        for key in keys
        for one in results
        if (gap := one.against_reference.get(key))
    ]
    columns = {
        "backend": ("", "first of the pair"),
        "figure": ("", "what is compared"),
        "difference_mag": ("mag", f"backend less {comparison.reference}; below zero is better"),
        "low_mag": ("mag", "lower end of the interval"),
        "high_mag": ("mag", "upper end of the interval"),
        "verdict": ("", "better, worse or not told apart"),
    }
    said = [f"{one.name} {_verdicts(list(one.against_reference.values()))}" for one in results]
    return FigureProduct(
        "differences",
        f"Differences against {comparison.reference}",
        "Each figure of merit less that of the reference backend on the same stars and folds,"
        " with its 95 per cent interval by paired bootstrap over cells of the sky or visits."
        " Triangles mark what is told apart, better to the left, worse to the right; circles what"
        " is not. An arrow at the edge marks a difference beyond the axis, with its value.",
        f"Forest plot of differences against {comparison.reference}. {'; '.join(said)}.",
        figure,
        table_of(rows, columns),
    )


def _forest(axes: Axes, found: Sequence[Difference | None]) -> None:
    """Draw a row for each difference, the first on top."""
    ends = [[MMAG * gap.low, MMAG * gap.high] for gap in found if gap]
    limit = 1.12 * style.shared_limit(ends)
    axes.axvline(0, color=style.RULE, lw=0.6)
    for row, gap in enumerate(found):
        if gap is None or not np.isfinite(gap.value):
            continue
        colour, marker = VERDICTS[gap.verdict]
        axes.plot([MMAG * gap.low, MMAG * gap.high], [row, row], color=colour, lw=1.1)
        value = MMAG * gap.value
        if abs(value) <= limit:
            face = "white" if gap.verdict == "not told apart" else colour
            axes.plot(value, row, marker, color=colour, markerfacecolor=face, markersize=4)
        else:
            edge, side = np.copysign(limit, value), "right" if value > 0 else "left"
            axes.plot(edge, row, marker, color=colour, markersize=4, clip_on=False)
            text = f"{value:+.0f}  " if value > 0 else f"  {value:+.0f}"
            axes.text(edge, row, text, color=colour, ha=side, va="center", fontsize=6)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _verdicts(gaps: Sequence[Difference]) -> str:
    counts = {verdict: sum(gap.verdict == verdict for gap in gaps) for verdict in VERDICTS}
    return ", ".join(f"{verdict} in {number}" for verdict, number in counts.items() if number)


def cost_figure(comparison: Comparison, costs: Sequence[Costs]) -> FigureProduct | None:
    """Draw dispersion against the time of training and the rate of prediction."""
    of = {one.backend: one for one in costs}
    points = [(one, score, of[one.name]) for one, score in judged(comparison) if one.name in of]
    if not points:
        return None
    looks = styles(comparison)
    with style.house_style():
        figure = style.new_figure(2.6)
        panels = figure.subplots(1, 2, sharey=True)
        for one, score, cost in points:
            look = looks[one.name] | {"ls": "none", "label": one.name}
            seeds = [MMAG * seed.sd_mag for seed in score.by_seed]
            spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else 0.0
            sd = MMAG * score.dispersion.sd_mag
            panels[0].errorbar(cost.fit_s, sd, spread, markersize=5, **look)
            panels[1].errorbar(cost.predict_per_s / THOUSAND, sd, spread, markersize=5, **look)
        for axes, label in zip(panels, ("training (s)", "stars predicted (1000 / s)"), strict=True):
            style.few_log_ticks(axes, "x")
            axes.set_xlabel(label)
            axes.margins(0.15)
        kind = main_kind(points[0][0])
        panels[0].set_ylabel(f"sd in {kind} folds (mmag)")
        spreads = [score.dispersion.sd_mag for _, score, _ in points]
        if max(spreads) > 4 * min(spreads):
            style.few_log_ticks(panels[0], "y")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)
    rows = [
        (one.name, score.dispersion.sd_mag, c.fit_s, c.predict_per_s, c.peak_memory_mb, c.model_mb)
        for one, score, c in points
    ]
    columns = {
        "backend": ("", ""),
        "sd_mag": ("mag", f"standard deviation of the residual in {kind} folds"),
        "fit_s": ("s", "training on all control stars"),
        "predict_per_s": ("1 / s", "stars predicted"),
        "peak_memory_mb": ("Mbyte", "peak memory"),
        "model_mb": ("Mbyte", "size of the pickled model"),
    }
    said = [
        f"{one.name} {MMAG * score.dispersion.sd_mag:.1f} mmag, trained in {cost.fit_s:.1f} s"
        for one, score, cost in points
    ]
    return FigureProduct(
        "costs",
        "What a smaller dispersion costs",
        "Standard deviation of the residual against seconds of training on all control stars, and"
        " against stars predicted in a second, both on logarithmic axes. Bars: scatter between"
        " seeds. Best is low, to the left in the first panel and to the right in the second.",
        f"Dispersion against cost: {listed(said)}.",
        figure,
        table_of(rows, columns),
    )


def trend_figures(comparison: Comparison) -> list[FigureProduct]:
    """Draw the mean residual against each variable that any backend has a trend of."""
    found = [figures.trends for _, figures in judged(comparison)]
    variables = list(dict.fromkeys(name for trends in found for name in trends))
    return [_trend_figure(comparison, variable) for variable in variables]


def _trend_figure(comparison: Comparison, variable: str) -> FigureProduct:
    trends = {
        one.name: figures.trends[variable]
        for one, figures in judged(comparison)
        if variable in figures.trends
    }
    label, unit = VARIABLES.get(variable, (variable.replace("_", " "), ""))
    reach = [MMAG * (np.abs(one.mean_mag) + one.err_mag) for one in trends.values()]
    limit = 1.08 * style.shared_limit(reach)
    looks = styles(comparison)
    with style.house_style():
        figure, panels = style.panel_grid(len(trends), 1.2)
        for axes, (name, trend) in zip(panels, trends.items(), strict=True):
            axes.axhline(0, color=style.RULE, lw=0.6)
            for other in trends.values():
                axes.plot(other.centre, MMAG * other.mean_mag, color=style.FAINT, lw=0.7, zorder=1)
            axes.errorbar(
                trend.centre,
                MMAG * trend.mean_mag,
                MMAG * trend.err_mag,
                color=looks[name]["color"],
                marker=looks[name]["marker"],
                lw=0.9,
                zorder=3,
            )
            style.name_panel(axes, name)
            sigma = f"{trend.largest_sigma:.1f} \N{GREEK SMALL LETTER SIGMA}"
            style.note(axes, [f"rms {MMAG * trend.rms_mag:.1f} mmag, {sigma}"])
            axes.set_ylim(-limit, limit)
            if variable == "xp_snr":
                style.few_log_ticks(axes, "x")
            if variable == "ra":
                axes.xaxis.set_inverted(True)
        figure.supxlabel(f"{label} ({unit})" if unit else label, fontsize=7.5)
        figure.supylabel("mean residual (mmag)", fontsize=7.5)
    left = [name for name, one in zip(trends, reach, strict=True) if one.max() > limit]
    out = f" {listed(left)} {'leave' if len(left) > 1 else 'leaves'} the axes." if left else ""
    rms = listed([f"{name} {MMAG * one.rms_mag:.1f}" for name, one in trends.items()])
    names = (variable, "mean_mag", "err_mag", "stars")
    parts = {
        name: dict(zip(names, (one.centre, one.mean_mag, one.err_mag, one.count), strict=True))
        for name, one in trends.items()
    }
    return FigureProduct(
        f"residual_{variable.lower()}",
        f"Residual against {label}",
        f"Mean residual (predicted less observed colour) in bins of equal numbers of stars against"
        f" {label}; errors follow from the scatter between cells of the sky. Grey: the other"
        " backends. In the panels, the rms of the means less what their errors give, and the"
        f" largest deviation in units of its error.{out}",
        f"Mean residual against {label}, a panel for each backend. Excess rms of the means in"
        f" mmag: {rms}.",
        figure,
        stacked(parts, {variable: unit, "mean_mag": "mag", "err_mag": "mag", "stars": ""}),
    )


def coverage_figure(comparison: Comparison) -> FigureProduct | None:
    """Draw the share of residuals within their errors against the share expected."""
    curves: dict[str, Coverage] = {}
    for one, figures in judged(comparison):
        if figures.coverage is not None:
            curves[one.name] = figures.coverage
    if not curves:
        return None
    looks = styles(comparison)
    with style.house_style():
        figure = style.new_figure(3.9)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        upper.plot([0, 1], [0, 1], color=style.RULE, lw=0.6)
        lower.axhline(0, color=style.RULE, lw=0.6)
        for name, curve in curves.items():
            every = max(1, len(curve.expected) // 8)
            for axes, share in (
                (upper, curve.found),
                (lower, 100 * (curve.found - curve.expected)),
            ):
                axes.plot(curve.expected, share, label=name, markevery=every, **looks[name])
        upper.set_ylabel("share found within the error")
        lower.set_ylabel("found less expected\n(per cent)")
        lower.set_xlabel("share expected of a normal distribution")
        reach = [100 * (one.found - one.expected) for one in curves.values()]
        lower.set_ylim(*(np.array([-1.1, 1.1]) * max(1.0, style.shared_limit(reach))))
        upper.set_xlim(0, 1)
        upper.set_ylim(0, 1)
        upper.legend(loc="upper left")
    shares = listed([f"{name} {100 * one.within_1:.1f}" for name, one in curves.items()])
    expected = 100 * next(iter(curves.values())).expected_1
    parts = {name: {"expected": one.expected, "found": one.found} for name, one in curves.items()}
    return FigureProduct(
        "coverage",
        "Calibration of the errors of single stars",
        "Share of held-out residuals within as many errors as hold the share expected of a normal"
        " distribution, and below the difference. Above the line errors are too large, below it"
        " too small. Errors come from the residuals of like stars in other folds.",
        f"Share found against share expected. Within one error, of {expected:.1f} per cent"
        f" expected: {shares}.",
        figure,
        stacked(parts, {"expected": "", "found": ""}),
    )


def reliability_figure(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> FigureProduct | None:
    """Draw the scatter of residuals against the error that stars are given."""
    parts = {name: _by_error(one) for name, one in with_stars(comparison, residuals).items()}
    parts = {name: part for name, part in parts.items() if len(part["stars"])}
    if not parts:
        return None
    looks = styles(comparison)
    with style.house_style():
        figure = style.new_figure(2.7)
        axes = figure.subplots()
        low = MMAG * min(float(part["err_mag"].min()) for part in parts.values())
        high = MMAG * max(float(part["err_mag"].max()) for part in parts.values())
        axes.plot([low, high], [low, high], color=style.RULE, lw=0.6)
        for name, part in parts.items():
            err, half = MMAG * part["err_mag"], MMAG * part["half_width_mag"]
            axes.plot(err, half, label=name, **looks[name])
        style.few_log_ticks(axes, "x")
        style.few_log_ticks(axes, "y")
        axes.set_xlabel("error given (mmag)")
        axes.set_ylabel("68.3 per cent of residuals\nlie within (mmag)")
        axes.legend(loc="upper left")
    return FigureProduct(
        "reliability",
        "Do larger errors mean larger residuals",
        "Half width that holds 68.3 per cent of the residuals, in bins of equal numbers of stars,"
        " against the median error that these stars are given. On the line errors are right star"
        " by star, not only on average.",
        "Scatter of residuals against the error given, both in mmag on logarithmic axes, for"
        f" {listed(list(parts))}.",
        figure,
        stacked(parts, {"err_mag": "mag", "half_width_mag": "mag", "stars": ""}),
    )


def _by_error(table: ResidualTable) -> dict[str, npt.NDArray[np.float64 | np.int64]]:
    """Return median error, half width of the residuals and number of stars of bins of error."""
    good = np.isfinite(table.err_mag) & (table.err_mag > 0) & np.isfinite(table.residual_mag)
    order = np.argsort(table.err_mag[good], kind="stable")
    err, off = table.err_mag[good][order], np.abs(table.residual_mag[good][order])
    bins = min(ERROR_BINS, len(err) // ERROR_STARS)
    rows = np.array_split(np.arange(len(err)), bins) if bins else []
    return {
        "err_mag": np.array([np.median(err[one]) for one in rows], dtype=np.float64),
        "half_width_mag": np.array([np.quantile(off[one], 0.683) for one in rows], np.float64),
        "stars": np.array([len(one) for one in rows], dtype=np.int64),
    }


def table_of(rows: Sequence[tuple[object, ...]], columns: Mapping[str, tuple[str, str]]) -> Table:
    """Return a table of rows; columns map names to (unit, description)."""
    table = Table(rows=list(rows), names=list(columns))
    for name, (unit, description) in columns.items():
        table[name].unit = unit or None
        table[name].description = description
    return table


def figure_name(figure: str) -> str:
    """Return a key of `BackendResult.against_reference` in words."""
    kind, _, rest = figure.partition("_")
    if kind == "offset":
        return level_name(rest) + ("" if rest in {"repeats", "overlaps"} else " offsets")
    statistic = {"sd": "sd", "mad": "MAD"}.get(rest, rest)
    return f"{statistic}, {kind}"


def level_name(level: str) -> str:
    """Return a level of offsets in words."""
    return LEVELS.get(level, level)
