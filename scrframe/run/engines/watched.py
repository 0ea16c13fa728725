"""Loaded by a scheduler and workers that a run has started: they end soon after it.

``dask scheduler`` and ``dask worker`` call `dask_setup` (``--preload``, ``--preload-nanny``).
"""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from scrframe.run.engines.engine import WATCH_INTERVAL_S, end_with

#: Process number of the run.
PARENT = "SCRFRAME_PARENT"
#: Its temporary folder.
FOLDER = "SCRFRAME_CLUSTER"


def dask_setup(server: Any) -> None:
    """Watch the process that started this one; the workers of a nanny end with the nanny."""
    parent = int(os.environ[PARENT])
    if os.getppid() == parent:
        of_scheduler = type(server).__name__ == "Scheduler"
        end_with(parent, _clear if of_scheduler else None)


def _clear() -> None:
    """Remove the temporary folder of a run that was killed, when its workers have ended."""
    time.sleep(3 * WATCH_INTERVAL_S)
    shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
