"""Work in parallel, through `concurrent.futures.Executor` and nothing else."""

from __future__ import annotations

import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
from threadpoolctl import threadpool_limits

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


class WorkerPool(ProcessPoolExecutor):
    """Starts workers with interrupts blocked: one that still imports would die of it loudly.

    A blocked signal stays blocked in a new process; here it only waits for a moment.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand out a task; starts a worker if need be."""
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(fn, *args, **kwargs)
        # Starting this helper of Python's own would lift the block again.
        multiprocessing.resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def open_executor(workers: int) -> Iterator[Executor]:
    """Yield an executor of so many processes; with 1, work stays in this process.

    Every task runs with one thread of BLAS, OpenMP and Arrow, so that results do not
    depend on the number of workers.
    """
    with threadpool_limits(limits=1), _arrow_threads(max(workers, 1)):
        if workers <= 1:
            yield SerialExecutor()
            return
        context = multiprocessing.get_context("spawn")
        with _environment(dict.fromkeys(THREAD_VARIABLES, "1")):
            pool = WorkerPool(workers, mp_context=context, initializer=start_worker)
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            pool.shutdown()


def start_worker() -> None:
    """Set up a worker process: one thread of each kind, interrupts left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


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
        Told 1 after each task.
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


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
