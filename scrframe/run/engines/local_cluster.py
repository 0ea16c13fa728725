"""A scheduler and workers of this machine, for one run: the programs that a cluster has.

They are processes of their own rather than `distributed.LocalCluster`, whose workers would run
the caller's script again. They end with the run, however it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from scrframe.errors import ResourceError
from scrframe.run.engines import watched
from scrframe.run.engines.engine import THREAD_VARIABLES

#: Seconds for a scheduler to start, and for all to end.
START_S, END_S = 60.0, 5.0


class LocalCluster:
    """A scheduler with so many workers of one thread; a worker that dies is replaced.

    Parameters
    ----------
    workers : int

    Attributes
    ----------
    workers : int
    file : Path
        What `distributed.Client` finds the scheduler by.

    Raises
    ------
    ResourceError
        If it does not start.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._folder = tempfile.TemporaryDirectory(prefix="scrframe-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self.file = folder / "scheduler.json"
        self._log = folder / "log"
        self._processes: list[subprocess.Popen[bytes]] = []
        alone = ("--host", "127.0.0.1", "--no-dashboard", "--preload", watched.__name__)
        known = ("--scheduler-file", str(self.file))
        try:
            self._start("dask_scheduler", *alone, *known, "--port", "0")
            self._wait()
            number = ("--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0")
            where = ("--local-directory", str(folder), "--preload-nanny", watched.__name__)
            self._start("dask_worker", *alone, *known, *number, *where)
        except BaseException:
            self.close()
            raise

    def _start(self, program: str, *options: str) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
        environment |= {watched.PARENT: str(os.getpid()), "PYTHONWARNINGS": "ignore"}
        environment |= {watched.FOLDER: self._folder.name}
        environment["DASK_TEMPORARY_DIRECTORY"] = self._folder.name
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # an interrupt of the terminal is the run's affair
            )
        self._processes.append(process)

    def _wait(self) -> None:
        """Wait until the scheduler has written its address."""
        deadline = time.monotonic() + START_S
        while not self.file.exists() or not self.file.stat().st_size:
            if self._processes[0].poll() is not None or time.monotonic() > deadline:
                last = self._log.read_text(encoding="utf-8", errors="replace").strip()
                reason = " ".join(last.splitlines()[-1:]) or "it does not say why"
                raise ResourceError(f"no local scheduler starts: {reason[:200]}")
            time.sleep(0.05)

    def close(self) -> None:
        """End all processes at once."""
        ending: list[psutil.Process] = []
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                ending += [*parent.children(recursive=True), parent]
        for each in ending:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        for process in self._processes:
            process.wait()
        deadline = time.monotonic() + END_S
        while any(map(_lives, ending)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._processes = []
        shutil.rmtree(self._folder.name, ignore_errors=True)
        self._folder.cleanup()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
