"""What a machine may lack, in words: disk, memory, processes, permissions."""

from __future__ import annotations

import errno
import shutil
from concurrent.futures import BrokenExecutor
from pathlib import Path

import psutil

from scrframe.errors import ResourceError

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
            f"too little memory ({_size(there.available)} of {_size(there.total)} are free here,"
            " and a limit may allow less); use fewer --workers, or a larger machine"
        )
    if isinstance(error, RuntimeError) and OUT_OF_THREADS in text:
        what, remedy = TOLD[errno.EAGAIN]
        return ResourceError(f"{place}: {what}; {remedy}")
    if not isinstance(error, OSError) or error.errno not in TOLD:
        return None
    what, remedy = TOLD[error.errno]
    where = error.filename if isinstance(error.filename, str) else place
    room = f"{_size(free_bytes(place))} free"
    if need:
        room += f"; a run takes about {_size(RUN_SIZE * need)} in all"
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
            f"{place}: the disk is too small: {_size(free)} free, and the corrected catalogues"
            f" take about {_size(need)}; make room, or choose another --out"
        )
    if free < RUN_SIZE * need:
        return (
            f"{place}: {_size(free)} free may be too little; the run takes about"
            f" {_size(RUN_SIZE * need)}"
        )
    return ""


def _size(number: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
