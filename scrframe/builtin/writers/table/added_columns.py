"""Columns that a writer adds to a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Array
from scrframe.builtin.writers.fits_catalogue import WHOLE, meaning
from scrframe.errors import DataError


@dataclass(frozen=True)
class Added:
    """What a corrected catalogue has besides its input.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Of the detections.
    row : ndarray of int64, shape (n,)
        Their rows in the file.
    facts : mapping of str to str
        Provenance: version, magnitude system, number of visits, and the note.
    about : tuple of str
        What the columns are, in lines.
    """

    columns: Mapping[str, Array]
    row: npt.NDArray[np.int64]
    facts: Mapping[str, str]
    about: tuple[str, ...]

    def spread(self, rows: int, label: object, first: int = 0) -> dict[str, Array]:
        """Return the columns of all rows of the file, shape (rows,), from row `first` on.

        Raises
        ------
        DataError
            If the file does not hold the detections.
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


def kind_of(name: str) -> np.dtype[Any]:
    """Return the type in which an added column is written."""
    if name not in WHOLE:
        return np.dtype(np.float64)
    return np.dtype({"J": np.int32, "I": np.int16}[WHOLE[name][0]])


def about(name: str) -> str:
    """Return what an added column means."""
    return meaning(name).replace("primary header", "metadata")
