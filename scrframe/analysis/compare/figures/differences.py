"""Figures of a comparison that set backends against each other: differences, and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from scrframe.analysis.compare.figures.data import MMAG, judged, listed, main_kind, styles, table_of
from scrframe.analysis.compare.paired import Difference
from scrframe.analysis.compare.result import Comparison, Costs
from scrframe.report.figure import FigureProduct
from scrframe.report.panels import few_log_ticks, panel_grid, shared_limit
from scrframe.report.style import COLOURS, RULE, house_style, new_figure

#: Colour and marker of each verdict; "not told apart" is hollow.
VERDICTS = {
    "better": (COLOURS[0], "<"),
    "worse": (COLOURS[1], ">"),
    "not told apart": (RULE, "o"),
}
#: Rates are drawn in thousands a second.
THOUSAND = 1000.0
LEVELS = {"ccd": "CCD x visit"}


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


def difference_figure(comparison: Comparison) -> FigureProduct | None:
    """Draw the differences against the reference backend with their intervals."""
    results = [one for one, _ in judged(comparison) if one.against_reference]
    keys = list(dict.fromkeys(key for one in results for key in one.against_reference))
    if not keys:
        return None
    names = [one.name for one in results]
    with house_style():
        figure, panels = panel_grid(len(keys), 0.5 + 0.16 * len(names), share=False)
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
    limit = 1.12 * shared_limit(ends)
    axes.axvline(0, color=RULE, lw=0.6)
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
    points = [(one, figures, of[one.name]) for one, figures in judged(comparison) if one.name in of]
    if not points:
        return None
    looks = styles(comparison)
    with house_style():
        figure = new_figure(2.6)
        panels = figure.subplots(1, 2, sharey=True)
        for one, figures, cost in points:
            look = looks[one.name]
            seeds = [MMAG * seed.sd_mag for seed in figures.by_seed]
            spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else 0.0
            for axes, value in zip(
                panels, (cost.fit_s, cost.predict_per_s / THOUSAND), strict=True
            ):
                axes.errorbar(
                    value,
                    MMAG * figures.dispersion.sd_mag,
                    spread,
                    color=look.colour,
                    marker=look.marker,
                    markersize=5,
                    ls="none",
                    label=one.name,
                )
        for axes, label in zip(panels, ("training (s)", "stars predicted (1000 / s)"), strict=True):
            few_log_ticks(axes, "x")
            axes.set_xlabel(label)
            axes.margins(0.15)
        kind = main_kind(points[0][0])
        panels[0].set_ylabel(f"sd in {kind} folds (mmag)")
        spreads = [figures.dispersion.sd_mag for _, figures, _ in points]
        if max(spreads) > 4 * min(spreads):
            few_log_ticks(panels[0], "y")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3)
    rows = [
        (
            one.name,
            figures.dispersion.sd_mag,
            c.fit_s,
            c.predict_per_s,
            c.peak_memory_mb,
            c.model_mb,
        )
        for one, figures, c in points
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
        f"{one.name} {MMAG * figures.dispersion.sd_mag:.1f} mmag, trained in {cost.fit_s:.1f} s"
        for one, figures, cost in points
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
