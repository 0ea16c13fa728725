"""Tables of a comparison's page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from scrframe.analysis.compare.coverage import Coverage
from scrframe.analysis.compare.figures.data import MMAG, VARIABLES, judged
from scrframe.analysis.compare.figures.differences import figure_name, level_name
from scrframe.analysis.compare.paired import Difference
from scrframe.analysis.compare.result import BackendResult, Comparison, Costs
from scrframe.analysis.compare.scores import Dispersion
from scrframe.report.page import NONE, Cell, Kind, PageTable, number

ABSENT = Dispersion(np.nan, np.nan, np.nan, np.nan, 0)
KINDS: dict[str, Kind] = {"better": "good", "worse": "bad", "not told apart": "neutral"}


def ranking_table(comparison: Comparison) -> PageTable | None:
    """Return the table that answers which backend to trust: one row each, best first."""
    ranks = {name: place for place, group in enumerate(comparison.ranking, 1) for name in group}
    rows: list[dict[str, Cell | str]] = []
    for one, _ in judged(comparison):
        row: dict[str, Cell | str] = {"backend": one.name}
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
    return [
        kind
        for kind in ("blocked", "random")
        if any(kind in one.folds for one in comparison.backends)
    ]


def _difference(one: BackendResult, reference: str, key: str) -> dict[str, Cell | str]:
    heading = "less reference [95\N{NO-BREAK SPACE}%]"
    gap = one.against_reference.get(key)
    if gap is None:
        said = "reference" if one.name == reference else NONE
        return {heading: Cell(NONE, "number"), "verdict": Cell(said, "neutral")}
    return {heading: _interval(gap), "verdict": Cell(gap.verdict, KINDS[gap.verdict])}


def _interval(gap: Difference, marked: bool = False) -> Cell:
    value, low, high = (mmag(one, signed=True).text for one in (gap.value, gap.low, gap.high))
    return Cell(f"{value} [{low}, {high}]", KINDS[gap.verdict] if marked else "number")


def mmag(value_mag: float, signed: bool = False) -> Cell:
    """Return a value in mag as a cell in mmag."""
    return number(MMAG * value_mag, 1, signed)


def fault_table(comparison: Comparison) -> PageTable | None:
    """Return the backends that do what they may not, and what that is."""
    rows: list[dict[str, Cell | str]] = [
        {"backend": one.name, "fault": Cell(one.fault, "bad")}
        for one in comparison.backends
        if one.fault
    ]
    return PageTable.from_rows("Backends that are left out.", rows) if rows else None


def difference_table(comparison: Comparison) -> PageTable | None:
    """Return every difference against the reference with its interval."""
    results = [one for one, _ in judged(comparison) if one.against_reference]
    keys = list(dict.fromkeys(key for one in results for key in one.against_reference))
    rows: list[dict[str, Cell | str]] = []
    for key in keys:
        row: dict[str, Cell | str] = {"figure": figure_name(key)}
        for one in results:
            gap = one.against_reference.get(key)
            row[one.name] = Cell(NONE, "neutral") if gap is None else _interval(gap, marked=True)
        rows.append(row)
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
    rows: list[dict[str, Cell | str]] = []
    for one, figures in found:
        row: dict[str, Cell | str] = {"backend": one.name}
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
    rows: list[dict[str, Cell | str]] = []
    for one in found:
        row: dict[str, Cell | str] = {"backend": one.name}
        for level in levels:
            error = one.offsets.get(level)
            row[level_name(level)] = mmag(error.rms_mag if error else np.nan)
        rows.append(row)
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
    rows: list[dict[str, Cell | str]] = []
    for one, figures in judged(comparison):
        for source, found in (
            ("residuals of like stars", figures.coverage),
            ("the backend's own", figures.own_coverage),
        ):
            if found is not None:
                rows.append({"backend": one.name, "errors": source, **_coverage(found)})
    if not rows:
        return None
    first = next(c for _, f in judged(comparison) for c in (f.coverage, f.own_coverage) if c)
    caption = (
        f"Shares in per cent; a normal distribution has {100 * first.expected_1:.1f} within one"
        f" error and {100 * first.expected_2:.1f} within two, and pulls of sd 1."
    )
    return PageTable.from_rows(caption, rows)


def _coverage(found: Coverage) -> dict[str, Cell | str]:
    return {
        "within 1": number(100 * found.within_1, 1),
        "within 2": number(100 * found.within_2, 1),
        "sd of pulls": number(found.pull_sd, 2),
        "median error (mmag)": mmag(found.median_err_mag),
    }


def cost_table(comparison: Comparison, costs: Sequence[Costs]) -> PageTable | None:
    """Return time, memory and size of each backend that was timed."""
    of = {one.backend: one for one in costs}
    order = [one.name for one, _ in judged(comparison)]
    order += [name for name in of if name not in order]
    rows: list[dict[str, Cell | str]] = [
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
