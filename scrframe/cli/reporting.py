"""`scrframe report`, and how runs are judged on the command line."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrframe.cli.exits import ExitCode
from scrframe.cli.screen import Screen
from scrframe.cli.shared import Quiet

if TYPE_CHECKING:
    from scrframe.pipeline.report import Report

Strict = Annotated[bool, typer.Option("--strict", help="Exit code 3 if a null test fails.")]


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    montecarlo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of `scrframe montecarlo`, to be shown as well."),
    ] = None,
    crosscheck: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of `scrframe crosscheck`, to be shown as well."),
    ] = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Judge a finished run: null tests, anomalies, figures and a page, in RUN_DIR/report."""
    from scrframe.cli.closing import rendered
    from scrframe.cli.judging import WIDE, check_table
    from scrframe.cli.progress import observer_for
    from scrframe.pipeline.report import write_report

    screen = Screen(quiet)
    made = write_report(
        run, montecarlo=montecarlo, crosscheck=crosscheck, observer=observer_for(screen)
    )
    if made.checks:
        screen.say(rendered(check_table(made), screen.is_terminal, WIDE))
    judge(screen, made, made.path, strict)


def judge(screen: Screen, made: Report | None, page: Path, strict: bool) -> None:
    """Show what a report found; with `strict` a failed null test, or no report, is exit code 3.

    Raises
    ------
    typer.Exit
    """
    from scrframe.cli.judging import report_lines

    for line in report_lines(made, page) if made is not None else ():
        screen.say(line)
    if strict and (made is None or made.failed):
        raise typer.Exit(ExitCode.STRICT)
