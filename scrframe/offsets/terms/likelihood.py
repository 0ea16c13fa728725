"""The restricted likelihood of one more term, the weights and all other variances held.

With V the covariance of noise and stars, N = Z^T V^-1 Z and H = N + P with P the prior's
precision, twice the restricted log likelihood is, but for what no term changes,

    log det P - log det H + b^T H^-1 b,    b = Z^T V^-1 y

(Harville 1974, Biometrika 61, 383). The other variances were estimated without the term, so
that its gain is bounded from below: where they shrink beside it, it gains more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import linalg, sparse

from scrframe.arrays import FloatArray
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import indicator, normal_system, scaled_rows
from scrframe.offsets.joint.problem import InverseSystem, JointFit
from scrframe.offsets.joint.stars import star_solve
from scrframe.offsets.joint.variance_components import prior_matrix
from scrframe.offsets.linalg.factor import Factor, choose_dense
from scrframe.tables import Detections, FittedLevel

#: First steps of a standard deviation, as factors, and how often an end may be moved.
STEP, EXTENSIONS = 4.0, 2
#: Columns solved for at once, and random signs for a trace.
BLOCK, PROBES = 256, 12


@dataclass(frozen=True)
class WeightedData:
    """Differences with weights that stay.

    Attributes
    ----------
    delta_mag : ndarray, shape (n,)
    weights : Weights
    threads : int
    """

    delta_mag: FloatArray
    weights: Weights
    threads: int = 2


@dataclass(frozen=True)
class Fixed:
    """A model solved with variances that stay.

    Attributes
    ----------
    model : MixedModel
    data : WeightedData
    factor : Factor
        Of the normal matrix with the prior.
    right, parameters : ndarray, shape (p,)
        b and H^-1 b.
    projected : ndarray, shape (n,)
        V^-1 y.
    """

    model: MixedModel
    data: WeightedData
    factor: InverseSystem
    right: FloatArray
    parameters: FloatArray
    projected: FloatArray

    @classmethod
    def of(cls, model: MixedModel, data: WeightedData, sd_mag: Mapping[str, float]) -> Fixed:
        """Sum over the detections and solve.

        Raises
        ------
        CalibrationError
            If the system is singular.
        """
        projected = star_solve(model, data.weights, data.delta_mag)
        right = model.adjoint(projected)
        system = normal_system(model, data.weights, threads=data.threads)
        factor = Factor(system.plus(prior_matrix(model, sd_mag)), choose_dense(model))
        return cls(model, data, factor, right, factor.solve(right), projected)

    @classmethod
    def of_fit(cls, fit: JointFit, data: WeightedData) -> Fixed:
        """Return the last solve of a fit: its factor is there already."""
        model = fit.design.model
        projected = star_solve(model, data.weights, data.delta_mag)
        right = model.adjoint(projected)
        return cls(model, data, fit.factor, right, fit.estimate.parameters, projected)

    def products(self, columns: sparse.csr_array) -> tuple[sparse.csc_array, sparse.csr_array]:
        """Return Z^T V^-1 C, shape (p, q), and C^T V^-1 C, shape (q, q), of further columns.

        Only what is new is summed: that of the model's own columns is in its factor.

        Parameters
        ----------
        columns : csr_array, shape (n, q)
        """
        by_star, share, of_exposures, of_detections = self._stars
        sums = sparse.csr_array(by_star @ columns)
        shared = sparse.csr_array(share @ sums)
        scaled = scaled_rows(columns, self.data.weights.detection)
        own = sparse.csr_array(columns.T @ scaled - sums.T @ shared)
        model = self.model
        seen = indicator(model.exposure, model.by_exposure.shape[0])
        at_exposures = sparse.csr_array(seen.T @ scaled) - of_exposures.T @ shared
        at_columns = model.by_detection.T @ scaled - of_detections.T @ shared
        parts = [model.by_exposure.T @ sparse.csr_array(at_exposures), at_columns]
        return sparse.csc_array(sparse.vstack(parts)), own

    @cached_property
    def _stars(self) -> tuple[sparse.csr_array, ...]:
        """Weights by star and detection, 1 / (tau + sum of the weights) by star.

        With them the weights by star and exposure, and those of the model's own columns.
        """
        model, weights = self.model, self.data.weights
        by_star = sparse.csr_array(
            (weights.detection, (model.star, np.arange(len(model.star)))),
            shape=(model.stars, len(model.star)),
        )
        total = weights.star + np.bincount(model.star, weights.detection, minlength=model.stars)
        share = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
        of_exposures = sparse.csr_array(
            (weights.detection, (model.star, model.exposure)),
            shape=(model.stars, model.by_exposure.shape[0]),
        )
        of_detections = sparse.csr_array(by_star @ model.by_detection)
        return by_star, sparse.csr_array(sparse.diags_array(share)), of_exposures, of_detections


def extended(model: MixedModel, level: FittedLevel, table: Detections) -> MixedModel:
    """Return a model with a level's columns after all others.

    Parameters
    ----------
    model : MixedModel
        n detections.
    level : FittedLevel
    table : Detections
        n rows, with every column that the level reads.
    """
    weights = level.design(table).weights
    term = Term(
        level.name, level.role, model.width, model.width + weights.shape[1], level.precision()
    )
    own = sparse.csr_array(sparse.hstack([model.by_detection, weights], format="csr"))
    return replace(model, terms=(*model.terms, term), by_detection=own)


@dataclass(frozen=True)
class Gain:
    """What one more term gains.

    Attributes
    ----------
    gain : float
        In twice the restricted log likelihood, at the best standard deviation; 0 where none
        is better than leaving the term out.
    sd_mag : float
    parameters : ndarray, shape (p + q,)
        Of the model with the term as its last.
    """

    gain: float
    sd_mag: float
    parameters: FloatArray


@dataclass(frozen=True)
class TermEvidence:
    """What the data say of one more term, as a function of its standard deviation.

    With C the columns of the term, M = C^T P C and v = C^T P y, P the projection that leaves
    out all that the model explains, the gain at a standard deviation s is

        log det (K / s^2) - log det (M + K / s^2) + v^T (M + K / s^2)^-1 v.

    Attributes
    ----------
    precision : ndarray, shape (q, q)
        K.
    score : ndarray, shape (q,)
        v.
    information : ndarray, shape (q, q)
        M.
    """

    precision: FloatArray
    score: FloatArray
    information: FloatArray

    @cached_property
    def _determinant(self) -> float:
        return _log_determinant(linalg.cholesky(self.precision, lower=True))

    def at(self, log_sd: float) -> tuple[float, FloatArray, FloatArray]:
        """Return gain, values, shape (q,), and the root of M + K / s^2, lower, shape (q, q).

        Raises
        ------
        LinAlgError
            If rounding outweighs so weak a prior.
        """
        lower = linalg.cholesky(self.information + self.precision * np.exp(-2 * log_sd), lower=True)
        values = linalg.cho_solve((lower, True), self.score)
        gain = self._determinant - _log_determinant(lower) - 2 * len(values) * log_sd
        return gain + float(self.score @ values), values, lower


@dataclass(frozen=True)
class NewTerm:
    """A term of q columns C beside a model of p parameters that is solved.

    Attributes
    ----------
    fixed : Fixed
        The model without it.
    cross : csc_array, shape (p, q)
        Z^T V^-1 C.
    own : csr_array, shape (q, q)
        C^T V^-1 C.
    precision : ndarray, shape (q, q)
        K.
    score : ndarray, shape (q,)
        v.
    """

    fixed: Fixed
    cross: sparse.csc_array
    own: sparse.csr_array
    precision: FloatArray
    score: FloatArray

    @classmethod
    def of(cls, fixed: Fixed, level: FittedLevel, table: Detections) -> NewTerm:
        """Sum over the n rows of a table, which has every column that the level reads."""
        prior, columns = level.precision(), level.design(table).weights
        assert prior is not None
        cross, own = fixed.products(columns)
        score = columns.T @ fixed.projected - cross.T @ fixed.parameters
        return cls(fixed, cross, own, prior.toarray(), score)

    def promising(self) -> bool:
        """Return whether the likelihood rises from a standard deviation of 0.

        Its slope there is v^T K^-1 v - tr(K^-1 M), and the trace is the mean over random signs
        (Hutchinson 1990, Commun. Stat. Simul. 19, 433): a few solves instead of one a column.
        """
        lower, score = linalg.cholesky(self.precision, lower=True), self.score
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (len(score), PROBES))
        drawn = linalg.solve_triangular(lower, signs, lower=True, trans=1)
        applied = self.own @ drawn - self.cross.T @ self.fixed.factor.solve(self.cross @ drawn)
        trace = np.sum(drawn * applied, axis=0)
        slope = float(score @ linalg.cho_solve((lower, True), score))
        return bool(slope > trace.mean() - 2 * trace.std() / np.sqrt(PROBES))

    def evidence(
        self, functions: Callable[[FloatArray], FloatArray] = lambda solved: solved[:0]
    ) -> tuple[TermEvidence, FloatArray]:
        """Return what the data say of it, and what the model would take up of its columns.

        Parameters
        ----------
        functions : callable, optional
            From parameters, shape (p, b), to k linear functions of them, shape (k, b); the second
            result has these of H^-1 Z^T V^-1 C, shape (k, q). By default there are none.
        """
        information, taken_up = self.own.toarray(), []
        for low in range(0, len(information), BLOCK):
            some = slice(low, low + BLOCK)
            solved = self.fixed.factor.solve(self.cross[:, some].toarray())
            information[:, some] -= self.cross.T @ solved
            taken_up.append(functions(solved))
        information = 0.5 * (information + information.T)
        evidence = TermEvidence(self.precision, self.score, information)
        return evidence, np.concatenate(taken_up, axis=1)

    def parameters(self, values: FloatArray) -> FloatArray:
        """Return all parameters, shape (p + q,), with the term's own, shape (q,)."""
        fixed = self.fixed
        return np.concatenate([fixed.factor.solve(fixed.right - self.cross @ values), values])


def term_gain(fixed: Fixed, level: FittedLevel, table: Detections, start_mag: float) -> Gain:
    """Return the gain of one more term at its best standard deviation.

    Parameters
    ----------
    fixed : Fixed
        The model without it.
    level : FittedLevel
    table : Detections
        n rows, with every column that the level reads.
    start_mag : float
        Where the search for its standard deviation begins.
    """
    term = NewTerm.of(fixed, level, table)
    best = _best(term.evidence()[0], start_mag) if term.promising() else None
    if best is None:
        nothing = np.zeros(len(term.score))
        return Gain(0.0, start_mag, np.concatenate([fixed.parameters, nothing]))
    return Gain(best[0], best[1], term.parameters(best[2]))


def kept_gain(fit: JointFit, name: str) -> float:
    """Return the gain of a term of a fit over the same model without it.

    With B the term's block of the inverse and u its parameters, both at the standard deviation
    s of the fit, M + K / s^2 is B^-1, and v is B^-1 u: no model without the term is solved.
    """
    term, sd_mag = fit.design.term(name), fit.prior_sd_mag[name]
    assert term.precision is not None
    precision, inverse = term.precision.toarray(), linalg.inv(fit.factor.block(term.columns))
    evidence = TermEvidence(
        precision,
        inverse @ fit.estimate.parameters[term.columns],
        0.5 * (inverse + inverse.T) - precision / sd_mag**2,
    )
    best = _best(evidence, sd_mag)
    return 0.0 if best is None else best[0]


def solved_with(fixed: Fixed, level: FittedLevel, table: Detections, sd_mag: float) -> FloatArray:
    """Return the parameters with one more term as the last, shape (p + q,).

    Arguments are those of `term_gain`, with the standard deviation of the term.
    """
    term = NewTerm.of(fixed, level, table)
    return term.parameters(term.evidence()[0].at(float(np.log(sd_mag)))[1])


def _best(evidence: TermEvidence, start_mag: float) -> tuple[float, float, FloatArray] | None:
    """Return the largest gain, its standard deviation and values; None if none is positive."""
    found: dict[float, tuple[float, FloatArray]] = {}

    def at(log_sd: float) -> float:
        if log_sd not in found:
            try:
                found[log_sd] = evidence.at(log_sd)[:2]
            except linalg.LinAlgError:  # rounding outweighs so weak a prior
                return -np.inf
        return found[log_sd][0]

    climb(at, float(np.log(start_mag)), float(np.log(STEP)))
    best = max(found, key=at, default=None)
    if best is None or at(best) <= 0:
        return None
    return at(best), float(np.exp(best)), found[best][1]


def _log_determinant(lower: FloatArray) -> float:
    return 2 * float(np.sum(np.log(np.diagonal(lower))))


def climb(value: Callable[[float], float], start: float, step: float) -> None:
    """Evaluate a function of one variable near its maximum.

    Three points about the start, moved towards the maximum, then the vertex of the parabola
    through them; a function that is nowhere positive is left at that.
    """
    points = [start - step, start, start + step]
    for _ in range(EXTENSIONS):
        best = max(points, key=value)
        if best == points[0]:
            points = [points[0] - step, *points[:2]]
        elif best == points[2]:
            points = [*points[1:], points[2] + step]
        else:
            break
    low, middle, high = (value(point) for point in points)
    if max(low, middle, high) <= 0:
        return
    for width in (step, step / 2):
        curvature = low - 2 * middle + high
        if not -np.inf < curvature < 0:
            return
        vertex = points[1] + np.clip(0.5 * width * (low - high) / curvature, -width, width)
        value(float(vertex))
        if width == step:
            points = [vertex - step / 2, vertex, vertex + step / 2]
            low, middle, high = (value(float(point)) for point in points)
