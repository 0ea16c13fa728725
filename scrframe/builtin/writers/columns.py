"""What a corrected catalogue has besides its input: columns, what they mean, and where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Array
from scrframe.errors import DataError
from scrframe.tables import CORRECTION_LEVELS, FLAG_BITS, Corrections, Detections

#: Format of the columns that are whole numbers, and what rows without a detection get.
WHOLE = {"CAL_FLAGS": ("J", FLAG_BITS["no_magnitude"]), "OFFSET_LEVEL": ("I", 0)}
#: What the errors of a joint solution count, for the primary header.
_ERRORS = {
    "OFFSET_TOTAL_ERR": "error of the correction alone",
    "MAG_CAL_ERR": "the same with the photometric error, as estimated",
    "MAG_CAL_SYS": "what systematic effects can shift MAG_CAL by",
}


def corrected_columns(detections: Detections, corrections: Corrections) -> dict[str, Array]:
    """Return the columns that a corrected catalogue has besides, shape (n,) each, in order.

    Raises DataError if two of them have one name.
    """
    if len(corrections.total_mag) != len(detections):
        raise ValueError("detections and corrections differ in length")
    mag = np.asarray(detections["mag"], dtype=np.float64)
    named: list[tuple[str, Array]] = [
        ("MAG_OBS", mag),
        ("MAG_CAL", mag + corrections.applied_mag),
        *((_column_name(f"offset_{name}"), own) for name, own in corrections.by_level.items()),
        ("OFFSET_TOTAL", corrections.total_mag),
        *([] if corrections.colour_mag is None else [("OFFSET_COLOUR", corrections.colour_mag)]),
        *((_column_name(name), errors) for name, errors in corrections.errors.items()),
        *([] if corrections.level is None else [("OFFSET_LEVEL", corrections.level)]),
        ("CAL_FLAGS", corrections.flags),
    ]
    columns = dict(named)
    if len(columns) < len(named):
        names = [name for name, _ in named]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two columns would be called {twice}; rename a level of the description")
    return columns


def place_below(path: Path, root: Path) -> Path:
    """Return the place of a corrected catalogue in the output, as of its original in the root."""
    try:
        return path.resolve().relative_to(root.resolve())
    except ValueError:
        return Path(path.name)  # a catalogue from outside the data root


@dataclass(frozen=True)
class Added:
    """What a corrected catalogue has besides its input."""

    #: Of the detections. Arrays of shape (n,).
    columns: Mapping[str, Array]
    #: Their rows in the file. Shape (n,).
    row: npt.NDArray[np.int64]
    #: Provenance: version, magnitude system, number of visits, and the note.
    facts: Mapping[str, str]
    #: What the columns are, in lines.
    about: tuple[str, ...]

    def spread(self, rows: int, label: object, first: int = 0) -> dict[str, Array]:
        """Return the columns of all rows of the file, shape (rows,), from row `first` on.

        Raises DataError if the file does not hold the detections.
        """
        at = self.row - first
        inside = (at >= 0) & (at < rows)
        if len(at) and np.bincount(at[inside], minlength=1).max() > 1:
            raise DataError(f"{label}: two detections have one row")
        found = {}
        for name, values in self.columns.items():
            whole = name in WHOLE
            column = np.full(rows, WHOLE[name][1] if whole else np.nan)
            column = column.astype(kind_of(name))
            column[at[inside]] = values[inside]
            found[name] = column
        return found

    def check(self, names: Iterator[str] | tuple[str, ...] | list[str], label: object) -> None:
        """Refuse a file that has one of the columns already."""
        existing = {name.upper() for name in names}
        clash = next((name for name in self.columns if name in existing), None)
        if clash is not None:
            raise DataError(f"{label} has a column {clash} already: is it a corrected catalogue?")

    def check_length(self, rows: int, label: object) -> None:
        """Refuse a file that has fewer rows than the detections need."""
        if len(self.row) and (self.row.min() < 0 or self.row.max() >= rows):
            raise DataError(f"{label}: the detections' row numbers do not fit its {rows} rows")


def _column_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name).upper()


def meaning(name: str) -> str:
    """Return what a column of a corrected catalogue means, in few words."""
    known = {
        "MAG_OBS": "observed magnitude",
        "MAG_CAL": "MAG_OBS + OFFSET_TOTAL + OFFSET_COLOUR",
        "OFFSET_TOTAL": "sum of offsets and zero point",
        "OFFSET_COLOUR": "what the star's colour adds",
        "OFFSET_TOTAL_ERR": "error of OFFSET_TOTAL",
        "MAG_CAL_ERR": "error of MAG_CAL",
        "MAG_CAL_SYS": "systematic error of MAG_CAL",
        "OFFSET_LEVEL": "see the primary header",
        "CAL_FLAGS": "sum of values: see the primary header",
    }
    return known.get(name, "correction, to be added")


def history(columns: Iterable[str], reference_colour_mag: float | None = None) -> Iterator[str]:
    """Yield what a corrected catalogue says of the appended columns, line by line."""
    present = set(columns)
    yield "scrframe appended MAG_OBS, MAG_CAL, OFFSET_*, CAL_FLAGS:"
    colour = " + OFFSET_COLOUR" if "OFFSET_COLOUR" in present else ""
    yield f"MAG_CAL = MAG_OBS + OFFSET_TOTAL{colour}; offsets are corrections in mag."
    if reference_colour_mag is not None:
        yield f"OFFSET_TOTAL holds at band - reference = {reference_colour_mag:.3f} mag, and"
        yield "OFFSET_COLOUR is what the star's colour adds to it."
    for name, meaning in _ERRORS.items():
        if name in present:
            yield f"{name}: {meaning}, in mag."
    if "OFFSET_LEVEL" in present:
        yield "OFFSET_LEVEL: the finest level with calibration stars of its own:"
        yield from (f"OFFSET_LEVEL {code}: {name}" for code, name in enumerate(CORRECTION_LEVELS))
    yield from (f"CAL_FLAGS value {value}: {name}" for name, value in FLAG_BITS.items())


def kind_of(name: str) -> np.dtype[Any]:
    """Return the type in which an added column is written."""
    if name not in WHOLE:
        return np.dtype(np.float64)
    return np.dtype({"J": np.int32, "I": np.int16}[WHOLE[name][0]])


def about(name: str) -> str:
    """Return what an added column means."""
    return meaning(name).replace("primary header", "metadata")
