"""The joint solution within the iteration: what each round starts from, and who takes part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.offsets.degeneracy.report import (
    DegeneracyReport,
    report_degeneracies,
    require_solvable,
)
from scrframe.offsets.joint.design import Design, build_design
from scrframe.offsets.joint.fit import (
    Estimate,
    JointFit,
    JointProblem,
    JointRound,
    JointSolverSettings,
    fit_design,
)
from scrframe.offsets.noise.model import covariates
from scrframe.offsets.noise.update import NoiseSettings
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.run.model.colour_model import domain_flags, star_domain
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.sample.assembly import derive_for
from scrframe.run.sample.selection import predicted_errors, predicted_inside, reserved_stars
from scrframe.scr.iteration import Settled
from scrframe.statistics.groups import group_medians
from scrframe.tables import Detections, FittedLevel, MatchedStars
from scrframe.tables.derived import derive


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


def joint_settings(plugins: SelectedPlugins, threads: int) -> JointSolverSettings:
    """Return the description's settings as the solver's, which may use some threads."""
    block = plugins.survey.offsets.joint
    levels = plugins.survey.offsets.active_levels()
    return JointSolverSettings(
        max_rounds=block.max_rounds,
        tolerance=block.settled,
        start_mag={level.name: level.sd for level in levels},
        held=frozenset(level.name for level in levels if level.hold_sd),
        seed=block.seed,
        outliers=OutlierSettings(**vars(block.robust)),
        scale=None if block.photometry.estimate else block.photometry.scale,
        floor_mag=None if block.photometry.estimate else block.photometry.floor,
        noise=NoiseSettings(hold_photometry=not block.photometry.estimate),
        threads=max(threads, 1),
    )


@dataclass(frozen=True)
class StarsJudged:
    """Who of the stars may take part.

    Attributes
    ----------
    reserved : ndarray of bool, shape (s,)
        Neither train nor solve; they judge the result.
    outside : ndarray of int32, shape (s,)
        Flags of stars unlike any training star; 0 for those inside.
    distance : ndarray of float32, shape (s,), or None
        From the training stars; above 1 a star is outside. None where nobody asked.
    """

    reserved: BoolArray
    outside: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float32] | None = None

    @property
    def eligible(self) -> BoolArray:
        """Return who may take part, shape (s,)."""
        return np.asarray(~self.reserved & (self.outside == 0))


def judge_stars(plugins: SelectedPlugins, sample: MatchedStars) -> StarsJudged:
    """Reserve stars, and find those that the control stars do not represent."""
    block = plugins.survey.offsets.joint
    reserved = reserved_stars(sample.stars["source_id"], block.reserved, block.seed)
    # Where nothing is trained, no star is unlike the training stars.
    if not block.domain.enabled or plugins.reference.provides == "colour":
        return StarsJudged(reserved, np.zeros(len(sample.stars), dtype=np.int32))
    domain = star_domain(sample, reserved, block.domain, block.seed)
    known = np.where(np.isfinite(domain.distance), domain.distance, np.nan)
    return StarsJudged(reserved, domain_flags(domain), known.astype(np.float32))


def prepare_levels(plugins: SelectedPlugins, matched: MatchedStars) -> tuple[FittedLevel, ...]:
    """Return the levels of the description's mode, prepared on a sample."""
    blocks = plugins.survey.offsets.active_levels()
    levels = tuple(
        descriptor.prepare(block.name, matched, block.settings)
        for descriptor, block in zip(plugins.levels, blocks, strict=True)
    )
    for level, block in zip(levels, blocks, strict=True):
        level.parent = block.parent
    return levels


def level_needs(plugins: SelectedPlugins) -> dict[str, tuple[str, ...]]:
    """Return the columns that each level of the description's mode reads, by its name."""
    blocks = plugins.survey.offsets.active_levels()
    return {
        block.name: tuple(descriptor.needs(block.settings))
        for descriptor, block in zip(plugins.levels, blocks, strict=True)
    }


#: Rounds of weights and variances within the iteration with the colour model.
ROUNDS = (4, 2)


class JointSettler:
    """Settles the offsets of a round by the joint solution.

    Parameters
    ----------
    plugins : SelectedPlugins
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
        plugins: SelectedPlugins,
        sample: MatchedStars,
        stars: StarsJudged,
        observer: Observer,
        threads: int,
    ) -> None:
        self._plugins, self._sample, self._observer = plugins, sample, observer
        self.stars = stars
        self._settings = joint_settings(plugins, threads)
        self._codes = np.unique(sample.detections.codes("visit")[0], return_inverse=True)[1]
        self._levels: tuple[FittedLevel, ...] = ()
        self._estimate: Estimate | None = None
        self._calls = 0
        self.report: DegeneracyReport | None = None
        self.needs = level_needs(plugins)
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
        settings: JointSolverSettings | None = None,
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
            self._levels = prepare_levels(self._plugins, replace(self._sample, detections=table))
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
        cuts = self._plugins.survey.selection.calibration
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
        self.used = self._inside(predicted, self._plugins.survey.offsets.joint.margin)
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
        stars, block = self._sample.stars, self._plugins.survey.offsets.joint
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
