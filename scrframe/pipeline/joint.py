"""The joint solution within the iteration: what each round starts from, and who takes part."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import CalibrationError
from scrframe.offsets.covariates import covariates
from scrframe.offsets.degeneracy import DegeneracyReport, require_solvable
from scrframe.offsets.design import Design, build_design
from scrframe.offsets.joint import Estimate, JointFit, JointProblem, JointSettings, fit_design
from scrframe.offsets.medians import group_medians
from scrframe.pipeline.chosen import Chosen
from scrframe.pipeline.joint_report import describe_report, describe_round, report_design
from scrframe.pipeline.joint_setup import (
    StarsJudged,
    joint_settings,
    level_needs,
    prepare_levels,
)
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.sample import derive_for
from scrframe.pipeline.selection import predicted_errors, predicted_inside
from scrframe.scr.iteration import Settled
from scrframe.tables import Detections, FittedLevel, MatchedStars
from scrframe.tables.derived import derive

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
#: Rounds of weights and variances within the iteration with the colour model.
ROUNDS = (4, 2)


class JointSettler:
    """Settles the offsets of a round by the joint solution.

    Parameters
    ----------
    chosen : Chosen
    sample : MatchedStars
        Reaching the margin beyond the limits in magnitude.
    stars : StarsJudged
        Who may take part.
    observer : Observer
        Told of each round of weights and variances, and of what cannot be told apart.
    threads : int
        That a solve may use.

    Attributes
    ----------
    used : ndarray of bool, shape (n,)
        Detections that take part in the next solve; at first by observed magnitudes.
    report : DegeneracyReport or None
        What the design cannot tell, once it is known.
    needs : mapping of str to tuple of str
        Columns that each level reads, by its name.
    """

    def __init__(
        self,
        chosen: Chosen,
        sample: MatchedStars,
        stars: StarsJudged,
        observer: Observer,
        threads: int,
    ) -> None:
        self._chosen, self._sample, self._observer = chosen, sample, observer
        self.stars = stars
        self._settings = joint_settings(chosen, threads)
        self._codes = np.unique(sample.detections.codes("visit")[0], return_inverse=True)[1]
        self._levels: tuple[FittedLevel, ...] = ()
        self._estimate: Estimate | None = None
        self._calls = 0
        self.report: DegeneracyReport | None = None
        self.needs = level_needs(chosen)
        self._visit_mag = np.zeros(int(self._codes.max()) + 1)
        self._correction = np.zeros(len(sample.detections))
        observed = {name: sample.detections[name] for name in ("mag", "mag_err")} | {
            "colour": sample.detections["mag"] - sample.of_star("reference_mag")
        }
        self.used = self._inside(observed, 0.0)
        self._teaching = sample.in_control & self.used

    def __call__(self, model_mag: FloatArray, colour0_mag: FloatArray) -> Settled:
        """Solve with the present model magnitudes, shape (n,), and colours, shape (s,)."""
        # Once the variances are near their places they stay, so that offsets settle.
        moves = self._calls < len(ROUNDS)
        rounds = ROUNDS[self._calls] if moves else 1
        self._calls += 1
        self.fit(
            model_mag,
            colour0_mag,
            replace(self._settings, max_rounds=rounds, exact_rounds=0, move_variances=moves),
        )
        count = np.bincount(self._codes)
        moved = np.bincount(self._codes, self._correction) / np.maximum(count, 1)
        moved -= np.mean(moved)
        change = float(np.max(np.abs(moved - self._visit_mag)))
        self._visit_mag = moved
        centre = self._correction[self._teaching].mean()
        return Settled(self._correction - centre, change, self.used)

    def fit(
        self,
        model_mag: FloatArray,
        colour0_mag: FloatArray,
        settings: JointSettings | None = None,
    ) -> tuple[JointFit, Detections]:
        """Select on predicted magnitudes and fit.

        Returns
        -------
        fit : JointFit
            Of the detections that `used` names.
        table : Detections
            All n detections with what the levels read.
        """
        delta = model_mag - self._sample.detections["mag"]
        if self._estimate is None:
            medians = group_medians(delta, self._codes, len(self._visit_mag))
            self._correction = medians[self._codes]
        predicted = model_mag - self._correction
        error = self._select(predicted)
        table = self._table(colour0_mag, predicted)
        if not self._levels:
            self._levels = prepare_levels(self._chosen, replace(self._sample, detections=table))
        problem = self._problem(table, delta, error, colour0_mag)
        if settings is not None:
            problem = replace(problem, settings=settings)
        design = build_design(problem.levels, problem.table, problem.star, len(problem.covariates))
        self._report(design)
        fit = fit_design(
            design,
            problem,
            self._estimate,
            lambda this: self._observer.message(describe_round(this)),
        )
        self._estimate = fit.estimate
        self._correction = self._corrections(fit, table)
        return fit, table

    def finish(self, model_mag: FloatArray, colour0_mag: FloatArray) -> tuple[JointFit, Detections]:
        """Fit with the final model magnitudes until all has settled, and say what is held."""
        fit, table = self.fit(model_mag, colour0_mag)
        for note in fit.noise_notes:
            self._observer.message(f"  {note}")
        for each in fit.components:
            if each.note:
                self._observer.message(f"  standard deviation of {each.name!r}: {each.note}")
        if not fit.converged:
            self._observer.warning(
                "the standard deviations of the joint solution did not settle within"
                f" {len(fit.rounds)} rounds; raise offsets.joint.max_rounds"
            )
        return fit, table

    def findings(self) -> dict[str, Any]:
        """Return all that the design cannot tell, as plain JSON."""
        return {} if self.report is None else asdict(self.report)

    @property
    def levels(self) -> tuple[FittedLevel, ...]:
        """The levels as prepared."""
        return self._levels

    def _report(self, design: Design) -> None:
        """Say once what a design cannot tell, and stop where nothing could be solved."""
        if self.report is not None:
            return
        self.report = report_design(design, self._levels)
        require_solvable(self.report)
        line = describe_report(self.report)
        if line:
            self._observer.message(line)

    def _inside(self, predicted: dict[str, FloatArray], margin: float) -> BoolArray:
        sample = self._sample
        cuts = self._chosen.survey.selection.calibration
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

    def _select(self, predicted_mag: FloatArray) -> FloatArray:
        """Choose who takes part; return the errors that go with predicted magnitudes."""
        detections = self._sample.detections
        error = predicted_errors(
            detections["mag_err"], detections["mag"], predicted_mag, self._codes
        )
        predicted = {
            "mag": predicted_mag,
            "mag_err": error,
            "colour": predicted_mag - self._sample.of_star("reference_mag"),
        }
        self.used = self._inside(predicted, self._chosen.survey.offsets.joint.margin)
        return error

    def _table(self, colour0_mag: FloatArray, predicted_mag: FloatArray) -> Detections:
        """Return the detections with the columns that only the framework knows."""
        sample = self._sample
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
        self, table: Detections, delta: FloatArray, error: FloatArray, colour0_mag: FloatArray
    ) -> JointProblem:
        used = self.used
        rows, star = np.unique(self._sample.star[used], return_inverse=True)
        stars, block = self._sample.stars, self._chosen.survey.offsets.joint
        known: dict[str, FloatArray] = {
            "magnitude": stars["reference_mag"],
            "extinction": stars["extinction"],
            "colour": colour0_mag,
        }
        properties: dict[str, FloatArray] = {name: known[name][rows] for name in block.scatter}
        return JointProblem(
            levels=self._levels,
            table=table.filter(used),
            delta_mag=delta[used],
            star=star.astype(np.int64),
            error_mag=error[used],
            covariates=covariates(properties, block.scatter_degree)
            if properties
            else np.ones((len(rows), 1)),
            settings=self._settings,
        )

    def _corrections(self, fit: JointFit, table: Detections) -> FloatArray:
        """Return constant and corrections of all detections, used or not, shape (n,)."""
        parameters = fit.estimate.parameters
        total = np.full(len(table), parameters[0])
        for level in self._levels:
            if level.role == "correction":
                columns = fit.design.term(level.name).columns
                total += level.design(table).weights @ parameters[columns]
        return total
