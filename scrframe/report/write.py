"""The report of a finished run: null tests, anomalies, figures, and the page.

The page says whether to believe the run, then all that it rests on.
"""

from __future__ import annotations

import gc
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scrframe.checks.run_checks import find_anomalies, run_checks, write_anomalies
from scrframe.checks.verdict import Anomaly, NullTestResult
from scrframe.observer import Observer
from scrframe.plugin import Registry
from scrframe.products.files import writable, write_json
from scrframe.products.finished_run import RunProducts, StarColumns, open_run
from scrframe.products.run_data import RunData
from scrframe.report import merit
from scrframe.report import run_tables as tables
from scrframe.report.figures.catalogue import (
    FIGURES,
    FURTHER,
    GLANCE,
    OTHERS,
    Drawn,
    RunFigure,
)
from scrframe.report.page import Page, PageTable, Section, write_page
from scrframe.report.rendered import RenderedFigure
from scrframe.report.stated import stated_table

if TYPE_CHECKING:  # it loads the drawing library
    from scrframe.report.figure import FigureProduct

#: What stands in a run's folder of the report besides the page and the figures.
CHECKS, ANOMALIES = "checks.json", "anomalies.ecsv"
RESIDUALS = (
    "Residuals are model less calibrated magnitudes. Their width is the scatter of stars about the"
    " model and the photometric noise; what matters is whether their mean depends on anything."
)


@dataclass(frozen=True)
class RunStory:
    """What the page of a run tells."""

    #: The content of ``summary.json``.
    summary: Mapping[str, Any]
    drawn: Drawn
    checks: Sequence[NullTestResult] = ()
    anomalies: Sequence[Anomaly] = ()
    #: What the design cannot tell, of ``solution/design_report.json``.
    findings: Sequence[Mapping[str, Any]] = ()
    #: What ties each field, of the same file.
    fields: Sequence[Mapping[str, Any]] = ()


def run_page(story: RunStory) -> Page:
    """Return the page of a run."""
    summary = story.summary
    counts = summary["counts"]
    missing = [
        {"figure": f"Figure {one.number}: {one.title}", "why it is missing": one.reason}
        for one in story.drawn.missing
    ]
    papers = summary["survey"] == merit.PAPER_SURVEY
    state = merit.state(story.checks, settled=not unsettled(summary))
    sections = (
        _glance(story),
        _section(story, "Samples", tables.cut_tables(counts), _samples(summary)),
        _section(story, "Colour model", tables.model_table(summary["colour_model"])),
        _section(story, "Reddening law", tables.law_tables(summary["reddening_law"], papers)),
        _section(story, "Offsets", _offset_tables(story, papers), *_offsets(story)),
        _section(story, "Maps"),
        _section(story, "Residuals", (), RESIDUALS),
        _section(story, FURTHER),
        _checks(story),
        _anomalies(story),
        _errors(story),
        _section(story, "Provenance", tables.provenance_tables(summary)),
        Section("Figures not shown", tables=tables.table_of("Figures not shown", missing)),
        _paper(story),
    )
    return Page(
        title=f"{summary['survey']}, {summary['band']} band: calibration report",
        lead=merit.LEADS[state],
        state=state,
        answer=answer(story),
        sections=tuple(one for one in sections if one.tables or one.figures or one.text),
        warning=summary["data_note"],
        facts={
            "Stars": f"{counts['calibration']['stars']:,}",
            "Detections": f"{counts['calibration']['detections']:,}",
            "Visits": f"{counts['visits']:,}",
            "Colour model": str(summary["colour_model"]["kind"]),
            "Mode": str(summary["offsets"]["mode"]),
            "scrframe": str(summary["scrframe_version"]),
        },
    )


def answer(story: RunStory) -> tuple[str, ...]:
    """Return what the reader came for: believe it or not, and why, in sentences."""
    return (
        *unsettled(story.summary),
        *merit.verdicts(story.checks),
        *merit.coverage(story.checks),
        *merit.found(story.checks, story.anomalies),
        *merit.terms_said(story.summary),
        *_spread(story),
    )


def unsettled(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Say in one sentence what has not converged; none where all has."""
    states = {
        "the colour model and the law": summary["colour_model"]["converged"],
        "the joint solution": summary["offsets"].get("joint", {}).get("converged", True),
    }
    loose = [name for name, settled in states.items() if not settled]
    if not loose:
        return ()
    return (
        f"Not converged when the rounds ended: {' and '.join(loose)}; do not rely on this run yet.",
    )


def _spread(story: RunStory) -> tuple[str, ...]:
    spread = story.summary["diagnostics"].get("spread")
    sigma = [
        None if spread is None else spread[when]["gaussian_sigma_mag"]
        for when in ("before", "after")
    ]
    if None in sigma:
        return ()
    before, after = (tables.MMAG * float(one) for one in sigma if one is not None)
    of_paper = (
        f" (the paper: {tables.MMAG * merit.PAPER_SPREAD_BEFORE_MAG:.0f} and"
        f" {tables.MMAG * merit.PAPER_SPREAD_AFTER_MAG:.0f} mmag)"
    )
    return (
        f"Model less observed magnitudes scatter by {before:.1f} mmag before and {after:.1f} mmag"
        f" after the correction{merit.beside_paper(story.summary['survey'], of_paper)}.",
    )


def _section(
    story: RunStory, title: str, content: tuple[PageTable, ...] = (), *text: str
) -> Section:
    return Section(title, text, content, tuple(story.drawn.by_section.get(title, ())))


def _glance(story: RunStory) -> Section:
    failed = [one for one in story.checks if one.verdict == "failed"]
    return Section(
        GLANCE,
        figures=tuple(story.drawn.by_section.get(GLANCE, ())),
        tables=(
            *tables.check_table(failed, "Null tests that failed", remedies=True),
            *stated_table(story.checks),
            *tables.merit_table(story.summary, headlines=True),
        ),
    )


def _samples(summary: Mapping[str, Any]) -> str:
    counts, trains = summary["counts"], summary["colour_model"]["training_stars"] > 0
    both = [counts[name] for name in ("calibration", "control")]
    ours = [f"{one['stars']:,} stars ({one['detections']:,} detections)" for one in both]
    of_paper = (
        f" The paper has {merit.PAPER_CALIBRATION_STARS:,} and {merit.PAPER_CONTROL_STARS:,} stars."
    )
    return (
        f"{ours[0]} calibrate; {ours[1]} of them are in the Control Sample, whose colours"
        f" {'train' if trains else 'judge'} the model."
        + merit.beside_paper(summary["survey"], of_paper)
    )


def _offset_tables(story: RunStory, papers: bool) -> tuple[PageTable, ...]:
    offsets = story.summary["offsets"]
    return (
        *tables.level_table(offsets, papers),
        *tables.term_table(offsets.get("joint", {})),
        *tables.field_table(story.fields),
    )


def _offsets(story: RunStory) -> tuple[str, ...]:
    said = [
        "Offsets are corrections: they are added to observed magnitudes. A scatter that exceeds"
        " the median error by far is real; one that does not is noise."
    ]
    loose = [one["message"] for one in story.findings if one["kind"] == "disconnected"]
    if loose:
        said.append(
            f"{len(loose):,} groups of visits share no star with the others. Offsets between"
            " groups rest on the colour model alone and have its errors; no repeated star tests"
            " them."
        )
    return tuple(said)


def _checks(story: RunStory) -> Section:
    if not story.checks:
        return Section("Null tests", ("No null test was made.",))
    count = Counter(one.verdict for one in story.checks)
    text = (
        "Each test looks for something that must not be there if the calibration is right, and can"
        " fail. A test that these data do not allow says why, and is no evidence either way."
        f" Failed: {count['failed']}; passed: {count['passed']}; not testable:"
        f" {count['not testable']}. The limits are in the description; the numbers behind each"
        f" test in {CHECKS}."
    )
    return Section("Null tests", (text,), tables.check_table(story.checks, "All null tests"))


def _anomalies(story: RunStory) -> Section:
    if not story.anomalies:
        return Section("Anomalies", ("None was found.",))
    text = (
        "What differs from comparable data, the most significant first. An anomaly is a hint to"
        f" look at the data; it is not a failed test. All of them are in {ANOMALIES}."
    )
    return Section("Anomalies", (text,), tables.anomaly_tables(story.anomalies))


def _errors(story: RunStory) -> Section:
    joint = story.summary["offsets"].get("joint")
    if joint is None:
        text = (
            "The levels were solved one after the other (mode sequential), which estimates neither"
            " the scatter of the levels nor the photometric error: errors of offsets are those of"
            " the means."
        )
        return _section(story, "Errors", (), text)
    text = (
        "Variances are estimated together with the offsets. Repeats are the spread of differences"
        " between successive detections of a star, over the square root of 2; over the stated"
        " error it is near 1 if the errors are right."
    )
    return _section(story, "Errors", tables.error_tables(joint), text)


def _paper(story: RunStory) -> Section:
    if story.summary["survey"] != merit.PAPER_SURVEY:
        return Section("Figures of merit", tables=tables.merit_table(story.summary))
    text = (
        f"The paper's figures are of {merit.PAPER.removeprefix('paper (').removesuffix(')')}, from"
        " real data. Scatters and spreads of this run should be alike if its data are; for"
        " simulated data they say what was put in. Coefficients of the law are strongly"
        " correlated: compare R, not single coefficients."
    )
    return Section("Beside the paper", (text,), tables.merit_table(story.summary))


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
    unsettled : tuple of str
        What has not converged, in one sentence; none where all has.
    """

    path: Path
    checks: tuple[NullTestResult, ...]
    anomalies: tuple[Anomaly, ...]
    unsettled: tuple[str, ...] = ()

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
    executor: Executor | None = None,
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
    executor : Executor, optional
        Its workers judge and draw, a figure each at a time; by default this process does.

    Raises
    ------
    DataError
        If it is not a finished run, or a product is missing or damaged. An earlier report stays.
    ConfigError
        If the run's folder cannot be written.
    """
    observer = observer or Observer()
    products = open_run(run_dir, registry)
    findings, fields = (products.design_report(key) for key in ("findings", "fields"))
    data, judged = products.data(), partial(_judged, products)
    # Those of residuals, the last, take longest: they begin.
    drawings = [partial(_drawn, one.number, data) for one in reversed(FIGURES)]
    with observer.step("null tests, anomalies and figures", 1 + len(drawings)) as done:
        answers: list[Any] = []
        work: list[Callable[[], Any]] = [judged, *drawings]
        for answer in executor.map(_called, work) if executor else map(_called, work):
            answers.append(answer)
            done(1)
    checks, anomalies = answers[0]
    figures = (*zip(FIGURES, reversed(answers[1:]), strict=True), *_others(further or {}))
    story = RunStory(products.summary, Drawn.of(figures), checks, anomalies, findings, fields)
    with observer.step("page"), _in_place(products.path / REPORT) as folder:
        note = {"data_note": products.note}
        write_json(folder / CHECKS, {**note, "checks": [one.to_json() for one in checks]})
        write_anomalies(folder / ANOMALIES, anomalies)
        write_page(run_page(story), folder)
    loose = unsettled(products.summary)
    return Report(products.path / REPORT / "index.html", checks, anomalies, loose)


def _called(work: Callable[[], Any]) -> Any:
    """Do a piece of work."""
    return work()


def _judged(products: RunProducts) -> tuple[tuple[NullTestResult, ...], tuple[Anomaly, ...]]:
    """Return null tests and anomalies."""
    return run_checks(products), find_anomalies(products)


def _drawn(number: int, data: RunData) -> RenderedFigure | None:
    """Draw a figure of a run, whose columns stay in memory for it alone."""
    from scrframe.report.figures.drawing import drawn_figure  # noqa: PLC0415 - drawing library

    assert isinstance(data.stars, StarColumns)
    drawn = drawn_figure(number, replace(data, stars=data.stars.unread()))
    gc.collect()  # a figure and its parts refer to each other
    pa.default_memory_pool().release_unused()
    return drawn


def _others(
    products: Mapping[int, FigureProduct],
) -> Iterator[tuple[RunFigure, RenderedFigure | None]]:
    """Yield the figures of other results than the run's, None for those not at hand."""
    for one in OTHERS:
        product = products.get(one.number)
        yield one, None if product is None else product.numbered(one.number)


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
