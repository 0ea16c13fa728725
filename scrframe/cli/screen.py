"""What appears: text on the output, problems on the error stream."""

from __future__ import annotations

import os
import sys
from typing import TextIO


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
