"""The joint solution within the iteration: what each round starts from, and who takes part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.offsets.degeneracy.report import (
    DegeneracyReport,
    report_degeneracies,
    require_solvable,
)
from scrframe.offsets.joint.fit import fit_design
from scrframe.offsets.joint.mixed_model import Design, build_design
from scrframe.offsets.joint.problem import (
    Estimate,
    JointFit,
    JointProblem,
    JointSolverSettings,
)
from scrframe.plugin import OffsetLevel
from scrframe.run.offsets.joint_inputs import JointInputs, reference_colour
from scrframe.run.offsets.joint_settings import describe_round, joint_settings, level_labels
from scrframe.run.offsets.terms import ChosenTerms, choose_terms
from scrframe.run.plugins import SelectedPlugins, level_needs, prepare_levels
from scrframe.run.sample.selection import StarSelection
from scrframe.statistics.groups import group_medians
from scrframe.tables import Detections, FittedLevel, MatchedStars

#: Pairs of terms that are wider are not decomposed to name what they have in common.
WIDE = 800
#: Rounds of weights and variances within the iteration with the colour model, by its round; the
#: last number is of all further rounds in which variances move.
ROUNDS = (4, 2, 1)
#: Relative change of a standard deviation below which the iteration has no more need to move them.
NEAR = 0.05
#: Rounds of the iteration in which variances may move at most, so that offsets settle.
MOVING = 6


@dataclass(frozen=True)
class JointOffsetSolver(JointInputs):
    """Solves for the offsets of all levels at once; what it finds is a `JointState`.

    Attributes
    ----------
    observer : Observer
        Is notified of each round of weights and variances, and of what cannot be separated.
    settings : JointSolverSettings
    """

    observer: Observer
    settings: JointSolverSettings

    @classmethod
    def of(
        cls,
        plugins: SelectedPlugins,
        sample: MatchedStars,
        stars: StarSelection,
        observer: Observer,
        threads: int,
    ) -> JointOffsetSolver:
        """Return the solver of a description, which may use some threads."""
        visit = np.unique(sample.detections.codes("visit")[0], return_inverse=True)[1]
        settings = joint_settings(plugins, threads)
        colour = reference_colour(sample, plugins.survey.offsets.reference_colour)
        return cls(plugins, sample, stars, visit, level_needs(plugins), colour, observer, settings)

    def start(self) -> JointState:
        """Return offsets of zero; who takes part follows from observed magnitudes."""
        sample = self.sample
        observed = {name: sample.detections[name] for name in ("mag", "mag_err")} | {
            "colour": sample.detections["mag"] - sample.of_star("reference_mag")
        }
        used = self.inside(observed, 0.0)
        return JointState(
            self,
            used,
            sample.in_control & used,
            np.zeros(len(sample.detections)),
            np.zeros(int(self.visit.max()) + 1),
        )

    def solve(
        self,
        state: JointState,
        model_mag: FloatArray,
        colour0_mag: FloatArray,
        settings: JointSolverSettings | None = None,
        *,
        choose: bool = False,
    ) -> JointSolve:
        """Select on predicted magnitudes, choose terms if that is to be done, and fit.

        Parameters
        ----------
        state : JointState
            What the fit starts from.
        model_mag : ndarray, shape (n,)
        colour0_mag : ndarray, shape (s,)
        settings : JointSolverSettings, optional
            By default the solver's own.
        choose : bool
            Whether the data choose among the candidate terms first, if they have not yet.
        """
        delta = model_mag - self.sample.detections["mag"]
        correction = state.correction_mag
        if state.estimate is None:
            correction = group_medians(delta, self.visit, len(state.visit_mag))[self.visit]
        predicted = model_mag - correction
        used, error = self.selection(predicted)
        if state.steady:
            used = state.used  # a star at a limit, now in and now out, would never settle
        table = self.table(colour0_mag, model_mag, predicted)
        if choose and state.terms is None and self.plugins.survey.offsets.candidates():
            state = self._choose_terms(state, table, used, delta, error, colour0_mag)
            return state.solver.solve(state, model_mag, colour0_mag, settings)
        levels = state.levels or prepare_levels(
            self.plugins, replace(self.sample, detections=table)
        )
        problem = self.problem(
            levels, table, used, delta, error, colour0_mag, settings or self.settings
        )
        design = build_design(levels, problem.table, problem.star, len(problem.covariates))
        # Of the design before terms are chosen nobody needs to know, unless it cannot be solved.
        report = state.report
        if report is None and not self.plugins.survey.offsets.candidates():
            report = self._report(design, levels)
        try:
            fit = fit_design(
                design,
                problem,
                state.estimate,
                lambda this: self.observer.message(describe_round(this)),
            )
        except CalibrationError:
            if report is None:
                self._report(design, levels)
            raise
        correction = _corrections(fit, levels, table)
        moved = replace(
            state,
            used=used,
            correction_mag=correction,
            estimate=fit.estimate,
            levels=levels,
            report=report,
        )
        return JointSolve(fit, moved, table)

    def finish(
        self, state: JointState, model_mag: FloatArray, colour0_mag: FloatArray
    ) -> JointSolve:
        """Fit with the final model magnitudes until all has settled, and say what is held."""
        solved = self.solve(state, model_mag, colour0_mag, choose=True)
        fit, observer = solved.fit, self.observer
        for note in fit.noise_notes:
            observer.message(f"  {note}")
        for each in fit.components:
            if each.note:
                observer.message(f"  standard deviation of {each.name!r}: {each.note}")
        if not fit.converged:
            observer.warning(
                "the standard deviations of the joint solution did not converge within"
                f" {len(fit.rounds)} rounds; raise offsets.joint.max_rounds"
            )
        return solved

    def _choose_terms(
        self,
        state: JointState,
        table: Detections,
        used: BoolArray,
        delta: FloatArray,
        error: FloatArray,
        colour0_mag: FloatArray,
    ) -> JointState:
        """Let the data choose among the candidates, and return a state that has their terms."""
        outliers = replace(self.settings.outliers, min_kept=0.0)
        unjudged = replace(self.settings, outliers=outliers)

        def make(part: BoolArray) -> JointProblem:
            seen = replace(self.sample, detections=table.filter(part), star=self.sample.star[part])
            levels = prepare_levels(self.plugins, seen)
            return self.problem(levels, table, part, delta, error, colour0_mag, unjudged)

        chosen = choose_terms(
            self.plugins, self.sample, table, used, make, state.estimate, self.observer
        )
        plugins = self.plugins.with_terms(chosen.blocks)
        settings = joint_settings(plugins, self.settings.threads)
        doubted = {
            block.name: tuple(plugins.registry.get(OffsetLevel, block.kind).needs(block.settings))
            for block, _ in chosen.doubtful
        }
        needs = level_needs(plugins) | doubted
        solver = replace(self, plugins=plugins, settings=settings, needs=needs)
        estimate = chosen.estimate or state.estimate
        if estimate is not None:
            sd_mag = {**{block.name: block.sd for block in chosen.blocks}, **estimate.sd_mag}
            estimate = replace(estimate, parameters=np.zeros(0), sd_mag=sd_mag)
        return replace(
            state, solver=solver, terms=chosen, levels=(), report=None, estimate=estimate
        )

    def _report(self, design: Design, levels: Sequence[FittedLevel]) -> DegeneracyReport:
        """Say what a design cannot tell, and stop where nothing could be solved."""
        labels = {level.name: level_labels(level) for level in levels}
        exposures = design.exposures
        report = report_degeneracies(
            design.model, labels, exposures.visit, exposures.visits, dense_width=WIDE
        )
        require_solvable(report)
        kinds = Counter(finding.kind for finding in report.findings)
        if kinds and not self.plugins.survey.offsets.candidates():
            counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self.observer.message(
                f"  what the design cannot tell: {counted} (all in solution/design_report.json)"
            )
        return report


@dataclass(frozen=True)
class JointState:
    """Where the joint solution stands; each solve returns a new one.

    Attributes
    ----------
    solver : JointOffsetSolver
    used : ndarray of bool, shape (n,)
        Detections that took part in the last solve; at first those that may.
    training_mask : ndarray of bool, shape (n,)
        Those of the Control Sample that may take part; offsets are given less their mean.
    correction_mag : ndarray, shape (n,)
        Constant and corrections of all detections, used or not.
    visit_mag : ndarray, shape (v,)
        Mean correction of each visit, less the mean of all.
    change_mag : float
        Largest change of one of these in the last round.
    round : int
        Rounds within the iteration so far.
    variance_change : float
        Largest relative change of a standard deviation in the last of them; 0 once they stay.
    estimate : Estimate or None
        Of the last solve.
    levels : tuple of FittedLevel
        As prepared by the first solve.
    report : DegeneracyReport or None
        What the design cannot tell, once it is known.
    terms : ChosenTerms or None
        What the data chose among the candidates, once they have.
    """

    solver: JointOffsetSolver
    used: BoolArray
    training_mask: BoolArray
    correction_mag: FloatArray
    visit_mag: FloatArray
    change_mag: float = float("inf")
    round: int = 0
    variance_change: float = float("inf")
    estimate: Estimate | None = None
    levels: tuple[FittedLevel, ...] = ()
    report: DegeneracyReport | None = None
    terms: ChosenTerms | None = None

    @property
    def moves(self) -> bool:
        """Whether the next round moves variances: until they are near their places."""
        return self.round < 2 or (self.variance_change > NEAR and self.round < MOVING)

    @property
    def steady(self) -> bool:
        """Whether variances and selection stay from now on, so that offsets settle."""
        return not self.moves and self.estimate is not None

    @property
    def offset_mag(self) -> FloatArray:
        """Correction of each detection less the mean over those that train, shape (n,)."""
        return np.asarray(self.correction_mag - self.correction_mag[self.training_mask].mean())

    @property
    def stars(self) -> StarSelection:
        """Who may take part."""
        return self.solver.stars

    def update_offsets(self, model_mag: FloatArray, colour0_mag: FloatArray) -> JointState:
        """Solve with other model magnitudes, shape (n,), and colours, shape (s,)."""
        moves = self.moves
        own = self.solver.settings
        settings = replace(
            own,
            max_rounds=ROUNDS[min(self.round, len(ROUNDS) - 1)] if moves else 1,
            exact_rounds=0,
            move_variances=moves,
            outliers=replace(own.outliers, min_kept=0.0),  # judged once all has settled
        )
        # In the first round the colour model is a trend alone, the variances are not known.
        choose = self.round > 0
        solved = self.solver.solve(self, model_mag, colour0_mag, settings, choose=choose)
        state = solved.state
        count = np.bincount(self.solver.visit)
        moved = np.bincount(self.solver.visit, state.correction_mag) / np.maximum(count, 1)
        moved -= np.mean(moved)
        change = float(np.max(np.abs(moved - self.visit_mag)))
        return replace(
            state,
            visit_mag=moved,
            change_mag=change,
            round=self.round + 1,
            variance_change=solved.fit.rounds[-1].change if moves else 0.0,
        )


@dataclass(frozen=True)
class JointSolve:
    """A joint fit, with where it leaves the solution.

    Attributes
    ----------
    fit : JointFit
        Of the detections that the state names as used.
    state : JointState
    table : Detections
        All n detections with what the levels read.
    """

    fit: JointFit
    state: JointState
    table: Detections


def _corrections(fit: JointFit, levels: Sequence[FittedLevel], table: Detections) -> FloatArray:
    """Return constant and corrections of all detections, used or not, shape (n,)."""
    parameters = fit.estimate.parameters
    total = np.full(len(table), parameters[0])
    for level in levels:
        if level.role != "nuisance":
            columns = fit.design.term(level.name).columns
            total += level.design(table).weights @ parameters[columns]
    return total
