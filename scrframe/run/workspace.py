"""Where a run works, beside its output until it is whole, and what identifies its work."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path

import psutil

from scrframe.errors import ConfigError, ScrframeError
from scrframe.observer import Observer
from scrframe.plugin import Part
from scrframe.plugin.registry import ENTRY_POINTS
from scrframe.products.files import RUN_MARK, writable, write_text
from scrframe.run.workers import run_tasks

#: Holds the number of the process that makes a run.
OWNER = "owner"


@dataclass(frozen=True)
class Workspace:
    """A run in the making.

    Attributes
    ----------
    out : Path
        Where the run will be.
    root : Path
        The hidden directory beside it, with the pieces of work that are done (`work`) and
        the products so far (`run`). It stays after an interruption, and a run of the same
        description on the same data goes on from it.
    made : tuple of Path
        Folders above it that were made for it, the lowest first.
    """

    out: Path
    root: Path
    made: tuple[Path, ...] = ()

    @classmethod
    def open(cls, out: Path, key: str, mark: str = RUN_MARK) -> Workspace:
        """Open a workspace; the work of another description or other data is dropped.

        Parameters
        ----------
        out : Path
        key : str
            What identifies the work.
        mark : str
            A directory that holds this file may be replaced.

        Raises
        ------
        ConfigError
            If `out` is something that a run must not replace, or another run works there.
        """
        out = out.absolute()
        if out.exists() and not _replaceable(out, mark):
            raise ConfigError(
                f"{out}: exists and is not an earlier run; choose another --out or remove it"
            )
        space = cls(out, partial_run(out), missing_folders(out.parent))
        space._refuse_company()
        known = space.root / "key"
        if space.root.exists() and (not known.exists() or known.read_text() != key):
            shutil.rmtree(space.root)
        with writable(out):
            space.run.mkdir(parents=True, exist_ok=True)
            (space.root / "work").mkdir(exist_ok=True)
            write_text(known, key)
            write_text(space.root / OWNER, str(os.getpid()))
        return space

    def _refuse_company(self) -> None:
        """Refuse to work where another run, which is still alive, does."""
        owner = self.root / OWNER
        text = owner.read_text() if owner.exists() else ""
        if text.isdigit() and int(text) != os.getpid() and psutil.pid_exists(int(text)):
            raise ConfigError(
                f"{self.out}: another run (process {text}) is being made there; wait for it, or"
                " choose another --out"
            )

    @property
    def run(self) -> Path:
        """Directory of the products so far."""
        return self.root / "run"

    def target(self, step: str, key: str) -> Path:
        """Return the file that holds the result of one piece of work."""
        folder = self.root / "work" / step
        folder.mkdir(exist_ok=True)
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.arrow"

    def finish(self) -> None:
        """Put the run in its place; an earlier run there is replaced."""
        old = self.out.parent / f".{self.out.name}.old"
        if old.exists():
            shutil.rmtree(old)
        if self.out.exists():
            self.out.rename(old)
        self.run.rename(self.out)
        shutil.rmtree(self.root)
        shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def guarded(
        self, step: Callable[[], str] | None = None, *, resumes: bool = True
    ) -> Iterator[None]:
        """Discard all if the block fails, and name the step in the error.

        Parameters
        ----------
        step : callable, optional
            Returns the name of the present step.
        resumes : bool
            Whether an interruption leaves what is done, for the next command to go on from.
        """
        try:
            yield
        except ScrframeError as error:
            self.discard()
            if step is None:
                raise
            raise type(error)(f"{error} (in the step: {step()})") from None
        except BaseException as error:
            if isinstance(error, Exception) or not resumes:
                self.discard()
            raise

    def discard(self) -> None:
        """Remove all traces of a run that failed, and folders made for it."""
        shutil.rmtree(self.root, ignore_errors=True)
        remove_empty(self.made)


@contextmanager
def open_workspace(
    out: Path, key: str, mark: str = RUN_MARK, *, resumes: bool = True
) -> Iterator[Workspace]:
    """Open a workspace, and put its products in their place at the end; see `Workspace`."""
    space = Workspace.open(out, key, mark)
    with space.guarded(resumes=resumes):
        yield space
        space.finish()


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those above it that do not exist, the lowest first."""
    return tuple(each for each in (folder, *folder.parents) if not each.exists())


def remove_empty(folders: tuple[Path, ...]) -> None:
    """Remove folders that are empty, in the order given."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def partial_run(out: Path) -> Path:
    """Return the hidden directory in which a run with this output works."""
    return out.parent / f".{out.name}.partial"


def _replaceable(out: Path, mark: str) -> bool:
    return out.is_dir() and ((out / mark).exists() or not any(out.iterdir()))


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
