"""The workers of a run: processes that do pieces of its work.

Work in parallel goes through `concurrent.futures.Executor` and nothing else; on a cluster that
is `engines.dask_engine`. The pool of processes is loky's, as joblib ships it: it never runs the
caller's script again in a worker, so that a script needs no ``if __name__ == "__main__":``, and
may come from standard input. What loky leaves open is settled here: a worker ends soon after
its parent (`start_worker`), and one that is killed costs its task, which another does
(`run_tasks`).
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import queue
import signal
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
from threadpoolctl import threadpool_limits

from scrframe.arrays import give_memory_back
from scrframe.errors import ConfigError, ResourceError
from scrframe.run.engines.chosen import chosen_scheduler
from scrframe.run.engines.engine import (
    KILLS,
    THREAD_VARIABLES,
    Engine,
    SerialExecutor,
    end_with,
    ignored,
    killer,
)

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


#: In place of a scheduler: processes of this machine, whatever the settings say.
LOCAL_POOL = ""
#: File descriptors of standard output and error.
SCREEN = (1, 2)


class Workers(Engine):
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
    if isinstance(executor, Engine):
        executor.rest()
    give_memory_back()


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def open_executor(
    workers: int,
    given: Executor | str | None = None,
    *,
    folder: Path | None = None,
    needs: Sequence[Path] = (),
    say: Callable[[str], None] = ignored,
) -> Iterator[Executor]:
    """Yield an executor of so many processes; with 1, work stays in this process.

    Every task runs with one thread of BLAS, OpenMP and Arrow, so that results do not
    depend on the number of workers. If the block fails, what still runs is given up.

    Parameters
    ----------
    workers : int
    given : Executor or str, optional
        An executor, which is taken as it is and stays open; or a scheduler, see
        `dask_engine.DaskEngine`, or `LOCAL_POOL`. By default what the user's settings say.
    folder : Path, optional
        Where an engine may write what tasks share, and note which are at work.
    needs : sequence of Path
        What every worker must see.
    say : callable, optional
        Is told what a user waits for.
    """
    scheduler = chosen_scheduler() if given is None else given
    with threadpool_limits(limits=1), _arrow_threads(max(workers, 1)):
        if isinstance(scheduler, Executor):
            yield scheduler
            return
        if not may_have_processes() or (not scheduler and workers <= 1):
            yield SerialExecutor()
            return
        engine = Workers(workers) if not scheduler else _cluster(scheduler, folder, needs, say)
        try:
            yield engine
        except BaseException:
            engine.give_up()
            raise
        engine.shutdown()


def _cluster(
    scheduler: str, folder: Path | None, needs: Sequence[Path], say: Callable[[str], None]
) -> Engine:
    """Return the workers of a scheduler."""
    try:
        from scrframe.run.engines.dask_engine import DaskEngine  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"dask", "distributed"}:
            raise
        raise ConfigError(
            f"--scheduler {scheduler}: needs dask.distributed: pip install 'scrframe[dask]'"
        ) from None
    return DaskEngine(scheduler, folder, needs, say)


def may_have_processes() -> bool:
    """Return whether this process may start others: not one that is a daemon itself.

    Such are the workers of `multiprocessing.Pool` and of Dask.
    """
    return not multiprocessing.current_process().daemon


def _started_pool(workers: int) -> Any:
    """Start all workers with signals blocked, and with nothing to say on the screen.

    One that still starts would die loudly of an interrupt, or of a parent that is gone before it
    has told the worker what to do. What goes wrong later comes back as the result of a task. A
    blocked signal stays blocked in a new process; here it only waits for a moment.
    """
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415 - one worker needs none

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
    with _unheard():
        return _with_signals_blocked(make)


@contextmanager
def _unheard() -> Iterator[None]:
    """Give processes that start meanwhile standard streams that lead nowhere."""
    for shown in (sys.stdout, sys.stderr):  # a pool flushes them as it starts
        with suppress(OSError, AttributeError, ValueError):
            shown.flush()
    with ExitStack() as stack:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        for stream in SCREEN:
            with suppress(OSError):  # there is none
                kept = os.dup(stream)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, stream)
                os.dup2(nowhere, stream)
        yield


def _with_signals_blocked(make: Callable[[], Any]) -> Any:
    """Make a pool and start its workers, who keep the signals blocked."""
    from joblib.externals.loky.backend import resource_tracker  # noqa: PLC0415 - as above

    # A terminal that closes is the parent's affair, who ends them all.
    before, pool = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]), None
    try:
        try:
            # Starting these helpers of theirs later would lift the blocks again.
            for tracker in (multiprocessing.resource_tracker, resource_tracker):
                tracker.ensure_running()
            pool = make()
            ends = [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
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
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    if not sys.warnoptions:  # nobody could tell whose they are
        warnings.simplefilter("ignore")
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    end_with(parent)


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
        if isinstance(executor, Engine):
            ahead = max(ahead, 2 * executor.number)
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
                raise ResourceError(killer(tasks[len(results)])) from None
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
