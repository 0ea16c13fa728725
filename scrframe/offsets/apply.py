"""Apply a solution to detections: no reference stars, no model (paper, Eq. 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scrframe.tables import FLAG_BITS, Corrections, Detections, Solution


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
        A detection for which any level has no offset, or of a visit that the solution does
        not know, has a NaN total and a flag.
    """
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
    unknown = unknown_visits(solution, detections)
    flags[unknown] |= FLAG_BITS["unknown_visit"]
    flags[~np.isfinite(detections["mag"])] |= FLAG_BITS["no_magnitude"]
    return Corrections(by_level, total, flags)


def unknown_visits(solution: Solution, detections: Detections) -> npt.NDArray[np.bool_]:
    """Return which detections belong to a visit that the solution does not know."""
    codes, labels = detections.codes("visit")
    known = set(solution.visits)
    strange = np.array([label not in known for label in labels], dtype=bool)
    return np.asarray(strange[codes]) if len(labels) else np.zeros(len(codes), dtype=bool)


def _few_stars(level: str) -> int:
    return FLAG_BITS.get(f"few_stars_{level}", FLAG_BITS["few_stars_other"])
