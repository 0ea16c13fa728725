"""Other visits: neighbours, those of the same field, and what would change without the visit."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan

import numpy as np

from scrframe.analysis.explain.local_solution import Around, at_rest, movable, moved_without
from scrframe.analysis.explain.opened_run import OPTIONAL, OpenedRun, mean_and_error
from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.unobserved import KnownVisits, predict_unobserved_visits
from scrframe.statistics.groups import find_sorted

#: No more neighbours than this are solved anew: those that share most stars.
MOST_NEIGHBOURS = 40
#: Stars whose best detection has more weight than this have their full weight.
ORDINARY = 0.9


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A visit that shares stars with the explained one."""

    visit: str
    field: str
    #: Detections in it of stars that both have.
    shared: int
    #: Calibrated magnitudes of the explained visit less its own, weighted by photometric
    #: variances, with the error from their scatter.
    difference_mag: float
    err_mag: float
    #: Error to expect from noise and the errors of both visits' offsets, with what these have in
    #: common.
    expected_err_mag: float


@dataclass(frozen=True, kw_only=True)
class RelatedVisits:
    """The other visits of a field, a season or the survey."""

    visits: int
    #: Mean and standard deviation of their offsets; NaN of too few.
    mean_mag: float
    sd_mag: float
    #: Their keys, of a field.
    names: tuple[str, ...] | None = field(default=None, metadata=OPTIONAL)


def neighbours_of(run: OpenedRun, rows: IntArray, visit: int) -> tuple[Neighbour, ...]:
    """Return the visits that share stars with detections of a visit, most stars first."""
    data = run.data
    cal = data.star("mag_cal")
    fine = np.isfinite(cal)
    mine = rows[fine[rows]]
    ids = data.star("source_id")
    # A star may have two detections in a visit where CCDs overlap; the first counts.
    source, first = np.unique(ids[mine], return_index=True)
    mine = mine[first]
    if not len(source):
        return ()
    place = find_sorted(source, ids)
    other = np.flatnonzero((place >= 0) & (data.visit_code != visit) & fine)
    this = mine[place[other]]
    difference = np.asarray(cal[this] - cal[other], dtype=np.float64)
    noise = run.photometric_variance[this] + run.photometric_variance[other]
    # The robust weight, 1 where a detection took no part.
    trust = np.where(data.in_solve, data.weight, 1.0)
    weight = np.maximum(np.minimum(trust[this], trust[other]), 1e-6) / noise
    code = data.visit_code[other]
    found = []
    for number in np.unique(code):
        of = code == number
        mean, err = mean_and_error(difference[of], weight[of])
        found.append(
            Neighbour(
                visit=data.visits[number],
                field=str(data.visit_table.field[number]),
                shared=int(of.sum()),
                difference_mag=mean,
                err_mag=err,
                expected_err_mag=_expected(run, visit, int(number), weight[of]),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.shared, each.visit)))


def _expected(run: OpenedRun, one: int, two: int, weight: FloatArray) -> float:
    """Return the error that a mean difference should have: noise, and both visits' offsets."""
    error = run.data.visit_table.err_mag
    noise = 1.0 / weight.sum() if weight.sum() > 0 else np.inf
    shared = run.visit_covariance(one, two)
    return float(np.sqrt(max(noise + error[one] ** 2 + error[two] ** 2 - 2 * shared, 0.0)))


def related_visits(run: OpenedRun, visit: int) -> dict[str, RelatedVisits]:
    """Return the other visits of the same field, season and survey, and their mean offsets."""
    table = run.data.visit_table
    own = np.arange(len(table)) == visit
    groups = {}
    if table.field[visit]:
        groups["field"] = (table.field == table.field[visit]) & ~own
    if table.season[visit] >= 0:
        groups["season"] = (table.season == table.season[visit]) & ~own
    groups["survey"] = ~own
    found = {}
    for name, mask in groups.items():
        offsets = table.offset_mag[mask]
        offsets = offsets[np.isfinite(offsets)]
        names = tuple(run.data.visits[at] for at in np.flatnonzero(mask))
        found[name] = RelatedVisits(
            visits=int(mask.sum()),
            mean_mag=float(offsets.mean()) if len(offsets) else nan,
            sd_mag=float(offsets.std(ddof=1)) if len(offsets) > 1 else nan,
            names=names if name == "field" else None,
        )
    return found


@dataclass(frozen=True, kw_only=True)
class MovedVisit:
    """A neighbour whose offset would move by ``move_mag``; ``err_mag`` is the offset's error."""

    visit: str
    move_mag: float
    err_mag: float


@dataclass(frozen=True, kw_only=True)
class MovedLevel:
    """A level of which some columns would move."""

    level: str
    #: Number of them.
    columns: int
    #: Root mean square and largest of their moves.
    rms_mag: float
    largest_mag: float


@dataclass(frozen=True, kw_only=True)
class PredictedOffset:
    """The offset that a visit without stars would have."""

    offset_mag: float
    err_mag: float
    #: Whose visits predict it.
    level: str


@dataclass(frozen=True, kw_only=True)
class WithoutVisit:
    """What would change without the visit's stars."""

    #: How it was found: in mode joint, in mode sequential.
    how: str
    #: In mode joint the levels whose columns were free to move.
    levels: tuple[str, ...] | None = field(default=None, metadata=OPTIONAL)
    #: In mode joint the number of visits solved anew.
    visits: int | None = field(default=None, metadata=OPTIONAL)
    #: Of these, those that move most first.
    moved: tuple[MovedVisit, ...]
    #: In mode sequential the maps, whose columns average detections of several visits.
    maps: tuple[MovedLevel, ...] | None = field(default=None, metadata=OPTIONAL)
    #: In mode joint the visit's own offset, if another visit has one.
    fallback: PredictedOffset | None


def without(run: OpenedRun, visit: int) -> WithoutVisit:
    """Return what would change without the visit's stars."""
    return _without_joint(run, visit) if run.joint else _without_sequential(run, visit)


def _without_joint(run: OpenedRun, visit: int) -> WithoutVisit:
    data = run.data
    table = data.visit_table
    shift, levels, ring = visit_shifts(run, visit)
    offset = table.offset_mag + shift
    offset[visit] = np.nan
    moved = tuple(
        MovedVisit(
            visit=data.visits[at], move_mag=float(shift[at]), err_mag=float(table.err_mag[at])
        )
        for at in ring[np.argsort(-np.abs(shift[ring]), kind="stable")]
    )
    fallback = None
    if np.count_nonzero(np.isfinite(offset)):
        spread = float(np.nanstd(offset)) if run.visit_sd_mag is None else run.visit_sd_mag
        prediction = predict_unobserved_visits(known_visits(run), offset, table.err_mag, spread)
        fallback = PredictedOffset(
            offset_mag=float(prediction.offset_mag[visit]),
            err_mag=float(prediction.err_mag[visit]),
            level=str(prediction.level[visit]),
        )
    return WithoutVisit(
        how="local solution anew", levels=levels, visits=len(ring), moved=moved, fallback=fallback
    )


def known_visits(run: OpenedRun) -> KnownVisits:
    """Return the visits with the field and season of each; no field is one of its own."""
    table = run.data.visit_table
    pairs = zip(table.field, table.visit, strict=True)
    fields = [field or f"visit {visit}" for field, visit in pairs]
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
    # The sum of the nuisance terms.
    nuisance = np.zeros(len(table))
    for level in run.levels(table.names):
        if level.fitted.role == "nuisance":
            nuisance += level.fitted.design(table).weights @ level.offsets.offset_mag
    residual = data.residual[rows] - nuisance
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


def _without_sequential(run: OpenedRun, visit: int) -> WithoutVisit:
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
            MovedLevel(
                level=name,
                columns=int(touched.sum()),
                rms_mag=float(np.sqrt(np.mean(move[touched] ** 2))) if touched.any() else 0.0,
                largest_mag=float(np.abs(move[touched]).max()) if touched.any() else 0.0,
            )
        )
    return WithoutVisit(how="means", moved=(), maps=tuple(maps), fallback=None)
