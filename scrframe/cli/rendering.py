"""What appears on the screen: progress, the tables that end a command, the verdict."""

from __future__ import annotations

import io
import math
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from scrframe.cli.common import ExitCode, SafeStream, Screen
from scrframe.errors import number_of
from scrframe.observer import Observer

if TYPE_CHECKING:
    from scrframe.report.write import Report

#: What stands for a number that is not known.
NONE = "-"
#: Width of a table in a file or pipe, in characters: of few columns, and of many.
PLAIN_WIDTH, WIDE = 110, 160
#: Seconds after which a long step says how far it is.
EVERY_S = 30.0
STYLES = {"failed": "bold red", "passed": "green", "not testable": "dim"}


def closing_table(summary: Mapping[str, Any]) -> Table:
    """Return the table that ends `scrframe calibrate`."""
    from scrframe.report.merit import PAPER, PAPER_SURVEY, merit_rows

    title = f"{summary['survey']}, {summary['band']} band"
    if summary["data_note"]:
        title += f" - {summary['data_note']}"
    if summary["survey"] == PAPER_SURVEY:
        return table_of(title, ("figure of merit",), ("this run", PAPER), merit_rows(summary))
    rows = [row[:2] for row in merit_rows(summary)]
    return table_of(title, ("figure of merit",), ("this run",), rows)


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


def known(value: float | None) -> bool:
    """Return whether there is such a number."""
    return value is not None and math.isfinite(value)


def mmag(
    value: float | None, error: float | None = None, *, sign: bool = True, decimals: int = 1
) -> str:
    """Return a magnitude in mmag, with its error."""
    if value is None or not known(value):
        return NONE
    text = f"{1000 * value:{'+' if sign else ''}.{decimals}f}"
    text = text[1:] if text in ("-0.0", "+0.0") else text
    return text if error is None or not known(error) else f"{text} +- {1000 * error:.{decimals}f}"


#: A magnitude in mmag that has no sign, such as an error or a scatter; with two decimals.
unsigned = partial(mmag, sign=False)
small_mmag = partial(unsigned, decimals=2)


def rendered(pieces: Iterable[Table | str], terminal: bool, plain_width: int = PLAIN_WIDTH) -> str:
    """Return tables and lines as text, with colours if it is for a terminal."""
    page = io.StringIO()
    width = None if terminal else plain_width
    console = Console(file=page, force_terminal=terminal, width=width, markup=False)
    for piece in pieces:
        console.print(Text(piece) if isinstance(piece, str) else piece)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def show(
    screen: Screen, table: Table, lines: Iterable[str], plain_width: int = PLAIN_WIDTH
) -> None:
    """Show a table and the lines below it."""
    for text in (rendered([table], screen.is_terminal, plain_width), *lines):
        screen.say(text)


def closing_lines(summary: Mapping[str, Any], out: Path) -> list[str]:
    """Return the lines below the table: cost by step, what was left out, where products are."""
    from scrframe.report.merit import terms_said

    lines = [
        *(line for said in terms_said(summary) for line in textwrap.wrap(said, PLAIN_WIDTH)),
        *step_lines(summary["steps"]),
        f"{summary['seconds']:.1f} s, peak memory {summary['peak_memory_mb'] / 1000:.2f} GB,"
        f" {len(summary['catalogues'])} catalogues corrected",
    ]
    skipped = summary["skipped_catalogues"]
    if skipped:
        damaged = number_of(len(skipped), "damaged catalogue")
        lines.append(f"{damaged} left out: {', '.join(skipped)}")
    if "absolute" in summary:
        tie = summary["absolute"]
        lines.append(
            f"magnitudes on the {tie['system']} system: u_ZP shifted by {tie['shift_mag']:+.4f} mag"
            f" (error {tie['err_mag']:.4f}, systematic {tie['sys_mag']:.4f}) by {tie['count']}"
            f" stars and {tie['source']}"
        )
    lines.append(
        f"products in {out}: summary.json, stars.parquet, star_catalogue.parquet,"
        " solution/, catalogues/"
    )
    return lines


def step_lines(steps: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return what each step took: seconds, and peak memory over all processes."""
    took = (
        f"{name} {step['seconds']:.1f} s, {step['peak_memory_mb'] / 1000:.2f} GB"
        for name, step in steps.items()
    )
    return textwrap.wrap("; ".join(took), PLAIN_WIDTH)


def observer_for(screen: Screen) -> Observer:
    """Return what shows progress on a screen."""
    if screen.quiet:
        return QuietObserver(screen)
    return BarObserver(screen) if screen.is_terminal else LineObserver(screen)


class QuietObserver(Observer):
    """Shows warnings alone; a log has all lines."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._start = time.perf_counter()

    def message(self, text: str) -> None:
        """Print a line, with the time since the start if details are wanted."""
        if self._screen.verbose:
            text = f"[{time.perf_counter() - self._start:7.1f} s] {text}"
        self._screen.say(text)

    def detail(self, text: str) -> None:
        """Print a line if details are wanted."""
        if self._screen.verbose:
            self.message(text)
        else:
            self._screen.keep(text)

    def warning(self, text: str) -> None:
        """Print a line on the error stream."""
        self._screen.complain(f"warning: {text}")

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Print a line at the start and one, with seconds, at the end."""
        self.message(f"{title} ..." if total is None else f"{title} ({total}) ...")
        start = time.perf_counter()
        yield lambda done: None
        self.message(f"{title}: done in {time.perf_counter() - start:.1f} s")


class LineObserver(QuietObserver):
    """Shows progress as lines: two a step, and every half minute how far it is."""

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Print lines at the start and at the end, and in between what is left of a long step."""
        with super().step(title, total):
            start = last = time.perf_counter()
            count = first = 0

            def advance(done: int) -> None:
                nonlocal count, first, start, last
                count, now = count + done, time.perf_counter()
                text = f"{title}: {count} of {total}"
                if count > first > 0:
                    left = (now - start) * ((total or 0) - count) / (count - first)
                    text += f", about {time_left(left)} left"
                elif not first:  # what prepares the first is no measure of the others
                    first, start = count, now
                if total and count < total and now - last > EVERY_S:
                    last = now
                    self.message(text)

            yield advance


def time_left(seconds: float) -> str:
    """Return a time in words, to be read at a glance."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class BarObserver(LineObserver):
    """Shows progress as a bar a step."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._progress: Progress | None = None

    def message(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._progress is None:
            super().message(text)
        else:
            self._screen.keep(text)
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a bar; a step within a step shows nothing of its own."""
        if self._progress is not None:
            yield lambda done: None
            return
        with Progress(
            TextColumn("{task.description:<34}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=cast(IO[str], SafeStream())),
        ) as bar:
            self._progress = bar
            start = time.perf_counter()
            task = bar.add_task(title, total=total)
            try:
                yield lambda done: bar.advance(task, done)
                end = total if total is not None else max(bar.tasks[0].completed, 1)
                bar.update(task, total=end, completed=end)
                self._screen.keep(f"{title}: done in {time.perf_counter() - start:.1f} s")
            finally:
                self._progress = None


def check_table(made: Report) -> Table:
    """Return the null tests with number, limit and verdict, failed ones first."""
    from scrframe.report.merit import by_verdict, quantity

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("null test", "verdict", "number", "limit", "why"):
        table.add_column(head, justify="right" if head in ("number", "limit") else "left")
    for one in by_verdict(made.checks):
        table.add_row(
            Text(one.title),
            Text(one.verdict, STYLES[one.verdict]),
            Text(quantity(one.value, one.unit)),
            Text(quantity(one.limit, one.unit)),
            Text(one.reason),
        )
    return table


def judge(screen: Screen, made: Report | None, page: Path, strict: bool) -> None:
    """Show what a report found.

    With `strict` a failed null test, a run that has not settled, or no report is exit code 3.

    Raises
    ------
    typer.Exit
    """
    if made is not None:
        from scrframe.report.merit import coverage, found, verdict

        said = (*made.unsettled, verdict(made.checks), *coverage(made.checks))
        for line in (*said, *found(made.checks, made.anomalies)):
            screen.say(line)
        screen.say(f"report in {page}")
    if strict and (made is None or made.failed or made.unsettled):
        raise typer.Exit(ExitCode.STRICT)


def combined_table(summary: Mapping[str, Any]) -> Table:
    """Return errors and differences of offsets by survey, alone and together."""
    rows = (
        (
            name,
            each["exposures"],
            small_mmag(each["err_alone_mag"]),
            small_mmag(each["err_together_mag"]),
            f"{100 * (1 - each['err_together_mag'] / each['err_alone_mag']):.1f} %",
            small_mmag(each["difference_mag"]),
            small_mmag(each["difference_expected_mag"]),
        )
        for name, each in summary["members"].items()
    )
    numbers = ("exposures", "error alone", "together", "less by", "differ by", "expected")
    return table_of(summary["name"], ("offsets of exposures, in mmag",), numbers, rows)


def combined_lines(summary: Mapping[str, Any], out: Path) -> Iterator[str]:
    """Yield what the surveys share, and where the products are."""
    for each in summary["stars"]:
        pair = " and ".join(each["members"])
        said = f"correlated by {each['correlation']:+.3f} +- {each['error']:.3f}"
        if each["error"] is None or each["error"] == float("inf"):
            said = "of no known correlation"
        how = "shared" if each["shared"] else "not significant, not shared"
        yield f"stars of {pair}: {each['common']} in common, deviations {said}: {how}"
    for each in summary["terms"]:
        yield f"term {each['name']}: {each['said']}"
    names = ", ".join(f"{name}/" for name in summary["members"])
    stars = "star_catalogue.parquet, " if "bands" in summary else ""
    yield f"products in {out}: {stars}{names}, each a run of its own, and shared/"
