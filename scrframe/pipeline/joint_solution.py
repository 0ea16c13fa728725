"""From a joint fit to a solution: exposures, fallbacks, systematic errors, zero point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.offsets.fallback import SolvedExposures, complete_exposures
from scrframe.offsets.joint import JointFit
from scrframe.offsets.kin import KnownVisits
from scrframe.offsets.results import JointResults
from scrframe.pipeline.ccd_parts import ccd_parts, visit_spread
from scrframe.pipeline.chosen import Chosen
from scrframe.pipeline.detections import VisitSeen
from scrframe.pipeline.joint import JointSettler
from scrframe.pipeline.systematics import Shifts
from scrframe.tables import (
    ExposureTable,
    FittedLevel,
    MatchedStars,
    OffsetTable,
    SolvedLevel,
)
from scrframe.tables.derived import season_of

FloatArray = npt.NDArray[np.float64]
#: Deviations of stars that are less certain than this are not given.
LARGEST_ERROR_MAG = 1.0
#: The weight of a star, as a factor of its detections' in products, is no smaller.
SMALLEST_STAR_WEIGHT = 1e-6


def known_visits(visits: Sequence[VisitSeen]) -> KnownVisits:
    """Return all visits that a run has read, with the field and season of each."""
    season = season_of(np.array([visit.mjd for visit in visits], dtype=np.float64))
    # A visit whose catalogue names no field is a field of its own.
    fields = [visit.field or f"visit {visit.key}" for visit in visits]
    return KnownVisits(
        name=tuple(visit.key for visit in visits),
        field=np.unique(fields, return_inverse=True)[1],
        season=np.unique(season.to_numpy(), return_inverse=True)[1],
    )


def exposure_table(
    fit: JointFit,
    results: JointResults,
    settler: JointSettler,
    visits: Sequence[VisitSeen],
) -> ExposureTable:
    """Return the offsets of all known visits on all known detectors."""
    known = known_visits(visits)
    exposures, solved = fit.design.exposures, results.exposures
    row = {name: number for number, name in enumerate(known.name)}
    visit = np.array([row[name] for name in exposures.visits], dtype=np.int64)
    visit_mag, visit_err = (np.full(len(known.name), np.nan) for _ in range(2))
    visit_mag[visit], visit_err[visit] = solved.visit_mag, solved.visit_err_mag
    return complete_exposures(
        known,
        visit_mag,
        visit_err,
        SolvedExposures(
            visit[exposures.visit],
            exposures.ccd,
            solved.offset_mag,
            solved.err_mag,
            solved.count,
        ),
        ccd_parts(fit, results, settler.levels, settler.needs, visits),
        visit_spread(fit),
    )


def with_systematics(table: ExposureTable, fit: JointFit, shifts: Shifts) -> ExposureTable:
    """Return the table with what systematic effects can shift, by exposure.

    Exposures without stars of their own get the root mean square of all.
    """
    total = shifts.total_mag
    sys = np.full(len(table), float(np.sqrt(np.mean(total**2))) if len(total) else np.nan)
    exposures = fit.design.exposures
    place = {key: number for number, key in enumerate(zip(table.visit, table.ccd, strict=True))}
    names = np.array(exposures.visits)[exposures.visit]
    for name, ccd, value in zip(names, exposures.ccd, total, strict=True):
        sys[place[name, ccd]] = value
    return replace(table, sys_mag=sys)


def solved_levels(
    chosen: Chosen, results: JointResults, levels: Sequence[FittedLevel], fit: JointFit
) -> tuple[SolvedLevel, ...]:
    """Return all levels with their offsets; only maps over detectors are applied as such."""
    blocks = chosen.survey.offsets.active_levels()
    split = fit.design.model.by_exposure.shape[1]
    solved = []
    for level, block in zip(levels, blocks, strict=True):
        table: OffsetTable = results.table(level.name)
        applied = level.role == "correction" and fit.design.term(level.name).first >= split
        solved.append(SolvedLevel(level, block.kind, table, applied))
    return tuple(solved)


def star_columns(
    sample: MatchedStars, settler: JointSettler, fit: JointFit
) -> dict[str, npt.NDArray[Any]]:
    """Return further columns of stars.parquet, shape (n,) each.

    ``weight`` is the robust weight of the detection times that of its star (of a star with one
    detection, where the two are the same doubt, once), NaN for detections that take no part;
    ``star_dev`` and ``star_dev_err`` are the star's own deviation from the model, in mag.
    """
    used = settler.used
    weight, deviation, error = (np.full(len(used), np.nan) for _ in range(3))
    model = fit.design.model
    # A star that is no use to the offsets still has better and worse detections.
    weight[used] = fit.robust.together(model.star, SMALLEST_STAR_WEIGHT)
    mean, variance = fit.star_deviations()
    # Where hardly any weight is left, nothing is known of a star's own deviation.
    known = variance < LARGEST_ERROR_MAG**2
    deviation[used] = np.where(known, mean, np.nan)[model.star]
    error[used] = np.sqrt(np.where(known, variance, np.nan))[model.star]
    distance = settler.stars.distance
    if distance is None:
        distance = np.full(len(sample.stars), np.nan, dtype=np.float32)
    return {
        "in_solve": used,
        "reserved": settler.stars.reserved[sample.star],
        "weight": weight,
        "star_dev": deviation,
        "star_dev_err": error,
        "domain_distance": distance[sample.star],
        "outside": settler.stars.outside[sample.star],
    }


def joint_record(fit: JointFit, settler: JointSettler, shifts: Shifts) -> dict[str, Any]:
    """Return what summary.json says of the joint solution."""
    noise, stars = fit.estimate.noise, settler.stars
    errors = fit.noise_errors if len(fit.noise_errors) else np.full(2, np.nan)
    return {
        "converged": fit.converged,
        "detections": int(settler.used.sum()),
        "reserved_stars": int(stars.reserved.sum()),
        "outside_stars": int((stars.outside != 0).sum()),
        "rounds": [
            {"change": each.change, "moved_mag": each.moved_mag, "kept": each.kept}
            for each in fit.rounds
        ],
        "components": {
            each.name: {"sd_mag": each.sd_mag, "err_mag": each.err_mag, "note": each.note}
            for each in fit.components
        },
        "photometry": {
            "scale": noise.scale,
            "scale_err": float(errors[0]),
            "floor_mag": noise.floor_mag,
            "floor_err_mag": float(errors[1]),
            "notes": list(fit.noise_notes),
        },
        "star_scatter_mag": float(np.exp(noise.scatter[0])),
        "kept": fit.robust.kept,
        "systematics_rms_mag": {
            name: float(np.sqrt(np.mean(values**2))) for name, values in shifts.by_cause.items()
        },
    }
