"""The Calibration and Control Samples: join, cut, and count at each cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scrframe.arrays import IntArray
from scrframe.errors import CalibrationError, ConfigError
from scrframe.run.sample.detections import (
    FirstPass,
    Ranges,
    ranges_of,
)
from scrframe.run.sample.reference_data import label_of, snr_name
from scrframe.statistics.groups import find_sorted
from scrframe.tables import (
    STAGES,
    ColumnTable,
    Detections,
    Extinctions,
    StarFeatures,
)
from scrframe.tables.cuts import Cut
from scrframe.tables.table import derive

T = TypeVar("T", bound=ColumnTable)


@dataclass
class CutFlow:
    """Counts of detections and stars at each step and cut, in written order."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    #: Least and largest values of what cuts look at, before the cuts of their step.
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, what: str, detections: int, stars: int | None = None) -> None:
        """Note what is left after a step or cut."""
        self.rows.append({"cut": what, "detections": int(detections), "stars": stars})

    def see(self, ranges: Ranges) -> None:
        """Note least and largest values by column."""
        for name, (low, high) in ranges.items():
            least, largest = self.ranges.get(name, (low, high))
            self.ranges[name] = (min(least, low), max(largest, high))

    def left(self, what: str, table: ColumnTable) -> None:
        """Note a table that has ``source_id``."""
        self.add(what, len(table), len(np.unique(table["source_id"])))


def note_first_pass(flow: CutFlow, first: FirstPass, cuts: Sequence[Cut]) -> None:
    """Sum the counts of all parts."""
    totals = np.sum([part.counts for part in first.parts], axis=0)
    for part in first.parts:
        flow.see(part.ranges)
    first_steps = ("read", "magnitude and error known", "not flagged")
    for what, left in zip((*first_steps, *(cut.text for cut in cuts)), totals, strict=True):
        flow.add(what, left)


def join(table: T, other: ColumnTable, row: IntArray) -> T:
    """Return a table with the columns of another, by row number."""
    taken = other.arrow.take(row)
    names = [name for name in other.names if name not in table.names]
    return table.with_columns({name: taken.column(name) for name in names})


def require(table: Detections, flow: CutFlow) -> Detections:
    """Return the table if it has rows.

    Raises CalibrationError if it has none; the message tells the cut that left none.
    """
    if len(table):
        return table
    number = next(number for number, row in enumerate(flow.rows) if row["detections"] == 0)
    empty = str(flow.rows[number]["cut"])
    before = flow.rows[number - 1]["detections"] if number else 0
    raise CalibrationError(
        f"no detection is left for the Calibration Sample after: {empty}"
        f"{seen_there(empty, flow.ranges)} ({before:,} were left before)"
    )


def seen_there(text: str, ranges: Ranges) -> str:
    """Return which values a cut met, in words; empty for what is no cut, or has none."""
    try:
        names = Cut(text).names
    except ConfigError:
        return ""
    said = [
        f"{name} is {ranges[name][0]:.6g} to {ranges[name][1]:.6g}"
        for name in names
        if name in ranges
    ]
    return f"; there {', '.join(said)}" if said else ""


def join_extinctions(
    matched: Detections, extinctions: Extinctions, cuts: Sequence[Cut], flow: CutFlow
) -> Detections:
    """Join extinctions by star and apply the cuts that need them."""
    row = find_sorted(extinctions["source_id"], matched["source_id"])
    table = join(matched.filter(row >= 0), extinctions, row[row >= 0])
    table = table.filter(np.isfinite(table["extinction"]))
    flow.left("has an extinction", table)
    return require(_cut(table, cuts, flow), flow)


def join_features(
    matched: Detections, features: StarFeatures, cuts: Sequence[Cut], flow: CutFlow
) -> Detections:
    """Join S/N and flags of the spectra or quantities and apply the cuts that need them."""
    whole = np.asarray(np.isfinite(features.rows).all(axis=1))
    row = find_sorted(features.source_id, matched["source_id"])
    row[(row >= 0) & ~whole[row]] = -1
    found = row[row >= 0]
    table = matched.filter(row >= 0).with_columns(
        {snr_name(features): features.snr[found], "spectrum_flags": features.flags[found]}
    )
    flow.left(label_of(features), table)
    return require(_cut(table, cuts, flow), flow)


def derive_for(cuts: Iterable[Cut], table: T) -> T:
    """Return a table with the derived columns, of any stage, that cuts name."""
    names = {name for cut in cuts for name in cut.names}
    for stage in STAGES:
        table = derive(table, stage, names)
    return table


def _cut(table: Detections, cuts: Sequence[Cut], flow: CutFlow) -> Detections:
    table = derive_for(cuts, table)
    flow.see(ranges_of(table, cuts))
    for cut in cuts:
        table = table.filter(cut.evaluate(table))
        flow.left(cut.text, table)
    return table


def control_mask(
    table: Detections, cuts: Sequence[Cut], note: Callable[[str, int, int], None]
) -> npt.NDArray[np.bool_]:
    """Return which detections of the Calibration Sample are in the Control Sample.

    Raises CalibrationError if none is.
    """
    inside = np.ones(len(table), dtype=bool)
    sources = table["source_id"]
    for cut in cuts:
        inside &= cut.evaluate(table)
        note(cut.text, int(inside.sum()), len(np.unique(sources[inside])))
        if not inside.any():
            raise CalibrationError(
                "selection.control: no star of the Calibration Sample is left in the control"
                f" region after {cut.text!r}{seen_there(cut.text, ranges_of(table, [cut]))}"
            )
    return inside


def sort_detections(table: Detections) -> Detections:
    """Return the detections in the order of visit, ccd, extension and row."""
    codes, labels = table.codes("visit")
    rank = np.argsort(np.argsort(np.array(labels)))[codes]
    return table.take(np.lexsort([table["row"], table["extension"], table["ccd"], rank]))
