"""What a run was made with: versions, and hashes of every input."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable
from concurrent.futures import Executor
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path

from scrframe.pipeline.executor import run_tasks
from scrframe.pipeline.observer import Observer
from scrframe.plugin import Part
from scrframe.plugin.registry import ENTRY_POINTS


def versions() -> dict[str, str]:
    """Return the versions of Python, of scrframe and all it requires, and of the plugins."""
    plugins = {point.dist.name for point in entry_points(group=ENTRY_POINTS) if point.dist}
    required = {name_of(text) for text in requires("scrframe") or ()}
    found = {"python": platform.python_version()}
    for name in ("scrframe", *sorted(plugins | required)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def name_of(requirement: str) -> str:
    """Return the name of the distribution in a requirement such as ``numpy>=2.0``."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def work_key(description: str, parts: Iterable[Part]) -> str:
    """Return what identifies the work of a run: description, inputs, versions."""
    content = [description, *(f"{part.key}|{part.fingerprint}" for part in parts)]
    content += [f"{name}={number}" for name, number in versions().items()]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()
