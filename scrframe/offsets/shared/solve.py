"""Several surveys in one solve: stars and terms that they share, variances held.

Each survey is fitted by itself first. Its terms, weights and variances then enter one
system, laid out in `layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import normal_system
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.stars import star_means, star_solve, weighted
from scrframe.offsets.joint.variance_components import is_diagonal, prior_matrix
from scrframe.offsets.linalg.factor import Factor, choose_dense
from scrframe.offsets.shared.correlation import own_variance
from scrframe.offsets.shared.layout import (
    Member,
    Position,
    SharedTerm,
    joined_model,
    layout,
    mapped,
)


@dataclass(frozen=True)
class JointSurveyFit:
    """The solve of several surveys."""

    #: Of all detections and terms, those of a survey called ``survey:term``.
    model: MixedModel
    weights: Weights
    prior_sd_mag: dict[str, float]
    factor: Factor
    #: Shape (w,).
    parameters: FloatArray
    #: Shape (n,).
    residual_mag: FloatArray
    #: By survey.
    positions: tuple[Position, ...]

    def response(self, number: int, delta_mag: FloatArray) -> FloatArray:
        """Return by how much a survey's parameters move if its differences do, shape (p,)."""
        position = self.positions[number]
        every = np.zeros(len(self.model.star))
        every[position.rows] = delta_mag
        moved = self.factor.solve(weighted(self.model, self.weights, every))
        return position.extracted(moved)

    @cached_property
    def log_likelihood(self) -> float:
        """Restricted logarithmic likelihood of the differences, but for a constant.

        The constant is the same however terms are shared.
        """
        delta = self.residual_mag + self.model.values(self.parameters)
        misfit = float(delta @ star_solve(self.model, self.weights, self.residual_mag))
        prior = sum(_log_variance(term, self.prior_sd_mag) for term in self.model.terms)
        return -0.5 * (misfit + self.factor.log_determinant + prior)

    @cached_property
    def star_deviations(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of all stars' deviations, shape (s,) each."""
        return star_means(self.model, self.weights, self.residual_mag)


@dataclass(frozen=True)
class MemberInverse:
    """A survey's view of the inverse of the whole system: C_b = P_b C P_b^T."""

    #: Of the whole.
    factor: Factor
    position: Position

    def solve(self, right: FloatArray) -> FloatArray:
        """Return C_b b, of b with shape (p,) or (p, k)."""
        whole = self.factor.solve(self.position.embedded(right, self.factor.size))
        return self.position.extracted(whole)

    def diagonal(self) -> FloatArray:
        """Return the diagonal of C_b, shape (p,)."""
        return np.asarray(self.position.scale**2 * self.factor.diagonal()[self.position.column])

    def row_variances(self, rows: sparse.csr_array) -> FloatArray:
        """Return r^T C_b r of each row r of a matrix, shape (k, p)."""
        return self.factor.row_variances(mapped(rows, self.position, self.factor.size))


@dataclass(frozen=True)
class MemberFit(JointFit):
    """A survey's part of the solve of several, as a fit of its own."""

    whole: JointSurveyFit
    #: Which of the surveys it is.
    number: int

    def response(self, delta_mag: FloatArray) -> FloatArray:
        """Return by how much the parameters move if this survey's differences do."""
        return self.whole.response(self.number, delta_mag)

    def star_deviations(self) -> tuple[FloatArray, FloatArray]:
        """Return means and variances of the stars' deviations, given all surveys."""
        mean, variance = self.whole.star_deviations
        stars = self.whole.positions[self.number].stars
        return mean[stars], variance[stars]


def solve_surveys(
    members: Sequence[Member],
    follow: FloatArray,
    shared: Sequence[SharedTerm] = (),
    threads: int = 2,
) -> tuple[MemberFit, ...]:
    """Solve several surveys at once, with the weights and variances of each alone.

    `follow`, shape (b,), is what each survey's star deviations follow the common factor by: the
    product of two is their correlation. Raises CalibrationError if a term cannot be shared, or the
    system is singular.
    """
    terms, positions, sd_mag, split = layout(members, shared)
    model = joined_model(members, positions, terms, split)
    weights = _weights(members, model, follow)
    system = normal_system(model, weights, threads=threads).plus(prior_matrix(model, sd_mag))
    factor = Factor(system, choose_dense(model))
    delta = np.concatenate([_delta(member.fit) for member in members])
    parameters = factor.solve(weighted(model, weights, delta))
    residual = delta - model.values(parameters)
    whole = JointSurveyFit(model, weights, sd_mag, factor, parameters, residual, tuple(positions))
    return tuple(_view(whole, number, member) for number, member in enumerate(members))


def _log_variance(term: Term, sd_mag: Mapping[str, float]) -> float:
    """Return log det of the prior covariance, without that of columns that depend."""
    if term.precision is None:
        return 0.0
    found = 2 * term.width * np.log(sd_mag[term.name])
    if is_diagonal(term.precision):
        found -= float(np.sum(np.log(term.precision.diagonal())))
    return float(found)


def _view(whole: JointSurveyFit, number: int, member: Member) -> MemberFit:
    """Return a survey's part as a fit of its own."""
    position, fit = whole.positions[number], member.fit
    values: dict[str, Any] = {item.name: getattr(fit, item.name) for item in fields(JointFit)}
    values["estimate"] = replace(fit.estimate, parameters=position.extracted(whole.parameters))
    values["factor"] = MemberInverse(whole.factor, position)
    values["residual_mag"] = whole.residual_mag[position.rows]
    return MemberFit(**values, whole=whole, number=number)


def _delta(fit: JointFit) -> FloatArray:
    """Return the differences of a fit, shape (n,)."""
    return fit.residual_mag + fit.design.model.values(fit.estimate.parameters)


def _weights(members: Sequence[Member], model: MixedModel, follow: FloatArray) -> Weights:
    """Return the weights of all, deviations split into what is common and what is own.

    A source that only one survey sees has nothing in common with any.
    """
    assert model.source is not None
    loading = np.concatenate(
        [each * np.sqrt(own_variance(m.fit)) for each, m in zip(follow, members, strict=True)]
    )
    counts = np.bincount(
        model.source[loading != 0], minlength=int(model.source.max(initial=-1)) + 1
    )
    common = (loading != 0) & (counts[model.source] > 1)
    own = np.concatenate(
        [
            np.full(m.fit.design.model.stars, 1 - each**2)
            for each, m in zip(follow, members, strict=True)
        ]
    )
    star = np.concatenate([member.fit.weights.star for member in members])
    return Weights(
        np.concatenate([member.fit.weights.detection for member in members]),
        np.where(common, star / own, star),
        np.where(common, loading, 0.0),
    )
