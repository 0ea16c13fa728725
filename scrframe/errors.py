"""Errors that people read: what is wrong, where, and what to do.

Every error that bad input can cause is a `ScrframeError`; the command line prints its
message as one line and exits with code 2. Anything else is a defect of the program.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

#: Characters of a message about data.
_LONGEST = 1000


class ScrframeError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(ScrframeError):
    """The survey description or a command-line value is wrong."""


class DataError(ScrframeError):
    """An input file is missing, damaged, or does not hold what it should.

    The message is one line of printable text, however much of somebody's data it quotes.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class InputChangedError(DataError):
    """An input is not what it was when the run began."""


class ResourceError(ScrframeError):
    """The machine does not allow it: disk, memory, limits, permissions."""


class PluginError(ScrframeError):
    """A plugin that is needed is missing, broken, or breaks its contract.

    Parameters
    ----------
    message : str
    key : tuple of str or int
        Where in the plugin's own block of the description the reason stands, if it does.
    """

    def __init__(self, message: str = "", key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


class ServiceError(ScrframeError):
    """A service on the net cannot be reached, refuses, or does not deliver what it should."""


class UnfinishedError(ServiceError):
    """An answer of a service is not whole, so that asking again may help."""


class CalibrationError(ScrframeError):
    """The data are readable but do not allow the calibration asked for."""


#: Begins the note of an error that says in which step it came.
IN_STEP = "in the step: "
#: The note of an error, or of an interruption, after which the same command goes on.
KEPT = "the work done so far is kept; run the same command again to resume"


def reworded(error: ScrframeError, message: str) -> ScrframeError:
    """Return an error of the same kind and notes with another message."""
    other = type(error)(message)
    for note in notes_of(error):
        other.add_note(note)
    return other


def notes_of(error: BaseException) -> tuple[str, ...]:
    """Return the notes that were added to an error."""
    return tuple(getattr(error, "__notes__", ()))


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return a text as one line of printable signs, cut where it is long."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
    return line if len(line) <= longest else line[:longest] + "..."


def number_of(number: int, what: str) -> str:
    """Return a number with what it counts: ``1 file``, ``1,200 files``."""
    return f"{number:,} {what if number == 1 else what + 's'}"


def named(kind: str, names: Sequence[str]) -> str:
    """Return names with what they are: ``column a``, ``columns a, b``."""
    return f"{kind if len(names) == 1 else kind + 's'} {', '.join(names)}"


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, with its type unless it is the program's own."""
    lines = str(error).strip().splitlines()
    first = lines[0].strip() if lines else ""
    kind = type(error).__name__
    if type(error).__module__.startswith("scrframe."):
        return first or kind
    return f"{kind}: {first}" if first else kind


#: Names of files in messages.
_FILE = re.compile(r"\S*/\S*|\S+\.[A-Za-z]\w{1,7}(?=[:, ]|$)")


#: Files that a line names besides the first; of more it gives the number.
_NAMED = 3


def told_once(lines: Iterable[str]) -> list[str]:
    """Return lines, those that differ only in the files they name as one that says which."""
    alike: dict[str, list[str]] = {}
    for line in lines:
        alike.setdefault(_FILE.sub("", line), []).append(line)
    return [own[0] + _also(own[1:]) for own in alike.values()]


def _also(lines: list[str]) -> str:
    """Return which files further lines are of, in words; empty for none."""
    if not lines:
        return ""
    names = [next(iter(_FILE.findall(line)), line) for line in lines[:_NAMED]]
    more = f" and {len(lines) - _NAMED:,} more" if len(lines) > _NAMED else ""
    return f" (the same of {', '.join(name.rstrip(':,') for name in names)}{more})"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` for the closest known name, or an empty text."""
    candidates = list(known)
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""
