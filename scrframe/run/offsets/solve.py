"""From a matched sample to a solution: colour model, law, offsets, zero point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from scrframe.errors import CalibrationError
from scrframe.offsets.apply import apply_solution
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.products.visits import VisitSeen
from scrframe.run.colour_model import FittedModel, trend_settings
from scrframe.run.offsets.joint import JointSolve
from scrframe.run.offsets.joint_solution import (
    exposure_table,
    joint_record,
    solved_levels,
    star_columns,
    with_systematics,
)
from scrframe.run.offsets.systematics import (
    AlternativeDereddening,
    ModelVariants,
    systematic_shifts,
)
from scrframe.run.plugins import SelectedPlugins, prepare_levels
from scrframe.run.sample.assembly import derive_for
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.tables import MatchedStars, PhotometricError, Solution, SolvedLevel
from scrframe.tables.cuts import Cut


@dataclass(frozen=True)
class Solved:
    """A solution with its further products.

    Attributes
    ----------
    solution : Solution
    columns : mapping of str to ndarray, shape (n,)
        Further columns of stars.parquet.
    record : mapping
        What summary.json says of the solution, as plain JSON.
    visit_covariance : ndarray, shape (v, v), or None
        Of the visits' offsets, in mag^2, in the order of `covered`.
    covered : tuple of str
        Visits with calibration stars.
    findings : mapping
        What the design cannot tell, as plain JSON.
    """

    solution: Solution
    columns: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    visit_covariance: np.ndarray[Any, np.dtype[np.float64]] | None = None
    covered: tuple[str, ...] = ()
    findings: Mapping[str, Any] = field(default_factory=dict)


def solve(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    fitted: FittedModel,
    visits: Sequence[VisitSeen],
    provenance: Mapping[str, Any],
    dereddening: AlternativeDereddening | None = None,
    joint: JointSolve | None = None,
) -> Solved:
    """Solve the offsets of all levels and the zero point u_ZP.

    Parameters
    ----------
    plugins : SelectedPlugins
    sample : MatchedStars
    fitted : FittedModel
    visits : sequence of VisitSeen
        All that were read.
    provenance : mapping
    dereddening : AlternativeDereddening, optional
        Other ways of dereddening, whose effect counts as systematic error in mode joint.
    joint : JointSolve, optional
        In mode joint, what was solved already; by default it is solved here.

    Raises
    ------
    CalibrationError
        If the mode cannot solve the levels, or no star is left for the zero point.
    """
    if fitted.joint is None:
        return _solve_sequential(plugins, sample, fitted.model, visits, provenance)
    joint = joint or solve_joint(fitted)
    return _solution_of(plugins, sample, fitted, joint, visits, provenance, dereddening)


def solve_joint(fitted: FittedModel) -> JointSolve:
    """Return the joint solve of one survey by itself, with all variances settled."""
    state, model = fitted.joint, fitted.model
    assert state is not None
    return state.solver.finish(state, model.model_mag, model.colour0_mag)


def _solve_sequential(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    model: ModelMagnitudes,
    visits: Sequence[VisitSeen],
    provenance: Mapping[str, Any],
) -> Solved:
    blocks = plugins.survey.offsets.active_levels()
    delta = model.model_mag - sample.detections["mag"]
    fitted = prepare_levels(plugins, sample)
    problem = OffsetProblem(fitted, sample.detections, delta, plugins.survey.offsets.min_stars)
    solved = solve_sequential(problem)
    zero_point = mean_zero_point(sample, delta - solved.total_mag, plugins.survey.zero_point)
    levels = tuple(
        SolvedLevel(level, block.kind, table)
        for level, block, table in zip(fitted, blocks, solved.tables, strict=True)
    )
    names = tuple(visit.key for visit in visits)
    return Solved(Solution(levels, zero_point, model.law, names, provenance))


def _solution_of(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    fitted: FittedModel,
    joint: JointSolve,
    visits: Sequence[VisitSeen],
    provenance: Mapping[str, Any],
    dereddening: AlternativeDereddening | None,
) -> Solved:
    model, fit, state = fitted.model, joint.fit, joint.state
    results = JointResults(fit)
    variants = ModelVariants(
        sample, fitted, state.used, trend_settings(plugins), plugins.survey.reddening, dereddening
    )
    shifts = systematic_shifts(plugins, variants, results)
    exposures = with_systematics(exposure_table(fit, results, state, visits), fit, shifts)
    levels = solved_levels(plugins, results, state.levels, fit)
    noise = fit.estimate.noise
    solution = Solution(
        levels,
        0.0,
        model.law,
        tuple(visit.key for visit in visits),
        provenance,
        exposures,
        PhotometricError(noise.scale, noise.floor_mag),
    )
    delta = model.model_mag - sample.detections["mag"]
    residual = np.where(
        state.used, delta - apply_solution(solution, sample.detections).total_mag, np.nan
    )
    residual[np.flatnonzero(state.used)[fit.robust.detection < 0.5]] = np.nan
    zero_point = mean_zero_point(sample, residual, plugins.survey.zero_point)
    return Solved(
        replace(solution, zero_point_mag=zero_point),
        star_columns(sample, state, fit),
        joint_record(fit, state, shifts),
        results.exposures.visit_covariance,
        fit.design.exposures.visits,
        {} if state.report is None else asdict(state.report),
    )


def mean_zero_point(
    sample: MatchedStars, residual_mag: np.ndarray[Any, np.dtype[np.float64]], cuts: tuple[Cut, ...]
) -> float:
    """Return u_ZP, the mean of model less corrected magnitude over a reference range.

    Raises
    ------
    CalibrationError
        If no detection with all its offsets passes the cuts.
    """
    table = derive_for(cuts, sample.detections)
    used = np.isfinite(residual_mag)
    for cut in cuts:
        used &= cut.evaluate(table)
    if not used.any():
        raise CalibrationError(
            "zero_point: no detection passes the cuts and has an offset at every level;"
            " widen zero_point, or lower offsets.min_stars"
        )
    return float(residual_mag[used].mean())
