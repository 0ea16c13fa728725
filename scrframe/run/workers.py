"""The workers of a run: processes that do pieces of its work.

Work in parallel goes through `concurrent.futures.Executor` and nothing else. The pool of
processes is loky's, as joblib ships it: it never runs the caller's script again in
a worker, so that a script needs no ``if __name__ == "__main__":``, and may come from standard
input. What loky leaves open is settled here: a worker ends soon after its parent
(`start_worker`), and one that is killed costs its task, which another does (`run_tasks`).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.resource_tracker
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psutil
import pyarrow as pa
from threadpoolctl import threadpool_limits

from scrframe.errors import ResourceError

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
#: How often the worker of a task may be killed.
KILLS = 3
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

    @property
    def number(self) -> int:
        """How many there are."""
        return self._number

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand a task to the workers, which start if they rest."""
        if self._pool is None:
            try:
                self._pool = _started_pool(self._number)
            except (ImportError, OSError):  # no processes can be had here
                self._pool = SerialExecutor()
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
        pool, self._pool = self._pool, None
        if not isinstance(pool, SerialExecutor):
            _kill(pool)


def let_rest(executor: Executor) -> None:
    """End the workers of an executor, if it has any, until the next task."""
    if isinstance(executor, Workers):
        executor.rest()
    give_memory_back()


def give_memory_back() -> None:
    """Give back what Arrow and the C library keep of memory that is free."""
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # only glibc keeps it, and can be told
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def open_executor(workers: int, given: Executor | None = None) -> Iterator[Executor]:
    """Yield an executor of so many processes; with 1, work stays in this process.

    Every task runs with one thread of BLAS, OpenMP and Arrow, so that results do not
    depend on the number of workers. If the block fails, what still runs is given up.
    An executor that is `given` is taken as it is, and stays open.
    """
    with threadpool_limits(limits=1), _arrow_threads(max(workers, 1)):
        if given is not None:
            yield given
            return
        if workers <= 1 or not may_have_processes():
            yield SerialExecutor()
            return
        pool = Workers(workers)
        try:
            yield pool
        except BaseException:
            pool.give_up()
            raise
        pool.shutdown()


def may_have_processes() -> bool:
    """Return whether this process may start others: not one that is a daemon itself.

    Such are the workers of `multiprocessing.Pool` and of Dask.
    """
    return not multiprocessing.current_process().daemon


def _started_pool(workers: int) -> Any:
    """Start all workers with interrupts blocked: one that still imports would die of it loudly.

    A blocked signal stays blocked in a new process; here it only waits for a moment.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415 - one worker needs none
    from joblib.externals.loky.backend import resource_tracker  # noqa: PLC0415

    # A worker that has grown is replaced by a fresh one; nobody needs to be told.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    make = partial(
        ProcessPoolExecutor,
        workers,
        initializer=start_worker,
        initargs=(os.getpid(),),
        env=dict.fromkeys(THREAD_VARIABLES, "1"),
    )
    if not hasattr(signal, "pthread_sigmask"):
        return make()
    # A terminal that closes is the parent's affair, who ends them all.
    before, pool = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]), None
    try:
        try:
            # Starting these helpers of theirs later would lift the blocks again.
            for tracker in (multiprocessing.resource_tracker, resource_tracker):
                tracker.ensure_running()
            pool = make()
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
            pool.submit(os.getpid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except BaseException:  # an interrupt that waited comes here
        if pool is not None:
            _kill(pool)
        raise
    return pool


def _kill(pool: Any) -> None:
    """End the processes of a pool at once."""
    # loky 3.6 stumbles, aloud, over tasks that wait while their workers are killed.
    with suppress(queue.Empty):
        while True:
            pool._work_ids.get_nowait()
    pool.shutdown(kill_workers=True)


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
    if not isinstance(executor, Workers):
        ahead = 1 if isinstance(executor, SerialExecutor) else ahead
        for result in _in_order(executor, function, tasks, ahead):
            results.append(result)
            done(1)
        return results
    killed: Counter[int] = Counter()  # how often a worker was killed that may have had a task
    while len(results) < len(tasks):
        begun = len(results)
        # The first of the rest alone, if it is under suspicion; few at a time, if any is.
        alone = killed[begun] >= KILLS - 1
        rest = tasks[begun : begun + 1] if alone else tasks[begun:]
        ahead = 1 if alone else executor.number if killed else ahead
        try:
            for result in _in_order(executor, function, rest, ahead):
                results.append(result)
                done(1)
        except BrokenExecutor:
            executor.give_up()
            killed.update(range(len(results), min(len(results) + ahead, len(tasks))))
            if killed[len(results)] >= KILLS and alone:
                raise ResourceError(_killer(tasks[len(results)])) from None
    return results


def _in_order(
    executor: Executor, function: Callable[[Any], R], tasks: Sequence[Any], ahead: int
) -> Iterator[R]:
    """Yield the results of tasks, of which so many are handed out before their turn."""
    waiting: deque[Future[R]] = deque()
    for task in tasks:
        waiting.append(executor.submit(function, task))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _killer(task: Any) -> str:
    """Return what to say of a task whose worker was killed each time."""
    part = getattr(task, "part", None)
    what = f"{part.path}: " if part is not None else ""
    return (
        f"{what}the process that worked on this was ended by the system {KILLS} times, most"
        " likely for memory; use fewer --workers, or a machine with more"
    )


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
