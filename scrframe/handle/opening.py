"""`open_run`: from the directory of a run to its handle."""

from __future__ import annotations

from pathlib import Path

from scrframe.handle.finished import FinishedRun
from scrframe.plugin import Registry, load_registry
from scrframe.products.finished_run import open_run as open_products


def open_run(path: str | Path, registry: Registry | None = None) -> FinishedRun:
    """Open the directory of a finished run.

    Parameters
    ----------
    path : path
        As `scrframe calibrate` wrote it.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    DataError
        If it is no run, an unfinished one, or a product is damaged.
    PluginError
        If a plugin that the run used is not installed.
    """
    registry = registry or load_registry()
    return FinishedRun(open_products(path, registry), registry)
