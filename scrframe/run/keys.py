"""What identifies the work of a run: its description, its input, and the code that does it."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path

from scrframe.plugin import Part
from scrframe.plugin.registry import ENTRY_POINTS

#: Files of a package that are larger are known by size and time.
LARGE_BYTES = 4_000_000


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


def code_hashes(*, timed: bool = True) -> dict[str, str]:
    """Return a hash of the files of scrframe and of each plugin, by package.

    Versions do not tell: an installation in place (``pip install -e``) keeps its version when
    its code is edited. Large files count by size and, if `timed`, by the time of their change.
    """
    points = entry_points(group=ENTRY_POINTS)
    packages = {"scrframe", *(point.value.partition(":")[0].split(".")[0] for point in points)}
    found = {}
    for package in sorted(packages):
        digest = hashlib.sha256()
        for name, path in _files_of(package):
            digest.update(f"{package}/{name}\n".encode())
            state = path.stat()
            if state.st_size > LARGE_BYTES:
                when = f"-{state.st_mtime_ns}" if timed else ""
                digest.update(f"{state.st_size}{when}".encode())
            else:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        found[package] = digest.hexdigest()
    return found


def _files_of(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a package by their path in it; nothing of what cannot be found."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.origin and Path(spec.origin).is_file():
            yield package, Path(spec.origin)
        return
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path


def work_key(description: str, parts: Iterable[Part] = ()) -> str:
    """Return what identifies the work of a run: description, inputs, versions and code."""
    content = [description, *(f"{part.key}|{part.fingerprint}" for part in parts)]
    content += [f"{name}={number}" for name, number in {**versions(), **code_hashes()}.items()]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()
