"""All searches for anomalies on the arrays of a run, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.checks.anomalies.columns import DetectorDefect, detector_defects
from scrframe.checks.anomalies.offsets import (
    Change,
    DeviatingOffset,
    deviating_exposures,
    deviating_visits,
    find_changes,
    typical,
    without,
)
from scrframe.checks.anomalies.stars import (
    SingleResiduals,
    StarRepeats,
    single_residuals,
    variable_stars,
)
from scrframe.checks.anomalies.swaps import Patterns, Swap, swapped_detectors
from scrframe.checks.verdict import Anomaly

#: Days of a year, for drifts.
YEAR = 365.25
#: Smaller differences of a place are not put into words: mag, and a share of its stars.
WORTH_MAG, WORTH_SHARE = 0.001, 0.1
IntArray = npt.NDArray[Any]
#: Detections of an exposure from which on it is compared with others.
LEAST_EXPOSURE = 5
#: Variable stars that are named one by one, the most significant.
MOST_VARIABLES = 100
#: Visits further apart than this in days are of different nights.
NIGHT_GAP = 0.5


@dataclass(frozen=True)
class AnomalyInput:
    """What the searches look at: n detections, v visits, c detectors."""

    #: Keys of the visits.
    visits: Sequence[str]
    #: Shape (v,).
    mjd: FloatArray
    #: Labels; an empty field name is none. Shape (v,).
    season: IntArray
    field: IntArray
    #: Numbers of the detectors. Shape (c,).
    ccds: IntArray
    #: Pixels of a detector along x and y.
    extent: tuple[float, float]
    #: Positions in `visits` and `ccds`, and number of the star. Shape (n,).
    visit: IntArray
    ccd: IntArray
    star: IntArray
    #: Pixels. Shape (n,).
    x: FloatArray
    y: FloatArray
    #: Model less calibrated magnitude, and photometric error, in mag. Shape (n,).
    residual: FloatArray
    err: FloatArray
    #: Correction of the visit, of the detector in it, and of maps, that each got, in mag. Shape
    #: (n,).
    offset_visit: FloatArray
    offset_ccd: FloatArray
    offset_map: FloatArray
    #: Error of the visits' offsets in mag; NaN where not known. Shape (v,).
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
        defect_in_words(one, data.ccds)
        for one in detector_defects(data.ccd, data.x, data.y, unmapped, data.extent, star=data.star)
    ]
    visit, err, _ = _means(data.visit, data.offset_visit, singles, len(data.visits))
    visit_err = np.fmax(err, data.visit_err)
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
    found = []
    for rank, row in enumerate(stars.star[:MOST_VARIABLES]):
        source, detections = int(source_id[row]), int(repeats.detections[row])
        amplitude, significance = float(stars.amplitude_mag[rank]), float(stars.significance[rank])
        place = {"ra_deg": float(ra[row]), "dec_deg": float(dec[row])}
        says = (
            f"Star {source} varies by {_mmag(amplitude)} (rms) over {detections} detections, "
            f"{_sigma(significance)}; number {rank + 1} of {len(stars.star)} such stars."
        )
        where = {"source_id": source, **place, "detections": detections}
        found.append(Anomaly("variable_star", where, amplitude, significance, says))
    return tuple(found)


def defect_in_words(place: DetectorDefect, ccds: IntArray) -> Anomaly:
    """Return a bad column, row or region as an anomaly; CCDs by their numbers `ccds`."""
    ccd = int(ccds[place.ccd])
    low, high = round(place.x[0] + 0.5), round(place.x[1] - 0.5)
    bottom, top = round(place.y[0] + 0.5), round(place.y[1] - 0.5)
    name = {"column": "columns", "row": "rows", "region": "the region at columns"}[place.shape]
    first = f"{bottom}-{top}" if place.shape == "row" else f"{low}-{high}"
    second = f"columns {low}-{high}" if place.shape == "row" else f"rows {bottom}-{top}"
    says = _differences(place)
    size = {"offset": place.offset_mag, "scatter": place.scatter_mag, "stars": np.nan}
    return Anomaly(
        kind=f"bad_{place.shape}",
        where={
            "ccd": ccd,
            "x1_pix": low,
            "x2_pix": high,
            "y1_pix": bottom,
            "y2_pix": top,
            "measure": place.measure,
            "detections": place.count,
        },
        size_mag=float(size[place.measure]),
        significance=place.significance,
        text=f"CCD {ccd}, {name} {first} ({second}): {says}, {_sigma(place.significance)}.",
    )


def _differences(place: DetectorDefect) -> str:
    says = []
    missing = 1 - place.count / place.expected if place.expected > 0 else 0.0
    if place.measure == "stars" or missing > WORTH_SHARE:
        says.append(f"{place.count} detections where {place.expected:.0f} are expected")
    if abs(place.offset_mag) > WORTH_MAG and place.measure != "stars":
        # the residual is model less observed: positive where the magnitudes are too bright
        side = "bright" if place.offset_mag > 0 else "faint"
        says.append(f"magnitudes {_mmag(place.offset_mag)} too {side}")
    if place.scatter_mag > WORTH_MAG:
        says.append(f"{_mmag(place.scatter_mag)} more scatter")
    return ", ".join(says) or "residuals unlike the rest of the detector"


def change_in_words(entry: Change, dates: FloatArray, ccd: int | None = None) -> Anomaly:
    """Return a jump or drift of a detector, or of the visits' zero point, as an anomaly.

    `dates` are those of the series.
    """
    what = "The zero point of the visits" if ccd is None else f"The offset of CCD {ccd}"
    where: dict[str, Any] = {} if ccd is None else {"ccd": ccd}
    first, last = float(dates[entry.before]), float(dates[entry.after])
    size = f"{entry.size_mag * 1000:+.1f} +- {entry.error_mag * 1000:.1f} mmag"
    if entry.kind == "jump":
        says = f"jumps by {size} between MJD {first:.2f} and {last:.2f}"
    else:
        rate = entry.size_mag / max(last - first, 1e-9) * YEAR * 1000
        says = f"drifts by {size} from MJD {first:.0f} to {last:.0f} ({rate:+.2f} mmag a year)"
    return Anomaly(
        kind=entry.kind if ccd is not None else f"zero_point_{entry.kind}",
        where={**where, "mjd1": first, "mjd2": last},
        size_mag=entry.size_mag,
        significance=entry.significance,
        text=f"{what} {says}, {_sigma(entry.significance)}.",
    )


def deviation_in_words(entry: DeviatingOffset, data: AnomalyInput) -> Anomaly:
    """Return a visit or exposure far from those it is compared with as an anomaly."""
    group = {
        "season": "the visits of its season",
        "survey": "all visits",
        "field": "the other visits of its field",
        "neighbours": "the visits before and after",
    }[entry.group]
    visit = data.visits[entry.visit]
    where: dict[str, Any] = {"visit": visit, "mjd": float(data.mjd[entry.visit])}
    what = f"visit {visit}"
    if entry.ccd >= 0:
        where["ccd"] = int(data.ccds[entry.ccd])
        what = f"CCD {where['ccd']} in {what}"
    where["kin"] = entry.group
    return Anomaly(
        kind="deviating_visit" if entry.ccd < 0 else "deviating_ccd",
        where=where,
        size_mag=entry.size_mag,
        significance=entry.significance,
        text=f"The offset of {what} is {entry.size_mag * 1000:+.1f} mmag from that of {group}, "
        f"{_sigma(entry.significance)}.",
    )


def swaps_in_words(swaps: Sequence[Swap], data: AnomalyInput) -> Anomaly:
    """Return one pair of detectors that looks exchanged in some visits as an anomaly."""
    best = max(swaps, key=lambda one: one.significance)
    first, second = int(data.ccds[best.first]), int(data.ccds[best.second])
    dates = [float(data.mjd[one.visit]) for one in swaps]
    place = f"visit {data.visits[best.visit]}"
    if len(swaps) > 1:
        place = f"{len(swaps)} visits from MJD {min(dates):.2f} to {max(dates):.2f}, as {place}"
    return Anomaly(
        kind="swapped_ccds",
        where={
            "ccd": first,
            "other_ccd": second,
            "visit": data.visits[best.visit],
            "visits": len(swaps),
            "mjd1": min(dates),
            "mjd2": max(dates),
        },
        size_mag=best.size_mag,
        significance=best.significance,
        text=f"CCDs {first} and {second} look exchanged in {place}: each fits the other's "
        f"pattern, which differs by {_mmag(best.size_mag)}, {_sigma(best.significance)}.",
    )


def _mmag(value: float) -> str:
    return f"{abs(value) * 1000:.1f} mmag"


def _sigma(value: float) -> str:
    return f"{min(value, 99.0):.1f} sigma"


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
    pairs: dict[tuple[int, int], list[Swap]] = {}
    left = offset.copy()
    for one in swaps:
        pairs.setdefault((one.first, one.second), []).append(one)
        left[one.visit, [one.first, one.second]] = np.nan
    found = [swaps_in_words(group, data) for group in pairs.values()]
    dates, left = data.mjd[order], left[order]
    changes = find_changes(left, dates)
    found += [change_in_words(entry, dates, int(data.ccds[entry.series])) for entry in changes]
    # an exposure beside a jump is none that deviates
    for far in deviating_exposures(without(left, dates, changes), err[order]):
        moved = replace(far, visit=int(order[far.visit]))
        found.append(deviation_in_words(moved, data))
    return found


def _of_visits(
    data: AnomalyInput, offset: FloatArray, err: FloatArray, order: IntArray
) -> list[Anomaly]:
    found = [
        deviation_in_words(one, data)
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
    return found + [change_in_words(one, nights) for one in find_changes(means[:, None], nights)]
