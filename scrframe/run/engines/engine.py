"""What all engines share: their interface, what travels once, and tasks that kill workers.

An engine is a `concurrent.futures.Executor` whose workers can rest and be given up. What many
tasks need alike is `Shared`: written once into the workspace, read once by each worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import psutil

from scrframe.errors import ResourceError
from scrframe.products.files import replacing

T = TypeVar("T")
P = ParamSpec("P")
#: How often the worker of a task may be killed.
KILLS = 3
#: Seconds between two looks of a process at its parent.
WATCH_INTERVAL_S = 1.0
#: Values of `Shared` that a worker keeps at hand.
KEPT_VALUES = 2
#: Read by BLAS and OpenMP libraries when a worker loads them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def ignored(text: str) -> None:
    """Say nothing."""


class Engine(Executor):
    """Workers that do tasks one at a time each, with one thread."""

    @property
    @abstractmethod
    def number(self) -> int:
        """How many workers there are."""

    @abstractmethod
    def rest(self) -> None:
        """Give memory back once all is done; the next task may have to wait for a start."""

    @abstractmethod
    def give_up(self) -> None:
        """End what is at work, at once."""


class SerialExecutor(Executor):
    """Runs each task at once, in this process."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a task and return its finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Shared(Generic[T]):
    """A value that many tasks need: it travels by a file of the workspace, not with each task.

    Parameters
    ----------
    value : object
        Picklable, and not changed any more.
    folder : Path
        Of the workspace; the file is written when the first task leaves this process.
    """

    def __init__(self, value: T, folder: Path) -> None:
        self._value = value
        self._file = folder / f"{uuid.uuid4().hex}.pickle"
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the value."""
        return self._value

    def __reduce__(self) -> tuple[Callable[[Path], _Received], tuple[Path]]:
        with self._lock:
            if not self._file.exists():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with replacing(self._file) as temporary:
                    temporary.write_bytes(pickle.dumps(self._value, protocol=5))
        return _Received, (self._file,)


class _Received:
    """`Shared` in a worker."""

    _read: dict[Path, Any] = {}  # noqa: RUF012 - of the process
    _lock = threading.Lock()

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self) -> Any:
        """Return the value, which the worker reads once."""
        with self._lock:
            if self._file not in self._read:
                while len(self._read) >= KEPT_VALUES:
                    self._read.pop(next(iter(self._read)))
                self._read[self._file] = pickle.loads(self._file.read_bytes())
            return self._read[self._file]


def end_with(parent: int, first: Callable[[], None] | None = None) -> None:
    """Have this process end within seconds of its parent, however that ends.

    `first` is what it does before.
    """
    threading.Thread(target=_watch, args=(parent, first), daemon=True).start()


def _watch(parent: int, first: Callable[[], None] | None) -> None:
    # An orphan gets another parent, but for Windows, where the number of the dead one stays.
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(WATCH_INTERVAL_S)
    if first is not None:
        first()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def counted(marks: Path, task: Any) -> Iterator[None]:
    """Mark a task as begun while the block runs: the mark of a worker that is killed stays.

    Parameters
    ----------
    marks : Path
        A folder for this task alone.
    task : object
        What it works on, for the message.

    Raises
    ------
    ResourceError
        If it has killed its worker `KILLS` times.
    """
    mark = marks / f"{uuid.uuid4().hex}.begun"
    with suppress(OSError):  # without marks, the scheduler counts
        marks.mkdir(parents=True, exist_ok=True)
        killed = len(list(marks.glob("*.begun")))
        if killed >= KILLS:
            raise ResourceError(killer(task))
        mark.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            mark.unlink(missing_ok=True)
            marks.rmdir()


def killer(task: Any) -> str:
    """Return what to say of a task whose worker was killed each time."""
    part = getattr(task, "part", None)
    what = f"{part.path}: " if part is not None else ""
    return (
        f"{what}the process that worked on this was ended by the system {KILLS} times, most"
        " likely for memory; use fewer --workers, or a machine with more"
    )
