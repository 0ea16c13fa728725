"""Where the terms of several surveys stand in one system, shared ones once.

What a survey says of its own parameters u_b comes back by u_b = P_b u, P_b having one entry
a row: the column of the whole that a parameter is, and its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import MixedModel, Term
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.variance_components import is_diagonal


@dataclass(frozen=True)
class Member:
    """One survey of several."""

    name: str
    #: Of the survey alone.
    fit: JointFit
    #: Identifier of the source that each star of the fit is, each once; the same sources have the
    #: same in all surveys. Shape (s,).
    source: IntArray


@dataclass(frozen=True)
class SharedTerm:
    """A term of several surveys that is one and the same, up to its standard deviation."""

    #: Of the term, in all surveys.
    name: str
    #: By survey what each column stands for: the same text means the same.
    labels: tuple[Sequence[str], ...]


@dataclass(frozen=True)
class Position:
    """Where a survey is in the whole."""

    #: Column of the whole of each of the survey's parameters. Shape (p,).
    column: IntArray
    #: The survey's parameter over that of the whole. Shape (p,).
    scale: FloatArray
    #: Its detections and stars.
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


@dataclass
class _Column:
    """The columns of one term of the whole, before they have a position."""

    term: Term
    by_exposure: bool
    owners: list[tuple[int, IntArray, IntArray, FloatArray]]
    """Survey, its columns, those of the term, and the scales."""


def layout(
    members: Sequence[Member], shared: Sequence[SharedTerm]
) -> tuple[list[Term], list[Position], dict[str, float], int]:
    """Return the terms of the whole, the position of each survey, and the standard deviations.

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
        for number, own, position, size in each.owners:
            column[number][own], scale[number][own] = first + position, size
    rows = np.cumsum([0, *(len(m.fit.design.model.star) for m in members)]).tolist()
    stars = np.cumsum([0, *(m.fit.design.model.stars for m in members)]).tolist()
    positions = [
        Position(column[b], scale[b], slice(rows[b], rows[b + 1]), slice(stars[b], stars[b + 1]))
        for b in range(len(members))
    ]
    split = sum(each.term.width for each in columns if each.by_exposure)
    return terms, positions, sd_mag, split


def _shared_column(members: Sequence[Member], shared: SharedTerm) -> _Column:
    """Return a shared term: each of its columns is N(0, 1), scaled by each survey's own sd."""
    labels = sorted({label for each in shared.labels for label in each})
    position = {label: number for number, label in enumerate(labels)}
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
        at = np.array([position[label] for label in own], dtype=np.int64)
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


def joined_model(
    members: Sequence[Member], positions: Sequence[Position], terms: list[Term], split: int
) -> MixedModel:
    """Return the model of all detections; surveys one after the other."""
    width = terms[-1].last
    models = [member.fit.design.model for member in members]
    shared: list[sparse.csr_array] = []
    own: list[sparse.csr_array] = []
    for model, position in zip(models, positions, strict=True):
        middle = model.by_exposure.shape[1]
        for matrix, some, blocks, first, size in (
            (model.by_exposure, slice(0, middle), shared, 0, split),
            (model.by_detection, slice(middle, None), own, split, width - split),
        ):
            part = Position(
                position.column[some] - first, position.scale[some], position.rows, position.stars
            )
            blocks.append(mapped(matrix, part, size))
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


def mapped(rows: sparse.csr_array, position: Position, width: int) -> sparse.csr_array:
    """Return rows over a survey's parameters as rows over those of the whole."""
    data = rows.data * position.scale[rows.indices]
    out = sparse.csr_array(
        (data, position.column[rows.indices], rows.indptr), shape=(rows.shape[0], width)
    )
    out.sort_indices()
    return out
