"""Variance components of the terms: the prior they make, and their restricted likelihood.

They move by average information. Draws of the right-hand side of the mixed model, solved for,
are draws of the parameters' errors, N(0, C) with C the inverse of the system (García-Cortés &
Sorensen 2001, Genet. Sel. Evol. 33, 443); see also `stars.noise_draw`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import MixedModel, Term

#: No standard deviation is estimated below this, in mag.
LOWEST_SD_MAG = 1e-5
#: Spread of the weak prior on the logarithm of a variance about its start: a factor e on
#: the standard deviation. It decides only where the data do not.
PRIOR_SPREAD = 2.0
#: Terms of so few columns always have exact traces: draws of them would scatter too much.
#: With 8 draws a drift of 416 columns came out 4 per cent too large in two trials of two.
NARROW = 512
#: Degrees of freedom of the scatter of groups' variances about their term's.
GROUP_FREEDOM = 3.0
#: Widest precision whose root is a dense one.
DENSE_ROOT = 256
#: Columns solved for at once.
SOLVES = 64
#: Largest change of the logarithm of a variance in one step.
LONGEST_STEP = 1.5
#: Returns C b, for b of shape (p,) or (p, k), with C the inverse of the system.
Solve = Callable[[FloatArray], FloatArray]
#: Returns the trace of a term's precision times its block of C.
Trace = Callable[[Term], float]
#: What multiplies standard normal values to give the precision of a term as covariance.
Root = FloatArray | sparse.csr_array


class TracedInverse(Protocol):
    """The inverse of the system, as far as exact traces need it."""

    def trace(self, matrix: sparse.csr_array, columns: slice) -> float:
        """Return the trace of a matrix times the block of C at `columns`."""
        ...


class SolvedInverse(TracedInverse, Protocol):
    """The inverse of the system, and which parts of it are at hand."""

    def holds_densely(self, columns: slice) -> bool:
        """Return whether all columns are in a dense block."""
        ...

    def solve(self, right: FloatArray) -> FloatArray:
        """Return C b, for b of shape (p,) or (p, k)."""
        ...


def exact_trace(inverse: TracedInverse) -> Trace:
    """Return exact traces."""

    def trace(term: Term) -> float:
        assert term.precision is not None
        return inverse.trace(term.precision, term.columns)

    return trace


def quick_trace(factor: SolvedInverse, width: int, otherwise: Trace) -> Trace:
    """Return exact traces where they cost little, and others elsewhere.

    Exact are those of terms of few columns, by solving for each of these.

    Parameters
    ----------
    factor : SolvedInverse
    width : int
        Number of parameters.
    otherwise : callable
        Traces of the other terms.
    """

    def trace(term: Term) -> float:
        assert term.precision is not None
        if term.width > NARROW:
            return otherwise(term)
        if factor.holds_densely(term.columns):
            return factor.trace(term.precision, term.columns)
        return solved_trace(term)

    def solved_trace(term: Term) -> float:
        assert term.precision is not None
        total = 0.0
        for low in range(0, term.width, SOLVES):
            some = np.arange(low, min(low + SOLVES, term.width))
            unit = np.zeros((width, len(some)))
            unit[term.first + some, np.arange(len(some))] = 1.0
            block = factor.solve(unit)[term.columns]
            total += float(term.precision[some].multiply(block.T).sum())
        return total

    return trace


def drawn_trace(draws: Sequence[FloatArray]) -> Trace:
    """Return traces as means over draws, shape (p,) each, from N(0, C).

    Their scatter is that of so many draws of the term; a fixed seed makes it the same in
    every round, so that the rounds converge.
    """

    def trace(term: Term) -> float:
        assert term.precision is not None
        values = [draw[term.columns] for draw in draws]
        return float(np.mean([value @ (term.precision @ value) for value in values]))

    return trace


@dataclass(frozen=True)
class Component:
    """An estimated standard deviation.

    Attributes
    ----------
    name : str
    sd_mag : float
    err_mag : float
        Its standard error; NaN where it was held.
    note : str
        Why it was held or is hardly determined; else empty.
    """

    name: str
    sd_mag: float
    err_mag: float
    note: str = ""


def random_terms(model: MixedModel) -> tuple[Term, ...]:
    """Return the terms with a variance."""
    return tuple(term for term in model.terms if term.precision is not None)


def working_variates(model: MixedModel, parameters: FloatArray) -> FloatArray:
    """Return the parameters of each random term in a column of its own, shape (p, k)."""
    terms = random_terms(model)
    working = np.zeros((model.width, len(terms)))
    for number, term in enumerate(terms):
        working[term.columns, number] = parameters[term.columns]
    return working


def update_components(
    model: MixedModel,
    parameters: FloatArray,
    solve: Solve,
    trace: Trace,
    projected: FloatArray,
    sd_mag: Mapping[str, float],
    start_mag: Mapping[str, float],
    held: frozenset[str],
    longest: Mapping[str, float],
) -> tuple[Component, ...]:
    """Do one step of average-information REML in the logarithms of the variances.

    With V_l the derivative of V by the variance of term l, the working variates V_l P y are
    Z_l u_l / sd^2, so that the average information needs no pass over the detections:
    a^T N a - (N a)^T C (N a) with N = Z^T V^-1 Z (Johnson & Thompson 1995, J. Dairy Sci.
    78, 449).

    Parameters
    ----------
    model : MixedModel
    parameters : ndarray, shape (p,)
        Their best prediction.
    solve : callable
        Solves the normal equations with the prior.
    trace : callable
        Traces of the terms' precisions times their block of the inverse.
    projected : ndarray, shape (p, k)
        The normal matrix without the prior times `working_variates`.
    sd_mag, start_mag : mapping
        Present standard deviations, and those of the prior, by term.
    held : frozenset of str
        Terms whose standard deviation is not moved.
    longest : mapping of str to float
        Largest change of the logarithm of each term's variance.
    """
    terms = random_terms(model)
    variance = np.array([sd_mag[term.name] ** 2 for term in terms])
    score = np.array([_score(term, parameters, trace(term), sd_mag[term.name]) for term in terms])
    working = working_variates(model, parameters)
    information = 0.5 * (working.T @ projected - projected.T @ solve(projected))
    prior = 1 / PRIOR_SPREAD**2
    start = np.array([start_mag[term.name] ** 2 for term in terms])
    free = np.array([term.name not in held for term in terms])
    bound = np.array([longest[term.name] for term in terms])
    step, error = _step(score - prior * np.log(variance / start), information, prior, free)
    step = np.clip(step, -bound, bound)
    moved = np.maximum(variance * np.exp(step), LOWEST_SD_MAG**2)
    return tuple(
        _component(term, np.sqrt(new), spread, bool(is_free))
        for term, new, spread, is_free in zip(terms, moved, error, free, strict=True)
    )


class StepBounds:
    """Bounds of the steps, halved for a term whose variance swings to and fro.

    The average information is not the curvature where a term is hardly determined, or two
    terms share what the data know: full steps would then overshoot for ever.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.longest = dict.fromkeys(names, LONGEST_STEP)
        self._last = dict.fromkeys(self.longest, 0.0)

    def note(self, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        """Learn from standard deviations before and after a step."""
        for name, bound in self.longest.items():
            step = 2 * np.log(after[name] / before[name])
            if step * self._last[name] < 0:
                self.longest[name] = 0.5 * min(bound, abs(self._last[name]))
            else:
                self.longest[name] = min(1.5 * bound, LONGEST_STEP)
            self._last[name] = step


def _score(term: Term, parameters: FloatArray, trace: float, sd_mag: float) -> float:
    """Return the derivative of the restricted log likelihood by log variance."""
    assert term.precision is not None
    values = parameters[term.columns]
    squares = float(values @ (term.precision @ values))
    return 0.5 * ((squares + trace) / sd_mag**2 - term.width)


def _step(
    score: FloatArray, information: FloatArray, prior: float, free: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return step and standard errors, in log variance; the latter NaN where held."""
    step, error = np.zeros(len(score)), np.full(len(score), np.nan)
    if free.any():
        inner = information[np.ix_(free, free)] + prior * np.eye(int(free.sum()))
        covariance = np.linalg.inv(inner)
        step[free] = covariance @ score[free]
        error[free] = np.sqrt(np.diag(covariance))
    return step, error


def _component(term: Term, sd_mag: float, error: float, free: bool) -> Component:
    note = ""
    if not free:
        note = f"held at {1000 * sd_mag:.3g} mmag"
    elif error > 0.7 * PRIOR_SPREAD:
        note = "hardly determined by the data: the start value decides"
    return Component(term.name, float(sd_mag), float(0.5 * error * sd_mag), note)


def move_ratios(
    terms: Sequence[Term],
    parameters: FloatArray,
    draws: Sequence[FloatArray],
    sd_mag: Mapping[str, float],
) -> dict[str, FloatArray]:
    """Return the variance of each term over that of each of its groups, by group.

    The variances of groups scatter about that of the term as an inverse gamma distribution
    of `GROUP_FREEDOM` degrees of freedom: the offsets are Student's, and a group that is
    unlike the others is neither shrunken by them nor takes them along. The ratio is its mean
    given the offsets and their uncertainty (an expectation-maximisation step; Lange, Little &
    Taylor 1989, J. Am. Stat. Assoc. 84, 881).

    Parameters
    ----------
    terms : sequence of Term
        With the precision for equal variances.
    parameters : ndarray, shape (p,)
        Their best prediction.
    draws : sequence of ndarray, shape (p,)
        From the distribution of its errors.
    sd_mag : mapping of str to float
        Standard deviations by term.
    """
    ratios = {}
    for term in terms:
        if term.groups is None or term.precision is None:
            continue
        count = np.bincount(term.groups)
        values = [parameters[term.columns], *(draw[term.columns] for draw in draws)]
        squares = [np.bincount(term.groups, value * (term.precision @ value)) for value in values]
        energy = (squares[0] + np.mean(squares[1:], axis=0)) / sd_mag[term.name] ** 2
        ratios[term.name] = (GROUP_FREEDOM + count) / (GROUP_FREEDOM + energy)
    return ratios


def with_ratios(model: MixedModel, ratios: Mapping[str, FloatArray]) -> MixedModel:
    """Return a model whose groups have their own precisions, of one with equal variances."""
    return replace(model, terms=tuple(_with_ratio(term, ratios) for term in model.terms))


def _with_ratio(term: Term, ratios: Mapping[str, FloatArray]) -> Term:
    ratio = ratios.get(term.name)
    if ratio is None or term.groups is None or term.precision is None:
        return term
    root = sparse.diags_array(np.sqrt(ratio[term.groups]))
    return replace(term, precision=sparse.csr_array(root @ term.precision @ root))


def prior_matrix(model: MixedModel, sd: Mapping[str, float]) -> sparse.csc_array:
    """Return the block diagonal of precision / sd^2, shape (p, p); 0 for flat terms.

    Parameters
    ----------
    model : MixedModel
    sd : mapping of str to float
        Standard deviation in mag of each term that has a prior, by name.

    Raises
    ------
    CalibrationError
        If a standard deviation is missing, zero or negative.
    """
    blocks = [_prior(term, sd) for term in model.terms]
    return sparse.csc_array(sparse.block_diag(blocks, format="csc"))


def _prior(term: Term, sd: Mapping[str, float]) -> sparse.csr_array:
    if term.precision is None:
        return sparse.csr_array((term.width, term.width))
    value = sd.get(term.name, 0.0)
    if not (value > 0 and np.isfinite(1 / value**2)):
        raise CalibrationError(
            f"term {term.name!r}: its standard deviation is {value!r} mag; give a positive "
            "one, or leave the term out"
        )
    return sparse.csr_array(term.precision / value**2)


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
    if is_diagonal(matrix):
        return sparse.csr_array(sparse.diags_array(np.sqrt(matrix.diagonal())))
    if matrix.shape[0] <= DENSE_ROOT:
        return np.linalg.cholesky(matrix.toarray())
    factor = sparse_linalg.splu(
        sparse.csc_array(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    # A positive definite matrix needs no pivots: U is the diagonal times L transposed.
    lower = factor.L @ sparse.diags_array(np.sqrt(factor.U.diagonal()))
    return sparse.csr_array(sparse.csr_array(lower)[factor.perm_r])


def is_diagonal(matrix: sparse.csr_array) -> bool:
    """Return whether all off the diagonal of a matrix is 0."""
    return bool(matrix.nnz == np.count_nonzero(matrix.diagonal()))
