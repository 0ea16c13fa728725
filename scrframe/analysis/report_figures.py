"""Figures of a run's report that come from other commands: Monte Carlo and cross-check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astropy.table import Table

from scrframe.analysis.crosscheck.page import figure_crosscheck
from scrframe.analysis.montecarlo.products import figure_montecarlo
from scrframe.errors import DataError
from scrframe.products.files import CROSSCHECK, CROSSCHECK_VISITS, MONTECARLO, damaged
from scrframe.report.figure import FigureProduct
from scrframe.report.page import FIGURES


def further_figures(montecarlo: Path | None, crosscheck: Path | None) -> dict[int, FigureProduct]:
    """Return figures for `scrframe.report.write.write_report`, by number: 14 and 15.

    Parameters
    ----------
    montecarlo, crosscheck : Path, optional
        Directories that `scrframe montecarlo` and `scrframe crosscheck` have written.

    Raises
    ------
    DataError
        If a directory given holds no such results, or damaged ones.
    """
    figures = {}
    if montecarlo is not None:
        figures[14] = _montecarlo(montecarlo)
    if crosscheck is not None:
        figures[15] = _crosscheck(crosscheck)
    return figures


def _montecarlo(folder: Path) -> FigureProduct:
    _summary(folder, MONTECARLO, "a Monte Carlo")
    table = _table(folder / FIGURES / "montecarlo.ecsv")
    try:
        return figure_montecarlo(table)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / FIGURES / "montecarlo.ecsv", error) from None


def _crosscheck(folder: Path) -> FigureProduct:
    summary = _summary(folder, CROSSCHECK, "a cross-check")
    table = _table(folder / CROSSCHECK_VISITS)
    try:
        return figure_crosscheck(table, summary["visit"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(folder / CROSSCHECK_VISITS, error) from None


def _summary(folder: Path, name: str, what: str) -> Mapping[str, Any]:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{folder}: is not a directory of {what}; it has no {name}")
    try:
        summary: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
    return summary


def _table(path: Path) -> Table:
    if not path.is_file():
        raise DataError(f"{path}: is missing; make the results anew")
    try:
        return Table.read(path, format="ascii.ecsv")
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
