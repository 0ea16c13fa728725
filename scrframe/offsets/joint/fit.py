"""The joint solver: all levels, star deviations and noise in one mixed model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scrframe.errors import CalibrationError
from scrframe.offsets.joint.design import Design, build_design
from scrframe.offsets.joint.problem import (
    Estimate,
    JointFit,
    JointProblem,
    JointRound,
    JointSolverSettings,
)
from scrframe.offsets.joint.rounds import Rounds
from scrframe.offsets.joint.subset import part_of

__all__ = [
    "Estimate",
    "JointFit",
    "JointProblem",
    "JointRound",
    "JointSolverSettings",
    "fit_design",
    "fit_joint",
]

#: Number of detections beyond which the variances are found in a part of the visits first,
#: and fewer draws will do.
MANY = 3_000_000


def fit_joint(
    problem: JointProblem,
    start: Estimate | None = None,
    report: Callable[[JointRound], None] | None = None,
) -> JointFit:
    """Fit all terms, variances and weights.

    Parameters
    ----------
    problem : JointProblem
    start : Estimate, optional
        From an earlier fit of the same design.
    report : callable, optional
        Told of each round.

    Raises
    ------
    CalibrationError
        If the system is singular, a difference or an error is not finite, or hardly any
        detection keeps its weight.
    """
    design = build_design(problem.levels, problem.table, problem.star, len(problem.covariates))
    return fit_design(design, problem, start, report)


def fit_design(
    design: Design,
    problem: JointProblem,
    start: Estimate | None = None,
    report: Callable[[JointRound], None] | None = None,
) -> JointFit:
    """Fit all terms, variances and weights of a design that is laid out already.

    Parameters
    ----------
    design : Design
    problem : JointProblem
        Its levels and table are not looked at.
    start, report
        As for `fit_joint`.

    Raises
    ------
    CalibrationError
        As `fit_joint` does.
    """
    _require_finite(problem)
    report = report or (lambda _: None)
    many = len(design.model.star) > MANY
    if start is None and many:
        start = _start_from_part(design, problem, report)
    return Rounds(problem, design, start, many=many).run(report)


def _start_from_part(
    design: Design, problem: JointProblem, report: Callable[[JointRound], None]
) -> Estimate:
    """Return the variances that a part of the visits gives; nothing else of it is kept."""
    part, smaller = part_of(design, problem)
    found = Rounds(smaller, part, None, many=len(part.model.star) > MANY).run(report)
    return replace(found.estimate, parameters=np.zeros(0))


def _require_finite(problem: JointProblem) -> None:
    for values, what in ((problem.delta_mag, "difference"), (problem.error_mag, "error")):
        wrong = int((~np.isfinite(values)).sum())
        if wrong:
            raise CalibrationError(
                f"{wrong} detections of the joint solution have a magnitude {what} that is not"
                " finite; cut them in selection.calibration"
            )
