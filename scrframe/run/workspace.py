"""Where a run works, beside its output until it is whole, and the workers that do so.

Work in parallel goes through `concurrent.futures.Executor` and nothing else. The pool of
processes is loky's, as joblib ships it: it never runs the caller's script again in
a worker, so that a script needs no ``if __name__ == "__main__":``, and may come from standard
input. What loky leaves open is settled in `start_worker`: a worker ends soon after its parent.
"""

from __future__ import annotations

import hashlib
import multiprocessing.resource_tracker
import os
import platform
import queue
import re
import shutil
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import psutil
import pyarrow as pa
from threadpoolctl import threadpool_limits

from scrframe.errors import ConfigError, ScrframeError
from scrframe.observer import Observer
from scrframe.plugin import Part
from scrframe.plugin.registry import ENTRY_POINTS
from scrframe.products.files import RUN_MARK, writable, write_text

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
#: Read by BLAS and OpenMP libraries when a worker loads them.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
#: Seconds between two looks of a worker at its parent.
WATCH_INTERVAL_S = 1.0


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


class Workers(Executor):
    """Processes that start at the first task, and end at `rest` to give their memory back.

    Parameters
    ----------
    number : int
        How many.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool: Any = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand a task to the workers, which start if they rest."""
        if self._pool is None:
            self._pool = _started_pool(self._number)
        future: Future[T] = self._pool.submit(fn, *args, **kwargs)
        return future

    def rest(self) -> None:
        """End the workers once they are done; the next task starts others."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers."""
        self.rest()

    def give_up(self) -> None:
        """End the workers at once, whatever they do."""
        if self._pool is None:
            return
        # loky 3.6 stumbles, aloud, over tasks that wait while their workers are killed.
        with suppress(queue.Empty):
            while True:
                self._pool._work_ids.get_nowait()
        self._pool.shutdown(kill_workers=True)
        self._pool = None


def let_rest(executor: Executor) -> None:
    """End the workers of an executor, if it has any, until the next task."""
    if isinstance(executor, Workers):
        executor.rest()


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def open_executor(workers: int) -> Iterator[Executor]:
    """Yield an executor of so many processes; with 1, work stays in this process.

    Every task runs with one thread of BLAS, OpenMP and Arrow, so that results do not
    depend on the number of workers. If the block fails, what still runs is given up.
    """
    with threadpool_limits(limits=1), _arrow_threads(max(workers, 1)):
        if workers <= 1:
            yield SerialExecutor()
            return
        pool = Workers(workers)
        try:
            yield pool
        except BaseException:
            pool.give_up()
            raise
        pool.shutdown()


def _started_pool(workers: int) -> Any:
    """Start all workers with interrupts blocked: one that still imports would die of it loudly.

    A blocked signal stays blocked in a new process; here it only waits for a moment.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415 - one worker needs none
    from joblib.externals.loky.backend import resource_tracker  # noqa: PLC0415

    # A worker that has grown is replaced by a fresh one; nobody needs to be told.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    pool = ProcessPoolExecutor(
        workers,
        initializer=start_worker,
        initargs=(os.getpid(),),
        env=dict.fromkeys(THREAD_VARIABLES, "1"),
    )
    if not hasattr(signal, "pthread_sigmask"):
        return pool
    # Starting these helpers of theirs later would lift the block again.
    for tracker in (multiprocessing.resource_tracker, resource_tracker):
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        pool.submit(os.getpid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def start_worker(parent: int) -> None:
    """Set up a worker process: one thread of each kind, interrupts left to the parent.

    Parameters
    ----------
    parent : int
        Process number of the parent; the worker ends within seconds of it, however it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:  # nobody could tell whose they are
        warnings.simplefilter("ignore")
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process as soon as it is orphaned."""
    # An orphan gets another parent, but for Windows, where the number of the dead one stays.
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(WATCH_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)


def run_tasks(
    executor: Executor,
    function: Callable[[Any], R],
    tasks: Sequence[Any],
    done: Callable[[int], None],
    ahead: int = 256,
) -> list[R]:
    """Run a function on every task and return the results in the order of the tasks.

    Parameters
    ----------
    executor : Executor
    function : callable
        At module level, of one picklable argument.
    tasks : sequence
    done : callable
        Called with 1 after each task.
    ahead : int
        How many tasks are handed out before their turn; workers beyond it would idle.
    """
    results: list[R] = []
    waiting: deque[Future[R]] = deque()
    if isinstance(executor, SerialExecutor):
        ahead = 1
    for task in tasks:
        waiting.append(executor.submit(function, task))
        if len(waiting) >= ahead:
            results.append(waiting.popleft().result())
            done(1)
    while waiting:
        results.append(waiting.popleft().result())
        done(1)
    return results


@contextmanager
def _arrow_threads(number: int) -> Iterator[None]:
    before = pa.cpu_count(), pa.io_thread_count()
    pa.set_cpu_count(number)
    pa.set_io_thread_count(number)
    try:
        yield
    finally:
        pa.set_cpu_count(before[0])
        pa.set_io_thread_count(before[1])


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
