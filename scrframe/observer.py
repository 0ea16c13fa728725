"""What a run tells whoever watches it; the command line shows it, the default is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Observer:
    """A silent observer; override what should be shown."""

    def message(self, text: str) -> None:
        """Take one line about the run."""

    def detail(self, text: str) -> None:
        """Take one line that only those want to know who ask for details."""

    def warning(self, text: str) -> None:
        """Take one line about something that the user should know."""

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Enclose a step of `total` units; the value is called with units done."""
        yield lambda done: None
