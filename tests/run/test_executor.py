"""Tasks come back in order, whoever does them, and failures reach the caller."""

import os
from concurrent.futures import Executor, Future

import pyarrow as pa
import pytest

from scrframe.errors import DataError
from scrframe.run.executor import THREAD_VARIABLES, SerialExecutor, open_executor, run_tasks


def square(value):
    if value < 0:
        raise DataError(f"{value} is negative")
    return value * value


def environment():
    return {name: os.environ.get(name) for name in THREAD_VARIABLES}


def identity(_):
    return os.getpid(), environment()


@pytest.fixture(scope="module")
def outside():
    """Return the environment as it is without an executor."""
    return environment()


@pytest.fixture(scope="module", params=[1, 2])
def executor(request, outside):
    """Return an executor of one or two processes, which are slow to start."""
    with open_executor(request.param) as opened:
        yield opened
    assert environment() == outside


def test_results_are_in_the_order_of_the_tasks(executor):
    ticks = []
    expected = [n * n for n in range(30)]
    assert run_tasks(executor, square, list(range(30)), ticks.append) == expected
    assert sum(ticks) == 30


def test_a_failure_reaches_the_caller(executor):
    with pytest.raises(DataError, match="-1 is negative"):
        run_tasks(executor, square, [1, -1, 2], lambda done: None)


def test_workers_are_other_processes_with_one_thread_each(executor):
    if isinstance(executor, SerialExecutor):
        assert run_tasks(executor, identity, [0], lambda done: None)[0][0] == os.getpid()
        return
    for process, variables in run_tasks(executor, identity, range(4), lambda done: None):
        assert process != os.getpid()
        assert set(variables.values()) == {"1"}


def test_threads_of_arrow_are_as_before():
    before = pa.cpu_count(), pa.io_thread_count()
    with open_executor(1):
        assert (pa.cpu_count(), pa.io_thread_count()) == (1, 1)
    assert (pa.cpu_count(), pa.io_thread_count()) == before


class Counting(Executor):
    """Notes how many tasks are handed out before the first is done."""

    def __init__(self):
        self.handed_out = 0

    def submit(self, fn, /, *args, **kwargs):
        self.handed_out += 1
        future = Future()
        future.set_result(fn(*args))
        return future


def test_many_workers_all_have_something_to_do():
    executor, seen = Counting(), []
    run_tasks(executor, square, range(100), lambda done: seen.append(executor.handed_out))
    assert seen[0] == 100
