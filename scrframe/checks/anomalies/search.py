"""All searches for anomalies on the arrays of a run, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.checks.anomalies.columns import bad_places
from scrframe.checks.anomalies.jumps import find_changes, typical, without
from scrframe.checks.anomalies.outliers import Deviant, deviating_exposures, deviating_visits
from scrframe.checks.anomalies.singles import SingleResiduals, single_residuals
from scrframe.checks.anomalies.swaps import Patterns, Swap, swapped_detectors
from scrframe.checks.anomalies.texts import (
    bad_place,
    change,
    deviant,
    several_swaps,
    variable,
    visit_change,
)
from scrframe.checks.anomalies.variables import StarRepeats, variable_stars
from scrframe.checks.verdict import Anomaly

IntArray = npt.NDArray[Any]

#: Detections of an exposure from which on it is compared with others.
LEAST_EXPOSURE = 5
#: Variable stars that are named one by one, the most significant.
MOST_VARIABLES = 100
#: Visits further apart than this in days are of different nights.
NIGHT_GAP = 0.5


@dataclass(frozen=True)
class AnomalyInput:
    """What the searches look at: n detections, v visits, c detectors.

    Attributes
    ----------
    visits : sequence of str, length v
        Keys of the visits.
    mjd : ndarray, shape (v,)
    season, field : ndarray, shape (v,)
        Labels; an empty field name is none.
    ccds : ndarray of int, shape (c,)
        Numbers of the detectors.
    extent : tuple of float
        Pixels of a detector along x and y.
    visit, ccd, star : ndarray of int, shape (n,)
        Positions in `visits` and `ccds`, and number of the star.
    x, y : ndarray, shape (n,)
        Pixels.
    residual, err : ndarray, shape (n,)
        Model less calibrated magnitude, and photometric error, in mag.
    offset_visit, offset_ccd, offset_map : ndarray, shape (n,)
        Correction of the visit, of the detector in it, and of maps, that each got, in mag.
    visit_err : ndarray, shape (v,)
        Error of the visits' offsets in mag; NaN where not known.
    """

    visits: Sequence[str]
    mjd: FloatArray
    season: IntArray
    field: IntArray
    ccds: IntArray
    extent: tuple[float, float]
    visit: IntArray
    ccd: IntArray
    star: IntArray
    x: FloatArray
    y: FloatArray
    residual: FloatArray
    err: FloatArray
    offset_visit: FloatArray
    offset_ccd: FloatArray
    offset_map: FloatArray
    visit_err: FloatArray


def search_detections(data: AnomalyInput) -> tuple[Anomaly, ...]:
    """Return all anomalies that detections and offsets show, the most significant first.

    Notes
    -----
    Offsets of visits and exposures are taken with the mean residual added that the solution left:
    it undoes the shrinkage of small groups, which would hide what deviates.
    """
    singles = single_residuals(data.residual, data.err, data.star)
    unmapped = SingleResiduals(singles.value + data.offset_map, singles.sigma)
    found = [
        bad_place(one, data.ccds)
        for one in bad_places(data.ccd, data.x, data.y, unmapped, data.extent, star=data.star)
    ]
    visit, visit_err = _visit_offsets(data, singles)
    order = np.argsort(data.mjd, kind="stable")
    order = order[np.isfinite(data.mjd[order])]
    exposure, exposure_err = _exposure_offsets(data, singles)
    found += _of_detectors(data, singles, exposure, exposure_err, order)
    found += _of_visits(data, visit, visit_err, order)
    return tuple(sorted(found, key=lambda one: -one.significance))


def search_stars(
    repeats: StarRepeats, source_id: npt.NDArray[np.int64], ra: FloatArray, dec: FloatArray
) -> tuple[Anomaly, ...]:
    """Return the stars that vary, at most `MOST_VARIABLES`.

    Parameters
    ----------
    repeats : StarRepeats
        Of s stars.
    source_id : ndarray of int64, shape (s,)
    ra, dec : ndarray, shape (s,)
        Positions in deg.
    """
    stars = variable_stars(repeats)
    return tuple(
        variable(
            rank,
            len(stars.star),
            int(source_id[row]),
            (float(ra[row]), float(dec[row])),
            int(repeats.detections[row]),
            float(amplitude),
            float(significance),
        )
        for rank, (row, amplitude, significance) in enumerate(
            zip(stars.star[:MOST_VARIABLES], stars.amplitude_mag, stars.significance, strict=False),
            start=1,
        )
    )


def _visit_offsets(data: AnomalyInput, singles: SingleResiduals) -> tuple[FloatArray, FloatArray]:
    number = len(data.visits)
    offset, err, _ = _means(data.visit, data.offset_visit, singles, number)
    return offset, np.fmax(err, data.visit_err)


def _exposure_offsets(
    data: AnomalyInput, singles: SingleResiduals
) -> tuple[FloatArray, FloatArray]:
    shape = len(data.visits), len(data.ccds)
    place = data.visit.astype(np.int64) * shape[1] + data.ccd
    offset, err, count = _means(place, data.offset_ccd, singles, shape[0] * shape[1])
    offset[count < LEAST_EXPOSURE] = np.nan
    return offset.reshape(shape), err.reshape(shape)


def _means(
    group: IntArray, applied: FloatArray, singles: SingleResiduals, number: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return applied correction and mean residual of groups, its error, and the detections."""
    weight = singles.sigma**-2
    total = np.bincount(group, weight, number)
    count = np.bincount(group, minlength=number).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, weight * (applied + singles.clipped()), number) / total
        return mean, np.where(total > 0, 1 / np.sqrt(total), np.nan), count


def _of_detectors(
    data: AnomalyInput,
    singles: SingleResiduals,
    offset: FloatArray,
    err: FloatArray,
    order: IntArray,
) -> list[Anomaly]:
    patterns = Patterns(offset, err, typical(offset), data.offset_map)
    swaps = swapped_detectors(data.visit, data.ccd, data.x, data.y, singles, patterns, data.extent)
    found = _by_pair(swaps, data)
    left = offset.copy()
    for one in swaps:
        left[one.visit, [one.first, one.second]] = np.nan
    dates, left = data.mjd[order], left[order]
    changes = find_changes(left, dates)
    found += [change(entry, dates, int(data.ccds[entry.series])) for entry in changes]
    # an exposure beside a jump is none that deviates
    for far in deviating_exposures(without(left, dates, changes), err[order]):
        moved = Deviant(int(order[far.visit]), far.ccd, far.kin, far.size_mag, far.significance)
        found.append(deviant(moved, data.visits, data.mjd, data.ccds))
    return found


def _by_pair(swaps: list[Swap], data: AnomalyInput) -> list[Anomaly]:
    pairs: dict[tuple[int, int], list[Swap]] = {}
    for one in swaps:
        pairs.setdefault((one.first, one.second), []).append(one)
    return [several_swaps(group, data.visits, data.mjd, data.ccds) for group in pairs.values()]


def _of_visits(
    data: AnomalyInput, offset: FloatArray, err: FloatArray, order: IntArray
) -> list[Anomaly]:
    found = [
        deviant(one, data.visits, data.mjd, data.ccds)
        for one in deviating_visits(offset, err, data.season, data.field)
    ]
    dates, known = data.mjd[order], np.isfinite(offset[order])
    dates, values = dates[known], offset[order][known]
    if not len(dates):
        return found
    # visits of a night share their sky: the night is what is independent
    night = np.cumsum(np.r_[0, np.diff(dates) > NIGHT_GAP])
    count = np.bincount(night)
    nights, means = np.bincount(night, dates) / count, np.bincount(night, values) / count
    return found + [visit_change(one, nights) for one in find_changes(means[:, None], nights)]
