"""The joint solution around a visit anew, with all else held: what moves without its stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.tables import Detections, FittedLevel

#: Columns of a level move if at least this share of their detections is at hand.
OWN_SHARE = 0.5
#: No more columns move than this: those with most detections of their own.
MOST_COLUMNS = 4000


@dataclass(frozen=True)
class Around:
    """Detections of the solve around a visit: n detections of s stars."""

    #: n rows, with the columns that the levels to be moved read.
    table: Detections
    #: Star of each, from 0 to s - 1; all its detections of the solve are here. Shape (n,).
    star: IntArray
    #: Robust weight over the variance of the photometry, in mag^-2. Shape (n,).
    precision: FloatArray
    #: Inverse variance of the stars' own deviations, in mag^-2. Shape (s,).
    star_precision: FloatArray
    #: Model less observed magnitude less all terms of the solution, the star's own deviation still
    #: in it. Shape (n,).
    residual_mag: FloatArray


@dataclass(frozen=True)
class Movable:
    """The columns that move: q of them."""

    #: Shape (n, q).
    design: sparse.csr_array
    #: Precision of the columns, in mag^-2. Shape (q, q).
    prior: sparse.csr_array
    #: Which of them correct magnitudes. Shape (q,).
    correction: BoolArray
    #: Names of the levels that they are of.
    levels: tuple[str, ...]


def movable(
    around: Around,
    levels: Sequence[FittedLevel],
    counts: Mapping[str, npt.NDArray[np.int64]],
    sd_mag: Mapping[str, float],
) -> Movable:
    """Return the columns that detections around a visit determine for the most part.

    Maps over the detector stay, as do flat terms and columns most of whose detections are
    elsewhere: static parts and drifts of CCDs, the law.

    Parameters
    ----------
    levels : sequence of FittedLevel
        Those whose columns the table holds.
    counts : mapping of str to ndarray
        Detections of each column in the whole survey, by level.
    sd_mag : mapping of str to float
        Standard deviation by level.
    """
    designs, priors, corrections, names = [], [], [], []
    for level in levels:
        precision = level.precision()
        sd = sd_mag.get(level.name, 0.0)
        is_map = level.role == "correction" and level.within_exposure
        if precision is None or not sd > 0 or is_map:
            continue
        design = level.design(around.table).weights
        here = np.bincount(design.indices, minlength=design.shape[1])
        own = np.flatnonzero((here > 0) & (here >= OWN_SHARE * counts[level.name]))
        if len(own) > MOST_COLUMNS:
            own = np.sort(own[np.argsort(-here[own], kind="stable")[:MOST_COLUMNS]])
        if len(own):
            designs.append(sparse.csr_array(design[:, own]))
            priors.append(sparse.csr_array(sparse.csr_array(precision)[own][:, own] / sd**2))
            corrections.append(np.full(len(own), level.role == "correction"))
            names.append(level.name)
    if not designs:
        none = sparse.csr_array((len(around.star), 0))
        return Movable(none, sparse.csr_array((0, 0)), np.zeros(0, dtype=np.bool_), ())
    return Movable(
        sparse.csr_array(sparse.hstack(designs, format="csr")),
        sparse.csr_array(sparse.block_diag(priors, format="csr")),
        np.concatenate(corrections),
        tuple(names),
    )


def moved_without(around: Around, columns: Movable, removed: BoolArray) -> FloatArray:
    """Return by how much the correction of each detection moves, in mag, shape (n,).

    Parameters
    ----------
    columns : Movable
        q columns.
    removed : ndarray of bool, shape (n,)
        Detections that are taken away.
    """
    if not columns.design.shape[1]:
        return np.zeros(len(removed))
    kept = np.where(removed, 0.0, around.precision)
    pull = _pull(around, kept) - _pull(around, around.precision)
    normal = _normal(around, columns.design, kept) + columns.prior.toarray()
    step = linalg.solve(normal, columns.design.T @ pull, assume_a="pos")
    return np.asarray(columns.design @ np.where(columns.correction, step, 0.0))


def at_rest(around: Around, group: IntArray, target: FloatArray) -> Around:
    """Return residuals moved by groups so that each group's pull is what it should be.

    At a solution the pull of a visit's detections balances the prior of its offset. What
    products say of residuals comes close to that, but of sums of millions of mag^-2 little
    may be left over.

    Parameters
    ----------
    group : ndarray of int64, shape (n,)
        Group of each detection, from 0 to g - 1; -1 for none.
    target : ndarray, shape (g,)
        Pull of each group, in mag^-1.
    """
    rows = np.flatnonzero(group >= 0)
    shape = (len(group), len(target))
    design = sparse.csr_array((np.ones(len(rows)), (rows, group[rows])), shape=shape)
    normal = _normal(around, design, around.precision)
    excess = design.T @ _pull(around, around.precision) - target
    step = linalg.lstsq(normal, excess)[0]
    return replace(around, residual_mag=around.residual_mag - design @ step)


def _pull(around: Around, weight: FloatArray) -> FloatArray:
    """Return weight times what residuals leave after their stars' deviations, shape (n,)."""
    width = len(around.star_precision)
    sums = np.bincount(around.star, weight, minlength=width) + around.star_precision
    mean = np.bincount(around.star, weight * around.residual_mag, minlength=width)
    deviation = np.divide(mean, sums, out=np.zeros(width), where=sums > 0)
    return np.asarray(weight * (around.residual_mag - deviation[around.star]))


def _normal(around: Around, design: sparse.csr_array, weight: FloatArray) -> FloatArray:
    """Return Z' V^-1 Z, shape (q, q), with the stars integrated out."""
    width = len(around.star_precision)
    sums = np.bincount(around.star, weight, minlength=width) + around.star_precision
    share = np.divide(1.0, sums, out=np.zeros(width), where=sums > 0)
    index = np.arange(len(weight))
    by_star = sparse.csr_array((weight, (around.star, index)), shape=(width, len(weight)))
    weighted = sparse.csr_array(sparse.diags_array(weight) @ design)
    stars = sparse.csr_array(by_star @ design)
    shared = stars.T @ sparse.csr_array(sparse.diags_array(share) @ stars)
    return np.asarray((design.T @ weighted - shared).toarray())
