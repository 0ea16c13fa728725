"""`scrframe report`, and how runs are judged on the command line."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from scrframe.cli.exits import ExitCode
from scrframe.cli.screen import Screen
from scrframe.cli.shared import Quiet
from scrframe.report.run_page import found, verdict
from scrframe.report.run_tables import by_verdict, quantity

if TYPE_CHECKING:
    from scrframe.report.write import Report

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
    from scrframe.analysis.report_figures import further_figures
    from scrframe.cli.progress import observer_for
    from scrframe.cli.screen import rendered
    from scrframe.report.write import write_report

    screen = Screen(quiet)
    further = further_figures(montecarlo, crosscheck)
    made = write_report(run, further=further, observer=observer_for(screen))
    if made.checks:
        screen.say(rendered(check_table(made), screen.is_terminal, WIDE))
    judge(screen, made, made.path, strict)


def judge(screen: Screen, made: Report | None, page: Path, strict: bool) -> None:
    """Show what a report found; with `strict` a failed null test, or no report, is exit code 3.

    Raises
    ------
    typer.Exit
    """
    for line in report_lines(made, page) if made is not None else ():
        screen.say(line)
    if strict and (made is None or made.failed):
        raise typer.Exit(ExitCode.STRICT)


#: Width of the table in a file or pipe, in characters.
WIDE = 160
STYLES = {"failed": "bold red", "passed": "green", "not testable": "dim"}


def check_table(made: Report) -> Table:
    """Return the null tests with number, limit and verdict, failed ones first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("null test")
    table.add_column("verdict")
    table.add_column("number", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("why")
    for one in by_verdict(made.checks):
        table.add_row(
            Text(one.title),
            Text(one.verdict, STYLES[one.verdict]),
            Text(quantity(one.value, one.unit).text),
            Text(quantity(one.limit, one.unit).text),
            Text(one.reason),
        )
    return table


def report_lines(made: Report, page: Path) -> list[str]:
    """Return whether to believe the run, what stands out, and where the page is."""
    return [verdict(made.checks), *found(made.checks, made.anomalies), f"report in {page}"]
