"""A cluster does what the local pool does: results, failures, faults, the same bits."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from clusters import Cluster, kill_own_worker, length_of, own_number

import scrframe
from scrframe.errors import ConfigError, DataError, ResourceError
from scrframe.products.files import read_ecsv
from scrframe.run.engines import dask_engine, same_code
from scrframe.run.engines.engine import Shared
from scrframe.run.workers import open_executor, run_tasks


def nothing(done):
    pass


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return a scheduler with two workers."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def executor(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("marks")
    with open_executor(1, str(cluster.file), folder=folder) as opened:
        while opened.number < 2:
            time.sleep(0.02)
        yield opened
    assert not list(folder.iterdir())


def test_results_are_in_the_order_of_the_tasks(executor):
    ticks = []
    assert run_tasks(executor, abs, list(range(0, -30, -1)), ticks.append) == list(range(30))
    assert sum(ticks) == 30


def test_both_workers_work(executor, cluster):
    found = set(run_tasks(executor, own_number, range(20), nothing))
    assert found == {each.pid for each in cluster.processes()}


def test_a_failure_reaches_the_caller_as_it_is(executor):
    with pytest.raises(DataError, match="nowhere: is missing"):
        run_tasks(executor, read_ecsv, [Path("nowhere")], nothing)


def timed_out():
    raise TimeoutError("of the task itself")


def test_a_time_limit_of_a_task_is_its_own(executor):
    with pytest.raises(TimeoutError, match="of the task itself"):
        executor.submit(timed_out).result()


def test_nobody_waits_for_a_client_that_is_closed(cluster):
    """A run that is hung up leaves the scheduler while results are on their way."""

    async def never(*_, **__):
        await asyncio.sleep(600)

    opened = dask_engine.DaskEngine(str(cluster.file))
    opened._client.gather = never
    waiting = opened.submit(abs, -1)
    time.sleep(1)  # the task has ended
    assert not waiting.done()
    opened.shutdown()
    with pytest.raises(ResourceError, match="the scheduler is gone"):
        waiting.result(timeout=10)


def test_what_tasks_share_travels_once(executor, tmp_path):
    shared = Shared(list(range(100_000)), tmp_path / "shared")
    assert run_tasks(executor, length_of, [shared] * 20, nothing) == [100_000] * 20
    assert len(list((tmp_path / "shared").iterdir())) == 1


def test_a_killed_worker_costs_its_task_alone(executor, tmp_path):
    tasks = [(number, 1 if number == 3 else 0, tmp_path, os.getpid()) for number in range(8)]
    assert run_tasks(executor, kill_own_worker, tasks, nothing) == list(range(8))


def test_a_task_that_kills_three_workers_ends_the_run(executor, tmp_path):
    tasks = [(number, 9 if number == 3 else 0, tmp_path, os.getpid()) for number in range(8)]
    with pytest.raises(ResourceError, match="ended by the system 3 times"):
        run_tasks(executor, kill_own_worker, tasks, nothing)
    assert len(list(tmp_path.iterdir())) == 3


def test_workers_of_other_versions_are_refused_before_work(cluster, monkeypatch):
    here = same_code.own()
    other = replace(here, versions={**here.versions, "numpy": "1.0"}, code={"scrframe": "0"})
    monkeypatch.setattr(dask_engine, "own", lambda: other)
    with (
        pytest.raises(
            ResourceError, match=r"numpy is .* there and 1\.0 here; the code of scrframe"
        ),
        open_executor(1, str(cluster.file)),
    ):
        pass


def test_a_worker_that_joins_later_is_refused_with_its_first_task(executor, monkeypatch):
    here = same_code.own()
    monkeypatch.setattr(dask_engine, "own", lambda: replace(here, code={"scrframe": "0"}))
    with pytest.raises(ResourceError, match="other versions, plugins or code"):
        run_tasks(executor, abs, [-1], nothing)


def test_workers_that_do_not_see_the_data_are_refused(cluster, tmp_path):
    missing = tmp_path / "elsewhere"
    with (
        pytest.raises(ResourceError, match=r"does not see .*elsewhere"),
        open_executor(1, str(cluster.file), needs=[missing]),
    ):
        pass


@pytest.mark.parametrize(
    ("scheduler", "error", "said"),
    [
        ("local:", ConfigError, "local:N"),
        ("local:0", ConfigError, "local:N"),
        ("nowhere.json", ConfigError, "no such file"),
        ("ftp://a:1", ConfigError, "no address"),
        ("tcp://127.0.0.1:9", ResourceError, "no scheduler answers"),
    ],
)
def test_what_is_no_scheduler_is_refused_by_a_line(scheduler, error, said, monkeypatch):
    monkeypatch.setattr(dask_engine, "ANSWER_S", 0.5)
    with pytest.raises(error, match=said) as caught, open_executor(1, scheduler):
        pass
    assert "\n" not in str(caught.value)


def test_a_local_cluster_ends_with_the_run_and_gives_the_same_bits(tiny_survey, tiny_run, tmp_path):
    survey = scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)
    out = tmp_path / "run"
    before = set(psutil.Process().children(recursive=True))
    scrframe.calibrate(survey, data=tiny_survey.data, out=out, executor="local:2")
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [each for each in left if each.status() != psutil.STATUS_ZOMBIE]
    same = [path for path in tiny_run.path.rglob("*") if path.is_file()]
    assert any("catalogues" in path.parts for path in same)
    for path in same:
        if path.name != "summary.json":  # tells what the run took
            assert (out / path.relative_to(tiny_run.path)).read_bytes() == path.read_bytes(), path
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
