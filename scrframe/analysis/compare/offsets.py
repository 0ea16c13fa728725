"""The offsets that each backend's predictions lead to, all else being the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.offsets.joint.gauge import in_gauge
from scrframe.offsets.joint.mixed_model import Design, build_design, correction_values
from scrframe.offsets.joint.stars import weighted
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.run.colour_model import FittedModel
from scrframe.run.offsets.joint import JointSolve
from scrframe.run.offsets.solve import solve_joint
from scrframe.run.plugins import SelectedPlugins, prepare_levels
from scrframe.run.sample.selection import reserved_stars
from scrframe.scr.observations import model_magnitudes
from scrframe.scr.reddening_law import fit_law, held_order
from scrframe.tables import Detections, FittedLevel, MatchedStars, ReddeningLaw

#: The truth of a simulated data tree, beside its catalogues.
TRUTH = "truth.parquet"
#: What names a detection in the catalogues and in the truth.
KEYS = {"file": pa.string(), "ccd": pa.int64(), "row": pa.int64()}


@dataclass(frozen=True)
class TrueOffsets:
    """Injected corrections by detection, in mag, shape (n,); NaN where there is no truth."""

    #: Of the visit and the CCD in it.
    exposure_mag: FloatArray
    #: Of the place on the CCD.
    map_mag: FloatArray


def true_offsets(root: Path, detections: Detections) -> TrueOffsets | None:
    """Return the injected offsets of detections, None where the data are not simulated.

    Raises DataError if the file of the truth is not what a simulation writes.
    """
    path = root / TRUTH
    if not path.is_file():
        return None
    columns = ["offset_visit", "offset_ccd", "offset_pixel"]
    try:
        truth = _keyed(pq.read_table(path, columns=[*KEYS, *columns]))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's errors are among these
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: is not the truth of a simulated survey ({first})") from None
    number = pa.array(np.arange(len(detections)))
    rows = _keyed(detections.arrow.select(list(KEYS))).append_column("number", number)
    joined = rows.join(truth, keys=list(KEYS), join_type="left outer").sort_by("number")
    visit, ccd, pixel = (
        joined.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in columns
    )
    return TrueOffsets(visit + ccd, pixel)


def _keyed(table: pa.Table) -> pa.Table:
    """Return a table whose keys have the same types on both sides of a join."""
    for name, kind in KEYS.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(kind))
    return table


@dataclass(frozen=True)
class DetectionPairs:
    """Successive detections of the same held-out stars."""

    #: Rows of the detections. Shape (k,).
    first: IntArray
    second: IntArray
    #: Whether they belong to different fields. Shape (k,).
    across: BoolArray
    #: Code of the visits that they belong to, both together. Shape (k,).
    group: IntArray


def find_pairs(sample: MatchedStars, held_out: BoolArray) -> DetectionPairs:
    """Return pairs of detections of held-out stars in different visits.

    Parameters
    ----------
    held_out : ndarray of bool, shape (s,)
        Stars that took no part in the solve.
    """
    rows = np.flatnonzero(held_out[sample.star])
    rows = rows[np.argsort(sample.star[rows], kind="stable")]
    visit = sample.detections.codes("visit")[0].astype(np.int64)
    first, second = rows[:-1], rows[1:]
    kept = (sample.star[first] == sample.star[second]) & (visit[first] != visit[second])
    first, second = first[kept], second[kept]
    across = np.zeros(len(first), dtype=bool)
    if "field" in sample.detections:
        field = sample.detections.codes("field")[0]
        across = np.asarray(field[first] != field[second])
    both = visit[first] * (int(visit.max(initial=0)) + 1) + visit[second]
    group = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return DetectionPairs(first, second, across, group)


class OffsetFinder(ABC):
    """Finds offsets from model magnitudes; weights and variances are the same for all.

    Attributes
    ----------
    table : Detections
        All n detections with what the levels read.
    design : Design
        Of the detections that take part.
    rows : ndarray of int64, shape (k,)
        Which these are.
    law_mask : ndarray of bool, shape (n,)
        Detections to which the law is fitted.
    held_out : ndarray of bool, shape (s,)
        Stars that take no part, to judge by.
    """

    levels: Sequence[FittedLevel]
    table: Detections
    design: Design
    rows: IntArray
    law_mask: BoolArray
    held_out: BoolArray

    @abstractmethod
    def parameters(self, delta_mag: FloatArray) -> FloatArray:
        """Return the parameters of the design from differences, shape (n,); NaN if unknown."""

    def everywhere(self, parameters: FloatArray) -> FloatArray:
        """Return the corrections of all detections, shape (n,), up to the survey's constant."""
        total = np.zeros(len(self.table))
        for level in self.levels:
            if level.role == "correction":
                columns = self.design.term(level.name).columns
                total += np.asarray(level.design(self.table).weights @ parameters[columns])
        return total


class JointOffsets(OffsetFinder):
    """The joint solution for other model magnitudes: one more right-hand side."""

    def __init__(self, joint: JointSolve) -> None:
        self._fit, state = joint.fit, joint.state
        self.levels, self.table = state.levels, joint.table
        self.design, self.rows = joint.fit.design, np.flatnonzero(state.used)
        self.law_mask, self.held_out = state.used, state.stars.reserved

    def parameters(self, delta_mag: FloatArray) -> FloatArray:
        """Solve with the factor and the weights of the fit."""
        fit = self._fit
        right = weighted(fit.design.model, fit.weights, delta_mag[self.rows])
        return np.asarray(fit.factor.solve(right))


class SequentialOffsets(OffsetFinder):
    """The paper's means, without the stars that the comparison holds out."""

    def __init__(self, chosen: SelectedPlugins, sample: MatchedStars, law_mask: BoolArray) -> None:
        block, self.law_mask = chosen.survey.offsets, law_mask
        self.held_out = reserved_stars(
            sample.stars["source_id"], block.joint.reserved, block.joint.seed
        )
        self.levels, self.table = prepare_levels(chosen, sample), sample.detections
        self._min_stars = block.min_stars
        self._judging = self.held_out[sample.star]
        self.rows = np.flatnonzero(~self._judging)
        _, star = np.unique(sample.star[self.rows], return_inverse=True)
        self.design = build_design(
            self.levels, self.table.take(self.rows), star.astype(np.int64), int(star.max()) + 1
        )

    def parameters(self, delta_mag: FloatArray) -> FloatArray:
        """Average level by level."""
        delta = np.where(self._judging, np.nan, delta_mag)
        solved = solve_sequential(
            OffsetProblem(tuple(self.levels), self.table, delta, self._min_stars)
        )
        found = np.zeros(self.design.model.width)
        for level, table in zip(self.levels, solved.tables, strict=True):
            found[self.design.term(level.name).columns] = table.offset_mag
        return found


def offset_finder(
    chosen: SelectedPlugins, sample: MatchedStars, fitted: FittedModel
) -> OffsetFinder:
    """Return what finds offsets in the description's mode; in mode joint this fits once more."""
    if fitted.joint is None:
        return SequentialOffsets(chosen, sample, fitted.observations.used)
    return JointOffsets(solve_joint(fitted))


def refitted_law(
    chosen: SelectedPlugins, fitted: FittedModel, used: BoolArray, colour0_mag: FloatArray
) -> ReddeningLaw:
    """Return the reddening law for other intrinsic colours, shape (s,), of the same order.

    It is fitted to the detections that `used`, shape (n,), names.
    """
    seen = fitted.observations
    colour0 = colour0_mag[seen.star]
    excess = seen.mag - seen.reference_mag - colour0
    return fit_law(
        colour0[used],
        seen.extinction[used],
        excess[used],
        seen.visit[used],
        held_order(chosen.survey.reddening, fitted.model.law),
        seen.fields.take(used) if seen.fields is not None else None,
        seen.star[used],
    )


def differences(
    chosen: SelectedPlugins, fitted: FittedModel, used: BoolArray, colour0_mag: FloatArray
) -> FloatArray:
    """Return model less observed magnitude by detection, shape (n,), with the law refitted."""
    law = refitted_law(chosen, fitted, used, colour0_mag)
    return model_magnitudes(colour0_mag, law, fitted.observations) - fitted.observations.mag


@dataclass(frozen=True)
class LevelErrors:
    """Errors at one level, and what is drawn as a whole to compare two backends."""

    #: Shape (k,).
    error_mag: FloatArray
    #: Shape (k,).
    group: IntArray


def errors_by_truth(
    finder: OffsetFinder, parameters: FloatArray, truth: TrueOffsets
) -> dict[str, LevelErrors]:
    """Return estimated less true offsets in the gauge of the products, by level.

    Visits and CCDs in visits count alike; the maps over CCDs and the total count by
    detection. Groups are fields, where catalogues name them, else visits; CCDs for the maps.
    """
    design, rows = finder.design, finder.rows
    model, exposures = design.model, design.exposures
    known, own, within = _split(design, parameters)
    true_exposure, true_map = truth.exposure_mag[rows], truth.map_mag[rows]
    used = known & np.isfinite(true_exposure) & np.isfinite(true_map)
    weight = used.astype(np.float64)
    difference = np.where(used, own[model.exposure] - true_exposure, 0.0)
    count = np.bincount(model.exposure, weight, minlength=len(exposures))
    mean = np.bincount(model.exposure, difference, minlength=len(exposures)) / np.maximum(count, 1)
    maps = np.where(used, within - true_map, 0.0)
    ccd = np.unique(exposures.ccd, return_inverse=True)[1]
    gauged = in_gauge(mean, exposures.visit, count, [maps], ccd, model.exposure, weight)
    by_visit = np.bincount(exposures.visit, count, minlength=len(exposures.visits)) > 0
    field = _field_of_visits(finder)
    total = mean[model.exposure] + maps - gauged.constant_mag
    place = ccd[model.exposure]
    return {
        "visit": LevelErrors(gauged.visit_mag[by_visit], field[by_visit]),
        "ccd": LevelErrors(gauged.ccd_mag[count > 0], field[exposures.visit][count > 0]),
        "pixel": LevelErrors((maps - gauged.map_shift_mag[place])[used], place[used]),
        "total": LevelErrors(total[used], field[exposures.visit][model.exposure][used]),
    }


def _split(design: Design, parameters: FloatArray) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return whether a correction is known, its part by exposure (x,), and the rest (k,)."""
    model = design.model
    known = np.isfinite(correction_values(design.model, parameters))
    values = np.nan_to_num(parameters)
    for term in model.terms:
        if term.role == "nuisance":
            values[term.columns] = 0.0
    split = model.by_exposure.shape[1]
    own = np.asarray(model.by_exposure @ values[:split])
    return known, own, np.asarray(model.by_detection @ values[split:])


def _field_of_visits(finder: OffsetFinder) -> IntArray:
    """Return a code of the field of each visit of the design, of the visit if none is named."""
    exposures = finder.design.exposures
    number = np.arange(len(exposures.visits))
    if "field" not in finder.table:
        return number
    field = np.zeros(len(number), dtype=np.int64)
    field[exposures.visit] = finder.table.codes("field")[0][finder.rows[exposures.first]]
    return np.unique(field, return_inverse=True)[1].astype(np.int64)


def errors_by_pairs(
    corrections_mag: FloatArray, mag: FloatArray, pairs: DetectionPairs
) -> dict[str, LevelErrors]:
    """Return differences of corrected magnitudes of held-out stars, over the root of 2.

    ``repeats`` are of two visits of one field, ``overlaps`` of two fields; either is absent
    where there are none.
    """
    corrected = mag + corrections_mag
    difference = (corrected[pairs.first] - corrected[pairs.second]) / 2**0.5
    found = {}
    for name, chosen in (("repeats", ~pairs.across), ("overlaps", pairs.across)):
        kept = chosen & np.isfinite(difference)
        if kept.any():
            group = np.unique(pairs.group[kept], return_inverse=True)[1].astype(np.int64)
            found[name] = LevelErrors(difference[kept], group)
    return found
