"""Exit codes, and how every error becomes one line on the error stream."""

from __future__ import annotations

from enum import IntEnum

import typer

from scrframe.errors import ScrframeError

#: Set to anything, it shows the traceback of an internal failure.
DEBUG = "SCRFRAME_DEBUG"
#: Base of typer's errors of usage, wherever typer's version keeps the class itself.
_CLICK_ERROR = typer.BadParameter.__mro__[2]


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


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
