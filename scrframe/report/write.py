"""The report of a finished run: null tests, anomalies, figures and the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from scrframe.checks.run_anomalies import find_anomalies, write_anomalies
from scrframe.checks.run_checks import run_checks
from scrframe.checks.verdict import Anomaly, NullTestResult
from scrframe.observer import Observer
from scrframe.plugin import Registry
from scrframe.products.files import writable, write_json
from scrframe.products.finished_run import STARS, RunProducts, StarColumns, open_run
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct
from scrframe.report.figures.catalogue import FIGURES, draw_all, other_figures
from scrframe.report.page import write_page
from scrframe.report.run_page import ANOMALIES, CHECKS, RunStory, run_page

#: Folder of the report below a run.
REPORT = "report"


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes
    ----------
    path : Path
        Its page, index.html.
    checks : tuple of NullTestResult
        Null tests and their verdicts.
    anomalies : tuple of Anomaly
    """

    path: Path
    checks: tuple[NullTestResult, ...]
    anomalies: tuple[Anomaly, ...]

    @property
    def failed(self) -> tuple[NullTestResult, ...]:
        """The null tests that failed."""
        return tuple(one for one in self.checks if one.verdict == "failed")


def write_report(
    run_dir: str | Path,
    *,
    further: Mapping[int, FigureProduct] | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> Report:
    """Judge a finished run, and write figures and a page into its folder ``report``.

    Parameters
    ----------
    run_dir : path
        As `scrframe.calibrate` wrote it. An earlier report there is replaced.
    further : mapping of int to FigureProduct, optional
        Figures of other results by number, 14 of a Monte Carlo and 15 of a cross-check, which
        the page then shows; of those not given it says what they need.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Returns
    -------
    Report

    Raises
    ------
    DataError
        If it is not a finished run, or a product is missing or damaged. An earlier report stays.
    ConfigError
        If the run's folder cannot be written.
    """
    observer = observer or Observer()
    products = open_run(run_dir, registry)
    findings = products.findings()
    figures = (*FIGURES, *other_figures(further or {}))
    with observer.step("null tests and anomalies"):
        checks, anomalies = run_checks(products), find_anomalies(products)
    with observer.step("figures", len(figures)) as done:
        drawn = draw_all(_reopener(products), done, figures)
    story = RunStory(products.summary, drawn, checks, anomalies, findings)
    with observer.step("page"), _in_place(products.path / REPORT) as folder:
        note = {"data_note": products.note}
        write_json(folder / CHECKS, {**note, "checks": [one.to_json() for one in checks]})
        write_anomalies(folder / ANOMALIES, anomalies)
        write_page(run_page(story), folder)
    return Report(products.path / REPORT / "index.html", checks, anomalies)


def _reopener(products: RunProducts) -> Callable[[], RunData]:
    """Return what gives the run anew, without most of the columns that others have read."""
    stars = StarColumns(products.path / STARS, products.solution.visits)
    # Of what the table of visits has read, nothing stays.
    opened = replace(products.data(), stars=stars)

    def reopened() -> RunData:
        nonlocal stars
        stars = stars.lean()
        pa.default_memory_pool().release_unused()
        return replace(opened, stars=stars)

    return reopened


@contextmanager
def _in_place(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to fill, which takes the place of another when it is whole."""
    new, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    with writable(folder):
        for left in (new, old):
            if left.exists():
                shutil.rmtree(left)
        new.mkdir()
        try:
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
