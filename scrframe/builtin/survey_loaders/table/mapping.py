"""From a block of a table to the columns of the vocabulary."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scrframe.arrays import FloatArray
from scrframe.builtin.survey_loaders.table import reading
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.builtin.survey_loaders.table.source import DATES, KINDS, Source
from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.io.cells import is_text
from scrframe.statistics.sky import EqualAreaGrid
from scrframe.tables.columns import BY_NAME, Kind
from scrframe.tables.table import refuse_dates, refuse_large
from scrframe.units import unit_factor

#: Columns of which every detection must have a value.
_COMPLETE = ("ra", "dec", "mjd", "x", "y")
#: Positions may exceed their range by rounding in single precision. Right ascensions that
#: count on beyond 0 or 360 are the same places.
_SLACK_DEG = 1.5e-4
_RANGES = {"ra": (-180.0, 540.0), "dec": (-90.0, 90.0)}
#: Seconds and the like since some other day would be dates before this.
_LATE_MJD = 40000.0
#: So many equal magnitudes, so far from any other, stand for something else.
_PILE, _GAP_MAG = 10, 1.0
#: Pixels that no detector has; fewer are stars at its edge.
_GAP_PIXELS = 90.0
_LIMITS = {"int16": 2**15 - 1, "int32": 2**31 - 1, "int64": 2**63 - 1}


def mapped(block: Block, config: TableConfig, name: str) -> Any:
    """Return one column of the vocabulary, or one of the description's own, shape (n,).

    Raises DataError if the table's column holds what cannot be meant.
    """
    source = config.source(name)
    if name == "mag":
        return _measured(block, source, magnitude(block, source))
    if name == "mag_err":
        return _magnitude_error(block, config)
    kind = BY_NAME[name].kind if name in BY_NAME else KINDS[source.dtype or "number"]
    if name == "mjd":
        dates = _complete(block, name, source, _dates(block, source))
        low, high = BY_NAME[name].valid
        bad = np.flatnonzero((dates <= low) | (dates >= high))
        if len(bad):
            where = f"{block.label}, row {block.rows[bad[0]]}: mjd ({reading.origin_of(source)})"
            refuse_dates(dates[bad], where)
        return dates
    values = _of_kind(block, name, source, kind)
    if name in _RANGES:
        low, high = _RANGES[name]
        bad = (values < low - _SLACK_DEG) | (values > high + _SLACK_DEG)
        if bad.any():
            worst = values[np.flatnonzero(bad)[0]]
            block.refuse(
                bad,
                f"{name} ({reading.origin_of(source)}) is {worst:g} deg, outside {low:g} to"
                f" {high:g}: is its unit right?",
            )
        return values % 360.0 if name == "ra" else np.clip(values, low, high)
    if name in ("x", "y"):
        piled = _piled(values, np.ones(len(values), dtype=bool), _GAP_PIXELS)
        _refuse_unmeasured(block, name, source, values, piled & (values < 0))
    return values


def usable(block: Block, config: TableConfig) -> npt.NDArray[np.bool_]:
    """Return which detections no flag forbids to calibrate, shape (n,)."""
    kept = np.ones(len(block), dtype=bool)
    for flag in config.flags:
        bits = flag.bad_bits
        if bits is None:
            # What is not known to be clean is not used.
            bad = pc.fill_null(block.flags(flag.column), not flag.good)
            bad = bad.to_numpy(zero_copy_only=False).astype(bool)
        else:
            bad = block.bits(flag.column, bits)
        kept &= bad if flag.good else ~bad
    return kept


def _of_kind(block: Block, name: str, source: Source, kind: Kind) -> Any:
    if kind == "category":
        return _labels(block, name, source)
    if kind == "bool":
        if source.column is not None:
            return block.flags(source.column)
        return np.full(len(block), bool(reading.constant_of(block, name, source)))
    if kind.startswith("int"):
        return _whole(block, name, source, kind)
    values = _scaled(block, name, source)
    return _complete(block, name, source, values) if name in _COMPLETE else values


def _labels(block: Block, name: str, source: Source) -> pa.Array:
    """Return text; of a key every row must have one."""
    if source.template is not None:
        text = _template(block, source)
    elif source.tile is not None:
        text = _tiles(block, name, source)
    elif source.column is not None:
        text = block.texts(source.column)
    elif source.expression is not None:
        raise DataError(f"{block.label}: {name} is text, which no expression makes")
    else:
        text = pa.array(
            [str(reading.constant_of(block, name, source)).strip()] * len(block), pa.string()
        )
    if source.codes is not None:
        coded = reading.decoded(block, name, source, text)
        text = pa.array([None if each is None else str(each) for each in coded], pa.string())
    if name == "visit":
        reading.refuse_nulls(block, name, source, text)
    return pc.fill_null(text, "").dictionary_encode()


def _template(block: Block, source: Source) -> pa.Array:
    pieces: list[Any] = []
    rest = source.template or ""
    for field in source.template_fields:
        before, _, rest = rest.partition("{" + field + "}")
        pieces += [pa.scalar(before), block.texts(field)]
    return pc.binary_join_element_wise(*pieces, pa.scalar(rest), "")


def _tiles(block: Block, name: str, source: Source) -> pa.Array:
    """Return the tiles of the sky that positions lie in, by the centres of the tiles."""
    ra, dec = (block.numbers(column) for column in source.tile or ())
    grid = EqualAreaGrid(source.size or 1.0)
    cells, place = np.unique(grid.cell(ra, dec), return_inverse=True)
    block.refuse(cells[place] < 0, f"{name} ({reading.origin_of(source)}) has no position")
    centres = zip(*grid.centre(cells), strict=True)
    labels = pa.array([f"{east:07.3f}{north:+07.3f}" for east, north in centres], pa.string())
    return labels.take(pa.array(place))


def _whole(block: Block, name: str, source: Source, kind: Kind) -> npt.NDArray[np.int64]:
    if source.codes is not None:
        text = (
            block.texts(source.column)
            if source.column is not None
            else pa.array([str(reading.constant_of(block, name, source))] * len(block), pa.string())
        )
        coded = reading.decoded(block, name, source, text)
        values = np.array([_int(each) for each in coded], dtype=np.int64)
    elif source.column is not None:
        values = block.integers(source.column)
    else:
        numbers = reading.numbers_of(block, name, source)
        block.refuse(
            ~np.isfinite(numbers) | (numbers != np.round(numbers)),
            f"{name} ({reading.origin_of(source)}) is not a whole number",
        )
        values = numbers.astype(np.int64)
    limit = _LIMITS[kind]
    block.refuse(
        (values > limit) | (values < -limit - 1),
        f"{name} ({reading.origin_of(source)}) is too large",
    )
    return values


def _int(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise DataError(f"codes: {value!r} is not a whole number") from None


def _scaled(block: Block, name: str, source: Source) -> FloatArray:
    """Return numbers in the unit of the vocabulary."""
    values = reading.numbers_of(block, name, source)
    target = BY_NAME[name].unit if name in BY_NAME else ""
    unit = reading.unit_of(block, source) if target else None
    if unit is None:
        return values
    return values * _factor(block, name, source, unit)


def _factor(block: Block, name: str, source: Source, unit: str) -> float:
    try:
        return unit_factor(unit, BY_NAME[name].unit)
    except ValueError as error:
        raise DataError(f"{block.label}: {name} ({reading.origin_of(source)}) {error}") from None


def _measured(block: Block, source: Source, values: FloatArray) -> FloatArray:
    """Refuse magnitudes that no star has, and those that pile up far from all others."""
    low, high = BY_NAME["mag"].valid
    bad = (values <= low) | (values >= high)
    _refuse_unmeasured(block, "mag", source, values, bad | _piled(values, ~bad, _GAP_MAG))
    return values


def _piled(values: FloatArray, looked_at: npt.NDArray[np.bool_], gap: float) -> Any:
    """Return which values are many equal ones at an end, further than `gap` from all others."""
    found, count = np.unique(values[~np.isnan(values) & looked_at], return_counts=True)
    piled = np.zeros(len(values), dtype=bool)
    for end, inner in ((0, 1), (-1, -2)) if len(found) > 1 else ():
        if count[end] >= _PILE and abs(found[end] - found[inner]) >= gap:
            piled |= values == found[end]
    return piled


def _refuse_unmeasured(
    block: Block, name: str, source: Source, values: FloatArray, bad: npt.NDArray[np.bool_]
) -> None:
    if bad.any():
        first = values[np.flatnonzero(bad)[0]]
        block.refuse(
            bad,
            f"{name} ({reading.origin_of(source)}) is {first:g}, as {(values == first).sum()} rows"
            " are, and no measurement: name what stands for no value under missing, or leave"
            " such rows out by a cut under rows",
        )


def _dates(block: Block, source: Source) -> FloatArray:
    """Return modified Julian dates."""
    unit = source.unit
    stamped = source.column is not None and pa.types.is_temporal(block.column(source.column).type)
    if unit is None and not stamped:
        declared = block.units.get(source.column or "", "").strip()
        known = declared.lower() in DATES
        unit = (
            declared.lower() if known else _written(block, source) or reading.unit_of(block, source)
        )
    if stamped:
        return _stamps(block, source)
    if unit == "iso":
        if source.column is not None:
            text = pc.fill_null(block.texts(source.column), "NaT")
        else:
            text = pa.array(
                [str(reading.constant_of(block, "mjd", source))] * len(block), pa.string()
            )
        dates = text.dictionary_encode()
        labels = pc.replace_substring(dates.dictionary, " ", "T").to_pylist()
        found = np.full(len(labels), np.nan)
        for number, label in enumerate(labels):
            try:
                with warnings.catch_warnings():  # numpy warns of zones, and heeds them
                    warnings.simplefilter("ignore", UserWarning)
                    stamp = np.datetime64(label.strip().removesuffix("Z"), "us")
            except ValueError:
                bad = np.asarray(dates.indices) == number
                said = reading.shown(label)
                block.refuse(bad, f"mjd ({reading.origin_of(source)}) is {said}, no ISO date")
            found[number] = _days(stamp)
        return found[np.asarray(dates.indices)] if len(text) else np.zeros(0)
    values = reading.numbers_of(block, "mjd", source)
    if unit == "jd":
        return values - reading.JD_ZERO
    if unit == "unix":
        return values / 86400 + reading.UNIX_ZERO
    factor = 1.0 if unit is None or unit == "mjd" else _factor(block, "mjd", source, unit)
    if factor != 1:
        where = f"mjd ({reading.origin_of(source)}) in {unit} does not count from MJD 0"
        block.refuse(values * factor < _LATE_MJD, f"{where}: is its unit unix?")
    return values * factor


def _written(block: Block, source: Source) -> str | None:
    """Return "iso" if a column holds text that begins as such dates do."""
    if source.column is None or not is_text(block.column(source.column).type):
        return None
    dates = pc.match_substring_regex(block.texts(source.column), r"^\d{4}-\d{2}-\d{2}")
    return "iso" if pc.any(dates).as_py() else None


def _stamps(block: Block, source: Source) -> FloatArray:
    """Return timestamps and dates, of any resolution and in UTC, as modified Julian dates."""
    column = block.column(source.column or "")
    try:
        stamps = column.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(
            f"{block.label}: mjd ({reading.origin_of(source)}) holds {column.type}, no dates"
        ) from None
    return np.asarray(_days(stamps), dtype=np.float64)


def _days(stamps: Any) -> Any:
    return (stamps - np.datetime64("1858-11-17")) / np.timedelta64(1, "D")


def magnitude(block: Block, source: Source) -> FloatArray:
    """Return magnitudes, NaN where there is none or the flux is not positive."""
    values, unit = reading.numbers_of(block, "mag", source), reading.unit_of(block, source)
    if is_flux(source, unit):
        return reading.magnitudes(values, _zero_point(block, source, unit))
    return values * (1.0 if unit is None else reading.mag_factor(unit))


def is_flux(source: Source, unit: str | None) -> bool:
    """Return whether a magnitude is made from a flux."""
    return source.zero_point is not None or (unit is not None and not reading.is_mag(unit))


def _zero_point(block: Block, source: Source, unit: str | None) -> FloatArray | float:
    if isinstance(source.zero_point, str):
        return block.numbers(source.zero_point)
    if source.zero_point is not None:
        return source.zero_point
    try:
        return reading.ab_zero_point(unit or "")
    except ValueError as error:
        raise DataError(f"{block.label}: mag ({reading.origin_of(source)}) {error}") from None


def _magnitude_error(block: Block, config: TableConfig) -> FloatArray:
    """Return errors of magnitudes, at least `min_error`; NaN where there is none."""
    source, flux_source = config.source("mag_err"), config.source("mag")
    values, unit = reading.numbers_of(block, "mag_err", source), reading.unit_of(block, source)
    flux_unit = reading.unit_of(block, flux_source)
    if is_flux(flux_source, flux_unit) and not (unit is not None and reading.is_mag(unit)):
        try:
            scale = 1.0 if unit is None or flux_unit is None else unit_factor(unit, flux_unit)
        except ValueError as error:
            raise DataError(
                f"{block.label}: mag_err ({reading.origin_of(source)}) {error}"
            ) from None
        flux = reading.numbers_of(block, "mag", flux_source)
        errors = reading.magnitude_errors(flux, values * scale)
    elif unit is not None and not reading.is_mag(unit):
        raise DataError(
            f"{block.label}: mag_err ({reading.origin_of(source)}) has the unit {unit}, but mag is"
            " no flux"
        )
    else:
        errors = values * (1.0 if unit is None else reading.mag_factor(unit))
    refuse_large("mag_err", errors, f"{block.label}: mag_err ({reading.origin_of(source)})")
    low, high = BY_NAME["mag_err"].valid
    positive = (errors > low) & (errors < high)
    return np.where(positive, np.maximum(errors, config.min_error), np.nan)


def _complete(block: Block, name: str, source: Source, values: FloatArray) -> FloatArray:
    bad = ~np.isfinite(values)
    if bad.any():
        block.refuse(
            bad,
            f"{name} ({reading.origin_of(source)}) has no value; leave such rows out by a cut"
            " under rows",
        )
    return values
