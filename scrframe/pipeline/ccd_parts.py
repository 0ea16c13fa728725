"""What each detector adds to each visit, for exposures without calibration stars."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scrframe.offsets.fallback import CcdParts
from scrframe.offsets.joint import JointFit
from scrframe.offsets.model import IntArray, Term
from scrframe.offsets.results import JointResults
from scrframe.pipeline.detections import VisitSeen
from scrframe.tables import Detections, FittedLevel
from scrframe.tables.derived import INPUTS, derive

FloatArray = npt.NDArray[np.float64]
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

    Terms with a column for each exposure say nothing of others, nor do those that need what
    is not known of an exposure without stars: their spread is that of the jitter.

    Parameters
    ----------
    fit : JointFit
    results : JointResults
    levels : sequence of FittedLevel
    needs : mapping of str to collection of str
        Columns that each level reads, by its name.
    visits : sequence of VisitSeen
        v visits; those with calibration stars among them.
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
    parts = total.reshape(shape) + _map_shift(results, fit.design.exposures.ccd, ccd)
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


def _map_shift(results: JointResults, solved: IntArray, ccd: IntArray) -> FloatArray:
    """Return the mean of the maps by detector, shape (c,); 0 where none is solved."""
    shift = np.zeros(len(ccd))
    shift[np.searchsorted(ccd, np.unique(solved))] = results.gauged.map_shift_mag
    return shift


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
