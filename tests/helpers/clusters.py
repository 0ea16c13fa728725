"""A cluster as a person starts it, a run of the command on it, and tasks for its workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

SCRFRAME = "from scrframe.cli import main; raise SystemExit(main())"
#: What differs between runs that are the same: what they took.
TOOK = ("steps", "seconds", "peak_memory_mb")


class Command:
    """`scrframe calibrate` on the tiny survey, in mode joint, report included."""

    def __init__(self, tiny_survey, out: Path, *options: str) -> None:
        self.out = out
        changes = [*tiny_survey.options, "--set", "colour_model.kind=ridge"]
        self.words = [sys.executable, "-c", SCRFRAME, "calibrate", str(tiny_survey.description)]
        self.words += ["--data", str(tiny_survey.data), "--out", str(out), *options, *changes]

    def start(self) -> subprocess.Popen:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.words, text=True, env=dict(os.environ), **streams)

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


class Cluster:
    """`dask scheduler` and some `dask worker`."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.file = folder / "scheduler.json"
        self._folder, self._log, self._number = folder, folder / "log", workers
        self.scheduler: subprocess.Popen | None = None
        self.workers: list[subprocess.Popen] = []

    def start(self) -> Cluster:
        self.file.unlink(missing_ok=True)
        known = ["--scheduler-file", str(self.file), "--host", "127.0.0.1", "--no-dashboard"]
        self.scheduler = self._program("scheduler", *known, "--port", "0")
        where = ["--local-directory", str(self._folder), "--nthreads", "1"]
        while not self.file.exists():
            assert self.scheduler.poll() is None, self._log.read_text()
            time.sleep(0.02)
        self.workers = [self._program("worker", *known, *where) for _ in range(self._number)]
        return self

    def _program(self, name: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", name, *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def processes(self) -> list[psutil.Process]:
        """Return the workers themselves, which nannies start anew."""
        found = [psutil.Process(nanny.pid).children() for nanny in self.workers]
        return [each for some in found for each in some if "spawn_main" in " ".join(each.cmdline())]

    def end_workers(self) -> None:
        for nanny in self.workers:
            _end(nanny)
        self.workers = []

    def end(self) -> None:
        self.end_workers()
        if self.scheduler is not None:
            _end(self.scheduler)
        self.scheduler = None

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_) -> None:
        self.end()


def _end(process: subprocess.Popen) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with suppress(psutil.NoSuchProcess):  # it ended with the other
            child.kill()
    process.wait()


def length_of(shared):
    return len(shared.get())


def own_number(_):
    time.sleep(0.05)
    return os.getpid()


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
