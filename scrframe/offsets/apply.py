"""Apply a solution to detections: no reference stars, no model (paper, Eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray
from scrframe.tables import (
    CORRECTION_LEVELS,
    FLAG_BITS,
    LEVELS,
    ColourReference,
    Corrections,
    Detections,
    ExposureTable,
    LevelDesign,
    OffsetTable,
    PhotometricError,
    Solution,
    chord,
    unit_vectors,
)
from scrframe.tables.levels import COLOUR, OBSERVED_COLOUR
from scrframe.tables.table import derive


def apply_solution(solution: Solution, detections: Detections) -> Corrections:
    """Return the corrections of detections: the sum of all levels and u_ZP.

    Parameters
    ----------
    solution : Solution
        Offsets of every level.
    detections : Detections
        n rows, with the columns that the levels read.

    Returns
    -------
    Corrections
        Of mode sequential: a detection for which any level has no offset, or of a visit that
        the solution does not know, has a NaN total and a flag. Of mode joint: every
        detection of a known visit has a total, its error and the level it came from. With
        colour terms, what the colour adds where `detections` have ``relative_colour``.
    """
    keys = {
        name
        for level in solution.levels
        if level.applied or level.fitted.role == "colour" or solution.exposures is None
        for name in level.fitted.labels().column_names
    }
    detections = derive(detections, "detection", keys)  # such as the season of a map
    if solution.exposures is None:
        corrections = _sum_of_levels(solution, detections)
    else:
        corrections = _of_exposures(solution, solution.exposures, detections)
    if solution.colour is not None:
        corrections = _with_colour(corrections, solution, solution.colour, detections)
    flags = corrections.flags
    flags[unknown_visits(solution, detections)] |= FLAG_BITS["unknown_visit"]
    flags[~np.isfinite(detections["mag"])] |= FLAG_BITS["no_magnitude"]
    return replace(corrections, system=solution.system)


def _sum_of_levels(solution: Solution, detections: Detections) -> Corrections:
    flags = np.zeros(len(detections), dtype=np.int32)
    total = np.full(len(detections), solution.zero_point_mag)
    by_level = {}
    for level in solution.levels:
        design = level.fitted.design(detections)
        # A column without offset makes the product NaN; an unknown one leaves its row empty.
        offset = np.asarray(design.weights @ level.offsets.offset_mag)
        offset[np.diff(design.weights.indptr) == 0] = np.nan
        flags[np.isnan(offset)] |= _few_stars(level.fitted.name)
        by_level[level.fitted.name] = offset
        total = total + offset
    return Corrections(by_level, total, flags)


@dataclass(frozen=True)
class MapPart:
    """Offsets of a map over a detector, by detection; `own` where stars have seen it."""

    offset_mag: FloatArray
    err_mag: FloatArray
    own: npt.NDArray[np.bool_]


def _of_exposures(
    solution: Solution, exposures: ExposureTable, detections: Detections
) -> Corrections:
    row = exposures.find(detections)
    known = row >= 0
    row = np.maximum(row, 0)
    offset, err, sys = (
        np.where(known, values[row], np.nan)
        for values in (exposures.offset_mag, exposures.err_mag, exposures.sys_mag)
    )
    visit = np.where(known, exposures.visit_mag[row], np.nan)
    by_level = {"visit": visit, "ccd": offset - visit}
    squares, finest = err**2, np.zeros(len(detections), dtype=bool)
    for level in solution.levels:
        if level.applied:
            part = map_part(level.fitted.design(detections), level.offsets)
            by_level[level.fitted.name] = np.where(known, part.offset_mag, np.nan)
            offset, squares = offset + part.offset_mag, squares + part.err_mag**2
            finest |= part.own
    names = np.array([CORRECTION_LEVELS.index(name) for name in LEVELS], dtype=np.int16)
    codes = {name: number for number, name in enumerate(LEVELS)}
    of_row = names[np.array([codes[name] for name in exposures.level.tolist()], dtype=np.int64)]
    level_code = np.where(known, of_row[row] if len(of_row) else 0, 0).astype(np.int16)
    level_code[known & finest & (level_code == CORRECTION_LEVELS.index("ccd"))] = (
        CORRECTION_LEVELS.index("pixel")
    )
    flags = np.zeros(len(detections), dtype=np.int32)
    flags[level_code > CORRECTION_LEVELS.index("ccd")] |= FLAG_BITS["fallback"]
    flags[~known] |= FLAG_BITS["few_stars_ccd"]
    return Corrections(
        by_level,
        offset + solution.zero_point_mag,
        flags,
        _errors(np.sqrt(squares), sys, detections, solution.photometry),
        level_code,
    )


def _with_colour(
    corrections: Corrections,
    solution: Solution,
    reference: ColourReference,
    detections: Detections,
) -> Corrections:
    """Add what colours add; a star without one is corrected as of the reference colour."""
    known = np.zeros(len(detections), dtype=bool)
    colour, variance = np.zeros(len(detections)), np.zeros(len(detections))
    if COLOUR in detections:
        known = np.isfinite(detections[COLOUR])
        seen = detections.with_columns({COLOUR: np.where(known, detections[COLOUR], 0.0)})
        for level in solution.levels:
            if level.fitted.role == "colour":
                weights = level.fitted.design(seen).weights
                colour += weights @ level.offsets.offset_mag
                variance += weights.power(2) @ level.offsets.err_mag**2
    more = np.where(known, 0.0, reference.spread_mag)
    errors = dict(corrections.errors)
    errors["mag_cal_err"] = np.sqrt(errors["mag_cal_err"] ** 2 + variance)
    errors["mag_cal_sys"] = np.hypot(errors["mag_cal_sys"], more)
    corrections.flags[~known] |= FLAG_BITS["no_colour"]
    return replace(
        corrections,
        errors=errors,
        colour_mag=colour,
        reference_colour_mag=reference.reference_mag,
    )


def near_colours(
    detections: Detections,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    colour_mag: FloatArray,
    reference: ColourReference,
) -> Detections:
    """Return detections with ``relative_colour``, that of the nearest star with a colour.

    Parameters
    ----------
    detections : Detections
        n rows; those far from any star keep their own ``observed_colour``, or have none, NaN.
    ra_deg, dec_deg, colour_mag : ndarray, shape (s,)
        Stars: positions, and colours band less reference magnitude.
    reference : ColourReference
    """
    relative = np.full(len(detections), np.nan)
    there = np.flatnonzero(np.isfinite(colour_mag))
    here = np.flatnonzero(np.isfinite(detections["ra"]) & np.isfinite(detections["dec"]))
    if len(there) and len(here):
        sky = cKDTree(unit_vectors(ra_deg[there], dec_deg[there]))
        limit = chord(reference.match_radius_arcsec / 3600)
        places = unit_vectors(detections["ra"][here], detections["dec"][here])
        distance, star = map(np.asarray, sky.query(places, distance_upper_bound=limit))
        hit = np.isfinite(distance)
        relative[here[hit]] = colour_mag[there[star[hit]]] - reference.reference_mag
    own = own_colours(detections, reference)
    if COLOUR in own:
        relative = np.where(np.isfinite(relative), relative, own[COLOUR])
    return detections.with_columns({COLOUR: relative})


def own_colours(detections: Detections, reference: ColourReference) -> Detections:
    """Return detections with ``relative_colour`` if they have an ``observed_colour``."""
    if OBSERVED_COLOUR not in detections:
        return detections
    relative = detections[OBSERVED_COLOUR] - reference.reference_mag
    return detections.with_columns({COLOUR: relative})


def map_part(design: LevelDesign, offsets: OffsetTable) -> MapPart:
    """Return a map's offsets; where the map has no column a detection gets none of it."""
    weights = design.weights
    own = np.asarray(abs(weights) @ (offsets.count > 0).astype(float)) > 0
    return MapPart(np.asarray(weights @ offsets.offset_mag), map_error(design, offsets), own)


def map_error(design: LevelDesign, offsets: OffsetTable) -> FloatArray:
    """Return the error of a level's offsets by detection, shape (n,), in mag.

    Neighbouring nodes of a map err together: weights that sum to one add errors linearly,
    which bounds the error from above and is exact for bins. Terms of a polynomial are
    nearly orthogonal and add in quadrature.
    """
    weights = design.weights
    if np.all(weights.data >= 0):
        return np.asarray(weights @ offsets.err_mag)
    return np.asarray(np.sqrt(weights.power(2) @ offsets.err_mag**2))


def _errors(
    err_mag: FloatArray,
    sys_mag: FloatArray,
    detections: Detections,
    photometry: PhotometricError | None,
) -> dict[str, FloatArray]:
    catalogued = detections["mag_err"]
    noise = catalogued**2 if photometry is None else photometry.variance(catalogued)
    return {
        "offset_total_err": err_mag,
        "mag_cal_err": np.sqrt(err_mag**2 + noise),
        "mag_cal_sys": sys_mag,
    }


def unknown_visits(solution: Solution, detections: Detections) -> npt.NDArray[np.bool_]:
    """Return which detections belong to a visit that the solution does not know."""
    codes, labels = detections.codes("visit")
    known = set(solution.visits)
    strange = np.array([label not in known for label in labels], dtype=bool)
    return np.asarray(strange[codes]) if len(labels) else np.zeros(len(codes), dtype=bool)


def _few_stars(level: str) -> int:
    return FLAG_BITS.get(f"few_stars_{level}", FLAG_BITS["few_stars_other"])
