"""Why a visit, or one CCD of it, has its offset."""

from __future__ import annotations

from typing import Any

import numpy as np

from scrframe.analysis.explain.leave_one_out import without
from scrframe.analysis.explain.neighbours import kin_of, neighbours_of
from scrframe.analysis.explain.opened_run import OpenedRun, flag_counts, level_word, mean_and_error
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.groups import find_sorted
from scrframe.tables import FLAG_BITS

Facts = dict[str, Any]

#: Residuals below this weight are those of outliers.
LOW_WEIGHT = 0.5
OUTSIDE = FLAG_BITS["outside_spectrum"] | FLAG_BITS["outside_shape"] | FLAG_BITS["outside_snr"]


def explain_visit(run: OpenedRun, visit: int, ccd: int | None = None) -> Facts:
    """Return why a visit (or its CCD) has its offset, as plain values.

    Parameters
    ----------
    run : OpenedRun
    visit : int
        Row in the table of visits.
    ccd : int, optional
        Restricts detections, levels and neighbours to one CCD.

    Returns
    -------
    dict
        Magnitudes in mag, keys end in ``_mag``.
    """
    data = run.data
    here = data.visit_code == visit
    if ccd is not None:
        here &= data.ccd == ccd
    rows = np.flatnonzero(here)
    table = data.visit_table
    facts: Facts = {
        "visit": data.visits[visit],
        "ccd": ccd,
        "field": str(table.field[visit]),
        "mjd": table.mjd[visit],
        "season": int(table.season[visit]),
        "airmass": table.airmass[visit],
        "detections": detections_used(run, rows),
        "offset": offset_of(run, visit, ccd, rows),
        "levels": levels_of(run, visit, ccd, rows),
        "ccds": [] if ccd is not None else by_ccd(run, visit, rows),
        "weights": weights_of(run, rows),
        "shrinkage": shrinkage_of(run, visit, ccd, rows),
        "neighbours": neighbours_of(run, rows, visit),
        "kin": kin_of(run, visit),
    }
    if ccd is None:
        facts["without"] = without(run, visit)
    return facts


def detections_used(run: OpenedRun, rows: IntArray) -> Facts:
    """Return what became of the detections: used, reserved, left out and why."""
    data = run.data
    flags = data.star("flags")[rows]
    source = data.star("source_id")[rows]
    used = data.in_solve[rows] & np.isfinite(data.star("delta")[rows])
    weight = data.weight[rows]
    reserved = np.zeros(len(rows), dtype=np.bool_)
    if data.has("reserved"):
        reserved = np.asarray(data.star("reserved")[rows], dtype=np.bool_)
    outside = (flags & OUTSIDE) > 0
    # In the order in which a run decides; the first reason counts.
    left: Facts = {
        "reserved": int(reserved.sum()),
        "unlike the training stars": int((outside & ~reserved & ~used).sum()),
        "outside the cuts by predicted magnitude": int((~used & ~reserved & ~outside).sum()),
    }
    return {
        "in_sample": len(rows),
        "stars": len(np.unique(source)),
        "used": int(used.sum()),
        "stars_used": len(np.unique(source[used])),
        "low_weight": int((used & (weight < LOW_WEIGHT)).sum()),
        "left_out": {why: count for why, count in left.items() if count},
        "flags": flag_counts(flags),
        "control": int(data.star("in_control")[rows].sum()),
    }


def offset_of(run: OpenedRun, visit: int, ccd: int | None, rows: IntArray) -> Facts:
    """Return the correction in all, its errors, and the level that it came from."""
    data = run.data
    table = data.visit_table
    facts: Facts = {
        "zero_point_mag": data.zero_point_mag,
        "visit_mag": table.offset_mag[visit],
        "visit_err_mag": table.err_mag[visit],
        "total_mag": float(np.mean(data.star("offset_total")[rows])) if len(rows) else None,
    }
    if data.exposures is None:
        return facts
    mine = data.exposures.visit == data.visits[visit]
    if ccd is not None:
        mine &= data.exposures.ccd == ccd
    at = np.flatnonzero(mine)
    count = data.exposures.count[at]
    weight = count if count.sum() else np.ones(len(at))
    mean = {
        name: float(np.average(getattr(data.exposures, f"{name}_mag")[at], weights=weight))
        for name in ("offset", "sys")
    }
    facts["total_mag"] = mean["offset"] + data.zero_point_mag
    facts["sys_mag"] = mean["sys"]
    if ccd is not None:
        facts["err_mag"] = float(data.exposures.err_mag[at][0])
    if not np.isfinite(facts["visit_mag"]):
        facts["visit_mag"] = float(data.exposures.visit_mag[at][0])
    names, number = np.unique(data.exposures.level[at], return_counts=True)
    facts["from_level"] = dict(zip(names.tolist(), number.tolist(), strict=True))
    return facts


def exposure_parts(run: OpenedRun, visit: IntArray, ccd: IntArray) -> dict[str, FloatArray]:
    """Return what each term of CCDs adds to exposures, by level, in mag, shape (x,) each.

    Static parts and drifts; terms by visit and CCD are not among them.
    """
    data = run.data
    table = run.exposures(visit, ccd)
    parts = {}
    for level in run.levels({"ccd", "mjd", "season", "field", "airmass", "band", "visit"}):
        fitted = level.fitted
        keys = set(data.levels[fitted.name].labels)
        if level.applied or fitted.role != "correction" or "visit" in keys or "ccd" not in keys:
            continue
        parts[fitted.name] = np.asarray(
            fitted.design(table).weights @ np.nan_to_num(level.offsets.offset_mag)
        )
    return parts


def levels_of(run: OpenedRun, visit: int, ccd: int | None, rows: IntArray) -> list[Facts]:
    """Return what each level adds to the detections, on average, with error and spread."""
    data = run.data
    table = run.detections(rows)
    found = []
    for level in run.levels(table.names):
        fitted, offsets = level.fitted, level.offsets
        design = fitted.design(table).weights
        touched = np.unique(design.indices)
        if not len(touched):
            continue
        mean = np.asarray(design.mean(axis=0)).ravel()[touched]
        # Columns of one level hang together; taken as fully so, the error is not too small.
        each = design @ np.nan_to_num(offsets.offset_mag)
        found.append(
            {
                "level": fitted.name,
                "what": level_word(data.levels[fitted.name]),
                "columns": len(touched),
                "mean_mag": float(mean @ offsets.offset_mag[touched]),
                "rms_mag": float(np.std(each)),
                "err_mag": float(np.abs(mean) @ offsets.err_mag[touched]),
                "sd_mag": run.sd_mag.get(fitted.name),
                "corrects": fitted.role == "correction",
            }
        )
    return found


def by_ccd(run: OpenedRun, visit: int, rows: IntArray) -> list[Facts]:
    """Return the parts of each CCD's offset beyond the visit's, and its residual."""
    data = run.data
    ccds = np.array(run.ccds, dtype=np.int64)
    place = np.searchsorted(ccds, data.ccd[rows])
    used = data.in_solve[rows] & np.isfinite(data.residual[rows])
    count = np.bincount(place[used], minlength=len(ccds))
    own, error = ccd_offsets(run, visit, ccds)
    parts = exposure_parts(run, np.full(len(ccds), visit), ccds) if run.joint else {}
    share = count / max(count.sum(), 1)
    # In the gauge CCDs sum to zero over the detections of a visit.
    parts = {name: values - share @ values for name, values in parts.items()}
    rest = own - sum(parts.values()) if parts else None
    found = []
    for number, at in enumerate(ccds):
        mine = rows[used & (place == number)]
        mean, err = mean_and_error(data.residual[mine], data.weight[mine])
        found.append(
            {
                "ccd": int(at),
                "used": int(count[number]),
                "ccd_mag": own[number],
                "ccd_err_mag": error[number],
                "parts_mag": {name: values[number] for name, values in parts.items()},
                "jitter_mag": None if rest is None else rest[number],
                "residual_mag": mean,
                "residual_err_mag": err,
            }
        )
    return found


def ccd_offsets(run: OpenedRun, visit: int, ccds: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return what CCDs differ by from their visit, and its error, in mag, shape (c,)."""
    data = run.data
    name = data.visits[visit]
    offset, error = (np.full(len(ccds), np.nan) for _ in range(2))
    if data.exposures is not None:
        at = np.flatnonzero(data.exposures.visit == name)
        place = find_sorted(ccds, data.exposures.ccd[at])
        at, place = at[place >= 0], place[place >= 0]
        offset[place] = data.exposures.offset_mag[at] - data.exposures.visit_mag[at]
        error[place] = data.exposures.err_mag[at]
    for level in data.levels.values():
        if set(level.labels) == {"visit", "ccd"} and level.role == "correction":
            at = np.flatnonzero(level.labels["visit"] == name)
            place = find_sorted(ccds, level.labels["ccd"][at])
            at, place = at[place >= 0], place[place >= 0]
            offset[place], error[place] = level.offset_mag[at], level.err_mag[at]
    return offset, error


def weights_of(run: OpenedRun, rows: IntArray) -> Facts:
    """Return how many stars of full weight the detections are worth (Kish 1965)."""
    data = run.data
    used = data.in_solve[rows]
    weight = data.weight[rows][used]
    precision = weight
    if run.joint:
        noise = run.photometric_variance[rows][used]
        precision = weight / (noise + run.star_sd_mag**2)
    total = precision.sum()
    effective = float(total**2 / np.sum(precision**2)) if total > 0 else 0.0
    return {
        "effective_stars": effective,
        "mean_weight": float(weight.mean()) if len(weight) else None,
        "star_scatter_mag": run.star_sd_mag,
        "statistical_err_mag": float(1 / np.sqrt(total)) if run.joint and total > 0 else None,
    }


def shrinkage_of(run: OpenedRun, visit: int, ccd: int | None, rows: IntArray) -> Facts:
    """Return the plain mean difference of the stars against the fitted offset.

    The plain mean is relative to that of the survey, as offsets are.
    """
    data = run.data
    delta = data.star("delta")
    used = rows[data.in_solve[rows]]
    mean, err = mean_and_error(delta[used])
    mean -= float(np.nanmean(delta[data.in_solve]))
    fitted = float(data.visit_table.offset_mag[visit])
    if ccd is not None:
        fitted += float(ccd_offsets(run, visit, np.array([ccd]))[0][0])
    return {
        "plain_mean_mag": mean,
        "plain_err_mag": err,
        "fitted_mag": fitted,
        "difference_mag": fitted - mean,
        "prior_sd_mag": run.visit_sd_mag,
    }
