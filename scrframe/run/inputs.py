"""Inputs that stay what they are: files that change during a run are found out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scrframe.errors import DataError, InputChangedError
from scrframe.observer import Observer
from scrframe.plugin import Part
from scrframe.products.files import file_hash
from scrframe.run.workers import run_tasks

#: Size, time of the last change and inode of a file; None of one that is not there.
FileState = tuple[int, int, int] | None


def states_of(parts: Iterable[Part]) -> dict[Path, FileState]:
    """Return the states of the files that parts are read from."""
    return {path: file_state(path) for part in parts for path in (part.path, *part.also)}


def state_of(part: Part) -> tuple[FileState, ...]:
    """Return the states of a part's files as they are."""
    return known_states({}, part)


def known_states(files: Mapping[Path, FileState], part: Part) -> tuple[FileState, ...]:
    """Return the states of a part's files as they are known, or as they are."""
    paths = (part.path, *part.also)
    return tuple(files[path] if path in files else file_state(path) for path in paths)


def file_state(path: Path) -> FileState:
    """Return the state of a file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino


def refuse_changed(part: Part, known: tuple[FileState, ...]) -> None:
    """Raise InputChangedError if a file of a part is not as it was."""
    for path, before in zip((part.path, *part.also), known, strict=True):
        now = file_state(path)
        if now != before:
            what = "is gone" if now is None else "has changed"
            raise InputChangedError(
                f"{path}: {what} since the run began, which would calibrate one version and"
                " correct another; let it be while a run reads it"
            )


@contextmanager
def unchanged(part: Part, known: tuple[FileState, ...]) -> Iterator[None]:
    """Enclose the reading of a part whose files must be as they were, before and after.

    What goes wrong with files that have changed meanwhile is told as their change. Raises
    InputChangedError.
    """
    refuse_changed(part, known)
    try:
        yield
    except (DataError, OSError):
        refuse_changed(part, known)
        raise
    refuse_changed(part, known)


#: Beside what was fetched it says where it is from.
PROVENANCE = "_provenance.json"


def fetched_from(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Return where those inputs are from that were fetched from archives, as plain JSON."""
    names: dict[Path, set[str]] = {}
    for part in parts:
        names.setdefault(part.path.parent, set()).add(part.path.name)
    found = []
    for folder in sorted(names):
        for file in [folder / PROVENANCE, *sorted(folder.glob(f"_*/{PROVENANCE}"))]:
            try:
                said = json.loads(file.read_text(encoding="utf-8"))
                if names[folder] & set(said["files"]):
                    found.append({name: said[name] for name in said if name not in _LONG})
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return found


#: What of a provenance is not repeated: lists of files, stars and ranges.
_LONG = ("files", "ranges", "stars_undelivered")


def input_hashes(
    executor: Executor, parts: Iterable[Part], root: Path, observer: Observer
) -> dict[str, str]:
    """Return the hash of each input file by its path relative to the data root."""
    paths = sorted({path for part in parts for path in (part.path, *part.also)})
    with observer.step("Hashing inputs", len(paths)) as done:
        hashes = run_tasks(executor, file_hash, paths, done)
    return {
        str(path.relative_to(root) if path.is_relative_to(root) else path): digest
        for path, digest in zip(paths, hashes, strict=True)
    }
