"""Tasks come back in order, whoever does them, and failures reach the caller."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future

import psutil
import pyarrow as pa
import pytest

from scrframe.errors import DataError, ResourceError
from scrframe.run.engines.engine import THREAD_VARIABLES, SerialExecutor
from scrframe.run.workers import open_executor, run_tasks


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


#: As in the README: a script that needs no `if __name__ == "__main__":`.
SCRIPT = """
import scrframe

survey = scrframe.load_survey({description!r}, overrides={changes!r})
run = scrframe.calibrate(survey, data={data!r}, out={out!r}, workers=2, report=False)
print(run.summary["offsets"]["mode"])
"""


@pytest.mark.parametrize("given", ["file", pytest.param("standard input", marks=pytest.mark.slow)])
def test_a_plain_script_calibrates_with_several_workers(tiny_survey, tmp_path, given):
    text = SCRIPT.format(
        description=str(tiny_survey.description),
        changes=[*tiny_survey.changes, "colour_model.kind=ridge", "offsets.mode=sequential"],
        data=str(tiny_survey.data),
        out=str(tmp_path / "run"),
    )
    script = tmp_path / "script.py"
    script.write_text(text)
    command = [sys.executable, str(script) if given == "file" else "-"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "sequential\n", "")
    assert (tmp_path / "run" / "stars.parquet").exists()


WAITING = """
import os, time
from scrframe.run.workers import open_executor, run_tasks

def wait(seconds):
    time.sleep(seconds)
    return os.getpid()

with open_executor(2) as executor:
    print(*run_tasks(executor, wait, [0.5, 0.5], lambda done: None), flush=True)
    run_tasks(executor, wait, [600, 600], lambda done: None)
"""


@pytest.fixture
def waiting():
    """Return a script whose workers have begun what takes long, and the workers."""
    script = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [psutil.Process(int(number)) for number in set(script.stdout.readline().split())]
    yield script, workers
    for process in (script, *workers):
        if process is script or process.is_running():
            process.kill()


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_workers_end_soon_after_their_parent(waiting, number):
    script, workers = waiting
    assert workers and all(map(alive, workers))
    if number == "SIGINT":  # goes to all that the terminal has started
        os.killpg(script.pid, signal.SIGINT)
    else:
        os.kill(script.pid, signal.Signals[number])
    _, errors = script.communicate(timeout=5)
    # No worker says anything of its own.
    assert errors.count("Traceback") == (number == "SIGINT")
    deadline = time.monotonic() + 5
    while any(map(alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill_own_worker(task):
    """Kill the process that does this as often as the task says, then return its number."""
    number, times, folder, parent = task
    assert os.getpid() != parent
    marks = [folder / f"{number}-{k}" for k in range(times)]
    for mark in marks:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_costs_its_task_alone(tmp_path):
    tasks = [(number, 1 if number == 3 else 0, tmp_path, os.getpid()) for number in range(8)]
    with open_executor(2) as executor:
        assert run_tasks(executor, kill_own_worker, tasks, lambda done: None) == list(range(8))


def test_a_task_that_kills_three_workers_ends_the_run(tmp_path):
    tasks = [(number, 9 if number == 3 else 0, tmp_path, os.getpid()) for number in range(8)]
    with (
        pytest.raises(ResourceError, match="ended by the system 3 times"),
        open_executor(2) as executor,
    ):
        run_tasks(executor, kill_own_worker, tasks, lambda done: None)
    assert len(list(tmp_path.iterdir())) == 3


def process_number(_):
    with open_executor(2) as executor:
        return os.getpid(), run_tasks(executor, identity, range(3), lambda done: None)


def test_work_stays_where_no_processes_may_start():
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # its workers are daemons
        own, found = pool.map(process_number, [0])[0]
    assert own != os.getpid()
    assert {number for number, _ in found} == {own}


def test_an_executor_of_the_caller_does_the_work():
    given = Counting()
    with open_executor(2, given) as executor:
        assert run_tasks(executor, square, range(5), lambda done: None) == [0, 1, 4, 9, 16]
    assert given.handed_out == 5
