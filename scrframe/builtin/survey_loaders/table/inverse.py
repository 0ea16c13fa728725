"""From simulated detections to the columns of a table: the mapping the other way round."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.arrays import Array, FloatArray
from scrframe.builtin.survey_loaders.table.loader import passes
from scrframe.builtin.survey_loaders.table.reading import RawColumns
from scrframe.builtin.survey_loaders.table.settings import MAPPED, NEEDED, TableConfig
from scrframe.builtin.survey_loaders.table.source import DATES, Source
from scrframe.builtin.survey_loaders.table.units import (
    JD_ZERO,
    MAG_PER_RELATIVE_FLUX,
    ab_zero_point,
    is_mag,
    mag_factor,
)
from scrframe.errors import PluginError, ScrframeError
from scrframe.io.block import Block
from scrframe.tables import SimulatedVisit
from scrframe.tables.columns import BY_NAME
from scrframe.tables.cuts import Cut, Expression
from scrframe.units import unit_factor

#: Classes of simulated detections that are stars.
STARS = (-1, -2)
#: Where a description takes the zero point of each row from a column.
ZERO_POINT_MAG = 25.0
#: What is turned round when the columns are known that others are made from.
_LATE = ("expression", "template", "tile")
_MJD_ZERO = datetime(1858, 11, 17)


@dataclass
class Inverse:
    """Columns of a table as they come into being.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (n,)
        By their names in the table, or in tables to join.
    headers : dict of str to array or value
        Values of keywords: one, or one a detection.
    """

    rows: int
    columns: dict[str, Array] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> pa.Table:
        """The columns as Arrow has them; NaN is null."""
        return pa.table(
            {name: pa.array(values, from_pandas=True) for name, values in self.columns.items()}
        )

    def put(self, name: str, values: Any, for_what: str, *, force: bool = False) -> None:
        """Set a column that is not yet set.

        Raises
        ------
        PluginError
            If it is set to something else and must not be (`force`).
        """
        array = np.broadcast_to(np.asarray(values), (self.rows,))
        if name not in self.columns:
            self.columns[name] = array
        elif force and not _same(self.columns[name], array):
            raise refused(f'column "{name}" would have to hold {for_what} and something else')


def _same(one: Array, other: Array) -> bool:
    if one.dtype.kind == "f" and other.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one.astype(str), other.astype(str)))


def refused(why: str) -> PluginError:
    """Return the error of a mapping that cannot be turned round."""
    return PluginError(f"loader table: this description cannot be simulated: {why}")


def invert(visit: SimulatedVisit, config: TableConfig) -> Inverse:
    """Return the columns from which the description makes a simulated visit.

    Raises
    ------
    PluginError
        If the mapping cannot be turned round.
    """
    made = Inverse(visit.detections.num_rows)
    facts = _facts(visit)
    star = np.isin(facts["classification"], STARS)
    mapped = [name for name in MAPPED if name in config.columns or name in NEEDED]
    # What simple columns hold is known when expressions are turned round.
    for simple in (True, False):
        for name in mapped:
            source = config.source(name)
            if all(getattr(source, key) is None for key in _LATE) == simple:
                _put(made, name, source, facts, star, config)
    for own in config.own_columns:
        _put(made, own.name, config.columns[own.name], facts, star, config)
    _unset_flags(made, config)
    _meet_filters(made, config)
    for join in config.join:
        for name in (*join.on, *join.columns):
            made.put(name, visit.number, "a key")
    return made


def _facts(visit: SimulatedVisit) -> dict[str, Any]:
    """Return what a simulation knows, by the vocabulary's names."""
    table = visit.detections
    facts: dict[str, Any] = {
        name: np.asarray(table[name].to_numpy()) for name in table.column_names
    }
    rows = table.num_rows
    facts |= {
        "visit": np.full(rows, visit.number),
        "band": np.full(rows, visit.band),
        "field": np.full(rows, visit.field),
        "mjd": np.full(rows, visit.mjd),
        "airmass": np.full(rows, visit.airmass),
        "seeing": np.full(rows, visit.seeing_arcsec),
        "exposure_time": np.full(rows, visit.exposure_time_s),
        "centre_ra": np.full(rows, visit.ra_deg),
        "centre_dec": np.full(rows, visit.dec_deg),
    }
    return facts


def _put(
    made: Inverse,
    name: str,
    source: Source,
    facts: Mapping[str, Any],
    star: Array,
    config: TableConfig,
) -> None:
    """Set the columns that one column of the vocabulary is made from."""
    wanted = _wanted(name, source, facts, star, config)
    needed = name in NEEDED
    if isinstance(source.zero_point, str):
        made.put(source.zero_point, ZERO_POINT_MAG, "zero points")
    if source.column is not None:
        made.put(source.column, wanted, name, force=needed and source.simulated is None)
    elif source.expression is not None:
        _solve(made, name, source.expression, np.asarray(wanted, dtype=np.float64))
    elif source.template is not None:
        for each in source.template_fields:
            made.put(each, facts["visit"], name)
    elif source.tile is not None:
        for each, fact in zip(source.tile, ("centre_ra", "centre_dec"), strict=True):
            made.put(each, facts[fact], name)
    elif source.keyword is not None:
        made.headers[source.keyword] = wanted
    elif source.extension:
        made.headers["extension"] = wanted


def _wanted(
    name: str, source: Source, facts: Mapping[str, Any], star: Array, config: TableConfig
) -> Array:
    """Return what the table must hold for a column, before expressions."""
    if source.simulated is not None:
        star_value, other_value = _alike(source.simulated.star, source.simulated.other)
        return np.asarray(np.where(star, star_value, other_value))
    if name not in facts:
        return np.full(len(star), _blank(source))
    values = np.asarray(facts[name])
    if source.codes is not None:
        return _encoded(name, values, source.codes)
    if name in ("mag", "mag_err"):
        return _absent(_photometry(name, source, facts, config), config)
    if name == "mjd":
        return _dates(source, values)
    return _in_unit(name, source, values)


def _blank(source: Source) -> Any:
    """Return the value of a column that the simulation does not know."""
    if source.codes:
        return next(iter(source.codes))
    blanks: dict[str, Any] = {"flag": False, "label": "", "integer": 0}
    return blanks.get(source.dtype or "number", 0.0)


def _in_unit(name: str, source: Source, values: Array) -> Array:
    unit = BY_NAME[name].unit if name in BY_NAME else ""
    return values / unit_factor(source.unit, unit) if source.unit is not None and unit else values


def _alike(star: Any, other: Any) -> tuple[Any, Any]:
    """Return two values of one type."""
    if isinstance(star, str) or isinstance(other, str):
        return str(star), str(other)
    return star, other


def _encoded(name: str, values: Array, codes: Mapping[str, Any]) -> Array:
    back = {str(value): text for text, value in codes.items()}
    text = values.astype(str)
    unknown = sorted(set(text) - set(back))
    if unknown:
        raise refused(f"no code of {name} stands for {unknown[0]}")
    names, index = np.unique(text, return_inverse=True)
    return np.array([back[each] for each in names])[index]


def _photometry(
    name: str, source: Source, facts: Mapping[str, Any], config: TableConfig
) -> FloatArray:
    mag, err = np.asarray(facts["mag"], float), np.asarray(facts["mag_err"], float)
    mag_source = config.source("mag")
    is_flux = mag_source.zero_point is not None or (
        mag_source.unit is not None and not is_mag(mag_source.unit)
    )
    if not is_flux:
        values = mag if name == "mag" else np.where(np.isfinite(mag), err, np.nan)
        return values / (1.0 if source.unit is None else mag_factor(source.unit))
    zero_point = mag_source.zero_point
    if isinstance(zero_point, str):
        zero_point = ZERO_POINT_MAG
    elif zero_point is None:
        zero_point = ab_zero_point(mag_source.unit or "")
    flux = 10 ** (-0.4 * (mag - zero_point))
    if name == "mag":
        return flux
    if source.unit is not None and is_mag(source.unit):
        return np.where(np.isfinite(mag), err, np.nan) / mag_factor(source.unit)
    scale = 1.0
    if source.unit is not None and mag_source.unit is not None:
        scale = unit_factor(source.unit, mag_source.unit)
    return np.asarray(err * flux / MAG_PER_RELATIVE_FLUX / scale)


def _absent(values: FloatArray, config: TableConfig) -> FloatArray:
    """Return values in which the description's number for none stands for NaN."""
    if not config.missing:
        return values
    return np.where(np.isfinite(values), values, float(config.missing[0]))


def _dates(source: Source, mjd: FloatArray) -> Array:
    if source.unit == "iso":
        known = {day: _MJD_ZERO + timedelta(days=float(day)) for day in np.unique(mjd)}
        return np.array([known[day].isoformat(timespec="microseconds") for day in mjd])
    if source.unit == "jd":
        return mjd + JD_ZERO
    if source.unit is not None and source.unit not in DATES:
        return mjd / unit_factor(source.unit, "d")
    return mjd


def _solve(made: Inverse, name: str, text: str, wanted: FloatArray) -> None:
    """Set the one column of an expression that is not yet set; it must enter linearly."""
    expression = Expression(text)
    unknown = [each for each in expression.names if each not in made.columns]
    if not unknown:
        return
    column = unknown[0]
    for other in unknown[1:]:
        made.put(other, 1.0, name)

    def at(value: float) -> FloatArray:
        columns = {each: made.columns[each] for each in expression.names if each != column}
        columns[column] = np.full(made.rows, value)
        numbers = {each: np.asarray(array, dtype=np.float64) for each, array in columns.items()}
        return expression.evaluate(RawColumns(pa.table(numbers)))

    start, slope = at(0.0), at(1.0) - at(0.0)
    linear = np.allclose(at(2.0), start + 2 * slope, rtol=1e-9, atol=1e-9)
    if not linear or not np.all(np.isfinite(slope) & (slope != 0)):
        raise refused(f'{name} is "{text}", which is not linear in {column}')
    made.put(column, (wanted - start) / slope, name)


def _unset_flags(made: Inverse, config: TableConfig) -> None:
    """Set all flags such that every detection may calibrate."""
    bits: dict[str, int] = {}
    for flag in config.flags:
        if flag.bad_bits is None:
            made.put(flag.column, bool(flag.good), "a flag")
        else:
            good = flag.bad_bits if flag.good else 0
            bits[flag.column] = bits.get(flag.column, 0) | good
    for column, value in bits.items():
        made.put(column, value, "a flag")


def _meet_filters(made: Inverse, config: TableConfig) -> None:
    """Set the columns that only cuts of `rows` name such that these pass."""
    for text in config.rows:
        for part in _conjunction(ast.parse(text.strip(), mode="eval").body):
            names = list(Cut.parse(ast.unparse(part)).names)
            unset = [name for name in names if name not in made.columns]
            if len(unset) > 1 or (unset and len(names) > 1):
                raise refused(f'the cut "{text}" of rows cannot be met')
            for name in unset:
                made.put(name, _passing(name, part, text), "what a cut asks for")


def _conjunction(tree: ast.expr) -> list[ast.expr]:
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        return [part for value in tree.values for part in _conjunction(value)]
    return [tree]


def _passing(name: str, part: ast.expr, text: str) -> Any:
    """Return a value of the one column of a cut with which it passes."""
    constants: list[Any] = [each.value for each in ast.walk(part) if isinstance(each, ast.Constant)]
    numbers = [each for each in constants if not isinstance(each, str)]
    candidates: list[Any] = [each for each in constants if isinstance(each, str)]
    candidates += [0, 1] if not numbers else []
    candidates += [each + step for each in numbers for step in (0, -1, 1, 0.5, -0.5)]
    candidates += [-each + step for each in numbers for step in (0, -1, 1)]
    candidates += [(low + high) / 2 for low in numbers for high in numbers]
    candidates += ["other", True, False]
    for value in candidates:
        block = Block("", np.arange(1), pa.table({name: [value]}))
        try:
            if passes(block, ast.unparse(part))[0]:
                return value
        except (ScrframeError, ValueError, pa.ArrowException):
            continue
    raise refused(f'the cut "{text}" of rows cannot be met')
