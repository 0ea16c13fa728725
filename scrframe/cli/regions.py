"""The table that ends `scrframe compare --regions`: a row a control region, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from scrframe.pipeline.compare_regions_run import RegionResult, RegionsRun

NONE = "-"
#: Width of the table in a file or pipe, in characters.
WIDE = 150


def regions_table(run: RegionsRun) -> Table:
    """Return the table of all control regions."""
    regions = run.regions
    title = f"control regions by the zero points of {regions.visits} visits, against"
    title += " the truth" if regions.judged_by == "truth" else " the mean of all regions"
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(f"{title}; mmag"), title_justify="left", pad_edge=False
    )
    table.add_column("region")
    table.add_column("against the\ndescribed")
    for head in ("differs by\n(95 per cent)", "stars", "median E\nmag", "scatter", "bias", "total"):
        table.add_column(head, justify="right")
    for each in regions.results:
        table.add_row(*(Text(cell) for cell in _row(each)))
    return table


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


def _row(result: RegionResult) -> list[str]:
    region = result.region
    known = [region.name, *_verdict(result), f"{region.stars:,}", f"{region.extinction_median:.3f}"]
    if result.fault:
        return known
    pairs = (
        (result.scatter_mag, result.scatter_err_mag),
        (result.bias_mag, result.bias_err_mag),
        (result.total_mag, result.total_err_mag),
    )
    return [*known, *(f"{1000 * value:.2f} +- {1000 * err:.2f}" for value, err in pairs)]


def _verdict(result: RegionResult) -> tuple[str, str]:
    if result.fault:
        return "fault, see below", NONE
    if result.total is None:
        return ("the described", NONE) if result.region.kind == "described" else (NONE, NONE)
    half = (result.total.high - result.total.low) / 2
    return result.total.verdict, f"{1000 * result.total.value:+.2f} +- {1000 * half:.2f}"
