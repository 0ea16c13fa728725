"""The joint solution within the iteration: what each round starts from, and who takes part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
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
from scrframe.offsets.noise.model import covariates
from scrframe.run.offsets.joint_settings import describe_round, joint_settings, level_labels
from scrframe.run.offsets.terms import ChosenTerms, choose_terms
from scrframe.run.plugins import SelectedPlugins, level_needs, prepare_levels
from scrframe.run.sample.assembly import derive_for
from scrframe.run.sample.selection import StarSelection, predicted_errors, predicted_inside
from scrframe.statistics.groups import group_medians
from scrframe.tables import Detections, FittedLevel, MatchedStars
from scrframe.tables.table import derive

#: Pairs of terms that are wider are not decomposed to name what they have in common.
WIDE = 800
#: Rounds of weights and variances within the iteration with the colour model.
ROUNDS = (4, 2)


@dataclass(frozen=True)
class JointOffsetSolver:
    """Solves for the offsets of all levels at once; what it finds is a `JointState`.

    Attributes
    ----------
    plugins : SelectedPlugins
    sample : MatchedStars
        Reaching the margin beyond the limits in magnitude.
    stars : StarSelection
        Who may take part.
    observer : Observer
        Is notified of each round of weights and variances, and of what cannot be separated.
    settings : JointSolverSettings
    visit : ndarray of int, shape (n,)
        Code of the visit of each detection, of v in all.
    needs : mapping of str to tuple of str
        Columns that each level reads, by its name.
    """

    plugins: SelectedPlugins
    sample: MatchedStars
    stars: StarSelection
    observer: Observer
    settings: JointSolverSettings
    visit: IntArray
    needs: Mapping[str, tuple[str, ...]]

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
        return cls(plugins, sample, stars, observer, settings, visit, level_needs(plugins))

    def start(self) -> JointState:
        """Return offsets of zero; who takes part follows from observed magnitudes."""
        sample = self.sample
        observed = {name: sample.detections[name] for name in ("mag", "mag_err")} | {
            "colour": sample.detections["mag"] - sample.of_star("reference_mag")
        }
        used = self._inside(observed, 0.0)
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
        used, error = self._selection(predicted)
        table = self._table(colour0_mag, predicted)
        if choose and state.terms is None and self.plugins.survey.offsets.candidates():
            state = self._choose_terms(state, table, used, delta, error, colour0_mag)
            return state.solver.solve(state, model_mag, colour0_mag, settings)
        levels = state.levels or prepare_levels(
            self.plugins, replace(self.sample, detections=table)
        )
        problem = self._problem(
            levels, table, used, delta, error, colour0_mag, settings or self.settings
        )
        design = build_design(levels, problem.table, problem.star, len(problem.covariates))
        report = state.report or self._report(design, levels)
        fit = fit_design(
            design,
            problem,
            state.estimate,
            lambda this: self.observer.message(describe_round(this)),
        )
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

        def make(part: BoolArray) -> JointProblem:
            seen = replace(self.sample, detections=table.filter(part), star=self.sample.star[part])
            levels = prepare_levels(self.plugins, seen)
            return self._problem(levels, table, part, delta, error, colour0_mag, self.settings)

        chosen = choose_terms(
            self.plugins, self.sample, table, used, make, state.estimate, self.observer
        )
        plugins = self.plugins.with_terms(chosen.blocks)
        settings = joint_settings(plugins, self.settings.threads)
        solver = replace(self, plugins=plugins, settings=settings, needs=level_needs(plugins))
        estimate = state.estimate
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
        if kinds:
            counted = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self.observer.message(
                f"  what the design cannot tell: {counted} (all in solution/design_report.json)"
            )
        return report

    def _inside(self, predicted: dict[str, FloatArray], margin: float) -> BoolArray:
        sample = self.sample
        cuts = self.plugins.survey.selection.calibration
        table = derive_for(cuts, sample.detections)
        inside = predicted_inside(cuts, table, predicted, margin)
        inside &= self.stars.eligible[sample.star]
        if not np.any(inside & sample.in_control):
            raise CalibrationError(
                "no detection of the Control Sample takes part in the joint solution: all lie"
                " within offsets.joint.margin of the cuts on magnitudes, or are reserved or"
                " unlike the training stars; lower the margin or widen the cuts"
            )
        return inside

    def _selection(self, predicted_mag: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Return who takes part, and the errors that go with predicted magnitudes."""
        detections = self.sample.detections
        error = predicted_errors(
            detections["mag_err"], detections["mag"], predicted_mag, self.visit
        )
        predicted = {
            "mag": predicted_mag,
            "mag_err": error,
            "colour": predicted_mag - self.sample.of_star("reference_mag"),
        }
        return self._inside(predicted, self.plugins.survey.offsets.joint.margin), error

    def _table(self, colour0_mag: FloatArray, predicted_mag: FloatArray) -> Detections:
        """Return the detections with the columns that only the framework knows."""
        sample = self.sample
        table = sample.detections.with_columns(
            {
                "colour0": colour0_mag[sample.star],
                "predicted_mag": predicted_mag,
                "star_ra": sample.of_star("ref_ra"),
                "star_dec": sample.of_star("ref_dec"),
            }
        )
        needed = {name for columns in self.needs.values() for name in columns}
        return derive(table, "detection", needed)

    def _problem(
        self,
        levels: tuple[FittedLevel, ...],
        table: Detections,
        used: BoolArray,
        delta: FloatArray,
        error: FloatArray,
        colour0_mag: FloatArray,
        settings: JointSolverSettings,
    ) -> JointProblem:
        rows, star = np.unique(self.sample.star[used], return_inverse=True)
        stars, block = self.sample.stars, self.plugins.survey.offsets.joint
        known: dict[str, FloatArray] = {
            "magnitude": stars["reference_mag"],
            "extinction": stars["extinction"],
            "colour": colour0_mag,
        }
        properties: dict[str, FloatArray] = {name: known[name][rows] for name in block.scatter}
        return JointProblem(
            levels=levels,
            table=table.filter(used),
            delta_mag=delta[used],
            star=star.astype(np.int64),
            error_mag=error[used],
            covariates=covariates(properties, block.scatter_degree)
            if properties
            else np.ones((len(rows), 1)),
            settings=settings,
        )


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
    estimate: Estimate | None = None
    levels: tuple[FittedLevel, ...] = ()
    report: DegeneracyReport | None = None
    terms: ChosenTerms | None = None

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
        # Once the variances are near their places they stay, so that offsets settle.
        moves = self.round < len(ROUNDS)
        settings = replace(
            self.solver.settings,
            max_rounds=ROUNDS[self.round] if moves else 1,
            exact_rounds=0,
            move_variances=moves,
        )
        # In the first round the colour model is a trend alone, the variances are not known.
        choose = self.round > 0
        state = self.solver.solve(self, model_mag, colour0_mag, settings, choose=choose).state
        count = np.bincount(self.solver.visit)
        moved = np.bincount(self.solver.visit, state.correction_mag) / np.maximum(count, 1)
        moved -= np.mean(moved)
        change = float(np.max(np.abs(moved - self.visit_mag)))
        return replace(state, visit_mag=moved, change_mag=change, round=self.round + 1)


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
        if level.role == "correction":
            columns = fit.design.term(level.name).columns
            total += level.design(table).weights @ parameters[columns]
    return total
