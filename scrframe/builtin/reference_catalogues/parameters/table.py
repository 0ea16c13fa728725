"""Reads a table of stars: some columns of numbers, one row a star."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import formats
from scrframe.builtin.reference_catalogues.gaia.products import TableInfo, Wanted
from scrframe.errors import DataError, did_you_mean
from scrframe.io.arrays import floats, integers
from scrframe.plugin import Part, file_part


@dataclass(frozen=True)
class StarRows:
    """What a table tells, each star once, ordered by ``source_id``.

    Attributes
    ----------
    source_id : ndarray of int64, shape (n,)
    columns : mapping of str to ndarray, shape (n,)
    rows : int
        Rows of the table.
    nameless, unusable, repeated : int
        Rows without an identifier, rows that lack a value or hold one out of range, and rows
        of a star that a better row tells of.
    """

    source_id: npt.NDArray[np.int64]
    columns: Mapping[str, FloatArray]
    rows: int
    nameless: int
    unusable: int
    repeated: int

    def told(self, label: str, best: str) -> str:
        """Return one line on what was left out, empty if nothing was."""
        parts = [
            f"{count} {what}"
            for count, what in (
                (self.nameless, "without a Gaia identifier"),
                (self.unusable, "with a missing value or one out of range"),
                (self.repeated, f"of a star that stands there again ({best} counts)"),
            )
            if count
        ]
        return f"{label}: left out of {self.rows} rows: {', '.join(parts)}" if parts else ""

    def find(self, wanted: npt.NDArray[np.int64]) -> tuple[Any, Any]:
        """Return places in ascending identifiers, and the rows here of these stars."""
        _, place, row = np.intersect1d(
            wanted, self.source_id, assume_unique=True, return_indices=True
        )
        return place, row


def table_parts(pattern: str, names: Mapping[str, str], root: Path, key: str) -> list[Part]:
    """Return a part for each file that matches, its columns looked up.

    Parameters
    ----------
    pattern : str
        Below the root; a folder stands for its files.
    names : mapping of str to str
        Names of columns in the file by their own names; ``source_id`` among them.
    root : Path
    key : str
        Key of the description, for messages.

    Raises
    ------
    DataError
        If there is no file, or one lacks a column.
    """
    anchor = Path(pattern).anchor  # an absolute pattern does not start at the root
    files: set[Path] = set()
    for path in Path(anchor or root).glob(pattern.removeprefix(anchor)):
        files.update(path.rglob("*") if path.is_dir() else [path])
    found = sorted(
        path for path in files if path.is_file() and not path.name.startswith((".", "_"))
    )
    if not found:
        raise DataError(f"{root / pattern}: no such table; put it there or set {key}.table")
    parts = []
    for path in found:
        info, wanted = _columns(path, names, key)
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        detail = {"info": info, "wanted": wanted, "names": dict(names)}
        parts.append(replace(file_part(path, name), detail=detail))
    return parts


def _columns(path: Path, names: Mapping[str, str], key: str) -> tuple[TableInfo, dict[str, Wanted]]:
    """Return the table of a file that lacks fewest of the columns, none in the end."""
    tables = formats.describe(path)

    def missing(info: TableInfo) -> list[str]:
        return [name for name in names.values() if info.find(name) is None]

    info = min(tables, key=lambda each: len(missing(each)))
    lacking = missing(info)
    if lacking:
        near = did_you_mean(lacking[0], info.names)
        raise DataError(
            f"{info.label}: lacks the column(s) {', '.join(lacking)}{near}; name the table's own"
            f" in {key}.columns, or null where there is none"
        )
    kinds = {own: "int" if own == "source_id" else "float" for own in names}
    wanted = {own: Wanted(str(info.find(name)), kinds[own]) for own, name in names.items()}  # type: ignore[arg-type]
    return info, wanted


def check_part(part: Part) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    for _, block in formats.blocks(part.detail["info"], part.detail["wanted"]):
        _identifiers(block["source_id"], part)
        return


def read_rows(part: Part, valid: Mapping[str, tuple[float, float]], best: str | None) -> StarRows:
    """Read a table; of a star with several usable rows the best one, else the first, counts.

    Parameters
    ----------
    part : Part
    valid : mapping of str to (float, float)
        Columns that a row must have, each within a range; others may be missing.
    best : str, optional
        The column by whose largest value a star's row is chosen.

    Raises
    ------
    DataError
        If the file is damaged, or a column holds something else than numbers.
    """
    info: TableInfo = part.detail["info"]
    names = list(part.detail["wanted"])
    ids, found = [], {name: [np.empty(0)] for name in names if name != "source_id"}
    for _, block in formats.blocks(info, part.detail["wanted"]):
        ids.append(_identifiers(block["source_id"], part))
        for name, values in found.items():
            shown = part.detail["names"][name]
            values.append(floats(block[name], f"{info.label}: column {shown}"))
    source_id = np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)
    columns = {name: np.concatenate(values) for name, values in found.items()}
    named = source_id > 0
    usable = named.copy()
    for name, (low, high) in valid.items():
        with np.errstate(invalid="ignore"):
            usable &= (columns[name] >= low) & (columns[name] <= high)
    rows = np.flatnonzero(usable)
    rank = np.zeros(len(rows)) if best is None else np.nan_to_num(columns[best][rows], nan=-np.inf)
    rows = rows[np.lexsort([-rank, source_id[rows]])]
    chosen, first = np.unique(source_id[rows], return_index=True)
    return StarRows(
        chosen,
        {name: values[rows[first]] for name, values in columns.items()},
        len(source_id),
        int((~named).sum()),
        int((named & ~usable).sum()),
        len(rows) - len(first),
    )


def _identifiers(column: pa.ChunkedArray, part: Part) -> npt.NDArray[np.int64]:
    """Return Gaia's identifiers, 0 where there is none."""
    label = f"{part.detail['info'].label}: column {part.detail['names']['source_id']}"
    if pa.types.is_floating(column.type):
        raise DataError(
            f"{label} holds floating-point numbers, which Gaia's identifiers do not fit into;"
            " write it as 64-bit integers"
        )
    return integers(pc.fill_null(column, pa.scalar(0, column.type)), label)


def columns_named(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return those of a mapping that are there."""
    return {own: name for own, name in names.items() if name is not None}


def only(names: Sequence[str], columns: Mapping[str, FloatArray], rows: Any) -> FloatArray:
    """Return columns side by side, shape (n, m), NaN for those that are not there."""
    count = len(rows)
    return np.column_stack(
        [columns[name][rows] if name in columns else np.full(count, np.nan) for name in names]
    )
