"""What commands share: exit codes and errors, common options, and the screen.

It is imported before anything else, so it imports nothing that takes time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from scrframe.errors import ScrframeError

#: Set to anything, it shows the traceback of an internal failure.
DEBUG = "SCRFRAME_DEBUG"
#: Base of typer's errors of usage, wherever typer's version keeps the class itself.
CLICK_ERROR = typer.BadParameter.__mro__[2]


class ExitCode(IntEnum):
    """What the exit codes of `scrframe` mean."""

    DONE = 0
    INTERNAL = 1
    INPUT = 2
    STRICT = 3
    INTERRUPTED = 130


class InterruptedRunError(Exception):
    """A command was interrupted from the keyboard; the message says how to go on."""


class InputProblemsError(ScrframeError):
    """Several things are wrong; the message has a line for each."""


def on_one_line(text: str) -> str:
    """Return a text without line breaks, and without a full stop at its end."""
    return " ".join(text.split()).rstrip(".")


SurveyFile = Annotated[Path, typer.Argument(metavar="SURVEY.yaml", help="Survey description.")]
DataRoot = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="Data root; `sample` is the built-in survey."),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes; default: all processors."),
]
FewWorkers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Processes.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Change a key of the description; repeatable."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit code 3 if a null test fails.")]


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say after an interruption whether the work can go on."""
    try:
        yield
    except KeyboardInterrupt:
        from scrframe.run.workspace import partial_run

        kept = partial_run(out.absolute()).exists()
        how = "; run the same command again to resume" if kept else ""
        raise InterruptedRunError(how) from None


def help_without_command(context: typer.Context) -> None:
    """Show the help of a group of commands that is called without one, and end.

    Raises
    ------
    typer.Exit
    """
    if context.invoked_subcommand is None:
        Screen().say(context.get_help())
        raise typer.Exit(ExitCode.INPUT)


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
            try:
                stream.flush()
            except (BrokenPipeError, ValueError):
                _mute(stream)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        _write(stream, text.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        _mute(stream)


def _mute(stream: TextIO) -> None:
    """Send the rest of a broken stream nowhere, so that nothing complains of it at the end."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())
