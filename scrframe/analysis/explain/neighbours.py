"""Visits that share stars with one, and visits of its field and season."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan

import numpy as np

from scrframe.analysis.explain.explanation import OPTIONAL
from scrframe.analysis.explain.opened_run import OpenedRun, mean_and_error
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.groups import find_sorted


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A visit that shares stars with the explained one.

    Attributes
    ----------
    visit, field : str
    shared : int
        Detections in it of stars that both have.
    difference_mag, err_mag : float
        Calibrated magnitudes of the explained visit less its own, weighted by photometric
        variances, with the error from their scatter.
    expected_err_mag : float
        Error to expect from noise and the errors of both visits' offsets, with what these have
        in common.
    """

    visit: str
    field: str
    shared: int
    difference_mag: float
    err_mag: float
    expected_err_mag: float


@dataclass(frozen=True, kw_only=True)
class RelatedVisits:
    """The other visits of a field, a season or the survey.

    Attributes
    ----------
    visits : int
    mean_mag, sd_mag : float
        Mean and standard deviation of their offsets; NaN of too few.
    names : tuple of str or None
        Their keys, of a field.
    """

    visits: int
    mean_mag: float
    sd_mag: float
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
    weight = np.maximum(np.minimum(_trust(run, this), _trust(run, other)), 1e-6) / noise
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


def _trust(run: OpenedRun, rows: IntArray) -> FloatArray:
    """Return the robust weight, 1 where the detection took no part, shape (n,)."""
    used = run.data.in_solve[rows]
    return np.where(used, run.data.weight[rows], 1.0)


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
