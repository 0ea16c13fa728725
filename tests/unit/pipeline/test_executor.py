"""Tasks come back in order, whoever does them, and failures reach the caller."""

import os
from concurrent.futures import Executor, Future

import pyarrow as pa
import pytest

from scrframe.errors import DataError
from scrframe.pipeline.executor import THREAD_VARIABLES, open_executor, run_tasks


def square(value):
    if value < 0:
        raise DataError(f"{value} is negative")
    return value * value


def identity(_):
    return os.getpid(), {name: os.environ.get(name) for name in THREAD_VARIABLES}


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_tasks(workers):
    ticks = []
    with open_executor(workers) as executor:
        assert run_tasks(executor, square, list(range(30)), ticks.append) == [
            n * n for n in range(30)
        ]
    assert sum(ticks) == 30


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_reaches_the_caller(workers):
    with open_executor(workers) as executor, pytest.raises(DataError, match="-1 is negative"):
        run_tasks(executor, square, [1, -1, 2], lambda done: None)


def test_workers_are_other_processes_with_one_thread_each():
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    with open_executor(2) as executor:
        results = run_tasks(executor, identity, range(4), lambda done: None)
    for process, environment in results:
        assert process != os.getpid()
        assert set(environment.values()) == {"1"}
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == before


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
