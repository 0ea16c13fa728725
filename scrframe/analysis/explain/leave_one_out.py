"""What would change without a visit: its own offset from its kin, and its neighbours'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from scrframe.analysis.explain.opened_run import OpenedRun
from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.offsets.visit_prediction import KnownVisits, predict_from_kin
from scrframe.tables import Detections, FittedLevel

#: Columns of a level move if at least this share of their detections is at hand.
OWN_SHARE = 0.5
#: No more columns move than this: those with most detections of their own.
MOST_COLUMNS = 4000


@dataclass(frozen=True)
class Around:
    """Detections of the solve around a visit: n detections of s stars.

    Attributes
    ----------
    table : Detections
        n rows, with the columns that the levels to be moved read.
    star : ndarray of int64, shape (n,)
        Star of each, from 0 to s - 1; all its detections of the solve are here.
    precision : ndarray, shape (n,)
        Robust weight over the variance of the photometry, in mag^-2.
    star_precision : ndarray, shape (s,)
        Inverse variance of the stars' own deviations, in mag^-2.
    residual_mag : ndarray, shape (n,)
        Model less observed magnitude less all terms of the solution, the star's own
        deviation still in it.
    """

    table: Detections
    star: IntArray
    precision: FloatArray
    star_precision: FloatArray
    residual_mag: FloatArray


@dataclass(frozen=True)
class Movable:
    """The columns that move: q of them.

    Attributes
    ----------
    design : csr_array, shape (n, q)
    prior : csr_array, shape (q, q)
        Precision of the columns, in mag^-2.
    correction : ndarray of bool, shape (q,)
        Which of them correct magnitudes.
    levels : tuple of str
        Names of the levels that they are of.
    """

    design: sparse.csr_array
    prior: sparse.csr_array
    correction: BoolArray
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
    around : Around
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
        if precision is None or not sd > 0 or _is_map(level):
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
    around : Around
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
    around : Around
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


def _is_map(level: FittedLevel) -> bool:
    return level.role == "correction" and level.within_exposure


Facts = dict[str, Any]
#: No more neighbours than this are solved anew: those that share most stars.
MOST_NEIGHBOURS = 40
#: Stars whose best detection has more weight than this have their full weight.
ORDINARY = 0.9


def without(run: OpenedRun, visit: int) -> Facts:
    """Return what would change without the visit's stars."""
    return _without_joint(run, visit) if run.joint else _without_sequential(run, visit)


def _without_joint(run: OpenedRun, visit: int) -> Facts:
    data = run.data
    table = data.visit_table
    shift, levels, ring = visit_shifts(run, visit)
    offset = table.offset_mag + shift
    offset[visit] = np.nan
    facts: Facts = {
        "how": "local solution anew",
        "levels": list(levels),
        "visits": len(ring),
        "moved": [
            {
                "visit": data.visits[at],
                "move_mag": float(shift[at]),
                "err_mag": float(table.err_mag[at]),
            }
            for at in ring[np.argsort(-np.abs(shift[ring]), kind="stable")]
        ],
    }
    if np.count_nonzero(np.isfinite(offset)):
        spread = run.visit_sd_mag
        if spread is None:
            spread = float(np.nanstd(offset))
        kin = predict_from_kin(known_visits(run), offset, table.err_mag, spread)
        facts["fallback"] = {
            "offset_mag": float(kin.offset_mag[visit]),
            "err_mag": float(kin.err_mag[visit]),
            "level": str(kin.level[visit]),
        }
    return facts


def known_visits(run: OpenedRun) -> KnownVisits:
    """Return the visits with the field and season of each; no field is one of its own."""
    table = run.data.visit_table
    fields = [
        field or f"visit {visit}" for field, visit in zip(table.field, table.visit, strict=True)
    ]
    return KnownVisits(
        name=table.visit,
        field=np.unique(fields, return_inverse=True)[1],
        season=np.unique(table.season, return_inverse=True)[1],
    )


def visit_shifts(run: OpenedRun, visit: int) -> tuple[FloatArray, tuple[str, ...], IntArray]:
    """Return by how much visits' offsets would move without one of them.

    Returns
    -------
    shift_mag : ndarray, shape (v,)
        Less the mean of the survey without the visit; NaN for the visit itself.
    levels : tuple of str
        Levels whose columns were free to move.
    ring : ndarray of int64
        Visits that were solved anew.
    """
    data = run.data
    rows, ring = _around(run, visit)
    code = data.visit_code[rows]
    around = around_of(run, rows)
    if run.visit_sd_mag:
        near = np.array([*ring, visit])
        place = np.full(len(data.visit_table), -1)
        place[near] = np.arange(len(near))
        target = np.nan_to_num(data.visit_table.offset_mag[near]) / run.visit_sd_mag**2
        around = at_rest(around, place[code], target)
    counts = {name: level.count for name, level in data.levels.items()}
    fitted = [level.fitted for level in run.levels(around.table.names)]
    columns = movable(around, fitted, counts, run.sd_mag)
    moved = moved_without(around, columns, code == visit)
    width = len(data.visit_table)
    inside = np.isin(code, ring)
    number = np.bincount(code[inside], minlength=width)
    sums = np.bincount(code[inside], moved[inside], minlength=width)
    shift = np.divide(sums, number, out=np.zeros(width), where=number > 0)
    each = np.bincount(data.visit_code[data.in_solve], minlength=width).astype(np.float64)
    each[visit] = 0.0
    shift[visit] = 0.0
    if each.sum() > 0:
        shift -= each @ shift / each.sum()
    shift[visit] = np.nan
    return shift, columns.levels, ring


def _around(run: OpenedRun, visit: int) -> tuple[IntArray, IntArray]:
    """Return rows of all stars seen in the visit or its neighbours, and the neighbours."""
    data = run.data
    ids, code = data.star_code, data.visit_code
    usable = data.in_solve & np.isfinite(data.weight)
    star = np.zeros(int(ids.max()) + 1, dtype=np.bool_)
    star[ids[usable & (code == visit)]] = True
    number = np.bincount(code[usable & star[ids]], minlength=len(data.visit_table))
    number[visit] = 0
    ring = np.flatnonzero(number)
    ring = np.sort(ring[np.argsort(-number[ring], kind="stable")[:MOST_NEIGHBOURS]])
    near = np.isin(code, [*ring, visit])
    star[ids[usable & near]] = True
    return np.flatnonzero(usable & star[ids]), ring


def around_of(run: OpenedRun, rows: IntArray) -> Around:
    """Return detections of the solve with what the run's products tell of residuals.

    Nuisance terms are taken off by their designs. What is left of a star's residuals has the
    mean s (1 + t / sum w), with s its own deviation, t its precision and w the weights; s
    and its error stand in the products, and give t and the constant between residuals and
    the solution's.
    """
    data = run.data
    table = run.detections(rows)
    residual = data.residual[rows] - _nuisance(run, table)
    _, first, star = np.unique(data.star_code[rows], return_index=True, return_inverse=True)
    deviation = np.asarray(data.star("star_dev")[rows][first], dtype=np.float64)
    error = np.asarray(data.star("star_dev_err")[rows][first], dtype=np.float64)
    known = np.isfinite(deviation) & np.isfinite(error)
    whole = np.where(known, 1.0 / np.where(known, error, 1.0) ** 2, 0.0)
    inverse = 1.0 / run.photometric_variance[rows]
    precision, own = _split_weights(star, data.weight[rows], inverse, whole)
    precision = np.where(known[star], precision, 0.0)
    sums = np.bincount(star, precision, minlength=len(first))
    known &= sums > 0
    divisor = np.where(known, sums, 1.0)
    seen = np.bincount(star, precision * residual, minlength=len(first)) / divisor
    mean = np.where(known, np.nan_to_num(deviation) * whole / divisor, seen)
    return Around(
        table=table,
        star=star.astype(np.int64),
        precision=precision,
        star_precision=np.where(known, own, 0.0),
        residual_mag=residual - (seen - mean)[star],
    )


def _nuisance(run: OpenedRun, table: Detections) -> FloatArray:
    """Return the sum of the nuisance terms of detections, in mag, shape (n,)."""
    total = np.zeros(len(table))
    for level in run.levels(table.names):
        if level.fitted.role == "nuisance":
            total += level.fitted.design(table).weights @ level.offsets.offset_mag
    return total


def _split_weights(
    star: IntArray, weight: FloatArray, inverse: FloatArray, whole: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return precisions of detections, shape (n,), and of stars' own deviations, shape (s,).

    Products hold the robust weight of a detection, d, times that of its star, S. The sum
    over a star, whole = sum(d inverse) + S t, with t the precision of an ordinary star's
    deviation, tells them apart.
    """
    width = len(whole)
    sums = np.bincount(star, weight * inverse, minlength=width)
    best = np.zeros(width)
    np.maximum.at(best, star, weight)
    ordinary = best > ORDINARY
    usual = float(np.median((whole - sums)[ordinary])) if ordinary.any() else 0.0
    usual = max(usual, 1e-6)
    root = np.sqrt(np.maximum(whole**2 - 4 * usual * sums, 0.0))
    of_star = np.clip((whole - root) / (2 * usual), np.maximum(best, 1e-6), 1.0)
    of_star[ordinary] = 1.0
    own = np.maximum(whole - sums / of_star, 0.0)
    return weight * inverse / of_star[star], own


def _without_sequential(run: OpenedRun, visit: int) -> Facts:
    """Return how maps would change: other visits keep their own means."""
    data = run.data
    rows = np.flatnonzero(data.visit_code == visit)
    table = run.detections(rows)
    # Residuals of a bin have one mean in all bins: the gauge's constant less u_ZP.
    constant = float(np.nanmean(data.residual)) if np.isfinite(data.residual).any() else 0.0
    maps = []
    for level in run.levels(table.names):
        name = level.fitted.name
        if "visit" in data.levels[name].labels or level.fitted.role != "correction":
            continue
        column = level.fitted.design(table).partition()
        if column is None:
            continue
        known = (column >= 0) & np.isfinite(data.residual[rows])
        count = level.offsets.count.astype(np.float64)
        width = len(count)
        mine = np.bincount(column[known], minlength=width)
        value = data.residual[rows][known] - constant
        left = count - mine
        sums = np.bincount(column[known], value, minlength=width)
        move = np.divide(-sums, left, out=np.zeros(width), where=left > 0)
        touched = (mine > 0) & (left > 0)
        maps.append(
            {
                "level": name,
                "columns": int(touched.sum()),
                "rms_mag": float(np.sqrt(np.mean(move[touched] ** 2))) if touched.any() else 0.0,
                "largest_mag": float(np.abs(move[touched]).max()) if touched.any() else 0.0,
            }
        )
    return {"how": "means", "moved": [], "maps": maps, "fallback": None}
