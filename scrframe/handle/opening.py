"""`open_run` and `open_runs`: from the directory of a run to its handle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scrframe.errors import DataError
from scrframe.handle.bands import FinishedRuns
from scrframe.handle.finished import FinishedRun
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import RUN_MARK, SHARED, read_summary
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
        If it is no run, one of several bands (see `open_runs`), an unfinished one, or a product is
        damaged.
    PluginError
        If a plugin that the run used is not installed.
    """
    registry = registry or load_registry()
    return FinishedRun(open_products(path, registry), registry)


def open_runs(path: str | Path, registry: Registry | None = None) -> FinishedRuns:
    """Open the directory of a finished run of many bands, or of several surveys.

    Parameters
    ----------
    path : path
        As `scrframe calibrate` wrote it for a description with `bands` or `members`.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    DataError
        If it is no such run, an unfinished one, or a product is damaged.
    PluginError
        If a plugin that a run used is not installed.
    """
    registry, path = registry or load_registry(), Path(path)
    summary = summary_of_several(path)
    if summary is None:
        raise DataError(f"{path}: holds no runs of several bands; scrframe.open_run opens one run")
    names = list(summary["members"])
    keys = summary.get("bands", names)
    runs = {key: open_run(path / name, registry) for key, name in zip(keys, names, strict=True)}
    return FinishedRuns(path, summary, runs)


def summary_of_several(path: Path) -> dict[str, Any] | None:
    """Return the summary of a directory of several runs, None of any other."""
    folder = path / SHARED
    if (path / RUN_MARK).exists() or not (folder / RUN_MARK).exists():
        return None
    return dict(read_summary(folder, RUN_MARK, "a run of several bands"))
