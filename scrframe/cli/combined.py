"""`scrframe calibrate` of several surveys: what their directories hold, and what sharing gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from scrframe.cli.common import Screen, resumable
from scrframe.cli.rendering import judge, mmag, observer_for, rendered, table_of

if TYPE_CHECKING:
    from scrframe.analysis.combined.run import CombinedRun


def calibrate_several(
    screen: Screen,
    survey: Path,
    *,
    data: str | None,
    out: Path | None,
    workers: int | None,
    report: bool | None,
    strict: bool,
    changes: Sequence[str],
) -> None:
    """Calibrate the surveys of a description of several, and show what they share."""
    from scrframe.analysis.combined.run import calibrate_combined
    from scrframe.config import load_combined

    description = load_combined(survey, overrides=changes)
    if strict and (report is False or not all(m.report.enabled for m in description.members)):
        raise typer.BadParameter("--strict needs the reports, which are turned off")
    target = out if out is not None else Path("runs") / description.name
    with resumable(target):
        run = calibrate_combined(
            description,
            data=data,
            out=target,
            workers=workers,
            report=report,
            observer=observer_for(screen),
        )
    screen.say(rendered(combined_table(run.summary), screen.is_terminal))
    for line in combined_lines(run.summary, target):
        screen.say(line)
    _judge(screen, run, strict)


def _judge(screen: Screen, run: CombinedRun, strict: bool) -> None:
    for name, each in run.runs.items():
        judge(screen, each.report, run.path / name / "report" / "index.html", strict)


def combined_table(summary: Mapping[str, Any]) -> Table:
    """Return errors and differences of offsets by survey, alone and together."""
    rows = (
        (
            name,
            each["exposures"],
            _mmag(each["err_alone_mag"]),
            _mmag(each["err_together_mag"]),
            f"{100 * (1 - each['err_together_mag'] / each['err_alone_mag']):.1f} %",
            _mmag(each["difference_mag"]),
            _mmag(each["difference_expected_mag"]),
        )
        for name, each in summary["members"].items()
    )
    numbers = ("exposures", "error alone", "together", "less by", "differ by", "expected")
    return table_of(summary["name"], ("offsets of exposures, in mmag",), numbers, rows)


def combined_lines(summary: Mapping[str, Any], out: Path) -> Iterator[str]:
    """Yield what the surveys share, and where the products are."""
    for each in summary["stars"]:
        pair = " and ".join(each["members"])
        said = f"correlated by {each['correlation']:+.3f} +- {each['error']:.3f}"
        if each["error"] is None or each["error"] == float("inf"):
            said = "of no known correlation"
        how = "shared" if each["shared"] else "not significant, not shared"
        yield f"stars of {pair}: {each['common']} in common, deviations {said}: {how}"
    for each in summary["terms"]:
        yield f"term {each['name']}: {each['said']}"
    names = ", ".join(f"{name}/" for name in summary["members"])
    yield f"products in {out}: {names}, each a run of its own, and shared/"


def _mmag(value: float) -> str:
    return mmag(value, sign=False, decimals=2)
