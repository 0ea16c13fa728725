"""What a report says on the screen: the null tests, and whether to believe the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from scrframe.report.run_page import found, verdict
from scrframe.report.run_tables import by_verdict, quantity

if TYPE_CHECKING:
    from scrframe.pipeline.report import Report

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
