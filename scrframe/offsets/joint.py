"""The joint solver: all levels, star deviations and noise in one mixed model.

Rounds of three steps until nothing moves: solve the system with the present weights; from
the residuals find which stars and detections are no normal ones; move the variances by
restricted maximum likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.components import (
    Component,
    StepBounds,
    Trace,
    drawn_trace,
    exact_trace,
    narrow_trace,
    random_terms,
    update_components,
    working_variates,
)
from scrframe.offsets.design import Design, Exposures, build_design
from scrframe.offsets.factor import Factor, choose_dense
from scrframe.offsets.medians import group_medians
from scrframe.offsets.model import FloatArray, IntArray, MixedModel, Term, Weights
from scrframe.offsets.noise import NoiseModel, NoiseSettings, initial_noise, update_noise
from scrframe.offsets.normal import StarOrder, normal_matrix, prior_matrix, weighted
from scrframe.offsets.robust import OutlierRates, RobustSettings, RobustWeights, mixture_weights
from scrframe.tables import Detections, FittedLevel

#: Standard deviation of a term before anything is known of it, in mag.
DEFAULT_START_MAG = 0.02
#: Number of detections from which on fewer draws will do.
MANY = 3_000_000
#: Of so many, the variances are found in one part of the visits first, in as many runs.
PARTS, PART_RUNS = 8, 8
#: A change of a standard deviation that no longer matters to the offsets of so many: they
#: depend on it in second order.
ENOUGH = 0.1


@dataclass(frozen=True)
class JointSettings:
    """How the joint solver goes about it.

    Attributes
    ----------
    robust : bool
        Whether outliers and variables lose weight.
    max_rounds : int
    tolerance : float
        Largest relative change of a standard deviation when all have settled.
    start_mag : mapping of str to float
        Standard deviation by term to start from, and held to where data say little.
    held : frozenset of str
        Terms whose standard deviation stays.
    draws : int
        Draws from the posterior, for the traces of the variances' equations and for what
        the fitted parameters take from the noise; a quarter of them for millions of
        detections, whose traces are sums of many terms.
    exact_rounds : int
        Rounds with exact traces after all has settled.
    move_variances : bool
        Whether variances are estimated; without, a round solves and weighs.
    seed : int
        Of those draws.
    scale, floor_mag : float or None
        Photometric error to start from; by default what repeats say at first sight.
    """

    robust: bool = True
    max_rounds: int = 20
    tolerance: float = 0.01
    start_mag: Mapping[str, float] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    draws: int = 8
    exact_rounds: int = 1
    move_variances: bool = True
    seed: int = 1
    scale: float | None = None
    floor_mag: float | None = None
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    outliers: RobustSettings = field(default_factory=RobustSettings)


@dataclass(frozen=True)
class JointProblem:
    """What the joint solver is given.

    Attributes
    ----------
    levels : tuple of FittedLevel
        Corrections and nuisance terms.
    table : Detections
        n rows, with every column that a level reads.
    delta_mag : ndarray, shape (n,)
        Model less observed magnitude.
    star : ndarray of int64, shape (n,)
        Star of each detection, from 0 to s - 1.
    error_mag : ndarray, shape (n,)
        Photometric error as catalogued, best as a function of the predicted magnitude.
    covariates : ndarray, shape (s, t)
        What the logarithm of the stars' scatter is linear in; the first is 1.
    settings : JointSettings
    """

    levels: tuple[FittedLevel, ...]
    table: Detections
    delta_mag: FloatArray
    star: IntArray
    error_mag: FloatArray
    covariates: FloatArray
    settings: JointSettings


@dataclass(frozen=True)
class Estimate:
    """The unknowns of the model, as far as they are known.

    Attributes
    ----------
    parameters : ndarray, shape (p,)
    sd_mag : mapping of str to float
        Standard deviation by random term.
    noise : NoiseModel
    rates : OutlierRates
    """

    parameters: FloatArray
    sd_mag: Mapping[str, float]
    noise: NoiseModel
    rates: OutlierRates


@dataclass(frozen=True)
class JointRound:
    """One round, for the record.

    Attributes
    ----------
    change : float
        Largest relative change of a standard deviation.
    moved_mag : float
        Rms change of the sum of all terms over detections.
    kept : float
        Mean weight of the detections.
    """

    change: float
    moved_mag: float
    kept: float


@dataclass(frozen=True)
class JointFit:
    """The fitted model: what errors, products and further right-hand sides come from.

    Parameters, residuals, weights, prior and factor are of one solve, the last:
    ``factor.solve(weighted(model, weights, delta_mag))`` gives the parameters again. The
    variances, noise and rates of `estimate` are one move further where no solve follows the
    last move: with `JointSettings.exact_rounds` of 0, and for millions of detections.

    Attributes
    ----------
    design : Design
    estimate : Estimate
        What is known best, and where a further fit starts from.
    components : tuple of Component
        Standard deviations of the terms in `estimate`, with their errors.
    noise_notes : tuple of str
        What of the noise could not be estimated, and why.
    noise_errors : ndarray, shape (2 + t,)
        Standard errors of, in this order, the scale, the floor in mag and the coefficients
        of the scatter by covariate; NaN where held, and empty if no variance was moved.
    robust : RobustWeights
        Of the solve.
    weights : Weights
        Of the solve: robust weights over the variances of noise and stars.
    prior_sd_mag : mapping of str to float
        Standard deviation by random term, of the solve.
    factor : Factor
        Of the normal matrix at `weights` with the prior at `prior_sd_mag`.
    residual_mag : ndarray, shape (n,)
        Differences less all terms; the star's own deviation is in it.
    rounds : tuple of JointRound
    converged : bool
    """

    design: Design
    estimate: Estimate
    components: tuple[Component, ...]
    noise_notes: tuple[str, ...]
    noise_errors: FloatArray
    robust: RobustWeights
    weights: Weights
    prior_sd_mag: Mapping[str, float]
    factor: Factor
    residual_mag: FloatArray
    rounds: tuple[JointRound, ...]
    converged: bool


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
        If the system is singular, or hardly any detection keeps its weight.
    """
    _require_finite(problem)
    design = build_design(problem.levels, problem.table, problem.star, len(problem.covariates))
    return fit_design(design, problem, start, report)


def _with_data(model: MixedModel) -> MixedModel:
    """Return a model without the independent columns that no detection has."""
    split = model.by_exposure.shape[1]
    used = np.concatenate(
        [np.diff(model.by_exposure.tocsc().indptr), np.diff(model.by_detection.tocsc().indptr)]
    )
    kept = used > 0
    terms: list[Term] = []
    for term in model.terms:
        if term.precision is None or not _is_diagonal(term.precision):
            kept[term.columns] = True
        here = np.flatnonzero(kept[term.columns])
        precision = None if term.precision is None else term.precision[here][:, here]
        first = terms[-1].last if terms else 0
        terms.append(
            replace(
                term,
                first=first,
                last=first + len(here),
                precision=None if precision is None else sparse.csr_array(precision),
            )
        )
    return replace(
        model,
        terms=tuple(terms),
        by_exposure=sparse.csr_array(model.by_exposure[:, np.flatnonzero(kept[:split])]),
        by_detection=sparse.csr_array(model.by_detection[:, np.flatnonzero(kept[split:])]),
    )


def _is_diagonal(matrix: sparse.csr_array) -> bool:
    return bool(matrix.nnz == np.count_nonzero(matrix.diagonal()))


def _require_finite(problem: JointProblem) -> None:
    for values, what in ((problem.delta_mag, "difference"), (problem.error_mag, "error")):
        wrong = int((~np.isfinite(values)).sum())
        if wrong:
            raise CalibrationError(
                f"{wrong} detections of the joint solution have a magnitude {what} that is not"
                " finite; cut them in selection.calibration"
            )


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
    """
    report = report or (lambda _: None)
    if start is None and len(design.model.star) > MANY:
        start = _start_from_part(design, problem, report)
    return _Rounds(problem, design, start).run(report)


def _start_from_part(
    design: Design, problem: JointProblem, report: Callable[[JointRound], None]
) -> Estimate:
    """Return variances, noise and rates from some of the visits: all but the last rounds.

    The visits come in runs, so that neighbours which share stars stay together.
    """
    model, exposures = design.model, design.exposures
    run = exposures.visit * PART_RUNS * PARTS // max(len(exposures.visits), 1)
    chosen = np.flatnonzero(run % PARTS == 0)
    place = np.full(len(exposures), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[model.exposure] >= 0)
    stars, star = np.unique(model.star[rows], return_inverse=True)
    part = _with_data(
        MixedModel(
            model.terms,
            sparse.csr_array(model.by_exposure[chosen]),
            sparse.csr_array(model.by_detection[rows]),
            place[model.exposure[rows]],
            star.astype(np.int64),
            len(stars),
        )
    )
    first = np.unique(part.exposure, return_index=True)[1]
    some = Exposures(
        part.exposure, first, exposures.visit[chosen], exposures.ccd[chosen], exposures.visits
    )
    smaller = replace(
        problem,
        delta_mag=problem.delta_mag[rows],
        star=part.star,
        error_mag=problem.error_mag[rows],
        covariates=problem.covariates[stars],
        settings=replace(problem.settings, exact_rounds=0),
    )
    estimate = _Rounds(smaller, Design(part, some), None).run(report).estimate
    return replace(estimate, parameters=np.zeros(0))


@dataclass(frozen=True)
class _Solve:
    """What the last solve was made with."""

    factor: Factor
    weights: Weights
    robust: RobustWeights
    sd_mag: Mapping[str, float]


class _Rounds:
    """The state that moves from round to round."""

    def __init__(self, problem: JointProblem, design: Design, start: Estimate | None) -> None:
        self._problem, self._design, self._model = problem, design, design.model
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
        if self._fresh():
            self._residual = _less_exposures(design, problem.delta_mag)
        else:
            self._residual = problem.delta_mag - self._model.values(self._estimate.parameters)
        self._reweigh()

    def _first(self) -> Estimate:
        residual = _less_exposures(self._design, self._problem.delta_mag)
        covariates = self._problem.covariates
        noise = initial_noise(
            residual, self._problem.star, self._problem.error_mag, covariates.shape
        )
        settings = self._problem.settings
        scale = noise.scale if settings.scale is None else settings.scale
        floor = noise.floor_mag if settings.floor_mag is None else settings.floor_mag
        noise = NoiseModel(scale, floor, noise.scatter)
        return Estimate(np.zeros(0), self._start_mag, noise, OutlierRates())

    def _fresh(self) -> bool:
        """Return whether no parameters are known yet."""
        return len(self._estimate.parameters) == 0

    def run(self, report: Callable[[JointRound], None]) -> JointFit:
        """Go round until nothing moves."""
        settings = self._problem.settings
        rounds: list[JointRound] = []
        converged = False
        # A part of the visits has found the variances of many, but for their last digits.
        many = len(self._model.star) > MANY
        tolerance = max(settings.tolerance, ENOUGH if many else 0.0)
        for number in range(settings.max_rounds):
            this = self._round()
            rounds.append(this)
            report(this)
            if this.change < tolerance and (number > 0 or many):
                converged = True
                break
        for _ in range(0 if many else settings.exact_rounds):
            rounds.append(self._round(exact=True))
            report(rounds[-1])
        # Within an outer iteration the last round's solution is as good as the next.
        last = self._last
        if last is None or (settings.exact_rounds and not many):
            last = self._solve()[1]
        return JointFit(
            self._design, self._estimate, self._components, self._notes, self._noise_errors,
            last.robust, last.weights, last.sd_mag, last.factor, self._residual,
            tuple(rounds), converged,
        )  # fmt: skip

    def _weights(self) -> Weights:
        noise, problem = self._estimate.noise, self._problem
        return Weights(
            self._robust.detection / noise.variance(problem.error_mag),
            self._robust.star / noise.star_variance(problem.covariates),
        )

    def _reweigh(self) -> None:
        """Find outliers among the residuals."""
        noise, problem, rates = self._estimate.noise, self._problem, self._estimate.rates
        if not problem.settings.robust:
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

    def _solve(self) -> tuple[sparse.csc_array, _Solve]:
        """Solve with the present weights and variances; return the system and its solution."""
        self._last = None  # its factor takes as much memory as the next
        weights, sd_mag = self._weights(), self._estimate.sd_mag
        normal = normal_matrix(self._model, weights, self._order)
        matrix = sparse.csc_array(normal + prior_matrix(self._model, sd_mag))
        del normal
        factor = Factor(matrix, self._dense)
        parameters = factor.solve(weighted(self._model, weights, self._problem.delta_mag))
        self._estimate = replace(self._estimate, parameters=parameters)
        self._residual = self._problem.delta_mag - self._model.values(parameters)
        self._last = _Solve(factor, weights, self._robust, sd_mag)
        return matrix, self._last

    def _round(self, *, exact: bool = False) -> JointRound:
        sums, moves = self._residual, self._problem.settings.move_variances
        matrix, last = self._solve()
        working = working_variates(self._model, self._estimate.parameters)
        prior = prior_matrix(self._model, self._estimate.sd_mag)
        projected = np.asarray(matrix @ working - prior @ working)
        del matrix  # large, and no longer needed
        moved = float(np.std(self._residual - sums))
        changes = [self._move_variances(projected, last, exact)] if moves else []
        self._reweigh()
        return JointRound(max(changes, default=0.0), moved, self._robust.kept)

    def _move_variances(self, projected: FloatArray, last: _Solve, exact: bool) -> float:
        """Move noise and terms' standard deviations; return the largest relative change."""
        before, settings = self._estimate, self._problem.settings
        factor, draws = last.factor, self._draws(last)
        noise_change = self._move_noise(draws)
        self._components = update_components(
            self._model, self._estimate.parameters, factor.solve,
            exact_trace(factor) if exact else self._quick_trace(factor, draws),
            projected,
            before.sd_mag, self._start_mag, settings.held, self._bounds.longest,
        )  # fmt: skip
        sd_mag = {component.name: component.sd_mag for component in self._components}
        self._bounds.note(before.sd_mag, sd_mag)
        self._estimate = replace(self._estimate, sd_mag=sd_mag)
        return max([noise_change, *_changes(self._components, before.sd_mag)])

    def _quick_trace(self, factor: Factor, draws: list[FloatArray]) -> Trace:
        return narrow_trace(factor.solve, self._model.width, drawn_trace(draws))

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
        random = np.random.default_rng(self._problem.settings.seed)
        model = self._model
        right = []
        number = self._problem.settings.draws
        if len(model.star) > MANY:
            number = max(number // 4, 1)
        for _ in range(number):
            rhs = model.adjoint(noise_draw(model, last.weights, random))
            right.append(rhs + prior_draw(model, last.sd_mag, self._roots, random))
        return list(last.factor.solve(np.column_stack(right)).T)


def noise_draw(model: MixedModel, weights: Weights, random: np.random.Generator) -> FloatArray:
    """Return V^-1 (s + e) for a draw of stars' deviations and noise, shape (n,).

    Written so that no variance appears: that of an outlier is next to infinite.
    """
    star, stars = model.star, model.stars
    root = np.sqrt(weights.detection)
    noise = root * random.standard_normal(len(star))
    own = np.sqrt(weights.star) * random.standard_normal(stars)
    total = weights.star + np.bincount(star, weights.detection, minlength=stars)
    known = total > 0
    share = (own - np.bincount(star, noise, minlength=stars)) / np.where(known, total, 1.0)
    return np.asarray(noise + weights.detection * share[star])


#: What multiplies standard normal values to give the precision of a term as covariance.
Root = FloatArray | sparse.csr_array


def prior_roots(model: MixedModel) -> dict[str, Root]:
    """Return a root F of each random term's precision, F F^T = precision."""
    return {
        term.name: _root(term.precision)
        for term in random_terms(model)
        if term.precision is not None
    }


def prior_draw(
    model: MixedModel,
    sd_mag: Mapping[str, float],
    roots: Mapping[str, Root],
    random: np.random.Generator,
) -> FloatArray:
    """Return a draw of the covariance precision / sd^2, shape (p,)."""
    draw = np.zeros(model.width)
    for term in random_terms(model):
        normal = random.standard_normal(term.width)
        draw[term.columns] = (roots[term.name] @ normal) / sd_mag[term.name]
    return draw


def _root(matrix: sparse.csr_array) -> Root:
    if _is_diagonal(matrix):
        return sparse.csr_array(sparse.diags_array(np.sqrt(matrix.diagonal())))
    return np.linalg.cholesky(matrix.toarray())


def _less_exposures(design: Design, values: FloatArray) -> FloatArray:
    """Return values less the median of their exposure: residuals before any solve."""
    exposure, model = design.exposures.of_detection, design.model
    medians = group_medians(values, exposure, model.by_exposure.shape[0])
    return np.asarray(values - medians[exposure])


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
