"""What the joint solution tells of its design and its rounds, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from scrframe.offsets.degeneracy import DegeneracyReport, report_degeneracies
from scrframe.offsets.design import Design
from scrframe.offsets.joint import JointRound
from scrframe.tables import FittedLevel


def report_design(design: Design, levels: Sequence[FittedLevel]) -> DegeneracyReport:
    """Return what a design cannot tell; findings name columns by the labels of their levels."""
    labels = {level.name: level_labels(level) for level in levels}
    exposures = design.exposures
    return report_degeneracies(design.model, labels, exposures.visit, exposures.visits)


def describe_report(report: DegeneracyReport) -> str:
    """Return one line that counts what a design cannot tell; empty if it tells all."""
    kinds = Counter(finding.kind for finding in report.findings)
    if not kinds:
        return ""
    counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"  what the design cannot tell: {counted} (all in solution/design_report.json)"


def describe_round(this: JointRound) -> str:
    """Return one line about a round of weights and variances."""
    return (
        f"    all levels: moved by {1000 * this.moved_mag:.2f} mmag (rms), standard deviations"
        f" by at most {100 * this.change:.1f} per cent, {100 * this.kept:.1f} per cent kept"
    )


def level_labels(level: FittedLevel) -> list[str]:
    """Return what each column of a level stands for, in words."""
    rows = level.labels().to_pylist()
    return [", ".join(f"{name} {_short(value)}" for name, value in row.items()) for row in rows]


def _short(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
