"""`scrframe crosscheck` and `scrframe montecarlo`: how sure offsets and model magnitudes are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

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
from scrframe.cli.rendering import observer_for, small_mmag, unsigned

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
        int, typer.Option(min=2, metavar="N", help="Stars that a visit needs in each run.")
    ] = 20,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Compare the offsets of two runs: by how much visits differ, and which of them disagree."""
    from scrframe.analysis.crosscheck.run import crosscheck as check
    from scrframe.analysis.crosscheck.run import default_out

    screen = Screen(quiet, verbose, log)
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


class Errors(StrEnum):
    """Sets of errors."""

    median = "median"
    high = "high"
    own = "own"
    all = "all"


def montecarlo(
    survey: SurveyFile,
    data: DataRoot = None,
    realisations: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Realisations of each set of errors; default: the description's.",
        ),
    ] = None,
    errors: Annotated[
        Errors,
        typer.Option(help="The paper's median errors, its 90th percentiles, each star's own."),
    ] = Errors.all,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Directory of results; default: runs/<survey>_montecarlo."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="S", help="Seed of the errors drawn; default: the description's."
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Find the error of each star's model magnitude from realisations of its input."""
    from scrframe.analysis.montecarlo.run import default_out, monte_carlo
    from scrframe.config import load_survey

    screen = Screen(quiet, verbose, log)
    description = load_survey(survey, overrides=changes or ())
    target = out or default_out(description)
    with resumable():
        how: dict[str, Any] = {"workers": workers, "observer": observer_for(screen)}
        how |= {"executor": scheduler, "data": data, "realisations": realisations, "seed": seed}
        run = monte_carlo(description, errors=errors.value, out=target, **how)
    for line in montecarlo_lines(run.summary, target):
        screen.say(line)


def montecarlo_lines(summary: Mapping[str, Any], out: object) -> Iterator[str]:
    """Yield a line for each set of errors, and where the products are."""
    titles = {"median": "median errors", "high": "90th percentile", "own": "each star's own"}
    for name, found in summary["sets"].items():
        star, change = found["model_err"], found["difference"]
        paper = found["paper_sigma_mag"]
        line = f"{titles[name]}: model error {unsigned(star['median_mag'])} mmag"
        line += " (median of stars),"
        line += f" {unsigned(star['percentile_90_mag'])} (90th percentile);"
        line += f" sigma of all changes {unsigned(change['gaussian_sigma_mag'])}"
        yield line + ("" if paper is None else f", the paper's {1000 * paper:.0f}")
    yield f"products in {out}: montecarlo.parquet, montecarlo.json, index.html, figures/"
