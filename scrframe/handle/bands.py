"""The handle on runs of many bands, or of several surveys, that were made together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import Array
from scrframe.builtin.writers.columns import WHOLE, kind_of
from scrframe.errors import DataError
from scrframe.handle.finished import FinishedRun, finish_correction
from scrframe.handle.summary import summary_html
from scrframe.handle.tables import ProductTable, arrow_of, parquet_product
from scrframe.products.stars import STAR_CATALOGUE
from scrframe.run.in_memory import CorrectedRows

#: Column that tells bands apart, where the survey's loader does not read the table.
BAND = "band"


class FinishedRuns(Mapping[str, FinishedRun]):
    """Finished runs that were made together, by band or by survey; `open_runs` gives them.

    It is a mapping to `FinishedRun`; `path` is their directory.
    """

    def __init__(
        self, path: Path, summary: Mapping[str, Any], runs: Mapping[str, FinishedRun]
    ) -> None:
        self._path, self._summary, self._runs = path, summary, dict(runs)

    def __getitem__(self, band: str) -> FinishedRun:
        try:
            return self._runs[band]
        except KeyError:
            known = ", ".join(self._runs)
            raise KeyError(f"{self._path}: has no run of {band}; there are {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def path(self) -> Path:
        """Their directory."""
        return self._path

    @property
    def summary(self) -> dict[str, Any]:
        """The content of ``shared/summary.json``: what they share, errors alone and together."""
        return dict(self._summary)

    def star_catalogue(self, columns: list[str] | tuple[str, ...] | None = None) -> ProductTable:
        """Return the stars of all bands, a row each, with columns ``<column>_<band>``.

        Parameters
        ----------
        columns : list of str, optional
            Columns of ``star_catalogue.parquet``; by default all.

        Raises
        ------
        DataError
            If there is no such catalogue (surveys that are no bands have each their own), or no
            such column.
        """
        return parquet_product(self._path / STAR_CATALOGUE, columns, self._facts)

    def correct(
        self,
        table: Any,
        columns: Mapping[str, str] | None = None,
        *,
        unknown_visit: str = "flag",
    ) -> Any:
        """Return detections in several bands with calibrated magnitudes, each by its band's run.

        Parameters
        ----------
        table : astropy Table, pandas DataFrame, pyarrow Table or mapping of arrays
            Rows of the survey's own catalogues, which its loader tells apart, or columns called
            as scrframe calls them, ``band`` among them; see `FinishedRun.correct`.
        columns : mapping of str to str, optional
            Where scrframe's columns stand in the table.
        unknown_visit : {"flag", "stop"}
            As of `FinishedRun.correct`.

        Returns
        -------
        table of the same kind
            Rows of no band have no value, and the flag ``no_magnitude``.

        Raises
        ------
        DataError
            If a column that is needed is missing, or the table is corrected already.
        CalibrationError
            If a visit is unknown and `unknown_visit` is ``stop``.
        """
        rows = arrow_of(table)
        found = merged(list(self._by_band(rows, columns)), rows.num_rows)
        facts = {**self._facts, "run": str(self._path)}
        return finish_correction(table, found, facts, unknown_visit)

    def _by_band(
        self, rows: pa.Table, columns: Mapping[str, str] | None
    ) -> Iterator[CorrectedRows]:
        """Yield what each run adds, to rows counted in the whole table."""
        if columns is None:
            try:
                yield from [run.corrected_rows(rows, None, "catalogue") for run in self.values()]
                return
            except DataError as error:
                if BAND not in rows.column_names:
                    raise DataError(f"{error}; or give a column {BAND}") from None
        named = dict(columns or {})
        place = named.pop(BAND, BAND)
        if place not in rows.column_names:
            raise DataError(f'the table has no column "{place}", which tells the bands apart')
        bands = rows.column(place).cast(pa.string())
        for band, run in self.items():
            here = pc.fill_null(pc.equal(bands, band), False).to_numpy()
            found = run.corrected_rows(rows.filter(pa.array(here)), named or None, "names")
            yield moved(found, np.flatnonzero(here))

    @property
    def _facts(self) -> dict[str, str]:
        systems = {run.system for run in self.values()}
        notes = sorted({run.note for run in self.values()} - {""})
        facts = {"survey": str(self._summary["name"]), "bands": ", ".join(self)}
        facts["magnitude_system"] = ", ".join(sorted(systems))
        return {**facts, "data_note": "; ".join(notes)} if notes else facts

    def __repr__(self) -> str:
        return f"<FinishedRuns {self._path}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        """Return the runs in short, for notebooks."""
        facts = {
            key: f"{run.summary['counts']['calibration']['stars']:,} stars,"
            f" {run.summary['counts']['visits']:,} visits"
            for key, run in self.items()
        }
        note = self._facts.get("data_note", "")
        return summary_html(str(self._summary["name"]), str(self._path), note, facts)


def moved(found: CorrectedRows, rows: Array) -> CorrectedRows:
    """Return what was found of some rows of a table, with their numbers in the whole."""
    columns = {name: values[found.rows] for name, values in found.columns.items()}
    at = rows[found.rows]
    length = int(rows.max()) + 1 if len(rows) else 0
    spread = {name: _spread(name, values, at, length) for name, values in columns.items()}
    return CorrectedRows(spread, at, found.system, found.unknown, found.unknown_rows)


def merged(parts: list[CorrectedRows], length: int) -> CorrectedRows:
    """Return what several runs add to a table of a given length, each to rows of its own.

    Raises DataError if a row belongs to two of them.
    """
    taken = np.zeros(length, dtype=np.int64)
    columns: dict[str, Array] = {}
    for part in parts:
        taken[part.rows] += 1
        for name, values in part.columns.items():
            if name not in columns:
                columns[name] = _spread(name, values[:0], part.rows[:0], length)
            columns[name][part.rows] = values[part.rows]
    twice = np.flatnonzero(taken > 1)
    if len(twice):
        raise DataError(f"row {twice[0]} of the table belongs to two bands")
    return CorrectedRows(
        columns,
        np.flatnonzero(taken),
        ", ".join(sorted({part.system for part in parts})),
        tuple(sorted({visit for part in parts for visit in part.unknown})),
        sum(part.unknown_rows for part in parts),
    )


def _spread(name: str, values: Array, rows: Array, length: int) -> Array:
    """Return values of some rows among so many; others have none."""
    found = np.full(length, WHOLE[name][1] if name in WHOLE else np.nan).astype(kind_of(name))
    found[rows] = values
    return found
