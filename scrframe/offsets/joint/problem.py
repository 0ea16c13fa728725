"""What the joint solver is given, what it gives back, and a part of it to begin with.

The variances need far fewer detections than the offsets do. A part of the visits as large as
an eighth gives them to some per cent, in an eighth of the time; the whole then needs a round
or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.mixed_model import Design, Exposures, MixedModel, Term, Weights
from scrframe.offsets.joint.stars import noise_draw, star_means, weighted
from scrframe.offsets.joint.variance_components import (
    Component,
    Root,
    is_diagonal,
    prior_draw,
    prior_roots,
)
from scrframe.offsets.noise.model import NoiseModel
from scrframe.offsets.noise.update import NoiseSettings
from scrframe.offsets.outliers.states import OutlierRates
from scrframe.offsets.outliers.weights import OutlierSettings, RobustWeights
from scrframe.tables import Detections, FittedLevel

#: Draws that are solved for at once.
BLOCK = 25
#: One visit in so many is in the part.
ONE_IN = 8
#: Most runs of visits that it is made of.
SUBSET_RUNS = 8


@dataclass(frozen=True)
class JointSolverSettings:
    """How the joint solver goes about it.

    Attributes
    ----------
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
    noise : NoiseSettings
    outliers : OutlierSettings
    threads : int
        Parts of the survey whose normal equations are summed at the same time; the result
        is the same to the bit for any number.
    """

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
    outliers: OutlierSettings = field(default_factory=OutlierSettings)
    threads: int = 2


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
    settings : JointSolverSettings
    """

    levels: tuple[FittedLevel, ...]
    table: Detections
    delta_mag: FloatArray
    star: IntArray
    error_mag: FloatArray
    covariates: FloatArray
    settings: JointSolverSettings


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
    precision_ratio : mapping of str to ndarray
        By term whose groups have variances of their own: that of the term over the group's,
        by group.
    """

    parameters: FloatArray
    sd_mag: Mapping[str, float]
    noise: NoiseModel
    rates: OutlierRates
    precision_ratio: Mapping[str, FloatArray] = field(default_factory=dict)


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


class InverseSystem(Protocol):
    """What results ask of the inverse C of a system of p parameters."""

    def solve(self, right: FloatArray) -> FloatArray:
        """Return C b, of b with shape (p,) or (p, k)."""
        ...

    def diagonal(self) -> FloatArray:
        """Return the diagonal of C, shape (p,)."""
        ...

    def block(self, columns: slice) -> FloatArray:
        """Return the block of C at q columns, shape (q, q)."""
        ...

    def row_variances(self, rows: sparse.csr_array) -> FloatArray:
        """Return r^T C r of each row r of a matrix, shape (k, p)."""
        ...


@dataclass(frozen=True)
class JointFit:
    """The fitted model: what errors, products and further right-hand sides come from.

    Parameters, residuals, weights, prior and factor are of one solve, the last:
    ``factor.solve(weighted(model, weights, delta_mag))`` gives the parameters again. The
    variances, noise and rates of `estimate` are one move further where no solve follows the
    last move: with `JointSolverSettings.exact_rounds` of 0, and for millions of detections.

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
    factor : InverseSystem
        That of the normal matrix at `weights` with the prior at `prior_sd_mag`: its `Factor`.
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
    factor: InverseSystem
    residual_mag: FloatArray
    rounds: tuple[JointRound, ...]
    converged: bool

    def response(self, delta_mag: FloatArray) -> FloatArray:
        """Return by how much the parameters move, shape (p,), if differences do, shape (n,)."""
        return self.factor.solve(weighted(self.design.model, self.weights, delta_mag))

    def draws(self, number: int, seed: int) -> Iterator[FloatArray]:
        """Yield draws of the parameters' errors, shape (p, k), `number` in all.

        They come in blocks, since of many parameters all at once would not fit into memory.
        """
        model, random = self.design.model, np.random.default_rng(seed)
        roots = prior_roots(model)
        for low in range(0, number, BLOCK):
            some = min(BLOCK, number - low)
            right = right_draws(model, self.weights, self.prior_sd_mag, roots, random, some)
            yield self.factor.solve(right)

    def star_deviations(self) -> tuple[FloatArray, FloatArray]:
        """Return means and variances of the stars' deviations, each of shape (s,)."""
        return star_means(self.design.model, self.weights, self.residual_mag)


def right_draws(
    model: MixedModel,
    weights: Weights,
    sd_mag: Mapping[str, float],
    roots: Mapping[str, Root],
    random: np.random.Generator,
    number: int,
) -> FloatArray:
    """Return draws of the right-hand side, shape (p, k): solved for, they are N(0, C)."""
    right = np.empty((model.width, number))
    for column in range(number):
        right[:, column] = model.adjoint(noise_draw(model, weights, random))
        right[:, column] += prior_draw(model, sd_mag, roots, random)
    return right


def in_subset(visit: IntArray, visits: int) -> npt.NDArray[np.bool_]:
    """Return which exposures are in the part, shape (x,).

    Visits come in runs of two or more, so that neighbours which share stars stay together,
    and the runs spread over the whole survey.

    Parameters
    ----------
    visit : ndarray of int64, shape (x,)
        Visit of each exposure, from 0 to visits - 1.
    visits : int
        Number of visits.
    """
    runs = min(SUBSET_RUNS, max(visits // (2 * ONE_IN), 1)) * ONE_IN
    return np.asarray(visit * runs // max(visits, 1) % ONE_IN == 0)


def visit_subset(design: Design, problem: JointProblem) -> tuple[Design, JointProblem]:
    """Return design and problem of the part, without a last solve.

    Terms lose the columns that no detection of the part has.

    Parameters
    ----------
    design : Design
    problem : JointProblem
        Its levels and table stay whole: they are not looked at.
    """
    model, exposures = design.model, design.exposures
    seen = np.bincount(model.exposure, minlength=len(exposures)) > 0
    chosen = np.flatnonzero(in_subset(exposures.visit, len(exposures.visits)) & seen)
    place = np.full(len(exposures), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[model.exposure] >= 0)
    stars, star = np.unique(model.star[rows], return_inverse=True)
    part = drop_empty_columns(
        MixedModel(
            model.terms,
            sparse.csr_array(model.by_exposure[chosen]),
            sparse.csr_array(model.by_detection[rows]),
            place[model.exposure[rows]],
            star.astype(np.int64),
            len(stars),
            visit=exposures.visit[chosen],
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
    return Design(part, some), smaller


def drop_empty_columns(model: MixedModel) -> MixedModel:
    """Return a model without the columns that no detection has.

    Terms whose columns are not independent, such as random walks, stay whole: their prior
    holds what is not seen.
    """
    split = model.by_exposure.shape[1]
    kept = np.concatenate(
        [np.diff(model.by_exposure.tocsc().indptr), np.diff(model.by_detection.tocsc().indptr)]
    ).astype(bool)
    terms: list[Term] = []
    for term in model.terms:
        precision = term.precision
        if precision is not None and not is_diagonal(precision):
            kept[term.columns] = True
        here = np.flatnonzero(kept[term.columns])
        if precision is not None:
            precision = sparse.csr_array(precision[here][:, here])
        first = terms[-1].last if terms else 0
        groups = None if term.groups is None else term.groups[here]
        last = first + len(here)
        terms.append(replace(term, first=first, last=last, precision=precision, groups=groups))
    return replace(
        model,
        terms=tuple(terms),
        by_exposure=sparse.csr_array(model.by_exposure[:, np.flatnonzero(kept[:split])]),
        by_detection=sparse.csr_array(model.by_detection[:, np.flatnonzero(kept[split:])]),
    )
