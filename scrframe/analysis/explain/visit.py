"""Why a visit, or one CCD of it, has its offset."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np

from scrframe.analysis.explain.opened_run import (
    KEY,
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
from scrframe.analysis.explain.other_visits import (
    Neighbour,
    RelatedVisits,
    WithoutVisit,
    neighbours_of,
    related_visits,
    without,
)
from scrframe.arrays import IntArray
from scrframe.tables import FLAG_BITS

#: Residuals below this weight are those of outliers.
LOW_WEIGHT = 0.5
OUTSIDE = FLAG_BITS["outside_spectrum"] | FLAG_BITS["outside_shape"] | FLAG_BITS["outside_snr"]


@dataclass(frozen=True, kw_only=True)
class VisitOffset:
    """The correction in all, its errors, and the level that it came from."""

    #: The survey's constant u_ZP.
    zero_point_mag: float
    #: Offset of the visit.
    visit_mag: float
    visit_err_mag: float
    #: Mean correction of the detections, or of the visit's exposures.
    total_mag: float
    #: By how much systematic effects can shift it.
    sys_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: Error of the offset of visit and CCD together, of a CCD that is named.
    err_mag: float | None = field(default=None, metadata=OPTIONAL)
    #: CCDs by the level that their correction comes from.
    from_level: Mapping[str, int] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class LevelMean:
    """What a level adds to the detections."""

    #: Its name, and what it is in words.
    level: str
    what: str
    #: Those that the detections have.
    columns: int
    #: Mean over the detections, their standard deviation, and the error of the mean if all columns
    #: err alike, so that it is not too small.
    mean_mag: float
    rms_mag: float
    err_mag: float
    #: Standard deviation of its prior, where one was estimated.
    sd_mag: float | None
    #: Whether it is part of the correction.
    corrects: bool


@dataclass(frozen=True, kw_only=True)
class CcdOffset:
    """A CCD in the visit."""

    #: Its number, and detections that the offsets were solved from.
    ccd: int
    used: int
    #: Its offset less that of the visit.
    ccd_mag: float
    ccd_err_mag: float
    #: What each term of CCDs adds to it, by level, in mode joint.
    parts_mag: Mapping[str, float]
    #: What is left for this visit alone; None where there are no parts.
    jitter_mag: float | None
    #: Mean residual of the used.
    residual_mag: float
    residual_err_mag: float


@dataclass(frozen=True)
class EffectiveStars:
    """What the detections are worth."""

    #: Stars of equal weight that are worth as much (Kish 1965).
    effective_stars: float
    #: Mean robust weight of the used.
    mean_weight: float
    #: Scatter of stars about the model, for weights.
    star_scatter_mag: float
    #: Error that they give by themselves, in mode joint.
    statistical_err_mag: float


@dataclass(frozen=True, kw_only=True)
class Shrinkage:
    """The plain mean difference of the stars against the fitted offset."""

    #: Less the mean of the survey, as offsets are.
    plain_mean_mag: float
    plain_err_mag: float
    #: The offset, and by how much it is larger.
    fitted_mag: float
    difference_mag: float
    #: Standard deviation of visits' offsets, where one was estimated.
    prior_sd_mag: float | None


@dataclass(frozen=True, kw_only=True)
class VisitExplanation(Explanation):
    """Why a visit, or a CCD in it, has its offset."""

    visit: str
    #: None of the whole visit.
    ccd: int | None
    #: Empty where the survey names none.
    field: str
    mjd: float
    #: -1 where there is no date.
    season: int
    airmass: float
    detections: DetectionCounts
    offset: VisitOffset
    levels: tuple[LevelMean, ...]
    #: Of the whole visit.
    ccds: tuple[CcdOffset, ...]
    weights: EffectiveStars
    shrinkage: Shrinkage
    neighbours: tuple[Neighbour, ...]
    #: Other visits of the same ``field``, ``season`` and ``survey``; ``kin`` in the JSON.
    related: Mapping[str, RelatedVisits] = dataclasses.field(metadata={KEY: "kin"})
    #: Of the whole visit.
    without: WithoutVisit | None = dataclasses.field(default=None, metadata=OPTIONAL)


def explain_visit(run: OpenedRun, visit: int, ccd: int | None = None) -> VisitExplanation:
    """Return why a visit (or its CCD) has its offset.

    Parameters
    ----------
    visit : int
        Row in the table of visits.
    ccd : int, optional
        Restricts detections, levels and neighbours to one CCD.
    """
    data = run.data
    here = data.visit_code == visit
    if ccd is not None:
        here &= data.ccd == ccd
    rows = np.flatnonzero(here)
    table = data.visit_table
    return VisitExplanation(
        **run.head("visit" if ccd is None else "exposure"),
        visit=data.visits[visit],
        ccd=ccd,
        field=str(table.field[visit]),
        mjd=float(table.mjd[visit]),
        season=int(table.season[visit]),
        airmass=float(table.airmass[visit]),
        detections=_detections(run, rows),
        offset=_offset(run, visit, ccd, rows),
        levels=tuple(_levels(run, rows)),
        ccds=tuple(_ccds(run, visit, rows)) if ccd is None else (),
        weights=_weights(run, rows),
        shrinkage=_shrinkage(run, visit, ccd, rows),
        neighbours=neighbours_of(run, rows, visit),
        related=related_visits(run, visit),
        without=without(run, visit) if ccd is None else None,
    )


def _detections(run: OpenedRun, rows: IntArray) -> DetectionCounts:
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
    left = {
        "reserved": int(reserved.sum()),
        "unlike the training stars": int((outside & ~reserved & ~used).sum()),
        "outside the cuts by predicted magnitude": int((~used & ~reserved & ~outside).sum()),
    }
    return DetectionCounts(
        in_sample=len(rows),
        stars=len(np.unique(source)),
        used=int(used.sum()),
        stars_used=len(np.unique(source[used])),
        low_weight=int((used & (weight < LOW_WEIGHT)).sum()),
        left_out={why: count for why, count in left.items() if count},
        flags=flag_counts(flags),
        control=int(data.star("in_control")[rows].sum()),
    )


def _offset(run: OpenedRun, visit: int, ccd: int | None, rows: IntArray) -> VisitOffset:
    data = run.data
    table, exposures = data.visit_table, data.exposures
    offset = VisitOffset(
        zero_point_mag=data.zero_point_mag,
        visit_mag=float(table.offset_mag[visit]),
        visit_err_mag=float(table.err_mag[visit]),
        total_mag=float(np.mean(data.star("offset_total")[rows])) if len(rows) else nan,
    )
    if exposures is None:
        return offset
    mine = exposures.visit == data.visits[visit]
    if ccd is not None:
        mine &= exposures.ccd == ccd
    at = np.flatnonzero(mine)
    count = exposures.count[at]
    weight = count if count.sum() else np.ones(len(at))
    names, number = np.unique(exposures.level[at], return_counts=True)
    known = np.isfinite(offset.visit_mag)
    return replace(
        offset,
        visit_mag=offset.visit_mag if known else float(exposures.visit_mag[at][0]),
        total_mag=float(np.average(exposures.offset_mag[at], weights=weight)) + data.zero_point_mag,
        sys_mag=float(np.average(exposures.sys_mag[at], weights=weight)),
        err_mag=None if ccd is None else float(exposures.err_mag[at][0]),
        from_level=dict(zip(names.tolist(), number.tolist(), strict=True)),
    )


def _levels(run: OpenedRun, rows: IntArray) -> Iterator[LevelMean]:
    """Yield what each level adds to the detections, on average, with error and spread."""
    data = run.data
    table = run.detections(rows)
    for level in run.levels(table.names):
        fitted, offsets = level.fitted, level.offsets
        design = fitted.design(table).weights
        touched = np.unique(design.indices)
        if not len(touched):
            continue
        mean = np.asarray(design.mean(axis=0)).ravel()[touched]
        # Columns of one level hang together; taken as fully so, the error is not too small.
        each = design @ np.nan_to_num(offsets.offset_mag)
        yield LevelMean(
            level=fitted.name,
            what=level_word(data.levels[fitted.name]),
            columns=len(touched),
            mean_mag=float(mean @ offsets.offset_mag[touched]),
            rms_mag=float(np.std(each)),
            err_mag=float(np.abs(mean) @ offsets.err_mag[touched]),
            sd_mag=run.sd_mag.get(fitted.name),
            corrects=fitted.role == "correction",
        )


def _ccds(run: OpenedRun, visit: int, rows: IntArray) -> Iterator[CcdOffset]:
    """Yield the parts of each CCD's offset beyond the visit's, and its residual."""
    data = run.data
    ccds = np.array(run.ccds, dtype=np.int64)
    place = np.searchsorted(ccds, data.ccd[rows])
    used = data.in_solve[rows] & np.isfinite(data.residual[rows])
    count = np.bincount(place[used], minlength=len(ccds))
    here = np.full(len(ccds), visit)
    offset, error = exposure_offsets(run, here, ccds)
    share = count / max(count.sum(), 1)
    # In the gauge CCDs sum to zero over the detections of a visit.
    parts = {
        name: values - share @ values for name, values in exposure_parts(run, here, ccds).items()
    }
    rest = offset - sum(parts.values()) if parts else None
    for number, ccd in enumerate(ccds):
        mine = rows[used & (place == number)]
        mean, err = mean_and_error(data.residual[mine], data.weight[mine])
        yield CcdOffset(
            ccd=int(ccd),
            used=int(count[number]),
            ccd_mag=float(offset[number]),
            ccd_err_mag=float(error[number]),
            parts_mag={name: float(values[number]) for name, values in parts.items()},
            jitter_mag=None if rest is None else float(rest[number]),
            residual_mag=mean,
            residual_err_mag=err,
        )


def _weights(run: OpenedRun, rows: IntArray) -> EffectiveStars:
    used = rows[run.data.in_solve[rows]]
    precision = weight = run.data.weight[used]
    if run.joint:
        precision = weight / (run.photometric_variance[used] + run.star_sd_mag**2)
    total = precision.sum()
    effective = float(total**2 / np.sum(precision**2)) if total > 0 else 0.0
    mean = float(weight.mean()) if len(weight) else nan
    error = float(1 / np.sqrt(total)) if run.joint and total > 0 else nan
    return EffectiveStars(effective, mean, run.star_sd_mag, error)


def _shrinkage(run: OpenedRun, visit: int, ccd: int | None, rows: IntArray) -> Shrinkage:
    data = run.data
    delta = data.star("delta")
    used = rows[data.in_solve[rows]]
    mean, err = mean_and_error(delta[used])
    mean -= float(np.nanmean(delta[data.in_solve]))
    fitted = float(data.visit_table.offset_mag[visit])
    if ccd is not None:
        fitted += float(exposure_offsets(run, np.array([visit]), np.array([ccd]))[0][0])
    return Shrinkage(
        plain_mean_mag=mean,
        plain_err_mag=err,
        fitted_mag=fitted,
        difference_mag=fitted - mean,
        prior_sd_mag=run.visit_sd_mag,
    )
