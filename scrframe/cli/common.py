"""What commands share: exit codes and errors, common options, and the screen.

It is imported before anything else, so it imports nothing that takes time.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import Annotated, ClassVar, TextIO

import typer

from scrframe.errors import KEPT, ConfigError, ScrframeError, notes_of

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
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Workers of a Dask scheduler, or local:N; default: SCRFRAME_SCHEDULER.",
    ),
]
FewWorkers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Processes.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Change a key of the description; repeatable."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only warnings and errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show details, and the time of each line.")
]
LogFile = Annotated[
    Path | None,
    typer.Option("--log", metavar="FILE", help="Append every line, details too, to a file."),
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Exit code 3 if a null test fails or the run has not settled."),
]


@contextmanager
def resumable() -> Iterator[None]:
    """Say after an interruption whether the work can go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = "; run the same command again to resume" if KEPT in notes_of(error) else ""
        raise InterruptedRunError(how) from None
    Screen.leaves_products = True


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
    """Prints whole lines; what cannot be printed ends the printing, not the work.

    Parameters
    ----------
    quiet : bool
        Whether only problems are shown.
    verbose : bool
        Whether details are shown, and the time of each line.
    log : path, optional
        File to which every line is appended with its time, quiet or not.

    Attributes
    ----------
    kept : TextIO or None
        That file, opened.
    lost : str
        Why the output could not be written, if it could not; a reader who went away
        (``| head``) wanted no more.
    leaves_products : bool
        Whether what the command is for is on the disk, and not on the screen.
    """

    lost: ClassVar[str] = ""
    leaves_products: ClassVar[bool] = False
    kept: ClassVar[TextIO | None] = None

    def __init__(self, quiet: bool = False, verbose: bool = False, log: Path | None = None) -> None:
        self.quiet, self.verbose = quiet, verbose and not quiet
        if log is not None:
            try:
                Screen.kept = log.open("a", encoding="utf-8")
            except OSError as error:
                raise ConfigError(f"--log {log}: cannot be written: {error.strerror}") from None

    def say(self, text: str) -> None:
        """Print text on the output, exactly as it is."""
        self.keep(text)
        if not self.quiet:
            _write(sys.stdout, text + "\n")

    def detail(self, text: str) -> None:
        """Print what only those want to know who ask for details."""
        if self.verbose:
            self.say(text)
        else:
            self.keep(text)

    def complain(self, text: str) -> None:
        """Print text on the error stream, quiet or not."""
        self.keep(text)
        _write(sys.stderr, text + "\n")

    def keep(self, text: str) -> None:
        """Append text to the log, if there is one, each line with its time."""
        if Screen.kept is not None:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            _write(Screen.kept, "".join(f"{now} {line}\n" for line in text.splitlines()))

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches the output."""
        try:
            return sys.stdout.isatty()
        except (AttributeError, OSError, ValueError):  # it was closed
            return False

    def close(self) -> None:
        """Write out what is buffered."""
        for stream in (sys.stdout, sys.stderr):
            _write(stream, "")


class SafeStream(io.TextIOBase):
    """The output as it is now, for those who write to it themselves."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._stream = sys.stdout

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        _write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: all is written at once."""

    def isatty(self) -> bool:
        """Return whether somebody watches."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the output."""
        return self._stream.fileno()


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        _write(stream, text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, ValueError) as error:  # nobody reads it, or it is closed, or the disk full
        if stream is not sys.stderr and not isinstance(error, (BrokenPipeError, ValueError)):
            Screen.lost = getattr(error, "strerror", None) or str(error)
        _mute(stream)


def _mute(stream: TextIO) -> None:
    """Send the rest of a broken stream nowhere, so that nothing complains of it at the end."""
    with suppress(OSError, ValueError), open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())
