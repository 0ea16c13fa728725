"""Every engine gives the same bits, also if a worker or the scheduler is killed in mid-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clusters import Cluster

pytestmark = pytest.mark.slow

SCRFRAME = "from scrframe.cli import main; raise SystemExit(main())"
#: What differs between runs that are the same: what they took.
TOOK = ("steps", "seconds", "peak_memory_mb")


class Command:
    """`scrframe calibrate` on the tiny survey, in mode joint, report included."""

    def __init__(self, tiny_survey, out: Path, *options: str) -> None:
        self.out = out
        changes = [*tiny_survey.options, "--set", "colour_model.kind=ridge"]
        self._command = [sys.executable, "-c", SCRFRAME, "calibrate", str(tiny_survey.description)]
        self._command += ["--data", str(tiny_survey.data), "--out", str(out), *options, *changes]

    def start(self) -> subprocess.Popen:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self._command, text=True, env=dict(os.environ), **streams)

    def end(self, run: subprocess.Popen | None = None) -> tuple[int, str]:
        run = run or self.start()
        said = run.communicate(timeout=120)[0]
        return run.returncode, said

    def content(self) -> dict[str, object]:
        """Return the bytes of all products, and the summary but for what it took."""
        files = {str(each.relative_to(self.out)): each for each in self.out.rglob("*")}
        found: dict[str, object] = {n: p.read_bytes() for n, p in files.items() if p.is_file()}
        summary = json.loads(files["summary.json"].read_text())
        found["summary.json"] = {name: each for name, each in summary.items() if name not in TOOK}
        return found


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
