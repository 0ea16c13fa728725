"""All null tests of a run, in the order in which they are reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.null_tests import trends
from scrframe.checks.null_tests.detectors import ccd_places, ccd_steps
from scrframe.checks.null_tests.pairs import Calibrated, differences, repeat_pull, successive
from scrframe.checks.statistics import bounded
from scrframe.checks.verdict import Limit, NullTest, NullTestResult, untestable
from scrframe.statistics.groups import codes, less_group_mean

#: Detections of an exposure from which on its offset is looked at.
LEAST_EXPOSURE = 5
#: What residuals are tested against: key, words, unit.
STAR_QUANTITIES = (
    ("magnitude", "magnitude", "mag"),
    ("colour", "intrinsic colour", "mag"),
    ("extinction", "extinction E", "mag"),
    ("distance", "distance to the training stars", ""),
)
#: What visit offsets are tested against.
VISIT_QUANTITIES = (
    ("extinction", "mean extinction E of the field", "mag"),
    ("colour", "mean colour of the field", "mag"),
    ("metallicity", "mean [Fe/H] of the field", "dex"),
    ("latitude", "Galactic latitude", "deg"),
    ("longitude", "Galactic longitude", "deg"),
    ("airmass", "airmass", ""),
    ("time", "time", "d"),
    ("control", "share of control stars", ""),
)


@dataclass(frozen=True)
class StarSample:
    """The detections that null tests look at, n rows."""

    #: Model less calibrated magnitude, and the calibrated magnitude. Shape (n,).
    residual_mag: FloatArray
    mag: FloatArray
    #: See `scrframe.checks.null_tests.pairs.Calibrated`; None where the run states no errors.
    #: Shape (n,), or None.
    photometric_err: FloatArray | None
    exposure_err: FloatArray | None
    #: Right ascension and declination in deg. Shape (n,).
    position: tuple[FloatArray, FloatArray]
    #: Identifier of the star, number of the CCD, numbers from 0 of visit, of field, and of fields
    #: that lie together: what a model has wrong is alike within degrees. Shape (n,).
    source: IntArray
    ccd: IntArray
    visit: IntArray
    field: IntArray
    region: IntArray
    #: Detections whose residuals are honest: fitted neither by model nor offsets. Shape (n,).
    judges: BoolArray
    #: Detections that took part in the solve. Shape (n,).
    solved: BoolArray
    #: By the keys of `STAR_QUANTITIES`; what is not known is missing. Arrays of shape (n,).
    quantities: Mapping[str, FloatArray]
    #: Offset of the CCD in the visit, if the run has such a level. Shape (n,), or None.
    ccd_offset_mag: FloatArray | None = None
    #: Whether the judges are reserved stars; else they are only outside the control region.
    reserved: bool = True


@dataclass(frozen=True)
class VisitSample:
    """The visits, v rows."""

    #: Shape (v,).
    offset_mag: FloatArray
    #: In mag squared. Shape (v, v).
    covariance: FloatArray
    #: Numbers from 0. Shape (v,).
    field: IntArray
    night: IntArray
    #: Modified Julian date, and how far the year has gone, 0 to 1, from the observing season's
    #: beginning; instruments change with both. Shape (v,).
    date: FloatArray
    phase: FloatArray
    #: By the keys of `VISIT_QUANTITIES`; what is not known is missing. Arrays of shape (v,).
    quantities: Mapping[str, FloatArray]


@dataclass(frozen=True)
class NullTestLimits:
    """The limits of all tests."""

    #: Of residuals, in mag: curve, spread of CCDs, difference of kinds of stars.
    trend: Limit
    ccd: Limit
    kinds: Limit
    #: Range of a trend of visit offsets, in mag.
    visit: Limit
    #: Departure of the repeats' standard deviation from 1.
    pull: Limit
    #: Root mean square difference beyond the errors, in mag.
    repeats: Limit
    overlap: Limit
    #: Step of a CCD's offset in time, in mag.
    step: Limit
    #: Distance of a CCD from its usual place over that to the next CCD.
    place: Limit


def null_tests(
    stars: StarSample, visits: VisitSample, limits: NullTestLimits
) -> tuple[NullTestResult, ...]:
    """Run all null tests."""
    return (
        *_residuals(stars, limits),
        *_visits(visits, limits),
        *_repeats(stars, visits, limits),
        _steps(stars, visits, limits),
        ccd_places(
            NullTest("ccd_places", "Each CCD lies at its usual place", "CCD"),
            stars.position,
            stars.visit,
            stars.ccd,
            limits.place,
        ),
    )


def _residuals(stars: StarSample, limits: NullTestLimits) -> list[NullTestResult]:
    who = "reserved stars" if stars.reserved else "stars outside the control region"
    every = trends.DetectionResiduals(stars.residual_mag, stars.visit, stars.region)
    honest = every.take(stars.judges)
    checks = []
    for key, words, unit in STAR_QUANTITIES:
        test = NullTest(f"residual_{key}", f"Residual of {who} against {words}")
        if key in stars.quantities:
            x = stars.quantities[key][stars.judges]
            checks.append(trends.residual_trend(test, x, honest, limits.trend, unit))
        else:
            checks.append(untestable(test, limits.trend, "the run has no such column"))
    test = NullTest("residual_ccd", f"Residual of {who} by CCD")
    checks.append(trends.residual_by_ccd(test, stars.ccd[stars.judges], honest, limits.ccd))
    test = NullTest("residual_reserved", "Residual of reserved against used stars")
    if not stars.reserved:
        return [*checks, untestable(test, limits.kinds, "no stars were reserved")]
    both = stars.judges | stars.solved
    return [
        *checks,
        trends.mean_difference(test, stars.judges[both], every.take(both), limits.kinds),
    ]


def _visits(visits: VisitSample, limits: NullTestLimits) -> list[NullTestResult]:
    checks = []
    for key, words, unit in VISIT_QUANTITIES:
        test = NullTest(f"visit_{key}", f"Visit offset against {words}")
        if key not in visits.quantities:
            checks.append(untestable(test, limits.visit, "the run has no such column"))
            continue
        # Where and when go together, for each sky has its season.
        timed = key == "time"
        group = visits.night if timed else visits.field
        x, others = visits.quantities[key], () if timed else (visits.date, visits.phase)
        offset, covariance = visits.offset_mag, visits.covariance
        checks.append(
            trends.visit_trend(test, x, offset, covariance, group, limits.visit, unit, others)
        )
    return checks


def _steps(stars: StarSample, visits: VisitSample, limits: NullTestLimits) -> NullTestResult:
    test = NullTest("ccd_steps", "Step in time of a CCD's offset")
    if stars.ccd_offset_mag is None:
        return untestable(test, limits.step, "the run has no offsets by CCD and visit")
    # With the mean residual that the solution left, shrunken offsets are whole again.
    ccds, place = np.unique(stars.ccd, return_inverse=True)
    shape = (len(visits.date), len(ccds))
    good = np.isfinite(stars.residual_mag)
    left = less_group_mean(bounded(stars.residual_mag[good]), stars.visit[good])
    flat = (stars.visit * shape[1] + place)[good]
    sums = np.bincount(flat, stars.ccd_offset_mag[good] + left, shape[0] * shape[1])
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    offset = np.where(count >= LEAST_EXPOSURE, sums / np.maximum(count, 1), np.nan)
    check = ccd_steps(test, offset.reshape(shape), visits.date, limits.step)
    named = {"ccds": ccds}
    if "worst_ccd_place" in check.detail:
        named["worst_ccd"] = ccds[check.detail["worst_ccd_place"]]
    return replace(check, detail={**check.detail, **named})


def _repeats(
    stars: StarSample, visits: VisitSample, limits: NullTestLimits
) -> list[NullTestResult]:
    pull = NullTest("repeats_pull", "Repeats over their errors", "")
    within = NullTest("repeats_visits", "Reserved stars in two visits of a field")
    across = NullTest("overlaps", "Stars in two fields")
    if stars.photometric_err is None or stars.exposure_err is None:
        named = ((pull, limits.pull), (within, limits.repeats), (across, limits.overlap))
        reason = "the run states no errors of calibrated magnitudes"
        return [untestable(test, limit, reason) for test, limit in named]
    solved = successive(stars.source, stars.solved)
    exposure = codes(stars.visit * (int(stars.ccd.max(initial=0)) + 1) + stars.ccd)
    base = int(exposure.max(initial=0)) + 1
    two = codes(exposure[solved.first] * base + exposure[solved.second])
    calibrated = Calibrated(
        stars.mag,
        stars.photometric_err,
        stars.exposure_err,
        stars.visit,
        stars.ccd,
        np.nan_to_num(visits.covariance),
    )
    judges = successive(stars.source, stars.judges)
    same = stars.field[judges.first] == stars.field[judges.second]
    return [
        repeat_pull(pull, stars.mag, stars.photometric_err, two, solved, limits.pull),
        differences(
            within, calibrated, stars.visit, judges.take(same), limits.repeats, "visits of a field"
        ),
        differences(across, calibrated, stars.field, solved, limits.overlap, "fields"),
    ]
