"""Where a loader finds the detections that a simulation has had written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Array
from scrframe.errors import PluginError
from scrframe.plugin import SurveyLoader
from scrframe.tables import ColumnTable


@dataclass(frozen=True)
class Place:
    """Where a visit is found again.

    Attributes
    ----------
    key : str
        The loader's key of the visit.
    row : ndarray of int64, shape (n,)
        Rows of its detections, in the order in which they were written.
    """

    key: str
    row: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Content:
    """What the loader reads of one file, in its order; arrays of shape (m,)."""

    visit: Array
    labels: Array
    extension: Array
    row: Array


def find_places(
    loader: SurveyLoader, settings: Any, root: Path, files: Sequence[Path], sizes: Sequence[int]
) -> list[Place]:
    """Return where the loader finds each visit.

    Parameters
    ----------
    loader, settings : SurveyLoader, PluginConfig
    root : Path
        Data root.
    files : sequence of Path
        The file of each visit; several visits may be in one, one after the other.
    sizes : sequence of int
        Number of detections of each visit, as written.

    Raises
    ------
    PluginError
        If a visit is not found, or is found mixed with others.
    """
    found = _read(loader, settings, root)
    starts: dict[Path, int] = {}
    totals: dict[Path, int] = {}
    for file, size in zip(files, sizes, strict=True):
        totals[file.resolve()] = totals.get(file.resolve(), 0) + size
    places = []
    for file, size in zip(files, sizes, strict=True):
        path = file.resolve()
        start = starts.get(path, 0)
        starts[path] = start + size
        content = found.get(path)
        place = None if content is None else _place(content, start, size, totals[path])
        if place is None:
            raise PluginError(
                f"survey loader {loader.name!r} does not find the visit that it wrote to {file}"
            )
        places.append(place)
    return places


def _place(content: _Content, start: int, size: int, total: int) -> Place | None:
    """Return the visit that was written from a place on, None if it is not there by itself."""
    if len(content.row) == total:
        here = np.arange(start, start + size)
        row = content.row[here]
    elif np.ptp(content.extension) == 0:
        # Some rows are filtered out: those that are read tell their places.
        here = np.flatnonzero((content.row >= start) & (content.row < start + size))
        row = np.arange(start, start + size)
    else:
        return None
    codes = np.unique(content.visit[here])
    if len(codes) != 1:
        return None
    return Place(str(content.labels[codes[0]]), row.astype(np.int64))


def _read(loader: SurveyLoader, settings: Any, root: Path) -> dict[Path, _Content]:
    pieces: dict[Path, list[ColumnTable]] = {}
    for part in loader.parts(settings, root):
        read = loader.read(part, settings, ()).arrow.select(["visit", "extension", "row"])
        pieces.setdefault(part.path.resolve(), []).append(ColumnTable(read))
    return {
        path: _joined(ColumnTable.concat(tables)) for path, tables in pieces.items() if len(tables)
    }


def _joined(table: ColumnTable) -> _Content:
    codes, labels = table.codes("visit")
    # Arrow may hold a label twice.
    names, code = np.unique(np.array([*labels, ""]), return_inverse=True)
    visit = code[codes] if len(codes) else np.zeros(0, np.int64)
    return _Content(visit, names, table["extension"], table["row"])
