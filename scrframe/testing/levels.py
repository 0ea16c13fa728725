"""Checks of offset levels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg

from scrframe.arrays import FloatArray
from scrframe.tables import BY_NAME, Detections, FittedLevel, LevelDesign, MatchedStars
from scrframe.tables.columns import DETECTION_REQUIRED
from scrframe.testing.common import judge_copies, same_bits
from scrframe.testing.draws import draw_sample
from scrframe.testing.subject import KindTraits, NotTestedError, Repeat, Subject, demand

LEVEL = "tested"
#: Offsets that are injected and noise of the magnitudes, in mag.
OFFSET_MAG, NOISE_MAG = 0.05, 0.005
#: Part of the variance of injected offsets that must be found.
RECOVERED = 0.5
#: Mean variance of the columns by the prior, for a variance of 1: how far it may be from 1.
PRIOR_FACTOR = 20.0
#: Whole numbers with at most so many values are labels.
LABELS = 40


def _sample(subject: Subject) -> MatchedStars:
    return subject.once("a calibration sample", draw_sample)


def _prepare(subject: Subject) -> FittedLevel:
    level: FittedLevel = subject.descriptor.prepare(LEVEL, _sample(subject), subject.config)
    return level


def _level(subject: Subject, *, judge: bool = False) -> FittedLevel:
    return subject.once("a prepared level", lambda: _prepare(subject), judge=judge)


def _weights(level: FittedLevel, detections: Detections) -> sparse.csr_array:
    design = level.design(detections)
    demand(
        isinstance(design, LevelDesign) and sparse.issparse(design.weights),
        f"`design` returned a {type(design).__name__}: return a LevelDesign of a scipy.sparse"
        " csr_array, or LevelDesign.of_partition(column, width)",
    )
    return sparse.csr_array(design.weights)


def _design(subject: Subject) -> sparse.csr_array:
    level, table = _level(subject), _sample(subject).detections
    return subject.once("a design", lambda: _weights(level, table))


def check_schema(subject: Subject) -> None:
    """Check that a prepared level has a label for each column and a row for each detection."""
    level = _level(subject, judge=True)
    demand(
        isinstance(level, FittedLevel),
        f"`prepare` returned a {type(level).__name__}: return a subclass of FittedLevel",
    )
    demand(level.name == LEVEL, f"the level calls itself {level.name!r}: keep the name it is given")
    labels, table = level.labels(), _sample(subject).detections
    demand(isinstance(labels, pa.Table), "`labels` must return a pyarrow table, a row a column")
    weights = _weights(level, table)
    demand(
        weights.shape == (len(table), labels.num_rows),
        f"the design has shape {weights.shape}, expected (n, p) = {(len(table), labels.num_rows)}:"
        " n detections, and as many columns as `labels` has rows",
    )
    demand(
        np.isfinite(weights.data).all(),
        "the design holds weights that are not finite: give a"
        " detection without a value an empty row",
    )
    demand(weights.nnz, "no detection of the sample has a weight: check how groups are found")


def check_role(subject: Subject) -> None:
    """Check that what the level says of itself holds: its role, and the columns that it needs."""
    level, descriptor = _level(subject), subject.descriptor
    role = descriptor.role(subject.config)
    demand(
        level.role == role,
        f"the level has the role {level.role!r}, but the descriptor says {role!r}: make them agree",
    )
    needs = descriptor.needs(subject.config)
    for name in needs:
        known = BY_NAME.get(name)
        demand(
            known is not None or role == "nuisance",
            f"`needs` names {name!r}, which is not in the vocabulary (`scrframe schema --columns`)",
        )
        demand(
            known is None
            or role == "nuisance"
            or known.stage == "detection"
            or (role == "colour" and name == "relative_colour"),
            f"`needs` names {name!r}, which catalogues of a survey do not hold: a correction must"
            " be found without it; make the level a nuisance term, or use other columns",
        )
    table = _sample(subject).detections
    kept = [name for name in table.names if name in {*needs, *DETECTION_REQUIRED}]
    try:
        same = same_bits(_weights(level, table.select(kept)), _design(subject))
    except KeyError as error:
        demand(False, f"the design reads a column that `needs` does not name: {error}")
    demand(same, "the design changes when only the columns of `needs` are there: name all it reads")


def check_chunks(subject: Subject) -> None:
    """Check that a detection's row depends on that detection alone."""
    level, table, whole = _level(subject), _sample(subject).detections, _design(subject)
    order = np.random.default_rng(2).permutation(len(table))
    last = len(table) - 50
    for rows in (np.arange(last, len(table)), np.arange(last, last + 1), order):
        demand(
            same_bits(_weights(level, table.take(rows)), sparse.csr_array(whole[rows])),
            "the design of some detections is another than in the whole sample: use only what"
            " `prepare` has found, not what the detections at hand span",
        )
    empty = _weights(level, table.take(np.arange(0)))
    demand(
        empty.shape == (0, whole.shape[1]),
        f"the design of no detections has shape {empty.shape}: expected {(0, whole.shape[1])}",
    )


def check_unknown(subject: Subject) -> None:
    """Check that visits, detectors and places that the sample has not seen do no harm."""
    level, table = _level(subject), _sample(subject).detections.take(np.arange(20))
    rows = len(table)
    strange = {
        "visit": np.full(rows, "visit never seen"),
        "field": np.full(rows, "field never seen"),
        "ccd": np.full(rows, 99),
        "x": np.full(rows, np.nan),
        "mjd": np.full(rows, 70000.0),
    }
    needs = subject.descriptor.needs(subject.config)
    for name in [name for name in strange if name in needs]:
        weights = _weights(level, table.with_columns({name: strange[name]}))
        demand(
            weights.shape == (rows, _design(subject).shape[1]) and np.isfinite(weights.data).all(),
            f"detections whose {name} is new or missing get weights that are not finite, or another"
            " width: give them an empty row, or the value at the edge",
        )


def check_restore(subject: Subject) -> None:
    """Check that `restore` is the inverse of `labels` and `state`, a table and JSON."""
    level, descriptor = _level(subject), subject.descriptor
    try:
        state = json.loads(json.dumps(dict(level.state()), allow_nan=False))
    except (TypeError, ValueError) as error:
        demand(
            False, f"`state` cannot be written as JSON ({error}): return numbers, texts and lists"
        )
    restored = descriptor.restore(LEVEL, level.labels(), state, subject.config)
    demand(
        restored.labels().equals(level.labels()),
        "a restored level has other labels: `restore` must keep the columns and their order",
    )
    demand(
        same_bits(_weights(restored, _sample(subject).detections), _design(subject)),
        "a restored level has another design: put all that it needs into `labels` and `state`",
    )
    demand(
        (restored.name, restored.role, restored.within_exposure)
        == (level.name, level.role, level.within_exposure),
        "a restored level has another name, role or within_exposure: set them in `restore` too",
    )


def check_precision(subject: Subject) -> None:
    """Check that the prior is symmetric, positive definite and about of variance 1."""
    level, width = _level(subject), _design(subject).shape[1]
    precision = level.precision()
    if precision is None:
        return
    demand(
        sparse.issparse(precision) and precision.shape == (width, width),
        f"`precision` must be a sparse matrix of shape {(width, width)}, or None",
    )
    dense = precision.toarray()
    demand(
        np.isfinite(dense).all() and np.allclose(dense, dense.T, rtol=1e-10, atol=0),
        "`precision` is not symmetric and finite: it is the inverse of a covariance",
    )
    values, vectors = np.linalg.eigh(dense)
    demand(
        values.min() > 0,
        f"`precision` is not positive definite (smallest eigenvalue {values.min():.2g}): add a"
        " small multiple of the identity, or return None for free columns",
    )
    variance = float(np.mean((vectors**2) @ (1 / values)))
    demand(
        1 / PRIOR_FACTOR < variance < PRIOR_FACTOR,
        f"by `precision` the columns have a mean variance of {variance:.3g}: scale it to about 1,"
        " for the solve estimates the variance as a factor",
    )


def check_within_exposure(subject: Subject) -> None:
    """Check that `within_exposure` is true where detections of one exposure differ."""
    if _level(subject).within_exposure:
        return
    table, weights = _sample(subject).detections, _design(subject)
    exposure = table.codes("visit")[0].astype(np.int64) * 1000 + table["ccd"]
    first = np.unique(exposure, return_index=True, return_inverse=True)
    same = same_bits(sparse.csr_array(weights[first[1]][first[2]]), weights)
    demand(
        same,
        "detections of one detector in one visit differ in the design, but within_exposure is"
        " False: set it to True, or they are solved as one",
    )


def check_offsets_recovered(subject: Subject) -> None:
    """Check that offsets that depend on the level's columns are found again by a solve."""
    table, weights = _sample(subject).detections, _design(subject)
    precision = _level(subject).precision()
    needs = subject.descriptor.needs(subject.config)
    found = {}
    for name in [name for name in needs if name in table]:
        truth = injected(table, name)
        noise = np.random.default_rng(3).normal(0, NOISE_MAG, len(table))
        fitted = _solved(weights, precision, truth + noise)
        found[name] = 1 - np.var(fitted - truth) / np.var(truth)
    if not found:
        raise NotTestedError("the level needs no column of the vocabulary")
    best = max(found, key=lambda name: found[name])
    demand(
        found[best] > RECOVERED,
        f"offsets injected by {' or '.join(found)} are not found: a solve on the level's design"
        f" explains {max(found[best], 0):.0%} of their variance; check which column each detection"
        " is pointed at",
    )


def injected(table: Detections, name: str) -> FloatArray:
    """Return offsets in mag, shape (n,), that depend on one column: by label, or smoothly."""
    values = table[name]
    kinds, place = np.unique(values, return_inverse=True)
    if values.dtype.kind in "OiU" and len(kinds) <= LABELS:
        drawn = np.random.default_rng(len(kinds)).normal(0, OFFSET_MAG, len(kinds))
        return np.asarray((drawn - drawn.mean())[place])
    middle, half = (values.max() + values.min()) / 2, np.ptp(values) / 2 or 1.0
    return np.asarray(OFFSET_MAG * np.sin(np.pi / 2 * (values - middle) / half))


def _solved(
    weights: sparse.csr_array, precision: sparse.csr_array | None, delta_mag: FloatArray
) -> FloatArray:
    """Return the fitted offsets, shape (n,), with one free constant: the survey's own."""
    rows, width = weights.shape
    design = sparse.csr_array(sparse.hstack([weights, sparse.csr_array(np.ones((rows, 1)))]))
    prior = sparse.eye_array(width) * 1e-6 if precision is None else precision
    penalty = sparse.block_diag([prior / OFFSET_MAG**2, np.zeros((1, 1))])
    normal = sparse.csc_array(design.T @ design / NOISE_MAG**2 + penalty)
    solution = sparse_linalg.spsolve(normal, design.T @ delta_mag / NOISE_MAG**2)
    return np.asarray(design @ solution)


def check_level_pickling(subject: Subject) -> None:
    """Check that a prepared level is the same after pickling, also in another process."""
    judge_copies(subject, "level")


def weights_of(level: FittedLevel, detections: Detections) -> sparse.csr_array:
    """Return the weights of a design: what the fresh process computes."""
    return level.design(detections).weights


def _copied(subject: Subject) -> tuple[Any, ...]:
    return weights_of, _level(subject), _sample(subject).detections


def _repeat(subject: Subject) -> Iterator[Repeat]:
    again = _prepare(subject)
    first = {"the design": _design(subject), "the table of labels": _level(subject).labels()}
    weights = _weights(again, _sample(subject).detections)
    second = {"the design": weights, "the table of labels": again.labels()}
    advice = "sort groups, and draw nothing"
    yield Repeat(first, second, "when the level is prepared again on the same sample", advice)


TRAITS = KindTraits(repeat=_repeat, copied=_copied)
