"""What appears: text on the output, problems on the error stream."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scrframe.report import paper
from scrframe.report.merit import merit_rows


class Screen:
    """Prints whole lines; a reader who went away (``| head``) ends the printing, not the work.

    Parameters
    ----------
    quiet : bool
        Whether only problems are shown.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Print text on the output, exactly as it is."""
        if not self.quiet:
            _write(sys.stdout, text)

    def complain(self, text: str) -> None:
        """Print text on the error stream, quiet or not."""
        _write(sys.stderr, text)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches the output."""
        return sys.stdout.isatty()

    def close(self) -> None:
        """Write out what is buffered."""
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        _write(stream, text.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        _mute(stream)


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except (BrokenPipeError, ValueError):
        _mute(stream)


def _mute(stream: TextIO) -> None:
    """Send the rest of a broken stream nowhere, so that nothing complains of it at the end."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())


#: What stands for a number that is not known.
NONE = "-"
#: Width of the table in a file or pipe, in characters.
PLAIN_WIDTH = 110


def closing_table(summary: Mapping[str, Any]) -> Table:
    """Return the table that ends `scrframe calibrate`."""
    title = f"{summary['survey']}, {summary['band']} band"
    if summary["data_note"]:
        title += f" - {summary['data_note']}"
    heads = ("this run", paper.PAPER)
    return table_of(title, ("figure of merit",), heads, merit_rows(summary))


def table_of(
    title: str, words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[object]]
) -> Table:
    """Return a table with columns of words, then of numbers; cells are shown as they are."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", pad_edge=False)
    for head in words:
        table.add_column(head)
    for head in numbers:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
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


def known(value: float | None) -> bool:
    """Return whether there is such a number."""
    return value is not None and math.isfinite(value)


def mmag(value: float | None, error: float | None = None, *, sign: bool = True) -> str:
    """Return a magnitude in mmag, with its error."""
    if value is None or not known(value):
        return NONE
    text = f"{1000 * value:+.1f}" if sign else f"{1000 * value:.1f}"
    text = text[1:] if text in ("-0.0", "+0.0") else text
    return text if error is None or not known(error) else f"{text} +- {1000 * error:.1f}"
