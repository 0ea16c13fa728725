"""The page of a comparison of colour models, and its tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from scrframe.analysis.compare import backend_figures
from scrframe.analysis.compare.backend_figures import VARIABLES, level_name
from scrframe.analysis.compare.behaviour import Costs
from scrframe.analysis.compare.result import (
    BackendResult,
    Comparison,
    Difference,
    ResidualTable,
    judged,
    main_figures,
    main_kind,
)
from scrframe.analysis.compare.scores import Dispersion
from scrframe.analysis.compare.star_figures import (
    MMAG,
    listed,
    predicted_figure,
    scatter_figure,
    sky_figure,
)
from scrframe.report.page import NONE, Cell, Kind, Page, PageTable, Section, number

T = TypeVar("T")
#: A row of a table, by heading.
Row: TypeAlias = dict[str, Cell | str]
ABSENT = Dispersion(np.nan, np.nan, np.nan, np.nan, 0)
KINDS: dict[str, Kind] = {"better": "good", "worse": "bad", "not told apart": "neutral"}


def comparison_page(
    comparison: Comparison, costs: Sequence[Costs], residuals: Mapping[str, ResidualTable]
) -> Page:
    """Return the page; sections that have nothing to show are left out.

    Parameters
    ----------
    costs : sequence of Costs
        Of the backends that were timed.
    residuals : mapping of str to ResidualTable
        By name of backend; figures of single stars show the backends that are there.
    """
    sections = _sections(comparison, costs, residuals)
    return Page(
        title=f"Colour models compared: {comparison.survey}, {comparison.band} band",
        lead="Which colour model predicts stars that it has not seen, how well, and whether the"
        " differences are more than chance. All models had the same stars, labels, features and"
        " folds.",
        answer=answer(comparison),
        sections=tuple(one for one in sections if one.tables or one.figures),
        warning=comparison.data_note,
        facts={
            "Control stars": f"{comparison.control_stars:,}",
            "Folds": str(comparison.folds),
            "Seeds": ", ".join(map(str, comparison.seeds)),
            "Reference": comparison.reference,
        },
    )


def answer(comparison: Comparison) -> tuple[str, ...]:
    """Return what the comparison found, in sentences, the most important first."""
    found = {one.name: figures for one, figures in judged(comparison)}
    if not found:
        return ("No backend could be judged.", *_faults(comparison))
    best, *equals = comparison.ranking[0] if comparison.ranking else list(found)[:1]
    kind = next(main_kind(one) for one in comparison.backends if one.name == best)
    spread = f"{MMAG * found[best].dispersion.sd_mag:.1f} mmag"
    first = f"{best} has the smallest dispersion in {kind} folds, {spread}"
    if equals:
        first += f", but is not told apart from {listed(equals)}"
    return (f"{first}.", *_against(comparison), *_faults(comparison))


def _against(comparison: Comparison) -> list[str]:
    """Say how the backends stand against the reference in the dispersion."""
    verdicts: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for one, _ in judged(comparison):
        gap = one.against_reference.get(f"{main_kind(one)}_sd")
        if gap is not None:
            verdicts[gap.verdict].append(f"{one.name} ({mmag(gap.value, True).text})")
    words = {"better": "better", "worse": "worse", "not told apart": "not told apart from it"}
    said = [f"{words[verdict]}: {listed(names)}" for verdict, names in verdicts.items() if names]
    if not said:
        return []
    figures = {one.name: main_figures(one) for one in comparison.backends}
    reference = figures.get(comparison.reference)
    own = f" ({MMAG * reference.dispersion.sd_mag:.1f} mmag)" if reference else ""
    return [
        f"Against the reference {comparison.reference}{own}, differences in mmag: "
        f"{'; '.join(said)}."
    ]


def _faults(comparison: Comparison) -> list[str]:
    faulty = [one.name for one in comparison.backends if one.fault]
    return [f"Left out for a fault: {listed(faulty)}; see the table of faults."] if faulty else []


def _sections(
    comparison: Comparison, costs: Sequence[Costs], residuals: Mapping[str, ResidualTable]
) -> Iterator[Section]:
    """Yield the sections, also those that have nothing to show."""
    yield Section(
        "Result",
        (
            "In blocked folds whole cells of the sky are held out, so that a model is judged on sky"
            " it has not seen, as it is used; random folds tell what the stars themselves allow."
            " Residuals are predicted less observed colour.",
        ),
        _there(ranking_table(comparison), fault_table(comparison)),
    )
    yield Section(
        "Differences",
        (
            "Differences are taken on the same stars, so that what all models have in common, the"
            " noise of the labels above all, drops out. A difference counts when its interval does"
            " not hold zero.",
        ),
        _there(difference_table(comparison)),
        _there(backend_figures.difference_figure(comparison)),
    )
    figures = predicted_figure(comparison, residuals), scatter_figure(comparison, residuals)
    yield Section("Predictions", figures=_there(*figures))
    yield Section(
        "Trends of the residual",
        (
            "A mean residual that depends on a variable becomes an error of the offsets of every"
            " field whose stars differ in it from the control field's. It does not average down.",
        ),
        _there(trend_table(comparison)),
        _there(*backend_figures.trend_figures(comparison), sky_figure(comparison, residuals)),
    )
    figures = (
        backend_figures.coverage_figure(comparison),
        backend_figures.reliability_figure(comparison, residuals),
    )
    yield Section(
        "Errors of single stars", (), _there(coverage_table(comparison)), _there(*figures)
    )
    text = "What calibration needs in the end: offsets solved with each model's magnitudes."
    yield Section("Offsets", (text,), _there(offset_table(comparison)))
    table, figure = cost_table(comparison, costs), backend_figures.cost_figure(comparison, costs)
    yield Section("Cost", (), _there(table), _there(figure))
    yield Section("Settings", tables=(settings_table(comparison),))


def _there(*items: T | None) -> tuple[T, ...]:
    return tuple(item for item in items if item is not None)


def ranking_table(comparison: Comparison) -> PageTable | None:
    """Return the table that answers which backend to trust: one row each, best first."""
    ranks = {name: place for place, group in enumerate(comparison.ranking, 1) for name in group}
    rows: list[Row] = []
    for one, _ in judged(comparison):
        row: Row = {"backend": one.name}
        row["rank"] = Cell(str(ranks.get(one.name, NONE)), "number")
        for kind in _kinds(comparison):
            score = one.folds[kind].dispersion if kind in one.folds else ABSENT
            row[f"sd, {kind}"] = mmag(score.sd_mag)
            if kind == _kinds(comparison)[0]:
                row |= _difference(one, comparison.reference, f"{kind}_sd")
            row[f"MAD, {kind}"] = mmag(score.mad_mag)
            if kind == _kinds(comparison)[0]:
                row["bias"] = mmag(score.bias_mag, signed=True)
                row["r2"] = number(score.r2, 4)
        rows.append(row)
    kinds = " and ".join(_kinds(comparison))
    caption = (
        f"Residuals of held-out control stars in mmag, {kinds} folds; rank by the first sd, equal"
        " where backends are not told apart."
    )
    return PageTable.from_rows(caption, rows) if rows else None


def _kinds(comparison: Comparison) -> list[str]:
    known = {kind for one in comparison.backends for kind in one.folds}
    return [kind for kind in ("blocked", "random") if kind in known]


def _difference(one: BackendResult, reference: str, key: str) -> Row:
    heading = "less reference [95\N{NO-BREAK SPACE}%]"
    gap = one.against_reference.get(key)
    if gap is None:
        said = "reference" if one.name == reference else NONE
        return {heading: Cell(NONE, "number"), "verdict": Cell(said, "neutral")}
    return {heading: _interval(gap), "verdict": Cell(gap.verdict, KINDS[gap.verdict])}


def _interval(gap: Difference | None, marked: bool = False) -> Cell:
    if gap is None:
        return Cell(NONE, "neutral")
    value, low, high = (mmag(one, signed=True).text for one in (gap.value, gap.low, gap.high))
    return Cell(f"{value} [{low}, {high}]", KINDS[gap.verdict] if marked else "number")


def mmag(value_mag: float, signed: bool = False) -> Cell:
    """Return a value in mag as a cell in mmag."""
    return number(MMAG * value_mag, 1, signed)


def fault_table(comparison: Comparison) -> PageTable | None:
    """Return the backends that do what they may not, and what that is."""
    rows: list[Row] = [
        {"backend": one.name, "fault": Cell(one.fault, "bad")}
        for one in comparison.backends
        if one.fault
    ]
    return PageTable.from_rows("Backends that are left out.", rows) if rows else None


def difference_table(comparison: Comparison) -> PageTable | None:
    """Return every difference against the reference with its interval."""
    results = [one for one, _ in judged(comparison) if one.against_reference]
    keys = list(dict.fromkeys(key for one in results for key in one.against_reference))
    rows: list[Row] = []
    for key in keys:
        gaps = {one.name: one.against_reference.get(key) for one in results}
        cells = {name: _interval(gap, marked=True) for name, gap in gaps.items()}
        rows.append({"figure": backend_figures.figure_name(key), **cells})
    caption = (
        f"Differences against {comparison.reference} in mmag with 95 per cent intervals; below"
        " zero is better. A tick marks what is better, a cross what is worse, neither what is not"
        " told apart."
    )
    return PageTable.from_rows(caption, rows) if rows else None


def trend_table(comparison: Comparison) -> PageTable | None:
    """Return the excess rms of mean residuals and their largest deviation, by variable."""
    found = judged(comparison)
    variables = list(dict.fromkeys(name for _, figures in found for name in figures.trends))
    rows: list[Row] = []
    for one, figures in found:
        row: Row = {"backend": one.name}
        for variable in variables:
            trend, label = figures.trends.get(variable), VARIABLES.get(variable, (variable, ""))[0]
            text = NONE
            if trend is not None:
                text = f"{mmag(trend.rms_mag).text} ({number(trend.largest_sigma, 1).text})"
            row[label] = Cell(text, "number")
        rows.append(row)
    caption = (
        "Rms of the mean residuals in mmag less what their errors give, and in brackets the"
        " largest mean in units of its error; without a trend it exceeds 2.9 in one of 20 cases."
    )
    return PageTable.from_rows(caption, rows) if rows and variables else None


def offset_table(comparison: Comparison) -> PageTable | None:
    """Return the errors of offsets by level."""
    found = [one for one, _ in judged(comparison) if one.offsets]
    levels = list(dict.fromkeys(level for one in found for level in one.offsets))
    rows: list[Row] = []
    for one in found:
        errors = {level: error.rms_mag for level, error in one.offsets.items()}
        cells = {level_name(level): mmag(errors.get(level, np.nan)) for level in levels}
        rows.append({"backend": one.name, **cells})
    counts = {level: error.count for one in found for level, error in one.offsets.items()}
    said = ", ".join(f"{level_name(level)} {counts[level]:,}" for level in levels)
    basis = (
        "Rms error against the simulated truth, in mmag"
        if comparison.truth
        else "Rms difference of held-out detections of the same star, in mmag"
    )
    return PageTable.from_rows(f"{basis}; judged: {said}.", rows) if rows else None


def coverage_table(comparison: Comparison) -> PageTable | None:
    """Return how often residuals lie within one and two errors."""
    rows: list[Row] = []
    for one, figures in judged(comparison):
        for source, found in (
            ("residuals of like stars", figures.coverage),
            ("the backend's own", figures.own_coverage),
        ):
            if found is not None:
                rows.append(
                    {
                        "backend": one.name,
                        "errors": source,
                        "within 1": number(100 * found.within_1, 1),
                        "within 2": number(100 * found.within_2, 1),
                        "sd of pulls": number(found.pull_sd, 2),
                        "median error (mmag)": mmag(found.median_err_mag),
                    }
                )
    if not rows:
        return None
    first = next(c for _, f in judged(comparison) for c in (f.coverage, f.own_coverage) if c)
    caption = (
        f"Shares in per cent; a normal distribution has {100 * first.expected_1:.1f} within one"
        f" error and {100 * first.expected_2:.1f} within two, and pulls of sd 1."
    )
    return PageTable.from_rows(caption, rows)


def cost_table(comparison: Comparison, costs: Sequence[Costs]) -> PageTable | None:
    """Return time, memory and size of each backend that was timed."""
    of = {one.backend: one for one in costs}
    order = [one.name for one, _ in judged(comparison)]
    order += [name for name in of if name not in order]
    rows: list[Row] = [
        {
            "backend": name,
            "training (s)": number(of[name].fit_s, 2),
            "predicted a second": number(of[name].predict_per_s, 0),
            "peak memory (MB)": number(of[name].peak_memory_mb, 0),
            "model (MB)": number(of[name].model_mb, 1),
        }
        for name in order
        if name in of
    ]
    caption = "Measured in this run on this machine; they differ from run to run."
    return PageTable.from_rows(caption, rows) if rows else None


def settings_table(comparison: Comparison) -> PageTable:
    """Return what each backend is and which settings it ran with."""
    return PageTable.from_rows(
        "Settings of each backend; what a search chose is said.",
        [
            {
                "backend": one.name,
                "version": one.version or NONE,
                "settings": _settings(one.settings) or NONE,
                "chosen by search": NONE if one.chosen is None else _settings(one.chosen) or NONE,
                "notes": " ".join((one.summary, *one.notes)).strip() or NONE,
            }
            for one in comparison.backends
        ],
    )


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
    )
