"""`scrframe crosscheck`: the offsets of two runs against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from scrframe.cli.common import Quiet, Screen
from scrframe.cli.rendering import observer_for, small_mmag

#: Visits that are named at the end.
NAMED = 10


def crosscheck(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Directory of a finished run.")],
    run_b: Annotated[
        Path, typer.Argument(metavar="RUN_B", help="That of another, on the same visits.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of results; default: runs/<A>_against_<B>."),
    ] = None,
    min_stars: Annotated[
        int,
        typer.Option(min=2, metavar="N", help="Stars that a visit needs in each run."),
    ] = 20,
    quiet: Quiet = False,
) -> None:
    """Compare the offsets of two runs: by how much visits differ, and which of them disagree."""
    from scrframe.analysis.crosscheck.run import crosscheck as check
    from scrframe.analysis.crosscheck.run import default_out

    screen = Screen(quiet)
    target = out or default_out(run_a, run_b)
    found = check(run_a, run_b, out=target, min_stars=min_stars, observer=observer_for(screen))
    for line in crosscheck_lines(found.summary, target):
        screen.say(line)


def crosscheck_lines(summary: Mapping[str, Any], out: object) -> Iterator[str]:
    """Yield the figures of each level, the visits that disagree, and where the products are."""
    visit = summary["visit"]
    yield (
        f"{summary['common_visits']} common visits, {visit['judged']} with"
        f" {summary['min_stars']} stars or more in both runs; differences in mmag:"
    )
    named = {"visit": visit, "CCD": summary["ccd"], "total": summary["total"]}
    for name, each in (named | dict(summary["levels"])).items():
        if each is not None:
            yield (
                f"  {name}: sd {small_mmag(each['sd_mag'])},"
                f" MAD {small_mmag(each['mad_sigma_mag'])}, noise {small_mmag(each['noise_mag'])},"
                f" constant {small_mmag(each['constant_mag'])};"
                f" {each['disagree']} of {each['judged']} disagree"
            )
    for each in summary["disagree"][:NAMED]:
        yield (
            f"  disagrees: visit {each['visit']} by {small_mmag(each['difference_mag'])} +-"
            f" {small_mmag(each['err_mag'])} ({each['significance']:+.1f} sigma)"
        )
    if len(summary["disagree"]) > NAMED:
        yield f"  and {len(summary['disagree']) - NAMED} more visits"
    tables = "crosscheck.ecsv" + ("" if summary["ccd"] is None else ", crosscheck_exposures.ecsv")
    yield f"products in {out}: crosscheck.json, {tables}, index.html, figures/"
