"""Why a CCD has its offsets: in time, over its pixels, and where it is defective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scrframe.analysis.explain.opened_run import (
    MERGED,
    OPTIONAL,
    DetectionCounts,
    Explanation,
    OpenedRun,
    exposure_offsets,
    exposure_parts,
    flag_counts,
    level_word,
    mean_and_error,
)
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.groups import group_medians
from scrframe.statistics.robust import robust_sd

#: Width of the strips of columns and rows that are searched for defects, in pixels.
STRIP_PIX = 32.0
#: A strip is named from this significance on: of some 200 strips of a CCD, a false one in a
#: hundred CCDs.
SIGNIFICANT = 5.0
#: Strips with fewer detections say nothing.
FEW = 5
#: Standard error of a median over that of a mean, of normal deviates.
MEDIAN_TO_MEAN = 1.253


@dataclass(frozen=True, kw_only=True)
class CcdLevel:
    """A level's columns of the CCD."""

    #: Its name, and what it is in words.
    level: str
    what: str
    #: Columns, and those of them that have an offset.
    columns: int
    with_offset: int
    #: Mean and standard deviation of the offsets, and the median of their errors.
    mean_mag: float
    rms_mag: float
    err_mag: float
    #: Standard deviation of the level's prior, where one was estimated.
    sd_mag: float | None


@dataclass(frozen=True, kw_only=True)
class CcdInVisit:
    """The CCD in one visit."""

    visit: str
    mjd: float
    #: Detections that the offsets were solved from.
    used: int
    #: Its offset less that of the visit.
    ccd_mag: float
    ccd_err_mag: float
    #: What each term of CCDs adds to it, by level, in mode joint.
    parts_mag: Mapping[str, float]
    #: What they leave.
    rest_mag: float
    #: The level that its correction comes from, in mode joint.
    from_level: str | None


@dataclass(frozen=True)
class DeviatingVisit:
    """A visit in which the CCD is ``away`` scatters from its median."""

    visit: str
    ccd_mag: float
    err_mag: float
    away: float


@dataclass(frozen=True, kw_only=True)
class TimeSummary:
    """The CCD's offsets in time; of fewer than three visits no more than their number."""

    visits: int
    median_mag: float | None = field(default=None, metadata=OPTIONAL)
    mad_sigma_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: Median of the errors.
    typical_err_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: Of a straight line, with the error from the scatter about it.
    slope_mag_per_year: float | None = field(default=None, metadata=OPTIONAL)
    slope_err_mag_per_year: float | None = field(default=None, metadata=OPTIONAL)
    #: Farthest from the median first.
    worst: tuple[DeviatingVisit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MapColumn:
    """A bin or node of a map."""

    #: Its labels in pixels, such as ``x_low_pix``; among the others in the JSON.
    position_pix: Mapping[str, float] = field(metadata=MERGED)
    offset_mag: float
    err_mag: float
    detections: int


@dataclass(frozen=True, kw_only=True)
class CcdMap:
    """A map over the CCD."""

    level: str
    columns: int
    #: Root mean square and extremes of its offsets, and the median of their errors.
    rms_mag: float
    low_mag: float
    high_mag: float
    err_mag: float
    largest: tuple[MapColumn, ...]


@dataclass(frozen=True)
class Strip:
    """A strip of columns or rows whose median residual is off."""

    #: one of "columns", "rows"
    along: str
    low_pix: float
    high_pix: float
    detections: int
    #: Median residual less that of the CCD; the error is that of a median, with the scatter of the
    #: whole CCD.
    residual_mag: float
    err_mag: float


@dataclass(frozen=True, kw_only=True)
class CcdExplanation(Explanation):
    """Why a CCD has its offsets."""

    ccd: int
    detections: DetectionCounts
    #: Mean residual of the used.
    residual_mag: float
    residual_err_mag: float
    levels: tuple[CcdLevel, ...]
    #: In order of time.
    visits: tuple[CcdInVisit, ...]
    summary: TimeSummary
    maps: tuple[CcdMap, ...]
    #: Most significant first.
    strips: tuple[Strip, ...]


def explain_ccd(run: OpenedRun, ccd: int) -> CcdExplanation:
    """Return why a CCD has its offsets."""
    data = run.data
    rows = np.flatnonzero(data.ccd == ccd)
    used = rows[data.in_solve[rows] & np.isfinite(data.residual[rows])]
    mean, err = mean_and_error(data.residual[used])
    visits = _in_time(run, ccd, used)
    return CcdExplanation(
        **run.head("ccd"),
        ccd=ccd,
        detections=DetectionCounts(
            in_sample=len(rows),
            used=len(used),
            stars_used=len(np.unique(data.star("source_id")[used])),
            flags=flag_counts(data.star("flags")[rows]),
        ),
        residual_mag=mean,
        residual_err_mag=err,
        levels=tuple(_levels(run, ccd)),
        visits=visits,
        summary=_summary(visits),
        maps=tuple(_maps(run, ccd)),
        strips=strips(run, used),
    )


def _in_time(run: OpenedRun, ccd: int, used: IntArray) -> tuple[CcdInVisit, ...]:
    """Return the CCD's offset in each visit, with its parts, in order of time."""
    data = run.data
    table = data.visit_table
    every, same = np.arange(len(table)), np.full(len(table), ccd)
    offset, error = exposure_offsets(run, every, same)
    parts = exposure_parts(run, every, same)
    count = np.bincount(data.visit_code[used], minlength=len(table))
    rest = offset - sum(parts.values()) if parts else np.full(len(table), np.nan)
    level = {}
    if data.exposures is not None:
        rows = np.flatnonzero(data.exposures.ccd == ccd)
        names = data.exposures.visit[rows].tolist()
        level = dict(zip(names, data.exposures.level[rows].tolist(), strict=True))
    return tuple(
        CcdInVisit(
            visit=table.visit[at],
            mjd=float(table.mjd[at]),
            used=int(count[at]),
            ccd_mag=float(offset[at]),
            ccd_err_mag=float(error[at]),
            parts_mag={name: float(values[at]) for name, values in parts.items()},
            rest_mag=float(rest[at]),
            from_level=level.get(table.visit[at]),
        )
        for at in np.argsort(table.mjd, kind="stable")
    )


def _levels(run: OpenedRun, ccd: int) -> Iterator[CcdLevel]:
    """Yield each level's columns of this CCD: their mean, spread and typical error."""
    for level in run.data.levels.values():
        if "ccd" not in level.labels:
            continue
        at = level.labels["ccd"] == ccd
        offset = level.offset_mag[at]
        fine = np.isfinite(offset)
        if not fine.any():
            continue
        yield CcdLevel(
            level=level.name,
            what=level_word(level),
            columns=int(at.sum()),
            with_offset=int(fine.sum()),
            mean_mag=float(offset[fine].mean()),
            rms_mag=float(offset[fine].std()),
            err_mag=float(np.median(level.err_mag[at][fine])),
            sd_mag=run.sd_mag.get(level.name),
        )


def _summary(visits: Sequence[CcdInVisit]) -> TimeSummary:
    """Return mean, scatter and trend in time, and the visits that deviate most."""
    offset = np.array([each.ccd_mag for each in visits])
    error = np.array([each.ccd_err_mag for each in visits])
    mjd = np.array([each.mjd for each in visits])
    fine = np.isfinite(offset) & np.isfinite(error) & (error > 0) & np.isfinite(mjd)
    if fine.sum() < 3:
        return TimeSummary(visits=int(fine.sum()))
    centre = float(np.median(offset[fine]))
    spread = robust_sd(offset[fine])
    years = (mjd[fine] - mjd[fine].mean()) / 365.25
    slope, slope_err = _trend(years, offset[fine])
    away = np.where(fine, np.abs(offset - centre) / np.hypot(spread, np.where(fine, error, 1)), 0)
    worst = np.argsort(-away, kind="stable")[:5]
    return TimeSummary(
        visits=int(fine.sum()),
        median_mag=centre,
        mad_sigma_mag=spread,
        typical_err_mag=float(np.median(error[fine])),
        slope_mag_per_year=slope,
        slope_err_mag_per_year=slope_err,
        worst=tuple(
            DeviatingVisit(visits[at].visit, float(offset[at]), float(error[at]), float(away[at]))
            for at in worst
            if fine[at]
        ),
    )


def _trend(years: FloatArray, offset: FloatArray) -> tuple[float, float]:
    """Return the slope of a straight line, and its error from the scatter about it."""
    squares = float(years @ years)
    if squares <= 0:
        return float("nan"), float("nan")
    slope = float(years @ offset / squares)
    rest = offset - offset.mean() - slope * years
    return slope, float(np.sqrt(rest @ rest / (len(years) - 2) / squares))


def _maps(run: OpenedRun, ccd: int) -> Iterator[CcdMap]:
    """Yield a summary of each map over the CCD, and its extreme places."""
    for level in run.data.levels.values():
        if not level.applied or "ccd" not in level.labels or "visit" in level.labels:
            continue
        at = np.flatnonzero((level.labels["ccd"] == ccd) & np.isfinite(level.offset_mag))
        places = [name for name in level.labels if name.endswith("_pix")]
        if not len(at) or not places:
            continue
        offset, err = level.offset_mag[at], level.err_mag[at]
        order = at[np.argsort(-np.abs(offset), kind="stable")[:3]]
        yield CcdMap(
            level=level.name,
            columns=len(at),
            rms_mag=float(np.sqrt(np.mean(offset**2))),
            low_mag=float(offset.min()),
            high_mag=float(offset.max()),
            err_mag=float(np.median(err)),
            largest=tuple(
                MapColumn(
                    position_pix={name: float(level.labels[name][row]) for name in places},
                    offset_mag=float(level.offset_mag[row]),
                    err_mag=float(level.err_mag[row]),
                    detections=int(level.count[row]),
                )
                for row in order
            ),
        )


def strips(run: OpenedRun, used: IntArray) -> tuple[Strip, ...]:
    """Return strips of columns or rows whose median residual is off, most significant first."""
    data = run.data
    if not (data.has("x_pix") and data.has("y_pix")) or len(used) < FEW:
        return ()
    residual = data.residual[used]
    scatter = robust_sd(residual)
    found = []
    for axis, name in (("x_pix", "columns"), ("y_pix", "rows")):
        strip = np.floor((data.star(axis)[used] - 0.5) / STRIP_PIX).astype(np.int64)
        number, code, count = np.unique(strip, return_inverse=True, return_counts=True)
        off = group_medians(residual, code, len(number)) - np.median(residual)
        error = MEDIAN_TO_MEAN * scatter / np.sqrt(count)
        for at in np.flatnonzero((count >= FEW) & (np.abs(off) > SIGNIFICANT * error)):
            low, high = (float((number[at] + end) * STRIP_PIX + 0.5) for end in (0, 1))
            found.append(Strip(name, low, high, int(count[at]), float(off[at]), float(error[at])))
    return tuple(sorted(found, key=lambda each: -abs(each.residual_mag) / each.err_mag))
