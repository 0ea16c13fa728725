"""Which files a description means, and when they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scrframe.errors import DataError

#: How far up from a catalogue tables to join are looked for.
_LEVELS = 5


def matching_files(pattern: str, root: Path) -> list[Path]:
    """Return the files that match a pattern below a root, sorted; of a directory all in it.

    Files whose name begins with a dot or an underscore, and what lies in such a directory,
    are no catalogues.
    """
    found: set[Path] = set()
    for path in root.glob(pattern.rstrip("/") or "."):
        if path.is_dir():
            found |= {file for file in path.rglob("*") if _visible(file.relative_to(path))}
        else:
            found.add(path)
    return sorted(path for path in found if path.is_file())


def _visible(path: Path) -> bool:
    return not any(step.startswith((".", "_")) for step in path.parts)


def fingerprint(path: Path) -> str:
    """Return what changes when a file does: its size and time of modification."""
    state = path.stat()
    return f"{state.st_size}-{state.st_mtime_ns}"


def root_of(path: Path, patterns: Sequence[str]) -> Path:
    """Return the nearest directory above a file below which all patterns match.

    Raises
    ------
    DataError
        If there is none.
    """
    for folder in path.absolute().parents[:_LEVELS]:
        if all(any(True for _ in folder.glob(pattern)) for pattern in patterns):
            return folder
    raise DataError(
        f"{path}: no table to join matches {', '.join(map(repr, patterns))} beside it or in a"
        " directory above"
    )
