"""Where the products of a run go, how they get there, and what a machine may lack for it.

As a rule a run is made in a hidden folder beside its place, which is then renamed. A place
that cannot be renamed (a mount point, the folder somebody stands in, one whose parent may not
be written) is filled instead, from a hidden folder within. A link is followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from scrframe.errors import ResourceError

#: Bytes of a name to which others may be added.
LONG_NAME = 200
#: What a file system puts at its own root.
SYSTEM = {"lost+found"}
#: Hidden folder of work within a place that is filled.
WITHIN = ".scrframe.partial"


@dataclass(frozen=True)
class Place:
    """Where a run goes."""

    #: The folder of its products.
    out: Path
    #: The hidden folder in which it is made.
    root: Path
    #: Whether `out` is filled, file by file, as it cannot be renamed.
    filled: bool

    @classmethod
    def of(cls, out: Path) -> Place:
        """Return the place that an output names; fails as the system does (OSError)."""
        if os.path.lexists(out) and out.is_symlink():
            out = Path(os.path.realpath(out))
        out = Path(os.path.abspath(out))  # noqa: PTH100 - links above stay as they are
        if out.is_dir() and _stays(out):
            return cls(out, out / WITHIN, filled=True)
        return cls(out, out.parent / f".{_short(out.name)}.partial", filled=False)

    @property
    def old(self) -> Path:
        """Hidden folder of what was there before, while it is replaced."""
        if self.filled:
            return self.root / "old"
        return self.out.parent / f".{_short(self.out.name)}.old"

    @property
    def moving(self) -> Path:
        """File that is there while the products move into a place that is filled."""
        return self.root / "moving"

    def entries(self) -> Iterator[Path]:
        """Yield what is in the place, but for the work and what the system keeps there."""
        if self.out.is_dir():
            for path in self.out.iterdir():
                if path != self.root and path.name not in SYSTEM:
                    yield path

    def put(self, run: Path, mark: str) -> None:
        """Replace what is there by the folder `run`, of which the file `mark` comes last."""
        if not self.filled:
            if self.out.exists():
                self.out.rename(self.old)
            run.rename(self.out)
            shutil.rmtree(self.old, ignore_errors=True)
            return
        first = Path(mark).parts[0]
        self.old.mkdir(exist_ok=True)
        _move_all(sorted(self.entries(), key=lambda path: path.name != first), self.old)
        self.moving.touch()
        _move_all(sorted(run.iterdir(), key=lambda path: path.name == first), self.out)

    def restore(self, run: Path) -> None:
        """Undo what a run that was ended in the midst of `put` has moved."""
        if not self.old.is_dir():
            return
        if not self.filled:
            if self.out.exists():
                shutil.rmtree(self.old)
            else:
                self.old.rename(self.out)
            return
        if self.moving.exists():
            run.mkdir(exist_ok=True)
            _move_all(self.entries(), run)
        _move_all(self.old.iterdir(), self.out)
        self.moving.unlink(missing_ok=True)
        self.old.rmdir()

    def add_others(self, run: Path) -> None:
        """Give `run` what else is in the place, by links to the same files where it can be."""
        if self.filled:
            return
        for path in sorted(self.out.rglob("*")) if self.out.is_dir() else ():
            target = run / path.relative_to(self.out)
            if path.is_dir() and not path.is_symlink():
                target.mkdir(exist_ok=True)
            elif not os.path.lexists(target):
                try:
                    os.link(path, target, follow_symlinks=False)
                except OSError:
                    shutil.copy2(path, target, follow_symlinks=False)

    def merge(self, run: Path) -> None:
        """Move the files of `run` into a place that is filled, beside what else is there."""
        for path in sorted(path for path in run.rglob("*") if not path.is_dir()):
            target = self.out / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def _move_all(paths: Iterator[Path] | list[Path], folder: Path) -> None:
    for path in list(paths):
        path.rename(folder / path.name)


def _stays(folder: Path) -> bool:
    """Return whether a folder cannot be renamed, or should not be."""
    real = Path(os.path.realpath(folder))
    return (
        os.path.ismount(folder)
        or _here().is_relative_to(real)
        or not os.access(folder.parent, os.W_OK)
        or str(real) in {each.mountpoint for each in psutil.disk_partitions(all=True)}
    )


def _here() -> Path:
    """Return the current folder; the root if it is gone."""
    try:
        return Path(os.path.realpath(os.curdir))
    except OSError:
        return Path(os.sep)


def _short(name: str) -> str:
    """Return a name to which others may be added."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONG_NAME:
        return name
    return hashlib.sha256(encoded).hexdigest()[:24]


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those above it that do not exist, the lowest first."""
    return tuple(each for each in (folder, *folder.parents) if not each.exists())


def remove_empty(folders: tuple[Path, ...]) -> None:
    """Remove folders that are empty, in the order given."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


#: What is wrong, and what helps, by the number of a system's error.
TOLD = {
    errno.ENOSPC: ("the disk is full ({room})", "make room, or choose another --out"),
    errno.EDQUOT: ("your share of the disk is used up", "make room, or choose another --out"),
    errno.EFBIG: ("a file may not grow so large", "raise the limit (ulimit -f)"),
    errno.EROFS: ("nothing can be written there", "choose another --out"),
    errno.EACCES: ("permission denied", "allow it, or choose another place"),
    errno.EPERM: ("permission denied", "allow it, or choose another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter --out"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n), or use fewer --workers"),
    errno.ENFILE: ("too many open files", "close other programs, or use fewer --workers"),
    errno.EAGAIN: ("no further process may start", "raise the limit (ulimit -u), or use fewer"
                   " --workers"),
    errno.EIO: ("the disk does not answer as it should", "look after it, or choose another place"),
    errno.ESTALE: ("the network disk is gone", "wait for it, or choose another place"),
    errno.ENOTCONN: ("the network disk is gone", "wait for it, or choose another place"),
    errno.ETIMEDOUT: ("the network disk does not answer", "wait for it, or choose another place"),
    errno.ENOENT: ("is gone", "let the folder be while a run works there"),
    errno.EBUSY: ("is in use", "wait, or choose another --out"),
}  # fmt: skip
#: What a run takes while it is made, in units of the catalogues that it writes.
RUN_SIZE = 1.5
#: Parts of the messages by which libraries tell of too little memory.
OUT_OF_MEMORY = ("cannot allocate memory", "failed to map segment", "bad allocation")
OUT_OF_THREADS = "can't start new thread"


def resource_error(error: BaseException, place: Path, need: int = 0) -> ResourceError | None:
    """Return what to say of an error that the machine is the cause of, None of any other.

    Parameters
    ----------
    error : BaseException
    place : Path
        Where the run works, if the error itself does not say.
    need : int
        Bytes of the catalogues that it writes, if it does.
    """
    if isinstance(error, ResourceError):
        return error
    if isinstance(error, BrokenExecutor):
        return ResourceError(
            "a worker process was ended from outside, most likely for memory; use fewer --workers"
        )
    text = str(error).lower()
    if _lacks_memory(error, text):
        there = psutil.virtual_memory()
        return ResourceError(
            f"too little memory ({size_text(there.available)} of {size_text(there.total)} are free"
            " here, and a limit may allow less); use fewer --workers, or a larger machine"
        )
    if isinstance(error, RuntimeError) and OUT_OF_THREADS in text:
        what, remedy = TOLD[errno.EAGAIN]
        return ResourceError(f"{place}: {what}; {remedy}")
    if not isinstance(error, OSError) or error.errno not in TOLD:
        return None
    what, remedy = TOLD[error.errno]
    where = error.filename if isinstance(error.filename, str) else place
    room = f"{size_text(free_bytes(place))} free"
    if need:
        room += f"; a run takes about {size_text(RUN_SIZE * need)} in all"
    return ResourceError(f"{where}: {what.format(room=room)}; {remedy}")


def _lacks_memory(error: BaseException, text: str) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    told = isinstance(error, (ImportError, OSError, RuntimeError))
    return told and any(words in text for words in OUT_OF_MEMORY)


def free_bytes(place: Path) -> int:
    """Return the room on the disk of a place, or of the folder it will be in."""
    for folder in (place, *place.parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return 0


def refuse_small(place: Path, kept: Path, need: int) -> str:
    """Return a warning if what is to be written may not fit, an empty text if it will.

    Parameters
    ----------
    place : Path
    kept : Path
        The folder of work that is done already.
    need : int
        Bytes of the catalogues that are to be written.

    Raises
    ------
    ResourceError
        If not even half of that is there: catalogues are never written so much smaller.
    """
    used = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    free = free_bytes(place) + used
    if free < 0.5 * need:
        raise ResourceError(
            f"{place}: the disk is too small: {size_text(free)} free, and the corrected catalogues"
            f" take about {size_text(need)}; make room, or choose another --out"
        )
    if free < RUN_SIZE * need:
        return (
            f"{place}: {size_text(free)} free may be too little; the run takes about"
            f" {size_text(RUN_SIZE * need)}"
        )
    return ""


def size_text(number: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
