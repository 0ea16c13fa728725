"""Every engine gives the same bits, also if a worker or the scheduler is killed in mid-run."""

from __future__ import annotations

import subprocess
import time

import pytest
from clusters import Cluster, Command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def alone(tiny_survey, tmp_path_factory):
    """Return what one process makes."""
    command = Command(tiny_survey, tmp_path_factory.mktemp("one") / "run", "--workers", "1")
    code, said = command.end()
    assert code == 0, said
    return command.content()


@pytest.mark.parametrize("options", ["--workers 2", "--workers 4", "--scheduler local:2"])
def test_engines_of_this_machine(tiny_survey, alone, tmp_path, options):
    command = Command(tiny_survey, tmp_path / "run", *options.split())
    code, said = command.end()
    assert code == 0, said
    assert command.content() == alone


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_cluster_of_the_library(tiny_survey, alone, tmp_path, workers):
    import distributed

    how = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, **how) as cluster:
        command = Command(tiny_survey, tmp_path / "run", "--scheduler", cluster.scheduler_address)
        code, said = command.end()
    assert code == 0, said
    assert command.content() == alone


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    with Cluster(tmp_path / "cluster") as running:
        yield running


def wait_for(run: subprocess.Popen, words: str) -> None:
    """Wait until a run has said some words, and a moment more."""
    for line in run.stdout:
        if words in line:
            time.sleep(0.05)
            return
    raise AssertionError(f"the run never said {words!r}")


#: Lines of a run at which pieces are at work.
MOMENTS = ("Reading catalogues", "Reading spectra", "Writing corrected catalogues")


def test_programs_from_the_command_line(tiny_survey, alone, cluster, tmp_path):
    command = Command(tiny_survey, tmp_path / "run", "--scheduler", str(cluster.file))
    code, said = command.end()
    assert code == 0, said
    assert command.content() == alone


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_worker(tiny_survey, alone, cluster, tmp_path, moment):
    command = Command(tiny_survey, tmp_path / "run", "--scheduler", str(cluster.file))
    run = command.start()
    wait_for(run, moment)
    cluster.processes()[0].kill()
    code, said = command.end(run)
    assert code == 0, said
    assert command.content() == alone


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_scheduler(tiny_survey, alone, cluster, tmp_path, moment):
    command = Command(tiny_survey, tmp_path / "run", "--scheduler", str(cluster.file))
    run = command.start()
    wait_for(run, moment)
    cluster.scheduler.kill()
    code, said = command.end(run)
    if code != 0:  # 0 if all had been done
        assert code == 2, said
        assert "the scheduler is gone" in said
        kept = (tmp_path / ".run.partial").exists()  # if any piece was done
        assert ("same command again to resume" in said.splitlines()[-1]) == kept
        assert kept or moment == MOMENTS[0]
    cluster.end()
    cluster.start()
    code, said = command.end()
    assert code == 0, said
    assert command.content() == alone


def test_no_worker_is_left(tiny_survey, cluster, tmp_path, monkeypatch):
    command = Command(tiny_survey, tmp_path / "run", "--scheduler", str(cluster.file))
    run = command.start()
    wait_for(run, "Hashing inputs")
    cluster.end_workers()
    code, said = command.end(run)
    assert code == 2, said
    assert "no worker is left" in said
