"""Correct detections that are in memory, exactly as a catalogue of them would be corrected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from scrframe.arrays import Array, IntArray
from scrframe.builtin.writers.columns import Added, corrected_columns
from scrframe.errors import DataError, did_you_mean
from scrframe.io.block import Block
from scrframe.io.table_file import units_of
from scrframe.offsets.apply import apply_solution, near_colours, own_colours, unknown_visits
from scrframe.plugin import Registry
from scrframe.products.finished_run import RunProducts
from scrframe.products.rows import columns_read, detections_of
from scrframe.products.run_data import RunData
from scrframe.products.stars import STAR_CATALOGUE
from scrframe.run.correct import read_colours
from scrframe.run.plugins import Application, read_application
from scrframe.tables import BY_NAME, Detections
from scrframe.tables.levels import COLOUR, OBSERVED_COLOUR
from scrframe.tables.table import derive, plausible

#: What messages call the rows.
TABLE = "the table"
#: Names in products for columns of the vocabulary.
_ALIASES = {"ra": "ra_deg", "dec": "dec_deg", "x": "x_pix", "y": "y_pix", "mag": "mag_obs"}
#: What the visits of a run tell of their detections, where the table does not.
_OF_VISITS = ("mjd", "field", "season", "airmass", "band")
Reading = Literal["either", "catalogue", "names"]


@dataclass(frozen=True)
class CorrectedRows:
    """What the correction adds to a table.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Those of a corrected catalogue, of every row of the table.
    rows : ndarray of int, shape (m,)
        Rows that are detections of the survey; others were filtered out, and have no value.
    system : str
        System of the corrected magnitudes.
    unknown : tuple of str
        Visits of the table that the run has not read, sorted; their rows are not corrected.
    unknown_rows : int
        How many rows they have.
    """

    columns: Mapping[str, Array]
    rows: IntArray
    system: str
    unknown: tuple[str, ...]
    unknown_rows: int

    def warning(self) -> str:
        """Say in one line what is not corrected; empty if nothing is."""
        if not self.unknown:
            return ""
        shown = ", ".join(self.unknown[:3]) + ", ..." * (len(self.unknown) > 3)
        return (
            f"{self.unknown_rows} rows of {len(self.unknown)} visits that the run has not read are"
            f" not corrected: {shown}"
        )


def correct_rows(
    products: RunProducts,
    data: RunData,
    registry: Registry,
    table: pa.Table,
    columns: Mapping[str, str] | None = None,
    *,
    read_as: Reading = "either",
) -> CorrectedRows:
    """Return what corrects the rows of a table.

    Parameters
    ----------
    products, data : RunProducts, RunData
        The run.
    registry : Registry
        Plugins.
    table : pyarrow.Table
        n rows, with the columns of the survey's own catalogues if the survey's loader reads
        tables, or with those of the vocabulary.
    columns : mapping of str to str, optional
        Where columns of the vocabulary stand in the table; the loader is not asked then.
    read_as : {"either", "catalogue", "names"}
        Whether the table is one of the survey's catalogues, or has the names of the vocabulary.

    Raises
    ------
    DataError
        If a column that is needed is missing, or the table is corrected already.
    """
    detections = _detections(products, data, registry, table, columns, read_as)
    colour, stars = products.solution.colour, products.path / STAR_CATALOGUE
    if colour is not None and stars.exists():
        detections = near_colours(detections, *read_colours(stars, detections["dec"]), colour)
    elif colour is not None:
        detections = own_colours(detections, colour)
    unknown = unknown_visits(products.solution, detections)
    corrections = apply_solution(products.solution, detections)
    rows = detections["row"].astype(np.int64)
    added = Added(corrected_columns(detections, corrections), rows, {}, ())
    clash = next((name for name in added.columns if name in table.column_names), None)
    if clash is not None:
        raise DataError(f"{TABLE} has a column {clash} already: is it corrected?")
    return CorrectedRows(
        added.spread(table.num_rows, TABLE),
        rows,
        corrections.system,
        tuple(sorted(set(detections["visit"][unknown]))),
        int(unknown.sum()),
    )


def _detections(
    products: RunProducts,
    data: RunData,
    registry: Registry,
    table: pa.Table,
    columns: Mapping[str, str] | None,
    read_as: Reading,
) -> Detections:
    """Read the rows as the survey's loader does, else by the names of the vocabulary."""
    application = read_application(products.solution.provenance["application"], registry)
    refused = ""
    if columns is None and read_as != "names" and application.loader.read_rows is not None:
        try:
            return _by_loader(application, table, Path(products.survey.data.root))
        except DataError as error:
            refused = str(error)
    if read_as == "catalogue":
        raise DataError(refused or f"the loader {application.loader.name} reads no rows in memory")
    try:
        return _by_names(products, data, registry, table, columns or {})
    except DataError as error:
        also = f" (nor are they rows of the survey's catalogues: {refused})" if refused else ""
        raise DataError(f"{error}{also}") from None


def _by_loader(application: Application, table: pa.Table, root: Path) -> Detections:
    assert application.loader.read_rows is not None
    derived = {name for name in application.columns if name in BY_NAME and BY_NAME[name].derived}
    own = tuple(name for name in application.columns if name not in derived)
    read = application.loader.read_rows(table, application.settings, own, root)
    return derive(plausible(read, TABLE), "detection", derived)


def _by_names(
    products: RunProducts,
    data: RunData,
    registry: Registry,
    table: pa.Table,
    columns: Mapping[str, str],
) -> Detections:
    strange = [name for name in columns if name not in BY_NAME]
    if strange:
        near = did_you_mean(strange[0], BY_NAME)
        raise DataError(f'columns names "{strange[0]}", which is no column of scrframe{near}')
    solution, reads = products.solution, columns_read(products.survey, registry)
    applied = [
        each
        for each in solution.levels
        if each.applied or each.fitted.role == "colour" or solution.exposures is None
    ]
    by_levels = {name for level in applied for name in reads[level.fitted.name]} - {COLOUR}
    needed = {"visit", "ccd", "mag"} | (by_levels - set(_OF_VISITS))
    block = Block(TABLE, np.arange(table.num_rows), table, units=units_of(table.schema, TABLE))
    names = sorted(needed | {"mag_err", "mjd", "ra", "dec", OBSERVED_COLOUR} | set(columns))
    places = {name: _place(name, table.column_names, columns) for name in names}
    lacking = [name for name in sorted(needed) if places[name] is None]
    if lacking:
        raise DataError(_lacking(lacking, table.column_names))
    found: dict[str, Any] = {
        name: _column(block, name, place) for name, place in places.items() if place is not None
    }
    row_of = {key: row for row, key in enumerate(data.visits)}
    codes = found["visit"].dictionary_encode()
    rows = np.array([row_of.get(key, -1) for key in codes.dictionary.to_pylist()], dtype=np.int64)
    indices = codes.indices.to_numpy(zero_copy_only=False)
    visit = rows[indices] if len(rows) else np.zeros(0, np.int64)
    return plausible(detections_of(found, visit, data, by_levels), TABLE)


def _place(name: str, known: Collection[str], columns: Mapping[str, str]) -> str | None:
    """Return the table's column that stands for one of the vocabulary, None if there is none."""
    if name in columns:
        if columns[name] not in known:
            near = did_you_mean(columns[name], known)
            raise DataError(f'{TABLE} has no column "{columns[name]}" (columns.{name}){near}')
        return columns[name]
    return next((each for each in (name, _ALIASES.get(name)) if each in known), None)


def _column(block: Block, name: str, place: str) -> Any:
    """Return a column in the vocabulary's type and unit."""
    declared = BY_NAME.get(name)
    if declared is None:
        return block.column(place)
    if declared.kind == "category":
        text = block.texts(place)
        empty = np.asarray(text.is_null())
        block.refuse(empty, f"column {place} has no value")
        return text
    if declared.kind.startswith("int"):
        return block.integers(place)
    values, unit = block.numbers(place), block.units.get(place)
    if not unit or unit == declared.unit:
        return values
    from astropy import units as u  # noqa: PLC0415 - slow to import

    try:
        return values * u.Unit(unit).to(declared.unit)
    except ValueError:
        raise DataError(
            f"{TABLE}: column {place} has the unit {unit}; {name} is in {declared.unit}"
        ) from None


def _lacking(names: Sequence[str], known: Collection[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    near = did_you_mean(names[0], known)
    return (
        f"{TABLE} has no column {listed}, which the correction needs{near}: say what it is called"
        f' by columns={{"{names[0]}": ...}}'
    )
