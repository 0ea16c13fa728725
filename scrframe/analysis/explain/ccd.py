"""Why a CCD has its offsets: in time, over its pixels, and where it is defective."""

from __future__ import annotations

from typing import Any

import numpy as np

from scrframe.analysis.explain.opened_run import OpenedRun, flag_counts, level_word, mean_and_error
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.groups import group_medians
from scrframe.statistics.robust import robust_sd

Facts = dict[str, Any]

#: Width of the strips of columns and rows that are searched for defects, in pixels.
STRIP_PIX = 32.0
#: A strip is named from this significance on: of some 200 strips of a CCD, a false one in a
#: hundred CCDs.
SIGNIFICANT = 5.0
#: Strips with fewer detections say nothing.
FEW = 5


def explain_ccd(run: OpenedRun, ccd: int) -> Facts:
    """Return why a CCD has its offsets, as plain values; magnitudes in mag."""
    data = run.data
    rows = np.flatnonzero(data.ccd == ccd)
    used = rows[data.in_solve[rows] & np.isfinite(data.residual[rows])]
    mean, err = mean_and_error(data.residual[used])
    visits = _in_time(run, ccd, used)
    return {
        "ccd": ccd,
        "detections": {
            "in_sample": len(rows),
            "used": len(used),
            "stars_used": len(np.unique(data.star("source_id")[used])),
            "flags": flag_counts(data.star("flags")[rows]),
        },
        "residual_mag": mean,
        "residual_err_mag": err,
        "levels": _levels(run, ccd),
        "visits": visits,
        "summary": _summary(visits),
        "maps": _maps(run, ccd),
        "strips": strips(run, used),
    }


def _in_time(run: OpenedRun, ccd: int, used: IntArray) -> list[Facts]:
    """Return the CCD's offset in each visit, with its parts, in order of time."""
    from scrframe.analysis.explain.visit import exposure_parts  # noqa: PLC0415 - both ways

    data = run.data
    table = data.visit_table
    offset, error = ccd_in_visits(run, ccd)
    every = np.arange(len(table))
    parts = exposure_parts(run, every, np.full(len(table), ccd)) if run.joint else {}
    code = data.visit_code[used]
    count = np.bincount(code, minlength=len(table))
    rest = offset - sum(parts.values()) if parts else np.full(len(table), np.nan)
    level = _levels_by_visit(run, ccd)
    return [
        {
            "visit": table.visit[at],
            "mjd": table.mjd[at],
            "used": int(count[at]),
            "ccd_mag": offset[at],
            "ccd_err_mag": error[at],
            "parts_mag": {name: values[at] for name, values in parts.items()},
            "rest_mag": rest[at],
            "from_level": level.get(table.visit[at]),
        }
        for at in np.argsort(table.mjd, kind="stable")
    ]


def ccd_in_visits(run: OpenedRun, ccd: int) -> tuple[FloatArray, FloatArray]:
    """Return what the CCD differs by from each visit, and its error, in mag, shape (v,)."""
    data = run.data
    place = {name: at for at, name in enumerate(data.visits)}
    offset, error = (np.full(len(place), np.nan) for _ in range(2))
    if data.exposures is not None:
        rows = np.flatnonzero(data.exposures.ccd == ccd)
        at = np.array([place[name] for name in data.exposures.visit[rows].tolist()], dtype=np.int64)
        offset[at] = data.exposures.offset_mag[rows] - data.exposures.visit_mag[rows]
        error[at] = data.exposures.err_mag[rows]
    for level in data.levels.values():
        if set(level.labels) == {"visit", "ccd"} and level.role == "correction":
            rows = np.flatnonzero(level.labels["ccd"] == ccd)
            names = level.labels["visit"][rows].tolist()
            at = np.array([place[name] for name in names], dtype=np.int64)
            offset[at], error[at] = level.offset_mag[rows], level.err_mag[rows]
    return offset, error


def _levels_by_visit(run: OpenedRun, ccd: int) -> dict[str, str]:
    exposures = run.data.exposures
    if exposures is None:
        return {}
    rows = np.flatnonzero(exposures.ccd == ccd)
    return dict(zip(exposures.visit[rows].tolist(), exposures.level[rows].tolist(), strict=True))


def _levels(run: OpenedRun, ccd: int) -> list[Facts]:
    """Return each level's columns of this CCD: their mean, spread and typical error."""
    found = []
    for level in run.data.levels.values():
        if "ccd" not in level.labels:
            continue
        at = level.labels["ccd"] == ccd
        offset = level.offset_mag[at]
        fine = np.isfinite(offset)
        if not fine.any():
            continue
        found.append(
            {
                "level": level.name,
                "what": level_word(level),
                "columns": int(at.sum()),
                "with_offset": int(fine.sum()),
                "mean_mag": float(offset[fine].mean()),
                "rms_mag": float(offset[fine].std()),
                "err_mag": float(np.median(level.err_mag[at][fine])),
                "sd_mag": run.sd_mag.get(level.name),
            }
        )
    return found


def _summary(visits: list[Facts]) -> Facts:
    """Return mean, scatter and trend in time, and the visits that deviate most."""
    offset = np.array([each["ccd_mag"] for each in visits])
    error = np.array([each["ccd_err_mag"] for each in visits])
    mjd = np.array([each["mjd"] for each in visits])
    fine = np.isfinite(offset) & np.isfinite(error) & (error > 0) & np.isfinite(mjd)
    if fine.sum() < 3:
        return {"visits": int(fine.sum()), "worst": []}
    centre = float(np.median(offset[fine]))
    spread = robust_sd(offset[fine])
    years = (mjd[fine] - mjd[fine].mean()) / 365.25
    slope, slope_err = _trend(years, offset[fine])
    away = np.where(fine, np.abs(offset - centre) / np.hypot(spread, np.where(fine, error, 1)), 0)
    worst = np.argsort(-away, kind="stable")[:5]
    return {
        "visits": int(fine.sum()),
        "median_mag": centre,
        "mad_sigma_mag": spread,
        "typical_err_mag": float(np.median(error[fine])),
        "slope_mag_per_year": slope,
        "slope_err_mag_per_year": slope_err,
        "worst": [
            {
                "visit": visits[at]["visit"],
                "ccd_mag": offset[at],
                "err_mag": error[at],
                "away": float(away[at]),
            }
            for at in worst
            if fine[at]
        ],
    }


def _trend(years: FloatArray, offset: FloatArray) -> tuple[float, float]:
    """Return the slope of a straight line, and its error from the scatter about it."""
    squares = float(years @ years)
    if squares <= 0:
        return float("nan"), float("nan")
    slope = float(years @ offset / squares)
    rest = offset - offset.mean() - slope * years
    return slope, float(np.sqrt(rest @ rest / (len(years) - 2) / squares))


def _maps(run: OpenedRun, ccd: int) -> list[Facts]:
    """Return a summary of each map over the CCD, and its extreme places."""
    found = []
    for level in run.data.levels.values():
        if not level.applied or "ccd" not in level.labels or "visit" in level.labels:
            continue
        at = np.flatnonzero((level.labels["ccd"] == ccd) & np.isfinite(level.offset_mag))
        places = [name for name in level.labels if name.endswith("_pix")]
        if not len(at) or not places:
            continue
        offset, err = level.offset_mag[at], level.err_mag[at]
        order = at[np.argsort(-np.abs(offset), kind="stable")[:3]]
        found.append(
            {
                "level": level.name,
                "columns": len(at),
                "rms_mag": float(np.sqrt(np.mean(offset**2))),
                "low_mag": float(offset.min()),
                "high_mag": float(offset.max()),
                "err_mag": float(np.median(err)),
                "largest": [
                    {name: float(level.labels[name][row]) for name in places}
                    | {
                        "offset_mag": float(level.offset_mag[row]),
                        "err_mag": float(level.err_mag[row]),
                        "detections": int(level.count[row]),
                    }
                    for row in order
                ],
            }
        )
    return found


def strips(run: OpenedRun, used: IntArray) -> list[Facts]:
    """Return strips of columns or rows whose median residual is off, most significant first.

    The error of a median is 1.253 times that of a mean, the scatter that of the whole CCD.
    """
    data = run.data
    if not (data.has("x_pix") and data.has("y_pix")) or len(used) < FEW:
        return []
    residual = data.residual[used]
    scatter = robust_sd(residual)
    found = []
    for axis, name in (("x_pix", "columns"), ("y_pix", "rows")):
        strip = np.floor((data.star(axis)[used] - 0.5) / STRIP_PIX).astype(np.int64)
        number, code, count = np.unique(strip, return_inverse=True, return_counts=True)
        off = group_medians(residual, code, len(number)) - np.median(residual)
        error = 1.253 * scatter / np.sqrt(count)
        for at in np.flatnonzero((count >= FEW) & (np.abs(off) > SIGNIFICANT * error)):
            found.append(
                {
                    "along": name,
                    "low_pix": float(number[at] * STRIP_PIX + 0.5),
                    "high_pix": float((number[at] + 1) * STRIP_PIX + 0.5),
                    "detections": int(count[at]),
                    "residual_mag": float(off[at]),
                    "err_mag": float(error[at]),
                }
            )
    return sorted(found, key=lambda each: -abs(each["residual_mag"]) / each["err_mag"])
