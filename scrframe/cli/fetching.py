"""`scrframe fetch`: what the reference data of a survey will cost, and the data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrframe.cli.common import (
    Changes,
    DataRoot,
    LogFile,
    Quiet,
    Screen,
    SurveyFile,
    Verbose,
    resumable,
)
from scrframe.cli.rendering import observer_for

if TYPE_CHECKING:
    from scrframe.run.data import Validation


#: What is missing of a product, in words.
_ABSENT = {"sources": "gaia_source", "spectra": "XP spectra", "extinctions": "extinctions"}
_WITHOUT = {"sources": "Gaia star", "spectra": "spectrum", "extinctions": "extinction"}


def missing_lines(
    found: Validation, survey: Path, data: str | None, changes: Sequence[str] | None
) -> list[str]:
    """Return what reference data lack of the catalogues' sky, and the commands that mend it."""
    covered = found.coverage
    if covered is None or not covered.lacks:
        return []
    lines = []
    if covered.absent:
        absent = ", ".join(_ABSENT[each] for each in covered.absent)
        there = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
        lines.append(f"data root {found.data_root}: {there}; no files of {absent}")
    for product, count in covered.without.items():
        if count:
            lines.append(f"{count} of {covered.visits} visits have no {_WITHOUT[product]}")
    from scrframe.config import is_combined

    if is_combined(survey):
        return [*lines, "fetch what is missing by `scrframe fetch`, survey by survey"]
    root = shlex.quote(str(data or found.data_root))
    options = [f"--set {shlex.quote(change)}" for change in changes or ()]
    rest = " ".join([shlex.quote(str(survey)), f"--data {root}", *options])
    lines.append(f"what it costs to fetch what is missing: scrframe fetch {rest} --plan")
    lines.append("two commands lead to a calibrated survey:")
    lines.append(f"    scrframe fetch {rest}")
    lines.append(f"    scrframe calibrate {rest}")
    return lines


def fetch(
    survey: SurveyFile,
    data: DataRoot = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it will cost, and fetch nothing.")
    ] = False,
    script: Annotated[
        bool,
        typer.Option("--script", help="With --plan: write lists for curl, aria2 and TAP clients."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PRODUCT", help="sources, spectra or extinctions; repeatable."),
    ] = None,
    service: Annotated[
        str | None, typer.Option("--from", metavar="NAME|URL", help="Service to ask.")
    ] = None,
    footprint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A MOC, or a table of ra, dec, radius in deg; default: the catalogues.",
        ),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="DEG", help="Radius of all discs of a table without one."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most stars of each product: a trial.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests at a time, as far as the service allows."),
    ] = None,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Fetch what a survey needs of Gaia and of extinctions, from archives into the data root."""
    from scrframe.config import load_survey
    from scrframe.fetch.run import Fetching, Order, fetch_data, plan_fetch
    from scrframe.fetch.script import lines_of, write_script

    screen = Screen(quiet, verbose, log)
    if script and not plan:
        raise typer.BadParameter("--script goes with --plan")
    description = load_survey(survey, overrides=changes or ())
    order = Order(data, footprint, radius, tuple(only or ()), service, limit, workers)
    fetching = Fetching(description, order, observer_for(screen))
    if plan:
        planned = plan_fetch(fetching)
        screen.say(f"{survey}: footprint of {fetching.region.said}; nothing is fetched")
        for each in planned:
            screen.say("\n".join(lines_of(each, whole=not screen.is_terminal)))
        if script:
            for path in write_script(planned, fetching.root / "fetch"):
                screen.say(f"written: {path}")
        return
    with resumable():
        done = fetch_data(fetching)
    for step, found in done:
        if found is not None:
            without = f", {found.without:,} have none" if found.without else ""
            screen.say(f"{step.wanted.product}: {found.rows:,} stars{without}; {found.folder}")
    where = "" if data is None else f" --data {data}"
    screen.say(f"next: scrframe calibrate {survey}{where}")
