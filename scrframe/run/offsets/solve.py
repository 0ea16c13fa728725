"""From a matched sample to a solution: colour model, law, offsets, zero point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError
from scrframe.offsets.apply import apply_solution
from scrframe.offsets.degeneracy.fields import field_ties
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.products.solution import VisitSeen
from scrframe.run.colour_model import FittedModel, trend_settings
from scrframe.run.offsets.joint import JointSolve
from scrframe.run.offsets.joint_solution import (
    exposure_table,
    joint_record,
    read_by_terms,
    solved_levels,
    star_columns,
    with_systematics,
)
from scrframe.run.offsets.systematics import (
    AlternativeDereddening,
    ModelVariants,
    systematic_shifts,
)
from scrframe.run.offsets.terms import coherent_shifts, doubt_shifts
from scrframe.run.plugins import SelectedPlugins, prepare_levels
from scrframe.run.sample.assembly import derive_for
from scrframe.run.sample.builder import CalibrationSample
from scrframe.statistics.covariance import Covariance
from scrframe.tables import ColourReference, MatchedStars, PhotometricError, Solution, SolvedLevel
from scrframe.tables.cuts import Cut


@dataclass(frozen=True)
class Solved:
    """A solution with its further products."""

    solution: Solution
    #: With the levels of the solution: the description's, and the terms that the data chose.
    plugins: SelectedPlugins
    #: Further columns of stars.parquet. Arrays of shape (n,).
    columns: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    #: What summary.json says of the solution, as plain JSON.
    record: Mapping[str, Any] = field(default_factory=dict)
    #: Of the visits' offsets, in mag^2, in the order of `covered`. Shape (v, v).
    visit_covariance: Covariance | None = None
    #: Visits with calibration stars.
    covered: tuple[str, ...] = ()
    #: What the design cannot tell, as plain JSON.
    findings: Mapping[str, Any] = field(default_factory=dict)


def solve(
    plugins: SelectedPlugins,
    sample: CalibrationSample,
    fitted: FittedModel,
    provenance: Mapping[str, Any],
    dereddening: AlternativeDereddening | None = None,
    joint: JointSolve | None = None,
) -> Solved:
    """Solve the offsets of all levels and the zero point u_ZP.

    Parameters
    ----------
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
    model, matched, visits = fitted.model, sample.matched, sample.visits
    names = tuple(visit.key for visit in visits)
    delta = model.model_mag - matched.detections["mag"]
    if fitted.joint is None:
        levels, residual = _solve_sequential(plugins, matched, delta)
        zero_point = mean_zero_point(matched, residual, plugins.survey.zero_point)
        return Solved(Solution(levels, zero_point, model.law, names, provenance), plugins)
    joint = joint or solve_joint(fitted)
    fit, state, results = joint.fit, joint.state, JointResults(joint.fit)
    plugins = state.solver.plugins  # with the terms that the data chose
    trend, law = trend_settings(plugins), plugins.survey.reddening
    variants = ModelVariants(matched, fitted, state.used, trend, law, dereddening)
    shifts = systematic_shifts(
        plugins,
        variants,
        results,
        fit.residual_mag,
        fit.robust.together(fit.design.model.star, 0.0),
    )
    read = replace(matched, detections=joint.table)
    doubts = doubt_shifts(plugins, read, state.terms, fit, state.used, results, delta)
    coherent, scatter = coherent_shifts(plugins, read, state.terms, fit, state.used, results, delta)
    shifts = replace(shifts, by_cause={**shifts.by_cause, **doubts, **coherent})
    exposures = with_systematics(exposure_table(fit, results, state, visits), fit, shifts)
    levels = solved_levels(plugins, results, state.levels, fit)
    noise = PhotometricError(fit.estimate.noise.scale, fit.estimate.noise.floor_mag)
    solution = Solution(
        levels, 0.0, model.law, names, provenance, exposures, noise, colour=_colour(plugins, joint)
    )
    corrected = delta - apply_solution(solution, joint.table).applied_mag
    residual = np.where(state.used, corrected, np.nan)
    residual[np.flatnonzero(state.used)[fit.robust.detection < 0.5]] = np.nan
    zero_point = mean_zero_point(matched, residual, plugins.survey.zero_point)
    return Solved(
        replace(solution, zero_point_mag=zero_point),
        plugins,
        {**star_columns(matched, state, fit), **read_by_terms(joint.table)},
        {**joint_record(fit, state, shifts), "coherent": scatter and scatter.record()},
        results.exposures.visit_covariance,
        fit.design.exposures.visits,
        {} if state.report is None else {**asdict(state.report), "fields": _ties(joint, visits)},
    )


def _ties(joint: JointSolve, visits: Sequence[VisitSeen]) -> list[dict[str, Any]]:
    """Return what ties each field to the others, as plain JSON."""
    state, exposures = joint.state, joint.fit.design.exposures
    used = joint.table.filter(state.used)
    field = {visit.key: visit.field or f"visit {visit.key}" for visit in visits}
    names = np.array([field[key] for key in exposures.visits], dtype=np.str_)
    visit = exposures.visit[exposures.of_detection]
    found = field_ties(joint.fit.design.model.star, visit, names, used["ra"], used["dec"])
    return [asdict(each) for each in found]


def _colour(plugins: SelectedPlugins, joint: JointSolve) -> ColourReference | None:
    """Return where the offsets hold, and how much colours add, if there are colour terms."""
    terms = [level for level in joint.state.levels if level.role == "colour"]
    if not terms:
        return None
    survey, fit = plugins.survey, joint.fit
    added = np.zeros(len(joint.table))
    for level in terms:
        columns = fit.design.term(level.name).columns
        added += level.design(joint.table).weights @ fit.estimate.parameters[columns]
    spread = float(np.sqrt(np.mean(added[joint.state.used] ** 2)))
    return ColourReference(
        joint.state.solver.reference_colour_mag, spread, survey.reference.match_radius
    )


def solve_joint(fitted: FittedModel) -> JointSolve:
    """Return the joint solve of one survey by itself, with all variances settled."""
    state, model = fitted.joint, fitted.model
    assert state is not None
    return state.solver.finish(state, model.model_mag, model.colour0_mag)


def _solve_sequential(
    plugins: SelectedPlugins, sample: MatchedStars, delta_mag: FloatArray
) -> tuple[tuple[SolvedLevel, ...], FloatArray]:
    """Return the levels solved one after another, and what they leave of the differences."""
    offsets, fitted = plugins.survey.offsets, prepare_levels(plugins, sample)
    problem = OffsetProblem(fitted, sample.detections, delta_mag, offsets.min_stars)
    solved = solve_sequential(problem)
    levels = tuple(
        SolvedLevel(level, block.kind, table)
        for level, block, table in zip(fitted, offsets.active_levels(), solved.tables, strict=True)
    )
    return levels, delta_mag - solved.total_mag


def mean_zero_point(sample: MatchedStars, residual_mag: FloatArray, cuts: tuple[Cut, ...]) -> float:
    """Return u_ZP, the mean of model less corrected magnitude over a reference range.

    Raises CalibrationError if no detection with all its offsets passes the cuts.
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
