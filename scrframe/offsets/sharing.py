"""Several surveys in one solve: stars and terms that they share, variances held.

Each survey is fitted by itself first. Its terms, weights and variances then enter one
system; what a survey says of its own parameters u_b comes back by u_b = P_b u, P_b having
one entry a row: the column of the whole that a parameter is, and its scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.correlation import own_variance
from scrframe.offsets.draws import is_diagonal
from scrframe.offsets.factor import Factor, choose_dense
from scrframe.offsets.joint_problem import JointFit
from scrframe.offsets.model import FloatArray, IntArray, MixedModel, Term, Weights
from scrframe.offsets.normal import (
    normal_system,
    prior_matrix,
    star_means,
    star_solve,
    weighted,
)


@dataclass(frozen=True)
class Member:
    """One survey of several.

    Attributes
    ----------
    name : str
    fit : JointFit
        Of the survey alone.
    source : ndarray of int64, shape (s,)
        Identifier of the source that each star of the fit is, each once; the same sources
        have the same in all surveys.
    """

    name: str
    fit: JointFit
    source: IntArray


@dataclass(frozen=True)
class SharedTerm:
    """A term of several surveys that is one and the same, up to its standard deviation.

    Attributes
    ----------
    name : str
        Of the term, in all surveys.
    labels : tuple of sequence of str
        By survey what each column stands for: the same text means the same.
    """

    name: str
    labels: tuple[Sequence[str], ...]


@dataclass(frozen=True)
class Place:
    """Where a survey is in the whole.

    Attributes
    ----------
    column : ndarray of int64, shape (p,)
        Column of the whole of each of the survey's parameters.
    scale : ndarray, shape (p,)
        The survey's parameter over that of the whole.
    rows, stars : slice
        Its detections and stars.
    """

    column: IntArray
    scale: FloatArray
    rows: slice
    stars: slice

    def embedded(self, right: FloatArray, width: int) -> FloatArray:
        """Return P^T b, shape (w,) or (w, k), of b with shape (p,) or (p, k)."""
        out = np.zeros((width, *right.shape[1:]))
        out[self.column] = (self.scale * right.T).T
        return out

    def extracted(self, whole: FloatArray) -> FloatArray:
        """Return P u, shape (p,) or (p, k), of u with shape (w,) or (w, k)."""
        return np.asarray((self.scale * whole[self.column].T).T)


@dataclass(frozen=True)
class Together:
    """The solve of several surveys.

    Attributes
    ----------
    model : MixedModel
        Of all detections and terms, those of a survey called ``survey:term``.
    weights : Weights
    prior_sd_mag : mapping of str to float
    factor : Factor
    parameters : ndarray, shape (w,)
    residual_mag : ndarray, shape (n,)
    places : tuple of Place
        By survey.
    """

    model: MixedModel
    weights: Weights
    prior_sd_mag: dict[str, float]
    factor: Factor
    parameters: FloatArray
    residual_mag: FloatArray
    places: tuple[Place, ...]

    def response(self, number: int, delta_mag: FloatArray) -> FloatArray:
        """Return by how much a survey's parameters move if its differences do, shape (p,)."""
        place = self.places[number]
        every = np.zeros(len(self.model.star))
        every[place.rows] = delta_mag
        moved = self.factor.solve(weighted(self.model, self.weights, every))
        return place.extracted(moved)

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
class PartFactor:
    """A survey's view of the inverse of the whole system: C_b = P_b C P_b^T.

    Attributes
    ----------
    factor : Factor
        Of the whole.
    place : Place
    """

    factor: Factor
    place: Place

    def solve(self, right: FloatArray) -> FloatArray:
        """Return C_b b, of b with shape (p,) or (p, k)."""
        whole = self.factor.solve(self.place.embedded(right, self.factor.size))
        return self.place.extracted(whole)

    def diagonal(self) -> FloatArray:
        """Return the diagonal of C_b, shape (p,)."""
        return np.asarray(self.place.scale**2 * self.factor.diagonal()[self.place.column])

    def row_variances(self, rows: sparse.csr_array) -> FloatArray:
        """Return r^T C_b r of each row r of a matrix, shape (k, p)."""
        return self.factor.row_variances(_mapped(rows, self.place, self.factor.size))


@dataclass(frozen=True)
class MemberFit(JointFit):
    """A survey's part of the solve of several, as a fit of its own.

    Attributes
    ----------
    together : Together
    number : int
        Which of the surveys it is.
    """

    together: Together
    number: int

    def response(self, delta_mag: FloatArray) -> FloatArray:
        """Return by how much the parameters move if this survey's differences do."""
        return self.together.response(self.number, delta_mag)

    def star_deviations(self) -> tuple[FloatArray, FloatArray]:
        """Return means and variances of the stars' deviations, given all surveys."""
        mean, variance = self.together.star_deviations
        stars = self.together.places[self.number].stars
        return mean[stars], variance[stars]


def solve_together(
    members: Sequence[Member],
    follow: FloatArray,
    shared: Sequence[SharedTerm] = (),
    threads: int = 2,
) -> tuple[MemberFit, ...]:
    """Solve several surveys at once, with the weights and variances of each alone.

    Parameters
    ----------
    members : sequence of Member
    follow : ndarray, shape (b,)
        What each survey's star deviations follow the common factor by: the product of two
        is their correlation.
    shared : sequence of SharedTerm
    threads : int

    Raises
    ------
    CalibrationError
        If a term cannot be shared, or the system is singular.
    """
    terms, places, sd_mag, split = _layout(members, shared)
    model = _model(members, places, terms, split)
    weights = _weights(members, model, follow)
    system = normal_system(model, weights, threads=threads).plus(prior_matrix(model, sd_mag))
    factor = Factor(system, choose_dense(model))
    delta = np.concatenate([_delta(member.fit) for member in members])
    parameters = factor.solve(weighted(model, weights, delta))
    residual = delta - model.values(parameters)
    together = Together(model, weights, sd_mag, factor, parameters, residual, tuple(places))
    return tuple(_view(together, number, member) for number, member in enumerate(members))


def _log_variance(term: Term, sd_mag: Mapping[str, float]) -> float:
    """Return log det of the prior covariance, without that of columns that depend."""
    if term.precision is None:
        return 0.0
    found = 2 * term.width * np.log(sd_mag[term.name])
    if is_diagonal(term.precision):
        found -= float(np.sum(np.log(term.precision.diagonal())))
    return float(found)


def _view(together: Together, number: int, member: Member) -> MemberFit:
    """Return a survey's part as a fit of its own."""
    place, fit = together.places[number], member.fit
    values: dict[str, Any] = {item.name: getattr(fit, item.name) for item in fields(JointFit)}
    values["estimate"] = replace(fit.estimate, parameters=place.extracted(together.parameters))
    values["factor"] = PartFactor(together.factor, place)
    values["residual_mag"] = together.residual_mag[place.rows]
    return MemberFit(**values, together=together, number=number)


def _delta(fit: JointFit) -> FloatArray:
    """Return the differences of a fit, shape (n,)."""
    return fit.residual_mag + fit.design.model.values(fit.estimate.parameters)


@dataclass
class _Column:
    """The columns of one term of the whole, before they have a place."""

    term: Term
    by_exposure: bool
    owners: list[tuple[int, IntArray, IntArray, FloatArray]]
    """Survey, its columns, those of the term, and the scales."""


def _layout(
    members: Sequence[Member], shared: Sequence[SharedTerm]
) -> tuple[list[Term], list[Place], dict[str, float], int]:
    """Return the terms of the whole, the place of each survey, and the standard deviations.

    The last is the number of columns by exposure.
    """
    columns = [_shared_column(members, each) for each in shared]
    names = {each.name for each in shared}
    sd_mag: dict[str, float] = {each.name: 1.0 for each in shared}
    for number, member in enumerate(members):
        model = member.fit.design.model
        for term in model.terms:
            if term.name in names:
                continue
            name = f"{member.name}:{term.name}"
            here = np.arange(term.first, term.last)
            owner = number, here, here - term.first, np.ones(term.width)
            held = term.last <= model.by_exposure.shape[1]
            columns.append(_Column(replace(term, name=name), held, [owner]))
            if term.name in member.fit.prior_sd_mag:
                sd_mag[name] = member.fit.prior_sd_mag[term.name]
    columns.sort(key=lambda each: not each.by_exposure)
    terms: list[Term] = []
    column = [np.zeros(m.fit.design.model.width, dtype=np.int64) for m in members]
    scale = [np.zeros(len(each)) for each in column]
    for each in columns:
        first = terms[-1].last if terms else 0
        terms.append(replace(each.term, first=first, last=first + each.term.width))
        for number, own, place, size in each.owners:
            column[number][own], scale[number][own] = first + place, size
    rows = np.cumsum([0, *(len(m.fit.design.model.star) for m in members)]).tolist()
    stars = np.cumsum([0, *(m.fit.design.model.stars for m in members)]).tolist()
    places = [
        Place(column[b], scale[b], slice(rows[b], rows[b + 1]), slice(stars[b], stars[b + 1]))
        for b in range(len(members))
    ]
    split = sum(each.term.width for each in columns if each.by_exposure)
    return terms, places, sd_mag, split


def _shared_column(members: Sequence[Member], shared: SharedTerm) -> _Column:
    """Return a shared term: each of its columns is N(0, 1), scaled by each survey's own sd."""
    labels = sorted({label for each in shared.labels for label in each})
    place = {label: number for number, label in enumerate(labels)}
    owners, roles, held = [], set(), set()
    for number, (member, own) in enumerate(zip(members, shared.labels, strict=True)):
        term, model = member.fit.design.term(shared.name), member.fit.design.model
        precision = term.precision
        if precision is None or not is_diagonal(precision):
            raise CalibrationError(
                f"share.terms: {shared.name!r} of {member.name} has"
                f" {'no prior' if precision is None else 'columns that depend on each other'};"
                " only terms with a standard deviation and independent columns can be shared"
            )
        sd_mag = member.fit.prior_sd_mag[shared.name] / np.sqrt(precision.diagonal())
        at = np.array([place[label] for label in own], dtype=np.int64)
        owners.append((number, np.arange(term.first, term.last), at, sd_mag))
        roles.add(term.role)
        held.add(term.last <= model.by_exposure.shape[1])
    if len(roles) > 1 or len(held) > 1:
        raise CalibrationError(
            f"share.terms: {shared.name!r} is not the same kind of term in all members; give it"
            " the same level in all descriptions"
        )
    width = len(labels)
    precision = sparse.csr_array(sparse.eye_array(width))
    return _Column(Term(shared.name, roles.pop(), 0, width, precision), held.pop(), owners)


def _model(
    members: Sequence[Member], places: Sequence[Place], terms: list[Term], split: int
) -> MixedModel:
    """Return the model of all detections; surveys one after the other."""
    width = terms[-1].last
    models = [member.fit.design.model for member in members]
    shared: list[sparse.csr_array] = []
    own: list[sparse.csr_array] = []
    for model, place in zip(models, places, strict=True):
        middle = model.by_exposure.shape[1]
        for matrix, some, blocks, first, size in (
            (model.by_exposure, slice(0, middle), shared, 0, split),
            (model.by_detection, slice(middle, None), own, split, width - split),
        ):
            part = Place(place.column[some] - first, place.scale[some], place.rows, place.stars)
            blocks.append(_mapped(matrix, part, size))
    exposures = np.cumsum([0, *(model.by_exposure.shape[0] for model in models)])
    stars = np.cumsum([0, *(model.stars for model in models)])
    _, source = np.unique(
        np.concatenate([member.source for member in members]), return_inverse=True
    )
    return MixedModel(
        terms=tuple(terms),
        by_exposure=sparse.csr_array(sparse.vstack(shared, format="csr")),
        by_detection=sparse.csr_array(sparse.vstack(own, format="csr")),
        exposure=np.concatenate([m.exposure + x for m, x in zip(models, exposures, strict=False)]),
        star=np.concatenate([m.star + s for m, s in zip(models, stars, strict=False)]),
        stars=int(stars[-1]),
        source=source.astype(np.int64),
    )


def _mapped(rows: sparse.csr_array, place: Place, width: int) -> sparse.csr_array:
    """Return rows over a survey's parameters as rows over those of the whole."""
    data = rows.data * place.scale[rows.indices]
    out = sparse.csr_array(
        (data, place.column[rows.indices], rows.indptr), shape=(rows.shape[0], width)
    )
    out.sort_indices()
    return out


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
