"""The page of a comparison of colour models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from scrframe.analysis.compare.figures import tables
from scrframe.analysis.compare.figures.data import (
    MMAG,
    ResidualTable,
    judged,
    listed,
    main_figures,
    main_kind,
)
from scrframe.analysis.compare.figures.differences import cost_figure, difference_figure
from scrframe.analysis.compare.figures.figures import predicted_figure, scatter_figure, sky_figure
from scrframe.analysis.compare.figures.trends import (
    coverage_figure,
    reliability_figure,
    trend_figures,
)
from scrframe.analysis.compare.result import Comparison, Costs
from scrframe.report.page import Page, Section, write_page

T = TypeVar("T")


def write_comparison_page(
    folder: Path,
    comparison: Comparison,
    costs: Sequence[Costs],
    residuals: Mapping[str, ResidualTable],
) -> None:
    """Write index.html, and figures/ with each figure as PNG, PDF and its data as ECSV.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    comparison : Comparison
    costs : sequence of Costs
        Of the backends that were timed.
    residuals : mapping of str to ResidualTable
        By name of backend; figures of single stars show the backends that are there.
    """
    write_page(comparison_page(comparison, costs, residuals), folder)


def comparison_page(
    comparison: Comparison, costs: Sequence[Costs], residuals: Mapping[str, ResidualTable]
) -> Page:
    """Return the page; sections that have nothing to show are left out."""
    sections = (
        _result(comparison),
        _differences(comparison),
        _predictions(comparison, residuals),
        _trends(comparison, residuals),
        _errors(comparison, residuals),
        _offsets(comparison),
        _costs(comparison, costs),
        Section("Settings", tables=(tables.settings_table(comparison),)),
    )
    seeds = ", ".join(map(str, comparison.seeds))
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
            "Seeds": seeds,
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
            verdicts[gap.verdict].append(f"{one.name} ({tables.mmag(gap.value, True).text})")
    words = {"better": "better", "worse": "worse", "not told apart": "not told apart from it"}
    said = [f"{words[verdict]}: {listed(names)}" for verdict, names in verdicts.items() if names]
    if not said:
        return []
    reference = next(
        (main_figures(one) for one in comparison.backends if one.name == comparison.reference), None
    )
    own = f" ({MMAG * reference.dispersion.sd_mag:.1f} mmag)" if reference else ""
    return [
        f"Against the reference {comparison.reference}{own}, differences in mmag: "
        f"{'; '.join(said)}."
    ]


def _faults(comparison: Comparison) -> list[str]:
    faulty = [one.name for one in comparison.backends if one.fault]
    return [f"Left out for a fault: {listed(faulty)}; see the table of faults."] if faulty else []


def _result(comparison: Comparison) -> Section:
    text = (
        "In blocked folds whole cells of the sky are held out, so that a model is judged on sky it"
        " has not seen, as it is used; random folds tell what the stars themselves allow. Residuals"
        " are predicted less observed colour.",
    )
    return Section(
        "Result",
        text,
        _there(tables.ranking_table(comparison), tables.fault_table(comparison)),
    )


def _differences(comparison: Comparison) -> Section:
    text = (
        "Differences are taken on the same stars, so that what all models have in common, the"
        " noise of the labels above all, drops out. A difference counts when its interval does not"
        " hold zero.",
    )
    return Section(
        "Differences",
        text,
        _there(tables.difference_table(comparison)),
        _there(difference_figure(comparison)),
    )


def _predictions(comparison: Comparison, residuals: Mapping[str, ResidualTable]) -> Section:
    figures = predicted_figure(comparison, residuals), scatter_figure(comparison, residuals)
    return Section("Predictions", figures=_there(*figures))


def _trends(comparison: Comparison, residuals: Mapping[str, ResidualTable]) -> Section:
    text = (
        "A mean residual that depends on a variable becomes an error of the offsets of every field"
        " whose stars differ in it from the control field's. It does not average down.",
    )
    figures = *trend_figures(comparison), sky_figure(comparison, residuals)
    table = tables.trend_table(comparison)
    return Section("Trends of the residual", text, _there(table), _there(*figures))


def _errors(comparison: Comparison, residuals: Mapping[str, ResidualTable]) -> Section:
    figures = coverage_figure(comparison), reliability_figure(comparison, residuals)
    table = tables.coverage_table(comparison)
    return Section("Errors of single stars", (), _there(table), _there(*figures))


def _offsets(comparison: Comparison) -> Section:
    text = "What calibration needs in the end: offsets solved with each model's magnitudes."
    return Section("Offsets", (text,), _there(tables.offset_table(comparison)))


def _costs(comparison: Comparison, costs: Sequence[Costs]) -> Section:
    table, figure = tables.cost_table(comparison, costs), cost_figure(comparison, costs)
    return Section("Cost", (), _there(table), _there(figure))


def _there(*items: T | None) -> tuple[T, ...]:
    return tuple(item for item in items if item is not None)
