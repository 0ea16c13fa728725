"""How the progress of a run is shown: bars on a terminal, else lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scrframe.cli.screen import Screen
from scrframe.observer import Observer


def observer_for(screen: Screen) -> Observer:
    """Return what shows progress on a screen."""
    if screen.quiet:
        return Observer()
    return BarObserver(screen) if screen.is_terminal else LineObserver(screen)


class LineObserver(Observer):
    """Shows progress as two lines a step."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def message(self, text: str) -> None:
        """Print a line."""
        self._screen.say(text)

    def warning(self, text: str) -> None:
        """Print a line on the error stream."""
        self._screen.complain(f"warning: {text}")

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Print a line at the start and one, with seconds, at the end."""
        self._screen.say(f"{title} ..." if total is None else f"{title} ({total}) ...")
        start = time.perf_counter()
        yield lambda done: None
        self._screen.say(f"{title}: done in {time.perf_counter() - start:.1f} s")


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
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a bar; a step within a step shows nothing of its own."""
        if self._progress is not None:
            yield lambda done: None
            return
        with _progress_bar() as bar:
            self._progress = bar
            task = bar.add_task(title, total=total)
            try:
                yield lambda done: bar.advance(task, done)
                end = total if total is not None else max(bar.tasks[0].completed, 1)
                bar.update(task, total=end, completed=end)
            finally:
                self._progress = None


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=sys.stdout),
    )
