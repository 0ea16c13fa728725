"""The closing table of a run: its figures of merit beside the paper's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scrframe.report import paper
from scrframe.report.merit import merit_rows

#: Width of the table in a file or pipe, in characters.
PLAIN_WIDTH = 110


def closing_table(summary: Mapping[str, Any]) -> Table:
    """Return the table that ends `scrframe calibrate`."""
    title = f"{summary['survey']}, {summary['band']} band"
    if summary["data_note"]:
        title += f" - {summary['data_note']}"
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", pad_edge=False)
    table.add_column("figure of merit")
    table.add_column("this run", justify="right")
    table.add_column(paper.PAPER, justify="right")
    for row in merit_rows(summary):
        table.add_row(*(Text(cell) for cell in row))
    return table


def rendered(table: Table, terminal: bool, plain_width: int = PLAIN_WIDTH) -> str:
    """Return a table as text, with colours if it is for a terminal."""
    page = io.StringIO()
    width = None if terminal else plain_width
    console = Console(file=page, force_terminal=terminal, width=width, markup=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def closing_lines(summary: Mapping[str, Any], out: Path) -> list[str]:
    """Return the lines below the table: cost, what was left out, where the products are."""
    lines = [
        f"{summary['seconds']:.1f} s, peak memory {summary['peak_memory_mb'] / 1000:.2f} GB,"
        f" {summary['counts']['catalogues']} catalogues corrected"
    ]
    skipped = summary["skipped_catalogues"]
    if skipped:
        lines.append(f"{len(skipped)} damaged left out: {', '.join(skipped)}")
    if "absolute" in summary:
        lines.append(_absolute(summary["absolute"]))
    lines.append(
        f"products in {out}: summary.json, stars.parquet, star_catalogue.parquet,"
        " solution/, catalogues/"
    )
    return lines


def _absolute(tie: Mapping[str, Any]) -> str:
    return (
        f"magnitudes on the {tie['system']} system: u_ZP shifted by {tie['shift_mag']:+.4f} mag"
        f" (error {tie['err_mag']:.4f}, systematic {tie['sys_mag']:.4f}) by {tie['count']} stars"
        f" and {tie['source']}"
    )
