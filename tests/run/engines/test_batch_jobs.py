"""The page's job scripts, and batch systems that start workers, with stand-ins that run here."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import Command

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md"
#: A job of so many tasks gets two workers here.
SRUN = '#!/bin/sh\nshift; exec "$@" --nworkers 2 --host 127.0.0.1\n'
SUBMIT = '#!/bin/sh\nsetsid bash "$1" > "$1.log" 2>&1 &\necho "Submitted batch job $!"\n'
CANCEL = '#!/bin/sh\nkill -- "-$1"\n'


def program(folder: Path, name: str, text: str) -> None:
    """Write a program that stands in for one of a batch system."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Return a folder of programs that come first, Python's own among them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    dask = f'#!/bin/sh\nexec "{sys.executable}" -m dask "$@"\n'
    program(folder, "srun", SRUN)
    program(folder, "dask", dask)
    for submit, cancel in (("sbatch", "scancel"), ("qsub", "qdel")):
        program(folder, submit, SUBMIT)
        program(folder, cancel, CANCEL)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return folder


@pytest.fixture(scope="module")
def alone(tiny_survey, tmp_path_factory):
    """Return what one process makes."""
    command = Command(tiny_survey, tmp_path_factory.mktemp("one") / "run", "--workers", "1")
    code, said = command.end()
    assert code == 0, said
    return command.content()


def test_the_script_for_slurm(tiny_survey, alone, batch, tmp_path):
    (script,) = re.findall(r"```text\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(), re.DOTALL)
    here = Command(tiny_survey, tmp_path / "run")
    command = "scrframe calibrate surveys/mine.yaml --scheduler $known --out /shared/runs/mine"
    assert command in script
    script = script.replace(command, f"{shlex.join(here.words)} --scheduler $known")
    script = script.replace("--no-dashboard", "--no-dashboard --host 127.0.0.1 --port 0")
    environment = {**os.environ, "SLURM_JOB_ID": "7"}
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = job.wait(timeout=200)
        finally:  # as the batch system does at the end of a job
            os.killpg(job.pid, signal.SIGKILL)
    assert code == 0, (tmp_path / "log").read_text()
    assert here.content() == alone


@pytest.mark.parametrize("system", ["SLURMCluster", "PBSCluster"])
def test_jobs_that_the_library_submits(tiny_survey, alone, batch, tmp_path, system):
    jobqueue = pytest.importorskip("dask_jobqueue")
    kind = getattr(jobqueue, system)
    job = {"cores": 1, "processes": 1, "memory": "2 GB", "walltime": "00:10:00"}
    where = {"local_directory": str(tmp_path), "log_directory": str(tmp_path / "log")}
    options = {"host": "127.0.0.1", "dashboard_address": None}
    with kind(**job, **where, scheduler_options=options) as cluster:
        cluster.scale(jobs=2)
        command = Command(tiny_survey, tmp_path / "run", "--scheduler", cluster.scheduler_address)
        code, said = command.end()
    assert code == 0, said
    assert command.content() == alone
