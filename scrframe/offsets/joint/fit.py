"""The joint fit: all levels, star deviations and noise in one mixed model, in rounds.

A round solves the system with the present weights, finds from the residuals which stars and
detections are outliers, and moves the variances by restricted maximum likelihood, until
nothing moves. The variances of very many detections are found in a part of the visits first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import Design, MixedModel, Weights, build_design
from scrframe.offsets.joint.normal_equations import StarOrder, normal_system
from scrframe.offsets.joint.problem import (
    Estimate,
    JointFit,
    JointProblem,
    JointRound,
    right_draws,
    visit_subset,
)
from scrframe.offsets.joint.stars import weighted
from scrframe.offsets.joint.variance_components import (
    Component,
    StepBounds,
    drawn_trace,
    exact_trace,
    move_ratios,
    prior_matrix,
    prior_roots,
    quick_trace,
    random_terms,
    update_components,
    with_ratios,
    working_variates,
)
from scrframe.offsets.linalg.block_system import System
from scrframe.offsets.linalg.factor import Factor, FactorPlan, choose_dense
from scrframe.offsets.noise.model import NoiseModel, initial_noise
from scrframe.offsets.noise.update import update_noise
from scrframe.offsets.outliers.states import OutlierRates
from scrframe.offsets.outliers.weights import RobustWeights, mixture_weights, require_kept
from scrframe.statistics.groups import group_medians

#: Standard deviation of a term before anything is known of it, in mag.
DEFAULT_START_MAG = 0.02
#: A change of a standard deviation that no longer matters to the offsets of so many
#: detections: they depend on it in second order.
ENOUGH = 0.1
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
        detection keeps its weight in the end.
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
    part, smaller = visit_subset(design, problem)
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


@dataclass(frozen=True)
class _Solve:
    """What the last solve was made with: its weights are made again, to hold less."""

    model: MixedModel
    factor: Factor
    robust: RobustWeights
    noise: NoiseModel
    sd_mag: Mapping[str, float]

    def weights(self, problem: JointProblem) -> Weights:
        """Return its weights, the same to the bit."""
        return _weights(self.robust, self.noise, problem)


class Rounds:
    """The state that moves from round to round.

    Parameters
    ----------
    problem : JointProblem
    design : Design
    start : Estimate or None
    many : bool
        Whether so many detections take part that fewer draws and larger last changes of the
        variances will do: a part of the visits has found them, but for their last digits.
    """

    def __init__(
        self, problem: JointProblem, design: Design, start: Estimate | None, *, many: bool
    ) -> None:
        self._problem, self._design = problem, design
        ratios = start.precision_ratio if start is not None else {}
        self._model = with_ratios(design.model, ratios)
        self._many = many
        self._dense = choose_dense(self._model)
        self._order = StarOrder.of(self._model)
        settings = problem.settings
        self._start_mag = {
            term.name: settings.start_mag.get(term.name, DEFAULT_START_MAG)
            for term in random_terms(self._model)
        }
        self._bounds = StepBounds(self._start_mag)
        self._roots = prior_roots(self._model)
        self._estimate = start or self._first()
        self._components: tuple[Component, ...] = ()
        self._notes: tuple[str, ...] = ()
        self._noise_errors = np.zeros(0)
        self._robust: RobustWeights
        self._last: _Solve | None = None
        self._plan: FactorPlan | None = None
        if self._fresh():
            self._residual = problem.delta_mag - self._by_exposure()
        else:
            self._residual = problem.delta_mag - self._model.values(self._estimate.parameters)

    def _first(self) -> Estimate:
        residual = self._problem.delta_mag - self._by_exposure()
        covariates = self._problem.covariates
        noise = initial_noise(
            residual, self._problem.star, self._problem.error_mag, covariates.shape
        )
        settings = self._problem.settings
        scale = noise.scale if settings.scale is None else settings.scale
        floor = noise.floor_mag if settings.floor_mag is None else settings.floor_mag
        noise = NoiseModel(scale, floor, noise.scatter)
        return Estimate(np.zeros(0), self._start_mag, noise, OutlierRates())

    @cached_property
    def _medians(self) -> FloatArray:
        """Medians of the differences by exposure: what is known before any solve."""
        exposure, exposures = self._design.exposures.of_detection, self._model.by_exposure.shape[0]
        return group_medians(self._problem.delta_mag, exposure, exposures)

    def _by_exposure(self) -> FloatArray:
        """Return the median of each detection's exposure, shape (n,)."""
        return np.asarray(self._medians[self._design.exposures.of_detection])

    def _fresh(self) -> bool:
        """Return whether no parameters are known yet."""
        return len(self._estimate.parameters) == 0

    def run(self, report: Callable[[JointRound], None]) -> JointFit:
        """Go round until nothing moves."""
        settings = self._problem.settings
        rounds: list[JointRound] = []
        converged = False
        many = self._many
        tolerance = max(settings.tolerance, ENOUGH if many else 0.0)
        # From a solution that is known already the first traces may as well be exact: where it has
        # settled, nothing is left to do.
        near = not self._fresh()
        exact, settles = near and not many and settings.exact_rounds > 0, False
        for number in range(settings.max_rounds):
            settles = exact and number == 0
            this = self._round(exact=settles)
            rounds.append(this)
            report(this)
            if this.change < tolerance and (number > 0 or many or near):
                converged = True
                break
        for _ in range(0 if many or settles else settings.exact_rounds):
            rounds.append(self._round(exact=True))
            report(rounds[-1])
        # Within an outer iteration the last round's solution is as good as the next.
        last = self._last if many or not settings.exact_rounds else None
        if last is None:
            last = self._solve()
        require_kept(last.robust.kept, settings.outliers)
        return JointFit(
            replace(self._design, model=last.model),
            self._estimate,
            self._components,
            self._notes,
            self._noise_errors,
            last.robust,
            last.weights(self._problem),
            last.sd_mag,
            last.factor,
            self._residual,
            tuple(rounds),
            converged,
        )

    def _reweigh(self) -> None:
        """Find outliers among the residuals."""
        noise, problem, rates = self._estimate.noise, self._problem, self._estimate.rates
        if not problem.settings.outliers.enabled:
            ones = np.ones(len(problem.star)), np.ones(self._model.stars)
            self._robust = RobustWeights(ones[0], ones[1], ones[1], rates, 1.0)
            return
        self._robust = mixture_weights(
            self._residual,
            problem.star,
            noise.variance(problem.error_mag),
            noise.star_variance(problem.covariates),
            rates,
            problem.settings.outliers,
        )
        self._estimate = replace(self._estimate, rates=self._robust.rates)

    def _solve(self) -> _Solve:
        """Weigh the residuals and solve with the present variances."""
        self._last = None  # its factor takes as much memory as the next, or as the weighing
        self._reweigh()
        self._residual = right = np.zeros(0)  # what is as long as the detections is let go
        problem, model, sd_mag = self._problem, self._model, self._estimate.sd_mag

        def system() -> System:
            nonlocal right
            weights = _weights(self._robust, self._estimate.noise, problem)
            right = weighted(model, weights, problem.delta_mag)
            threads = problem.settings.threads
            normal = normal_system(model, weights, self._order, threads=threads)
            return normal.plus(prior_matrix(model, sd_mag))

        factor = Factor(system, self._dense, self._plan)
        self._plan = factor.plan
        parameters = factor.solve(right)
        self._estimate = replace(self._estimate, parameters=parameters)
        self._residual = problem.delta_mag - model.values(parameters)
        self._last = _Solve(model, factor, self._robust, self._estimate.noise, sd_mag)
        return self._last

    def _round(self, *, exact: bool = False) -> JointRound:
        before, moves = self._estimate.parameters, self._problem.settings.move_variances
        last = self._solve()
        moved = self._moved(before)
        changes = [self._move_variances(last, exact)] if moves else []
        return JointRound(max(changes, default=0.0), moved, self._robust.kept)

    def _moved(self, before: FloatArray) -> float:
        """Return by how much the sum of all terms has moved, rms over the detections."""
        parameters = self._estimate.parameters
        if len(before):
            return float(np.std(self._model.values(parameters - before)))
        return float(np.std(self._model.values(parameters) - self._by_exposure()))

    def _move_variances(self, last: _Solve, exact: bool) -> float:
        """Move noise and terms' standard deviations; return the largest relative change."""
        before, settings = self._estimate, self._problem.settings
        projected = self._projected(last)
        factor, draws = last.factor, self._draws(last)
        quick = quick_trace(factor, self._model.width, drawn_trace(draws))
        noise_change = self._move_noise(draws)
        self._components = update_components(
            self._model,
            self._estimate.parameters,
            factor.solve,
            exact_trace(factor) if exact else quick,
            projected,
            before.sd_mag,
            self._start_mag,
            settings.held,
            self._bounds.longest,
        )
        sd_mag = {component.name: component.sd_mag for component in self._components}
        self._bounds.note(before.sd_mag, sd_mag)
        ratios = move_ratios(self._design.model.terms, self._estimate.parameters, draws, sd_mag)
        if ratios:
            self._model = with_ratios(self._design.model, ratios)
            self._roots = prior_roots(self._model)
        self._estimate = replace(self._estimate, sd_mag=sd_mag, precision_ratio=ratios)
        return max([noise_change, *_changes(self._components, before.sd_mag)])

    def _projected(self, last: _Solve) -> FloatArray:
        """Return the normal matrix, without the prior, times `working_variates`, (p, k).

        Not by the matrix itself: holding it beside its factor takes more than these passes.
        """
        weights, model = last.weights(self._problem), self._model
        working = working_variates(model, self._estimate.parameters)
        columns = [weighted(model, weights, model.values(column)) for column in working.T]
        return np.stack(columns, axis=1)

    def _move_noise(self, draws: list[FloatArray]) -> float:
        problem = self._problem
        update = update_noise(
            self._residual,
            problem.star,
            problem.error_mag,
            problem.covariates,
            self._robust.clean,
            (self._model.values(draw) for draw in draws),
            self._estimate.noise,
            problem.settings.noise,
        )
        self._notes, self._noise_errors = update.held, update.errors
        self._estimate = replace(self._estimate, noise=update.model)
        return update.change

    def _draws(self, last: _Solve) -> list[FloatArray]:
        """Return draws of the parameters from their posterior about its mean."""
        settings = self._problem.settings
        random = np.random.default_rng(settings.seed)
        number = max(settings.draws // 4, 1) if self._many else settings.draws
        weights = last.weights(self._problem)
        right = right_draws(self._model, weights, last.sd_mag, self._roots, random, number)
        return list(last.factor.solve(right).T)


def _weights(robust: RobustWeights, noise: NoiseModel, problem: JointProblem) -> Weights:
    return Weights(
        robust.detection / noise.variance(problem.error_mag),
        robust.star / noise.star_variance(problem.covariates),
    )


def _changes(components: tuple[Component, ...], before: Mapping[str, float]) -> list[float]:
    """Return relative changes of the standard deviations that matter.

    Below half a millimagnitude changes count absolutely; those within a fifth of the
    standard error, and those of what the data do not determine, do not count.
    """
    moved = [(this, abs(this.sd_mag - before[this.name])) for this in components]
    return [
        change / max(this.sd_mag, 5e-4)
        for this, change in moved
        if not this.note and change > 0.2 * this.err_mag
    ]
