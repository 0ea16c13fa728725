"""Loaded by a scheduler and workers that a run has started: they end soon after it.

``dask scheduler`` and ``dask worker`` call `dask_setup` (``--preload``, ``--preload-nanny``).
"""

from __future__ import annotations

import os
from typing import Any

from scrframe.run.engines.engine import end_with

#: Process number of the run.
PARENT = "SCRFRAME_PARENT"


def dask_setup(server: Any) -> None:
    """Watch the process that started this one; the workers of a nanny end with the nanny."""
    parent = int(os.environ[PARENT])
    if os.getppid() == parent:
        end_with(parent)
