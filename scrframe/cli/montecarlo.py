"""`scrframe montecarlo`: the error of each star's model magnitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scrframe.cli.common import Changes, DataRoot, Quiet, Screen, SurveyFile, Workers, resumable
from scrframe.cli.rendering import mmag, observer_for


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
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Find the error of each star's model magnitude from realisations of its input."""
    from scrframe.analysis.montecarlo.run import default_out, monte_carlo
    from scrframe.config import load_survey

    screen = Screen(quiet)
    description = load_survey(survey, overrides=changes or ())
    target = out or default_out(description)
    with resumable(target):
        run = monte_carlo(
            description,
            data=data,
            errors=errors.value,
            realisations=realisations,
            seed=seed,
            out=target,
            workers=workers,
            observer=observer_for(screen),
        )
    for line in montecarlo_lines(run.summary, target):
        screen.say(line)


def montecarlo_lines(summary: Mapping[str, Any], out: object) -> Iterator[str]:
    """Yield a line for each set of errors, and where the products are."""
    titles = {"median": "median errors", "high": "90th percentile", "own": "each star's own"}
    for name, found in summary["sets"].items():
        star, change = found["model_err"], found["difference"]
        paper = found["paper_sigma_mag"]
        line = f"{titles[name]}: model error {mmag(star['median_mag'], sign=False)} mmag"
        line += " (median of stars),"
        line += f" {mmag(star['percentile_90_mag'], sign=False)} (90th percentile);"
        line += f" sigma of all changes {mmag(change['gaussian_sigma_mag'], sign=False)}"
        yield line + ("" if paper is None else f", the paper's {1000 * paper:.0f}")
    yield f"products in {out}: montecarlo.parquet, montecarlo.json, index.html, figures/"
