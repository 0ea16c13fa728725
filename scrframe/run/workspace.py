"""Where a run works, beside its output until it is whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from scrframe.errors import (
    IN_STEP,
    KEPT,
    CalibrationError,
    ConfigError,
    DataError,
    InputChangedError,
    ScrframeError,
    notes_of,
    reworded,
)
from scrframe.products.files import RUN_MARK, SEALS, writable, write_text
from scrframe.run.place import Place, missing_folders, remove_empty, resource_error

#: Holds who makes a run, for the message of one that finds it there.
OWNER = "owner"
#: File that the process which makes a run has locked.
LOCK = "lock"
#: What the same command would meet again; all else leaves the work that is done.
WRONG_INPUT = (ConfigError, DataError, CalibrationError)


@dataclass(frozen=True)
class Workspace:
    """A run in the making.

    Attributes
    ----------
    place : Place
        Where the run will be, and the hidden folder in which it is made: with the pieces of
        work that are done (`work`) and the products so far (`run`). It stays after a failure
        or an interruption, and a run of the same description on the same data goes on from it.
    mark : str
        A directory that holds this file may be replaced; it is the last of a run to appear.
    made : tuple of Path
        Folders above it that were made for it, the lowest first.
    lock : BaseFileLock
        Is held by the process that makes the run.
    """

    place: Place
    mark: str
    made: tuple[Path, ...]
    lock: BaseFileLock = field(compare=False)
    #: Bytes of the catalogues that will be written, for messages.
    need: int = 0

    @classmethod
    def open(
        cls, out: Path, key: str, mark: str = RUN_MARK, *, merges: bool = False, need: int = 0
    ) -> Workspace:
        """Open a workspace; the work of another description or other data is dropped.

        Parameters
        ----------
        out : Path
        key : str
            What identifies the work.
        mark : str
            A directory that holds this file may be replaced.
        merges : bool
            Whether what else is in the place will stay there; then it may be anything.
        need : int
            Bytes of the catalogues that will be written, for messages.

        Raises
        ------
        ConfigError
            If `out` is something that a run must not replace, or another run works there.
        """
        place = fit_place(out, None if merges else mark)
        with writable(out):
            made = missing_folders(place.out.parent)
            place.root.mkdir(parents=True, exist_ok=True)
            space = cls(place, mark, made, _lock(place), need)
        try:
            with writable(out):
                space._begin(key)
        except BaseException:
            if space.has_pieces:
                space.lock.release()
            else:
                space.discard()
            raise
        return space

    def _begin(self, key: str) -> None:
        """Drop what is left of other work; undo what was moved when a run was ended."""
        self.place.restore(self.run)
        known = self.root / "key"
        if not known.exists() or known.read_text(encoding="utf-8") != key:
            _empty(self.root)
        for path in self.root.rglob(".*.tmp"):  # of processes that were killed
            path.unlink()
        self.run.mkdir(exist_ok=True)
        (self.root / "work").mkdir(exist_ok=True)
        write_text(self.root / OWNER, f"process {os.getpid()} on {socket.gethostname()}")
        write_text(known, key)

    @property
    def out(self) -> Path:
        """Where the run will be."""
        return self.place.out

    @property
    def root(self) -> Path:
        """Hidden directory in which the run is made."""
        return self.place.root

    @property
    def run(self) -> Path:
        """Directory of the products so far."""
        return self.root / "run"

    def target(self, step: str, key: str) -> Path:
        """Return the file that holds the result of one piece of work."""
        folder = self.root / "work" / step
        folder.mkdir(exist_ok=True)
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.arrow"

    @property
    def shared(self) -> Path:
        """Folder in which tasks find what they share; it is made when it is needed."""
        return self.root / "shared"

    def marks(self) -> Path:
        """Return an empty folder in which tasks at work are marked."""
        folder = self.root / "begun"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    @property
    def has_pieces(self) -> bool:
        """Whether any piece of work is done, here or in a workspace within."""
        return pieces_done(self.root) > 0

    def finish(self, *, merges: bool = False) -> None:
        """Put the run in its place.

        What is there already is replaced, or stays beside it if `merges` says so.
        """
        if not merges:
            self.place.put(self.run, self.mark)
        elif self.place.filled:
            self.place.merge(self.run)
        else:
            self.place.add_others(self.run)
            self.place.put(self.run, self.mark)
        self.close()

    def close(self) -> None:
        """Remove the workspace and give its lock back; what is in its place stays."""
        if self.lock.is_locked:
            _empty(self.root)
            (self.root / LOCK).unlink(missing_ok=True)
            remove_empty((self.root,))  # another run may have begun there
            self.lock.release()

    def discard(self) -> None:
        """Remove all traces of a run that failed, and folders made for it."""
        self.close()
        remove_empty(self.made)

    @contextmanager
    def guarded(
        self, step: Callable[[], str] | None = None, *, resumes: bool = True
    ) -> Iterator[None]:
        """Keep what is done if the block fails, and say so; name the step in the error.

        Input that is wrong would be wrong again, so that nothing is kept after it.

        Parameters
        ----------
        step : callable, optional
            Returns the name of the present step.
        resumes : bool
            Whether the next command could go on from what is done.

        Raises
        ------
        ResourceError
            In place of what fails for lack of room, memory and the like.
        """
        try:
            yield
        except BaseException as error:
            told = self._told(error, step)
            if KEPT not in notes_of(told):
                if resumes and _may_pass(told) and self.has_pieces:
                    told.add_note(KEPT)
                else:
                    self.discard()
            self.lock.release()
            if told is error:
                raise
            raise told from (None if isinstance(error, ScrframeError) else error)

    def _told(self, error: BaseException, step: Callable[[], str] | None) -> BaseException:
        found = (
            error
            if isinstance(error, ScrframeError)
            else resource_error(error, self.out, self.need)
        )
        where = step() if step is not None else ""
        if found is None:
            if where and isinstance(error, Exception):
                error.add_note(f"{IN_STEP}{where}")
            return error
        return reworded(found, f"{found} ({IN_STEP}{where})") if where else found


def pieces_done(root: Path) -> int:
    """Return how many pieces of work are done in a workspace, and in those within."""
    return sum(1 for _ in root.rglob(f"work/{SEALS}/*.json"))


@contextmanager
def open_workspace(
    out: Path, key: str, mark: str = RUN_MARK, *, resumes: bool = True, merges: bool = False
) -> Iterator[Workspace]:
    """Open a workspace, and put its products in their place at the end; see `Workspace`."""
    space = Workspace.open(out, key, mark, merges=merges)
    with space.guarded(resumes=resumes):
        yield space
        space.finish(merges=merges)


def _may_pass(error: BaseException) -> bool:
    """Return whether the same command may do better another time."""
    return isinstance(error, InputChangedError) or not isinstance(error, WRONG_INPUT)


def fit_place(out: Path, mark: str | None = RUN_MARK) -> Place:
    """Return the place of an output; nothing is made.

    Raises ConfigError if nothing can be written there, or what is there must not be replaced:
    anything but an empty folder or one that holds the file `mark`; None allows all.
    """
    with writable(out):
        place = Place.of(out)
        if mark is not None:
            _refuse_other_content(place, mark)
        above = next(each for each in (place.root, *place.root.parents) if each.exists())
        if not os.access(above, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return place


def _refuse_other_content(place: Place, mark: str) -> None:
    if not os.path.lexists(place.out) or (place.filled and place.old.is_dir()):
        return  # nothing is there, or what a run that was ended in the midst has moved
    empty = place.out.is_dir() and not any(place.entries())
    if not (empty or (place.out / mark).exists()):
        raise ConfigError(
            f"{place.out}: exists and is not an earlier run; choose another --out or remove it"
        )


def _lock(place: Place) -> BaseFileLock:
    """Lock a workspace for this process.

    Raises ConfigError if another process works there.
    """
    lock = FileLock(place.root / LOCK, thread_local=False)
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            owner = place.root / OWNER
            who = owner.read_text(encoding="utf-8") if owner.exists() else "a process"
            raise ConfigError(
                f"{place.out}: another run ({who}) is being made there; wait for it, or choose"
                " another --out"
            ) from None
        if (place.root / LOCK).exists():
            return lock
        lock.release()  # of a run that has just ended: its lock went with it
        place.root.mkdir(parents=True, exist_ok=True)


def _empty(root: Path) -> None:
    """Remove all of a workspace but its lock."""
    for path in list(root.iterdir()) if root.is_dir() else []:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
