"""`scrframe compare`, and its closing table: a row a colour model, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from scrframe.cli.common import (
    Changes,
    DataRoot,
    LogFile,
    Quiet,
    Scheduler,
    Screen,
    SurveyFile,
    Verbose,
    Workers,
    resumable,
)
from scrframe.cli.rendering import NONE, known, observer_for, show, table_of

if TYPE_CHECKING:
    from scrframe.analysis.compare.behaviour import Costs
    from scrframe.analysis.compare.control_regions import RegionsRun
    from scrframe.analysis.compare.region_ranking import RegionResult
    from scrframe.analysis.compare.result import BackendResult, Comparison, Difference
    from scrframe.analysis.compare.run import ComparisonRun

#: Width of the table in a file or pipe, in characters.
WIDE = 180
#: Kind of folds that decides.
MAIN = "blocked"
#: Variables whose trends are shown.
TRENDS = ("predicted_colour", "reference_mag", "extinction")
TRUE_LEVELS = ("visit", "ccd", "pixel", "total")
HELD_OUT_LEVELS = ("repeats", "overlaps")


def compare(
    survey: SurveyFile,
    data: DataRoot = None,
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Colour models besides the description's; default: all."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of folds of the control stars.")
    ] = 5,
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Random divisions of the stars into folds.")
    ] = 2,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions", help="Rank control regions for the description's model, instead."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of results; default: runs/<survey>_comparison, or _regions.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Compare colour models: how well they predict, the offsets they lead to, their cost."""
    from scrframe.config import load_survey

    screen = Screen(quiet, verbose, log)
    if regions and backends is not None:
        raise typer.BadParameter("--regions compares no colour models: leave out --backends")
    description = load_survey(survey, overrides=changes or ())
    how: dict[str, Any] = {"data": data, "workers": workers, "observer": observer_for(screen)}
    how |= {"executor": scheduler}
    if regions:
        from scrframe.analysis.compare import control_regions

        target = out or control_regions.default_out(description)
        with resumable():
            ranked = control_regions.rank_control_regions(description, out=target, **how)
        show(screen, regions_table(ranked), regions_lines(ranked, target), REGIONS_WIDTH)
        return
    from scrframe.analysis.compare.run import compare_backends, default_out

    target = out or default_out(description)
    names = None if backends is None else [name.strip() for name in backends.split(",")]
    with resumable():
        run = compare_backends(
            description, out=target, backends=names, folds=folds, seeds=seeds, **how
        )
    show(screen, comparison_table(run), comparison_lines(run, target), WIDE)


def comparison_table(run: ComparisonRun) -> Table:
    """Return the table of all colour models, the best first."""
    comparison = run.comparison
    title = f"{comparison.survey}, {comparison.band} band: colour models on"
    title += f" {comparison.control_stars:,} control stars; magnitudes in mmag"
    if comparison.data_note:
        title += f" - {comparison.data_note}"
    levels = TRUE_LEVELS if comparison.truth else HELD_OUT_LEVELS
    numbers = (
        "sd differs by\n(95 per cent)",
        "sd\nrandom, blocked",
        "MAD\nrandom, blocked",
        "bias with\ncolour, mag, E",
        f"offsets:\n{', '.join(levels)}",
        "within\n1 sigma",
        "fit\ns",
        "stars\na second",
        "memory\nMB",
        "model\nMB",
    )
    costs = {each.backend: each for each in run.costs}
    ranked = [name for group in comparison.ranking for name in group]
    rank = {name: place for place, name in enumerate(ranked)}
    order = sorted(comparison.backends, key=lambda each: rank.get(each.name, len(rank)))
    rows = (list(_row(comparison, each, levels, costs)) for each in order)
    return table_of(title, ("colour model", f"against\n{comparison.reference}"), numbers, rows)


def comparison_lines(run: ComparisonRun, out: object) -> list[str]:
    """Return the lines below the table: ranking, advice, faults, where the products are."""
    comparison = run.comparison
    return [
        *_advice(run),
        *(f"fault of {each.name}: {each.fault}" for each in comparison.backends if each.fault),
        f"products in {out}: comparison.json, comparison.ecsv, costs.json, index.html, figures/",
    ]


def _row(
    comparison: Comparison, result: BackendResult, levels: Sequence[str], costs: dict[str, Costs]
) -> Iterator[str]:
    yield result.name
    if result.fault:
        yield "fault, see below"
        return
    yield from _verdict(comparison, result)
    folds = result.folds
    for name in ("sd_mag", "mad_mag"):
        yield _joined(getattr(folds[kind].dispersion, name) for kind in ("random", MAIN))
    trends = folds[MAIN].trends
    yield _joined(trends[name].rms_mag if name in trends else None for name in TRENDS)
    offsets = result.offsets
    yield _joined(offsets[level].rms_mag if level in offsets else None for level in levels)
    coverage = folds[MAIN].coverage
    yield NONE if coverage is None else f"{100 * coverage.within_1:.1f}%"
    cost = costs.get(result.name)
    if cost is not None:
        yield f"{cost.fit_s:.1f}"
        yield f"{cost.predict_per_s:,.0f}"
        yield f"{cost.peak_memory_mb:,.0f}"
        yield _number(cost.model_mb, 1)


def _verdict(comparison: Comparison, result: BackendResult) -> tuple[str, str]:
    """Return the verdict on the sd in blocked folds, and the difference with its interval."""
    if result.name == comparison.reference:
        return "the reference", NONE
    found = result.against_reference.get(f"{MAIN}_sd")
    if found is None:
        return NONE, NONE
    return found.verdict, _interval(found)


def _interval(gap: Difference) -> str:
    return f"{1000 * gap.value:+.2f} +- {1000 * (gap.high - gap.low) / 2:.2f}"


def _joined(values: Iterator[float | None]) -> str:
    return "  ".join(_number(None if value is None else 1000 * value, 1) for value in values)


def _number(value: float | None, decimals: int) -> str:
    return f"{value:,.{decimals}f}" if known(value) else NONE


def _advice(run: ComparisonRun) -> Iterator[str]:
    """Yield the ranking by the sd in blocked folds, and which colour model to use.

    That is, of the best that are not told apart, the fastest.
    """
    comparison = run.comparison
    if not comparison.ranking:
        return
    places = [" = ".join(group) for group in comparison.ranking]
    line = f"ranking by the sd in blocked folds, best first: {'; then '.join(places)}"
    equals = any(len(group) > 1 for group in comparison.ranking)
    yield line + (" (= not told apart)" if equals else "")
    by_name = {each.name: each for each in comparison.backends}
    best = comparison.ranking[0]
    gaps = {name: by_name[name].against_reference.get("offset_total") for name in best}
    kept = [name for name, gap in gaps.items() if gap is None or gap.verdict != "worse"] or [*best]
    speed = {each.backend: each.predict_per_s for each in run.costs}
    name = max(kept, key=lambda each: speed.get(each, 0.0))
    spread = 1000 * by_name[name].folds[MAIN].dispersion.sd_mag
    others = [each for each in best if each != name]
    if not others:
        yield f"use {name}: its sd in blocked folds, {spread:.1f} mmag, is the smallest"
        return
    told = f"not told apart from {' and '.join(others)} (sd {spread:.1f} mmag in blocked folds)"
    if len(kept) > 1:
        told += f", and predicts fastest, {speed.get(name, 0.0):,.0f} stars a second"
    else:
        told += ", and its offsets are not worse than the reference's"
    yield f"use {name}: {told}"


#: Width of the table in a file or pipe, in characters.
REGIONS_WIDTH = 150


def regions_table(run: RegionsRun) -> Table:
    """Return the table of all control regions."""
    regions = run.regions
    title = f"control regions by the zero points of {regions.visits} visits, against"
    title += " the truth" if regions.judged_by == "truth" else " the mean of all regions"
    numbers = ("differs by\n(95 per cent)", "stars", "median E\nmag", "scatter", "bias", "total")
    rows = (_region_row(each) for each in regions.results)
    return table_of(f"{title}; mmag", ("region", "against the\ndescribed"), numbers, rows)


def regions_lines(run: RegionsRun, out: object) -> list[str]:
    """Return the lines below the table: advice, faults, where the products are."""
    results = run.regions.results
    described = run.regions.described
    better = [each for each in results if each.verdict == "better"]
    lines = []
    if better:
        lines.append(f"train on {better[0].region.name}: better than the described region")
    elif described.fault is None:
        lines.append("keep the described region: none is better")
    lines += [f"fault of {each.region.name}: {each.fault}" for each in results if each.fault]
    return [*lines, f"products in {out}: regions.json, regions.ecsv"]


def _region_row(result: RegionResult) -> list[str]:
    region = result.region
    median = f"{region.extinction_median:.3f}"
    verdict, interval = NONE, NONE
    if result.fault:
        verdict = "fault, see below"
    elif result.total is not None:
        verdict, interval = result.total.verdict, _interval(result.total)
    elif region.kind == "described":
        verdict = "the described"
    known = [region.name, verdict, interval, f"{region.stars:,}", median]
    if result.fault:
        return known
    pairs = (
        (result.scatter_mag, result.scatter_err_mag),
        (result.bias_mag, result.bias_err_mag),
        (result.total_mag, result.total_err_mag),
    )
    return [*known, *(f"{1000 * value:.2f} +- {1000 * err:.2f}" for value, err in pairs)]
