"""Simulated visits in the layout that a description tells: its mapping the other way round.

What a simulated table holds follows from what a simulation knows (places, magnitudes, dates)
or is what the description says under `simulated`. A value that neither gives is an error that
names the key of the description that needs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.arrays import Array, BoolArray, FloatArray
from scrframe.builtin.survey_loaders.table.loader import passes
from scrframe.builtin.survey_loaders.table.mapping import is_flux
from scrframe.builtin.survey_loaders.table.reading import (
    JD_ZERO,
    RawColumns,
    ab_zero_point,
    is_mag,
    mag_factor,
)
from scrframe.builtin.survey_loaders.table.settings import MAPPED, NEEDED, TableConfig
from scrframe.builtin.survey_loaders.table.source import DATES, Simulated, Source
from scrframe.builtin.survey_loaders.table.writing import (
    distinct,
    file_name,
    is_single,
    partner,
    resolved,
    wait,
    waited,
    write_table,
)
from scrframe.errors import PluginError
from scrframe.io.block import Block
from scrframe.tables import SimulatedVisit
from scrframe.tables.columns import BY_NAME
from scrframe.tables.cuts import Cut, Expression
from scrframe.units import MAG_PER_RELATIVE_FLUX, unit_factor

#: Where visits wait until all are written.
_WAITING = ".simulated"
#: Classes of simulated detections that are stars.
STARS = (-1, -2)
#: Where a description takes the zero point of each row from a column, and does not tell it.
ZERO_POINT_MAG = 25.0
#: What is turned round when the columns are known that others are made from.
_LATE = ("expression", "template", "tile")
_MJD_ZERO = datetime(1858, 11, 17)


def write_simulated(visit: SimulatedVisit, root: Path, config: TableConfig) -> Path:
    """Write a simulated visit such that the description reads it, and return its file.

    Raises PluginError if the mapping cannot be turned round, or needs a value that the description
    does not tell; the error names the key.
    """
    made = invert(visit, config)
    joined = {name for join in config.join for name in join.columns}
    main = made.table.select([name for name in made.columns if name not in joined])
    for number, join in enumerate(config.join):
        wait(root / _WAITING / f"join{number}", visit.number, partner(made.table, join))
    path = root / file_name(config, visit.number)
    if is_single(config):
        wait(root / _WAITING / "main", visit.number, main)
    else:
        write_table(path, main, config, made.headers)
    return path


def close_simulated(root: Path, config: TableConfig) -> None:
    """Write the files that hold several visits.

    Raises PluginError if a table to join would need two rows of one key.
    """
    folder = root / _WAITING
    if is_single(config) and (folder / "main").is_dir():
        write_table(root / file_name(config, 0), waited(folder / "main"), config, {})
    for number, join in enumerate(config.join):
        table = distinct(waited(folder / f"join{number}"))
        keys = list(join.on.values())
        if len(distinct(table.select(keys))) < len(table):
            raise refused(
                f"{join.files} would need several rows of one {', '.join(keys)}, since columns"
                " taken from it differ between detections or visits of that key",
                "join",
                number,
            )
        plain = TableConfig(format=join.format, hdu=join.hdu)
        write_table(root / resolved(join.files, "simulated", join.format), table, plain, {})
    shutil.rmtree(folder, ignore_errors=True)


def refused(why: str, *key: str | int) -> PluginError:
    """Return the error of a mapping that cannot be turned round, because of one of its keys."""
    return PluginError(f"cannot be simulated: {why}", key)


def _missing(column: str, user: str) -> str:
    return (
        f'column "{column}", which {user} needs, has no simulated value; add it under'
        f" simulated: {{{column}: ...}}"
    )


@dataclass
class SimulatedTable:
    """Columns of a simulated table while they are filled."""

    #: Which detections are stars. Shape (n,).
    star: BoolArray
    #: Values that the description gives to columns.
    given: Mapping[str, Simulated]
    #: By their names in the table, or in tables to join. Arrays of shape (n,).
    columns: dict[str, Array] = field(default_factory=dict)
    #: Values of keywords: one, or one a detection.
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pa.Table:
        """The columns as Arrow has them; NaN is null."""
        return pa.table(
            {name: pa.array(values, from_pandas=True) for name, values in self.columns.items()}
        )

    def chosen(self, simulated: Simulated) -> Array:
        """Return the values of stars and of other detections, shape (n,)."""
        values = simulated.star, simulated.other
        if any(isinstance(value, str) for value in values):
            return np.where(self.star, *map(str, values))
        return np.where(self.star, *values)

    def knows(self, name: str) -> bool:
        """Return whether a column has values, if only by the description."""
        if name not in self.columns and name in self.given:
            self.columns[name] = self.chosen(self.given[name])
        return name in self.columns

    def put(self, name: str, values: Any) -> None:
        """Set a column that has no values yet."""
        if not self.knows(name):
            self.columns[name] = np.broadcast_to(np.asarray(values), self.star.shape)

    def put_needed(self, name: str, values: Array, what: str) -> None:
        """Set a column that must hold one of the vocabulary, and nothing else."""
        self.put(name, values)
        if not _same(self.columns[name], values):
            why = f'column "{name}" would have to hold {what} and something else'
            raise refused(why, "columns", what)


def _same(one: Array, other: Array) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one.astype(str), other.astype(str)))


def invert(visit: SimulatedVisit, config: TableConfig) -> SimulatedTable:
    """Return the columns from which the description makes a simulated visit.

    Raises PluginError if the mapping cannot be turned round, or lacks a value.
    """
    facts = _facts(visit)
    made = SimulatedTable(np.isin(facts["classification"], STARS), config.simulated)
    mapped = [name for name in MAPPED if name in config.columns or name in NEEDED]
    # What simple columns hold is known when expressions are turned round.
    for simple in (True, False):
        for name in mapped:
            source = config.source(name)
            if all(getattr(source, key) is None for key in _LATE) == simple:
                _put(made, name, source, facts, config)
    for own in config.own_columns:
        _put(made, own.name, config.columns[own.name], facts, config)
    # All flags are set to what the description calls a detection that may calibrate.
    bits: dict[str, int] = {}
    for flag in config.flags:
        if flag.bad_bits is None:
            made.put(flag.column, bool(flag.good))
        else:
            good = flag.bad_bits if flag.good else 0
            bits[flag.column] = bits.get(flag.column, 0) | good
    for column, value in bits.items():
        made.put(column, value)
    _refuse_unknown_cuts(made, config)
    for join in config.join:
        for name in (*join.on, *join.columns):
            made.put(name, visit.number)
    _refuse_cuts_that_nothing_passes(made, config)
    for name in config.simulated:
        if name not in made.columns:
            raise refused(f'no key of the description uses column "{name}"', "simulated", name)
    return made


def _facts(visit: SimulatedVisit) -> dict[str, Any]:
    """Return what a simulation knows, by the vocabulary's names."""
    table = visit.detections
    facts: dict[str, Any] = {
        name: np.asarray(table[name].to_numpy()) for name in table.column_names
    }
    of_visit = {
        "visit": visit.number,
        "band": visit.band,
        "field": visit.field,
        "mjd": visit.mjd,
        "airmass": visit.airmass,
        "seeing": visit.seeing_arcsec,
        "exposure_time": visit.exposure_time_s,
        "centre_ra": visit.ra_deg,
        "centre_dec": visit.dec_deg,
    }
    return facts | {name: np.full(table.num_rows, value) for name, value in of_visit.items()}


def _put(
    made: SimulatedTable, name: str, source: Source, facts: Mapping[str, Any], config: TableConfig
) -> None:
    """Set the columns that one column of the vocabulary is made from."""
    wanted = _wanted(made, name, source, facts, config)
    if source.column is not None and name in NEEDED and source.simulated is None:
        made.put_needed(source.column, wanted, name)
    elif source.column is not None:
        made.put(source.column, wanted)
    elif source.expression is not None:
        _solve(made, name, source.expression, np.asarray(wanted, dtype=np.float64))
    elif source.template is not None:
        for each in source.template_fields:
            made.put(each, facts["visit"])
    elif source.tile is not None:
        for each, fact in zip(source.tile, ("centre_ra", "centre_dec"), strict=True):
            made.put(each, facts[fact])
    elif source.keyword is not None:
        made.headers[source.keyword] = wanted
    elif source.extension:
        made.headers["extension"] = wanted


def _wanted(
    made: SimulatedTable, name: str, source: Source, facts: Mapping[str, Any], config: TableConfig
) -> Array:
    """Return what the table must hold for a column, before expressions."""
    if source.simulated is not None:
        return made.chosen(source.simulated)
    if name not in facts:
        if source.codes and source.column not in made.given:
            why = "it has codes, but no simulated value; add simulated: with one of them"
            raise refused(why, "columns", name)
        blanks: dict[str, Any] = {"flag": False, "label": "", "integer": 0}
        return np.full(made.star.shape, blanks.get(source.dtype or "number", 0.0))
    values = np.asarray(facts[name])
    if source.codes is not None:
        back = {str(value): text for text, value in source.codes.items()}
        text = values.astype(str)
        unknown = sorted(set(text) - set(back))
        if unknown:
            raise refused(f"no code of {name} stands for {unknown[0]}", "columns", name, "codes")
        names, index = np.unique(text, return_inverse=True)
        return np.array([back[each] for each in names])[index]
    if name in ("mag", "mag_err"):
        found = _photometry(made, name, source, facts, config)
        # The description's number for no value stands for NaN.
        absent = float(config.missing[0]) if config.missing else np.nan
        return np.where(np.isfinite(found), found, absent)
    if name == "mjd":
        return _dates(source, values)
    unit = BY_NAME[name].unit if name in BY_NAME else ""
    return values / unit_factor(source.unit, unit) if source.unit is not None and unit else values


def _photometry(
    made: SimulatedTable, name: str, source: Source, facts: Mapping[str, Any], config: TableConfig
) -> FloatArray:
    mag, err = np.asarray(facts["mag"], float), np.asarray(facts["mag_err"], float)
    mag_source = config.source("mag")
    if not is_flux(mag_source, mag_source.unit):
        values = mag if name == "mag" else np.where(np.isfinite(mag), err, np.nan)
        return values / (1.0 if source.unit is None else mag_factor(source.unit))
    zero_point: Any = mag_source.zero_point
    if isinstance(zero_point, str):
        made.put(zero_point, ZERO_POINT_MAG)
        zero_point = made.columns[zero_point]
    elif zero_point is None:
        zero_point = ab_zero_point(mag_source.unit or "")
    flux = np.asarray(10 ** (-0.4 * (mag - zero_point)))
    if name == "mag":
        return flux
    if source.unit is not None and is_mag(source.unit):
        return np.where(np.isfinite(mag), err, np.nan) / mag_factor(source.unit)
    scale = 1.0
    if source.unit is not None and mag_source.unit is not None:
        scale = unit_factor(source.unit, mag_source.unit)
    return np.asarray(err * flux / MAG_PER_RELATIVE_FLUX / scale)


def _dates(source: Source, mjd: FloatArray) -> Array:
    if source.unit == "iso":
        known = {day: _MJD_ZERO + timedelta(days=float(day)) for day in np.unique(mjd)}
        return np.array([known[day].isoformat(timespec="microseconds") for day in mjd])
    if source.unit == "jd":
        return mjd + JD_ZERO
    if source.unit is not None and source.unit not in DATES:
        return mjd / unit_factor(source.unit, "d")
    return mjd


def _solve(made: SimulatedTable, name: str, text: str, wanted: FloatArray) -> None:
    """Set the one column of an expression that has no values yet; it must enter linearly."""
    key = ("columns", name, "expression")
    expression = Expression(text)
    unknown = [each for each in expression.names if not made.knows(each)]
    if not unknown:
        return
    column, *others = unknown
    if others:
        raise refused(_missing(others[0], f'"{text}"'), *key)
    known = {
        each: made.columns[each].astype(np.float64) for each in expression.names if each != column
    }

    def at(value: float) -> FloatArray:
        trial = {**known, column: np.full(len(wanted), value)}
        return expression.evaluate(RawColumns(pa.table(trial)))

    start, slope = at(0.0), at(1.0) - at(0.0)
    linear = np.allclose(at(2.0), start + 2 * slope, rtol=1e-9, atol=1e-9)
    if not linear or not np.all(np.isfinite(slope) & (slope != 0)):
        raise refused(f'"{text}" is not linear in {column}', *key)
    made.put(column, (wanted - start) / slope)


def _refuse_unknown_cuts(made: SimulatedTable, config: TableConfig) -> None:
    for number, text in enumerate(config.rows):
        for name in Cut.parse(text).names:
            if not made.knows(name):
                raise refused(_missing(name, f'the cut "{text}"'), "rows", number)


def _refuse_cuts_that_nothing_passes(made: SimulatedTable, config: TableConfig) -> None:
    missing = tuple(float(value) for value in config.missing)
    block = Block("a simulated table", np.arange(len(made.star)), made.table, missing)
    for number, text in enumerate(config.rows):
        if len(block) and not passes(block, text).any():
            why = f'no simulated detection passes the cut "{text}"; see the values under simulated'
            raise refused(why, "rows", number)
