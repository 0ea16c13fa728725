"""A cluster as a person starts it, and tasks for its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil


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
