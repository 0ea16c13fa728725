"""The mixed model: differences as a sum of terms, a star's own deviation and noise.

    delta_d = sum over terms (Z u)_d + s_star(d) + e_d

with u of each term drawn from N(0, sd^2 inverse(precision)), s_m from N(0, sd_m^2) by star
and e_d from N(0, sd_d^2) by detection. One detector in one visit is an *exposure*; most
terms are the same for all detections of an exposure, and are held by exposure.

Several surveys in one model may see the same *source*, as a star of each. What the
deviations of its stars have in common is loading * t with one t of N(0, 1) by source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.tables import Detections, FittedLevel
from scrframe.tables.levels import Role

#: Name of the term that every model has: one constant for the survey.
CONSTANT = "constant"


@dataclass(frozen=True)
class Term:
    """One term: its columns in the vector of parameters, and their prior.

    Attributes
    ----------
    name : str
        Name of the term and of its variance component.
    role : {"correction", "nuisance"}
    first, last : int
        Its columns are ``first`` up to, not with, ``last``.
    precision : csr_array, shape (q, q), or None
        Prior precision for a variance of 1, positive definite; None is a flat prior.
    groups : ndarray of int64, shape (q,), or None
        Columns whose variance is their own together; None if all share one.
    """

    name: str
    role: Role
    first: int
    last: int
    precision: sparse.csr_array | None
    groups: IntArray | None = None

    @property
    def columns(self) -> slice:
        """Return the columns as a slice."""
        return slice(self.first, self.last)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.last - self.first


@dataclass(frozen=True)
class MixedModel:
    """The design of all terms over n detections of s stars in x exposures.

    Attributes
    ----------
    terms : tuple of Term
        In the order of their columns.
    by_exposure : csr_array, shape (x, a)
        Columns 0 to a - 1, of the terms that are constant within exposures.
    by_detection : csr_array, shape (n, b)
        Columns a to a + b - 1, of the others.
    exposure : ndarray of int64, shape (n,)
        Exposure of each detection.
    star : ndarray of int64, shape (n,)
        Star of each detection, from 0 to s - 1.
    stars : int
        Number of stars, s.
    source : ndarray of int64, shape (s,), or None
        Source of each star, from 0; None where every star is a source of its own.
    visit : ndarray of int64, shape (x,), or None
        Visit of each exposure, from 0; None stands for a visit each.
    """

    terms: tuple[Term, ...]
    by_exposure: sparse.csr_array
    by_detection: sparse.csr_array
    exposure: IntArray
    star: IntArray
    stars: int
    source: IntArray | None = None
    visit: IntArray | None = None

    @property
    def width(self) -> int:
        """Return the number of parameters, p = a + b."""
        return int(self.by_exposure.shape[1] + self.by_detection.shape[1])

    def values(self, parameters: FloatArray) -> FloatArray:
        """Return Z u by detection, shape (n,), of parameters, shape (p,)."""
        split = self.by_exposure.shape[1]
        shared = np.asarray(self.by_exposure @ parameters[:split])
        values = np.asarray(self.by_detection @ parameters[split:])
        values += shared[self.exposure]
        return values

    def adjoint(self, values: FloatArray) -> FloatArray:
        """Return Z^T v, shape (p,), of values by detection, shape (n,)."""
        shared = np.bincount(self.exposure, values, minlength=self.by_exposure.shape[0])
        parts = self.by_exposure.T @ shared, self.by_detection.T @ values
        return np.concatenate(parts)


@dataclass(frozen=True)
class Weights:
    """Inverse variances, in mag^-2.

    Attributes
    ----------
    detection : ndarray, shape (n,)
        Of each detection's noise; 0 leaves a detection out.
    star : ndarray, shape (s,)
        Of each star's own deviation; 0 leaves the star's mean free.
    loading : ndarray, shape (s,), or None
        In mag, by how much a star's deviation follows what the stars of its source have in
        common, beside its own; for models with sources.
    """

    detection: FloatArray
    star: FloatArray
    loading: FloatArray | None = None


@dataclass(frozen=True)
class Design:
    """A mixed model with what its exposures are."""

    model: MixedModel
    exposures: Exposures

    def term(self, name: str) -> Term:
        """Return a term by its name."""
        return next(term for term in self.model.terms if term.name == name)

    def visit_columns(self, term: Term) -> IntArray | None:
        """Return the term's column of each visit, shape (v,); None if it has none for each.

        Such a term has for each visit a column of its own, with weight 1, and nothing else;
        columns without data may stand beside them.
        """
        return self._columns(term, self.exposures.visit, len(self.exposures.visits))

    def exposure_columns(self, term: Term) -> IntArray | None:
        """Return the term's column of each exposure, shape (x,); None if it has none for each."""
        number = len(self.exposures)
        return self._columns(term, np.arange(number), number)

    def _columns(self, term: Term, key: IntArray, keys: int) -> IntArray | None:
        block = self.rows(term)
        if block is None or np.any(np.diff(block.indptr) != 1) or np.any(block.data != 1):
            return None
        place = np.full(keys, -1, dtype=np.int64)
        place[key] = block.indices
        apart = len(np.unique(place)) == keys
        return place if apart and np.array_equal(place[key], block.indices) else None

    def rows(self, term: Term) -> sparse.csr_array | None:
        """Return what a term says of exposures, shape (x, q); None if it varies within them."""
        if term.last > self.model.by_exposure.shape[1]:
            return None
        return sparse.csr_array(self.model.by_exposure[:, term.columns])


def build_design(
    levels: Sequence[FittedLevel], table: Detections, star: IntArray, stars: int
) -> Design:
    """Lay out the columns of all levels, after one for the survey's constant.

    A level that is the same for all detections of each exposure is held by exposure.

    Parameters
    ----------
    levels : sequence of FittedLevel
    table : Detections
        n rows, with every column that a level reads.
    star : ndarray of int64, shape (n,)
        Star of each detection, below `stars`.
    stars : int
        Number of stars.
    """
    exposures = find_exposures(table)
    at_first = table.take(exposures.first)
    shared: list[tuple[FittedLevel, sparse.csr_array]] = []
    own: list[tuple[FittedLevel, sparse.csr_array]] = []
    for level in levels:
        by_exposure = None if level.within_exposure else level.design(at_first).weights
        weights = level.design(table).weights
        if by_exposure is not None and _repeats(by_exposure, weights, exposures.of_detection):
            shared.append((level, by_exposure))
        else:
            own.append((level, weights))
    constant = sparse.csr_array(np.ones((len(exposures), 1)))
    terms = [Term(CONSTANT, "nuisance", 0, 1, None)]
    for level, weights in (*shared, *own):
        start = terms[-1].last
        end = start + weights.shape[1]
        groups = level.variance_groups()
        terms.append(Term(level.name, level.role, start, end, level.precision(), groups))
    model = MixedModel(
        terms=tuple(terms),
        by_exposure=_side_by_side([constant, *(weights for _, weights in shared)]),
        by_detection=_side_by_side([weights for _, weights in own], rows=len(table)),
        exposure=exposures.of_detection,
        star=star,
        stars=stars,
        visit=exposures.visit,
    )
    return Design(model, exposures)


@dataclass(frozen=True)
class Exposures:
    """The exposures (one detector in one visit) that occur in a table.

    Attributes
    ----------
    of_detection : ndarray of int64, shape (n,)
        Exposure of each detection.
    first : ndarray of int64, shape (x,)
        Row of the first detection of each.
    visit : ndarray of int64, shape (x,)
        Code of its visit in `visits`.
    ccd : ndarray of int64, shape (x,)
        Number of its detector.
    visits : tuple of str
        Keys of the visits, in ascending order.
    """

    of_detection: IntArray
    first: IntArray
    visit: IntArray
    ccd: IntArray
    visits: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)


def find_exposures(table: Detections) -> Exposures:
    """Return the exposures of a table, ordered by visit and detector."""
    codes, labels = table.codes("visit")
    visits = tuple(sorted({labels[code] for code in np.unique(codes)}))
    place = {name: number for number, name in enumerate(visits)}
    number = np.array([place.get(label, -1) for label in labels], dtype=np.int64)[codes]
    ccd = table["ccd"].astype(np.int64)
    low, span = int(ccd.min()), int(ccd.max() - ccd.min()) + 1
    keys, first, of_detection = np.unique(
        number * span + (ccd - low), return_index=True, return_inverse=True
    )
    return Exposures(of_detection.astype(np.int64), first, keys // span, keys % span + low, visits)


def _repeats(by_exposure: sparse.csr_array, weights: sparse.csr_array, exposure: IntArray) -> bool:
    """Return whether each detection has the row of its exposure."""
    width = np.diff(by_exposure.indptr)[exposure]
    if not np.array_equal(width, np.diff(weights.indptr)):
        return False
    start = by_exposure.indptr[exposure] - weights.indptr[:-1]
    place = np.arange(weights.nnz) + np.repeat(start, width)
    return bool(
        np.array_equal(by_exposure.indices[place], weights.indices)
        and np.array_equal(by_exposure.data[place], weights.data)
    )


def _side_by_side(blocks: list[sparse.csr_array], rows: int = 0) -> sparse.csr_array:
    if not blocks:
        return sparse.csr_array((rows, 0))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def correction_values(model: MixedModel, parameters: FloatArray) -> FloatArray:
    """Return the sum of the corrections by detection, shape (n,), without the constant.

    What colours add is among them.
    """
    kept = parameters.copy()
    for term in model.terms:
        if term.role == "nuisance":
            kept[term.columns] = 0.0
    return model.values(kept)
