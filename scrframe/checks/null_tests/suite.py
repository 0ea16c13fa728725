"""All null tests of a run, in the order in which they are reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import norm

from scrframe.arrays import BoolArray
from scrframe.checks.null_tests import trends
from scrframe.checks.null_tests.detectors import ccd_places, ccd_steps
from scrframe.checks.null_tests.inputs import (
    STAR_QUANTITIES,
    VISIT_QUANTITIES,
    NullTestLimits,
    StarSample,
    VisitSample,
)
from scrframe.checks.null_tests.overlaps import (
    OVERLAP_QUANTITIES,
    field_tensions,
    tension_size,
    tension_trend,
)
from scrframe.checks.null_tests.pairs import (
    Calibrated,
    differences,
    repeat_pull,
    successive,
)
from scrframe.checks.null_tests.places import structure_tests
from scrframe.checks.statistics import bounded
from scrframe.checks.verdict import NullTest, NullTestResult, untestable
from scrframe.statistics.covariance import without_nan
from scrframe.statistics.groups import codes, less_group_mean

#: Detections of an exposure from which on its offset is looked at.
LEAST_EXPOSURE = 5


def null_tests(
    stars: StarSample, visits: VisitSample, limits: NullTestLimits
) -> tuple[NullTestResult, ...]:
    """Run all null tests."""
    return (
        *_residuals(stars, limits),
        *structure_tests(stars, visits, limits),
        *_visits(visits, limits),
        *_repeats(stars, visits, limits),
        *_between(stars, visits, limits),
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
    who, rows = "stars", stars.solved
    if not stars.reserved:  # those of the control region are in the means themselves
        who, rows = "stars outside the control region", stars.judges
    every = trends.DetectionResiduals(stars.residual_mag, stars.visit, stars.region)
    tested = every.take(rows)
    checks = []
    for key, words, unit in STAR_QUANTITIES:
        test = NullTest(f"residual_{key}", f"Residual of {who} against {words}")
        if key in stars.quantities:
            x = stars.quantities[key][rows]
            limit = limits.trend
            if key == "magnitude" and len(x):
                half = float(np.ptp(np.nanquantile(x, [0.05, 0.95]))) / 2
                limit = replace(limit, size=limit.size + limits.magnitude_slope * half)
            checks.append(trends.residual_trend(test, x, tested, limit, unit))
        else:
            checks.append(untestable(test, limits.trend, "the run has no such column"))
    test = NullTest("residual_ccd", f"Residual of {who} by CCD")
    checks.append(trends.residual_by_ccd(test, stars.ccd[rows], tested, limits.ccd))
    test = NullTest("residual_reserved", "Residual of reserved against used stars")
    if not stars.reserved:
        return [*checks, untestable(test, limits.kinds, "no stars were reserved")]
    both = stars.judges | stars.solved
    return [
        *checks,
        trends.mean_difference(test, _reserved(stars)[both], every.take(both), limits.kinds),
    ]


def _reserved(stars: StarSample) -> BoolArray:
    """Return which detections are of reserved stars rather than of stars of the solve."""
    return np.asarray(stars.judges & ~stars.solved)


def _visits(visits: VisitSample, limits: NullTestLimits) -> list[NullTestResult]:
    checks = []
    # The same zero points are looked at for each quantity, and their scatter is large.
    looks = len(VISIT_QUANTITIES)
    strict = replace(limits.visit, sigma=float(norm.isf(limits.visit.probability / 2 / looks)))
    for key, words, unit in VISIT_QUANTITIES:
        test = NullTest(f"visit_{key}", f"Visit offset against {words}")
        if key not in visits.quantities:
            checks.append(untestable(test, strict, "the run has no such column"))
            continue
        # Where and when go together, for each sky has its season.
        timed = key == "time"
        group = visits.night if timed else visits.field
        x, others = visits.quantities[key], () if timed else (visits.date, visits.phase)
        offset, covariance = visits.offset_mag, visits.covariance
        checks.append(trends.visit_trend(test, x, offset, covariance, group, strict, unit, others))
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
        without_nan(visits.covariance),
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


def _between(
    stars: StarSample, visits: VisitSample, limits: NullTestLimits
) -> list[NullTestResult]:
    """Test what the model says of two fields against the stars that both have."""
    found = field_tensions(stars)
    size = NullTest("model_overlaps", "Zero points by the model against overlaps")
    checks = [tension_size(size, found, limits.structure)]
    number = np.bincount(visits.field)
    for key, words, unit in OVERLAP_QUANTITIES:
        test = NullTest(f"overlaps_{key}", f"Model against overlaps, by {words}")
        if key not in visits.quantities:
            checks.append(untestable(test, limits.structure, "it is not known of the visits"))
            continue
        with np.errstate(invalid="ignore"):
            quantity = np.bincount(visits.field, visits.quantities[key]) / number
        region = np.zeros(len(number), dtype=np.int64)
        region[visits.field] = visits.region
        checks.append(tension_trend(test, quantity, found, region, limits.structure, unit))
    return checks
