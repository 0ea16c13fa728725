"""From a joint fit to a solution: exposures, fallbacks, systematic errors, zero point."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import IntArray
from scrframe.offsets.joint.mixed_model import Term
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.unobserved import CcdParts, KnownVisits, SolvedExposures, complete_exposures
from scrframe.products.solution import VisitSeen
from scrframe.run.offsets.curve_slope import SLOPE
from scrframe.run.offsets.joint import JointState
from scrframe.run.offsets.systematics import Shifts
from scrframe.run.plugins import SelectedPlugins
from scrframe.tables import (
    Detections,
    ExposureTable,
    FittedLevel,
    MatchedStars,
    OffsetTable,
    SolvedLevel,
)
from scrframe.tables.table import INPUTS, derive, season_of

#: Columns of an exposure without stars that its visit tells, or its detector.
TOLD = frozenset({"visit", "file", "field", "mjd", "ccd"})
#: The same, and what follows from them.
KNOWN = TOLD | {name for name, inputs in INPUTS.items() if inputs and TOLD.issuperset(inputs)}


def visit_spread(fit: JointFit) -> float:
    """Return the largest spread of a correction with a column for each visit, in mag."""
    design = fit.design
    return max(
        (
            _spread(fit, term)
            for term in design.model.terms
            if term.role == "correction" and design.visit_columns(term) is not None
        ),
        default=0.0,
    )


def ccd_parts(
    fit: JointFit,
    results: JointResults,
    levels: Sequence[FittedLevel],
    needs: Mapping[str, Collection[str]],
    visits: Sequence[VisitSeen],
) -> CcdParts:
    """Return what each detector adds to each visit, from the terms that it has in any visit.

    Terms with a column for each exposure say nothing of others, nor do those that need what is not
    known of an exposure without stars: their spread is that of the jitter.

    `needs` are the columns that each level reads, by its name; those with calibration stars are
    among the v visits.
    """
    ccd = np.unique([number for visit in visits for number in visit.ccds])
    grid, shape = _grid(visits, ccd), (len(visits), len(ccd))
    total, squares = np.zeros(len(grid)), np.zeros(len(grid))
    jitter, variance = 0.0, results.variances()
    for level in levels:
        term = fit.design.term(level.name)
        if term.role != "correction" or not _differs_between_ccds(fit, term):
            continue
        spread = _spread(fit, term)
        of_exposures = fit.design.exposure_columns(term) is not None
        if of_exposures or not set(needs[level.name]) <= KNOWN:
            jitter = float(np.hypot(jitter, spread))
            continue
        weights = level.design(grid).weights
        total += weights @ fit.estimate.parameters[term.columns]
        squares += abs(weights) @ variance[term.columns]
        # A group that the sample does not have may be anywhere within the level's spread.
        squares[np.diff(weights.indptr) == 0] += spread**2
    shift = np.zeros(len(ccd))  # mean of the maps of each detector, 0 where none is solved
    shift[np.searchsorted(ccd, np.unique(fit.design.exposures.ccd))] = results.gauged.map_shift_mag
    parts = total.reshape(shape) + shift
    parts -= parts.mean(axis=1, keepdims=True)
    return CcdParts(ccd, parts, np.sqrt(squares.reshape(shape)), jitter)


def _differs_between_ccds(fit: JointFit, term: Term) -> bool:
    """Return whether a term may differ between the detectors of a visit, but not within one."""
    rows, visit = fit.design.rows(term), fit.design.exposures.visit
    if rows is None or fit.design.visit_columns(term) is not None:
        return False
    first, of_visit = np.unique(visit, return_index=True, return_inverse=True)[1:]
    if len(first) == len(visit):
        return True  # with one detector in each visit nobody can tell
    return bool(abs(rows - rows[first[of_visit]]).sum() > 0)


def _spread(fit: JointFit, term: Term) -> float:
    """Return the standard deviation of what a term adds to exposures, in mag."""
    sd_mag = fit.estimate.sd_mag.get(term.name)
    rows = fit.design.rows(term)
    assert rows is not None
    if sd_mag is None:  # a flat prior: all that is known is what was found
        return float(np.std(rows @ fit.estimate.parameters[term.columns]))
    if term.precision is None or term.precision.nnz > term.width:
        return sd_mag
    return float(sd_mag * np.sqrt(rows.power(2).sum(axis=1).mean()))


def _grid(visits: Sequence[VisitSeen], ccd: IntArray) -> Detections:
    """Return one made-up detection in each detector of each visit; only `KNOWN` is true."""
    count = len(visits) * len(ccd)
    each = {
        "visit": np.repeat([visit.key for visit in visits], len(ccd)),
        "file": np.repeat([visit.file for visit in visits], len(ccd)),
        "field": np.repeat([visit.field for visit in visits], len(ccd)),
        "mjd": np.repeat([visit.mjd for visit in visits], len(ccd)),
        "ccd": np.tile(ccd, len(visits)),
    }
    blank = {name: np.zeros(count) for name in ("ra", "dec", "x", "y", "mag", "mag_err")}
    labels = {"band": np.repeat("-", count)}
    numbers = {name: np.zeros(count, dtype=np.int64) for name in ("extension", "row")}
    made = Detections.from_columns({**each, **labels, **numbers, **blank})
    return derive(made, "detection", KNOWN)


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
    fit: JointFit, results: JointResults, state: JointState, visits: Sequence[VisitSeen]
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
            visit[exposures.visit], exposures.ccd, solved.offset_mag, solved.err_mag, solved.count
        ),
        ccd_parts(fit, results, state.levels, state.solver.needs, visits),
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
    plugins: SelectedPlugins, results: JointResults, levels: Sequence[FittedLevel], fit: JointFit
) -> tuple[SolvedLevel, ...]:
    """Return all levels with their offsets; only maps over detectors are applied as such."""
    blocks = plugins.survey.offsets.active_levels()
    split = fit.design.model.by_exposure.shape[1]
    solved = []
    for level, block in zip(levels, blocks, strict=True):
        table: OffsetTable = results.table(level.name)
        applied = level.role == "correction" and fit.design.term(level.name).first >= split
        solved.append(SolvedLevel(level, block.kind, table, applied))
    return tuple(solved)


def star_columns(
    sample: MatchedStars, state: JointState, fit: JointFit
) -> dict[str, npt.NDArray[Any]]:
    """Return further columns of stars.parquet, shape (n,) each.

    ``weight`` is the robust weight of the detection times that of its star (of a star with one
    detection, where the two are the same doubt, once), NaN for detections that take no part;
    ``star_dev`` and ``star_dev_err`` are the star's own deviation from the model, in mag.
    """
    used = state.used
    weight, deviation, error = (np.full(len(used), np.nan) for _ in range(3))
    model = fit.design.model
    # A star that is no use to the offsets still has better and worse detections.
    weight[used] = fit.robust.together(model.star, SMALLEST_STAR_WEIGHT)
    mean, variance = fit.star_deviations()
    # Where hardly any weight is left, nothing is known of a star's own deviation.
    known = variance < LARGEST_ERROR_MAG**2
    deviation[used] = np.where(known, mean, np.nan)[model.star]
    error[used] = np.sqrt(np.where(known, variance, np.nan))[model.star]
    distance = state.stars.distance
    if distance is None:
        distance = np.full(len(sample.stars), np.nan, dtype=np.float32)
    return {
        "in_solve": used,
        "reserved": state.stars.reserved[sample.star],
        "weight": weight,
        "star_dev": deviation,
        "star_dev_err": error,
        "domain_distance": distance[sample.star],
        "outside": state.stars.outside[sample.star],
    }


def read_by_terms(table: Detections) -> dict[str, npt.NDArray[Any]]:
    """Return what terms of a solution read of its stars and nothing else of a run tells."""
    slope = table[SLOPE] if SLOPE in table else np.full(len(table), np.nan)
    return {SLOPE: slope.astype(np.float32)}


def joint_record(fit: JointFit, state: JointState, shifts: Shifts) -> dict[str, Any]:
    """Return what summary.json says of the joint solution."""
    noise, stars = fit.estimate.noise, state.stars
    errors = fit.noise_errors if len(fit.noise_errors) else np.full(2, np.nan)
    return {
        "converged": fit.converged,
        "detections": int(state.used.sum()),
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
        "terms": None if state.terms is None else state.terms.record(),
        "star_scatter_mag": float(np.exp(noise.scatter[0])),
        "kept": fit.robust.kept,
        "systematics_rms_mag": {
            name: float(np.sqrt(np.mean(values**2))) for name, values in shifts.by_cause.items()
        },
    }
