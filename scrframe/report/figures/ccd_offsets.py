"""What CCDs differ by from their visits: an image by visit and CCD, and its course in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData


@dataclass(frozen=True)
class CcdOffsets:
    """What each CCD of each visit differs by from the visit: v visits, c CCDs.

    Attributes
    ----------
    ccd : ndarray of int64, shape (c,)
        Ascending numbers.
    offset_mag : ndarray, shape (v, c)
        Correction to be added besides that of the visit; NaN where no star of the CCD in
        the visit stands behind it.
    count : ndarray of int64, shape (v, c)
        Detections behind it.
    """

    ccd: IntArray
    offset_mag: FloatArray
    count: IntArray


def ccd_offsets(data: RunData) -> CcdOffsets | None:
    """Return the offsets of CCDs within visits; None where the run has no such level.

    In mode joint it is what stands, what drifts and what is the visit's own, in one, from the
    table of exposures; in mode sequential the level by visit and CCD (paper, section 4.1.2).
    """
    if data.exposures is not None:
        table = data.exposures
        visit, ccd = table.visit, table.ccd
        offset, count = table.offset_mag - table.visit_mag, table.count
    else:
        levels = (one for one in data.levels.values() if set(one.labels) == {"visit", "ccd"})
        level = next(levels, None)
        if level is None:
            return None
        visit, ccd = level.labels["visit"], np.asarray(level.labels["ccd"], dtype=np.int64)
        offset, count = level.offset_mag, level.count
    names, order = np.unique(np.asarray(data.visits, dtype=str), return_inverse=True)
    visits, ccds = np.argsort(order), data.ccds
    known = np.isin(visit, names) & np.isin(ccd, ccds)
    row = visits[np.searchsorted(names, visit[known])]
    column = np.searchsorted(ccds, ccd[known])
    image = np.full((len(data.visits), len(ccds)), np.nan)
    image[row, column] = np.where(count[known] > 0, offset[known], np.nan)
    number = np.zeros(image.shape, dtype=np.int64)
    number[row, column] = count[known]
    return CcdOffsets(ccds, image, number) if np.isfinite(image).any() else None


def chosen_visits(mjd: FloatArray, offset_mag: FloatArray) -> dict[str, int]:
    """Return rows of visits worth a map, by why: first, middle and last, and the widest spread.

    Parameters
    ----------
    mjd : ndarray, shape (v,)
    offset_mag : ndarray, shape (v, c)
        Visits without any offset are not chosen.
    """
    usable = np.flatnonzero(np.isfinite(offset_mag).any(axis=1))
    ordered = usable[np.argsort(mjd[usable], kind="stable")]
    spread = np.nanstd(offset_mag[usable], axis=1)
    wanted = {
        "first": int(ordered[0]),
        "middle": int(ordered[len(ordered) // 2]),
        "last": int(ordered[-1]),
        "widest": int(usable[np.argmax(spread)]),
    }
    # A visit shown already is not shown again under another title.
    chosen: dict[str, int] = {}
    for why, row in wanted.items():
        if row not in chosen.values():
            chosen[why] = row
    return chosen


@dataclass(frozen=True)
class Course:
    """Offsets of CCDs in time: t groups of successive visits, c CCDs.

    Attributes
    ----------
    mjd : ndarray, shape (t,)
        Mean date.
    season : ndarray of int64, shape (t,)
        Season of the group's first visit.
    visits : ndarray of int64, shape (t,)
        Visits in a group.
    offset_mag : ndarray, shape (t, c)
        Mean over the group's visits that have an offset; NaN where none has.
    """

    mjd: FloatArray
    season: IntArray
    visits: IntArray
    offset_mag: FloatArray


def course(mjd: FloatArray, season: IntArray, offset_mag: FloatArray, most: int) -> Course:
    """Average offsets over successive visits so that at most `most` groups are left.

    Parameters
    ----------
    mjd : ndarray, shape (v,)
        Visits without a date are left out.
    season : ndarray, shape (v,)
    offset_mag : ndarray, shape (v, c)
    most : int
    """
    order = np.argsort(mjd, kind="stable")
    order = order[np.isfinite(mjd[order])]
    size = max(1, -(-len(order) // most))
    starts = np.arange(0, len(order), size)
    sorted_mag = offset_mag[order]
    good = np.isfinite(sorted_mag)
    total = np.add.reduceat(np.where(good, sorted_mag, 0.0), starts, axis=0)
    number = np.add.reduceat(good.astype(np.int64), starts, axis=0)
    visits = np.diff(np.append(starts, len(order)))
    return Course(
        np.add.reduceat(mjd[order], starts) / visits,
        season[order][starts],
        visits,
        np.where(number > 0, total / np.maximum(number, 1), np.nan),
    )


def season_means(
    season: IntArray, values: FloatArray, when: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Return mean date, mean value, its standard error and its season, of seasons with values.

    Parameters
    ----------
    season, values, when : ndarray, shape (t,)
    """
    good = np.isfinite(values)
    names, code = np.unique(season[good], return_inverse=True)
    number = np.bincount(code)
    mean = np.bincount(code, values[good]) / number
    square = np.bincount(code, (values[good] - mean[code]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(square / (number - 1) / number)
    date = np.bincount(code, when[good]) / number
    return date, mean, np.where(number > 1, error, np.nan), names


def most_moving(found: Course, most: int) -> list[int]:
    """Return columns of the CCDs whose seasonal means spread most, in order of CCD."""
    columns = found.offset_mag.T
    spread = [
        float(np.ptp(season_means(found.season, one, found.mjd)[1]))
        if np.isfinite(one).any()
        else -1.0
        for one in columns
    ]
    usable = [one for one in np.argsort(spread, kind="stable")[::-1] if spread[one] >= 0]
    return sorted(int(one) for one in usable[:most])
