"""Stellar parameters as a reference catalogue, from a table of stars with one row a star."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import parts as gaia_parts
from scrframe.builtin.reference_catalogues.gaia import plugin as gaia_sources
from scrframe.builtin.reference_catalogues.gaia.products import GaiaXpConfig
from scrframe.builtin.reference_catalogues.parameters.settings import StellarParametersConfig
from scrframe.errors import DataError, did_you_mean, named
from scrframe.io import key_below, matching_files, open_tables
from scrframe.io.block import Block
from scrframe.io.table_file import TableFile
from scrframe.plugin import ChosenCorrection, Part, file_part
from scrframe.tables import Footprint, Quantities, ReferenceStars


@dataclass(frozen=True)
class StarRows:
    """What a table tells, each star once, ordered by ``source_id``."""

    #: Shape (n,).
    source_id: npt.NDArray[np.int64]
    #: Arrays of shape (n,).
    columns: Mapping[str, FloatArray]
    #: Rows of the table.
    rows: int
    #: Rows without an identifier, rows that lack a value or hold one out of range, and rows of a
    #: star that a better row tells of.
    nameless: int
    unusable: int
    repeated: int

    def left_out(self, label: str, best: str) -> str:
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
    key : str
        Key of the description, for messages.

    Raises
    ------
    DataError
        If there is no file, or one lacks a column.
    """
    found = matching_files(pattern, root)
    if not found:
        raise DataError(f"{root / pattern}: no such table; put it there or set {key}.table")
    parts = []
    for path in found:
        detail = {"extension": _table_with(path, names, key).extension, "columns": dict(names)}
        parts.append(replace(file_part(path, key_below(path, root)), detail=detail))
    return parts


def _table_with(path: Path, names: Mapping[str, str], key: str) -> TableFile:
    """Return the table of a file that lacks fewest of the columns, none in the end."""

    def missing(table: TableFile) -> list[str]:
        return [name for name in names.values() if table.find(name) is None]

    table = min(open_tables(path, hdu="all"), key=lambda each: len(missing(each)))
    lacking = missing(table)
    if lacking:
        near = did_you_mean(lacking[0], table.names)
        raise DataError(
            f"{table.label}: lacks the {named('column', lacking)}{near}; name the table's own"
            f" in {key}.columns, or null where there is none"
        )
    return table


def check_part(part: Part) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    for block in _blocks(part):
        block.identifiers(part.detail["columns"]["source_id"], missing=0)
        return


def _blocks(part: Part) -> Iterator[Block]:
    (table,) = open_tables(part.path, hdu=part.detail["extension"])
    return table.blocks(list(part.detail["columns"].values()))


def read_rows(part: Part, valid: Mapping[str, tuple[float, float]], best: str | None) -> StarRows:
    """Read a table; of a star with several usable rows the best one, else the first, counts.

    Parameters
    ----------
    valid : mapping of str to (float, float)
        Columns that a row must have, each within a range; others may be missing.
    best : str, optional
        The column by whose largest value a star's row is chosen.

    Raises
    ------
    DataError
        If the file is damaged, or a column holds something else than numbers.
    """
    own: Mapping[str, str] = part.detail["columns"]
    ids, found = [], {name: [np.empty(0)] for name in own if name != "source_id"}
    for block in _blocks(part):
        ids.append(block.identifiers(own["source_id"], missing=0))
        for name, values in found.items():
            values.append(block.numbers(own[name]))
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


def columns_named(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return those of a mapping that are there."""
    return {own: name for own, name in names.items() if name is not None}


def only(names: Sequence[str], columns: Mapping[str, FloatArray], rows: Any) -> FloatArray:
    """Return columns side by side, shape (n, m), NaN for those that are not there."""
    count = len(rows)
    return np.column_stack(
        [columns[name][rows] if name in columns else np.full(count, np.nan) for name in names]
    )


logger = logging.getLogger(__name__)
KEY = "stellar_parameters"
PARAMETERS = ("teff", "logg", "feh")
#: What the name of a column of errors begins with.
ERROR = "err_"


def source_parts(config: StellarParametersConfig, root: Path) -> list[Part]:
    """Return the parts of gaia_source; each knows the table of parameters.

    Raises DataError if one of them is missing, or lacks a column.
    """
    tables = tuple(feature_parts(config, root))
    try:
        found = gaia_parts.source_parts(_gaia(config), root)
    except DataError as error:
        message = str(error)
        keys = {"gaia_xp.columns": f"{KEY}.gaia_columns", "gaia_xp.": f"{KEY}."}
        for key, own_key in keys.items():
            message = message.replace(key, own_key)
        raise DataError(message) from None
    # A star has parameters whether or not it has an XP spectrum.
    return [
        replace(
            part,
            detail={
                **part.detail,
                "columns": {
                    name: own
                    for name, own in part.detail["columns"].items()
                    if name != "has_xp_continuous"
                },
                "tables": tables,
            },
        )
        for part in found
    ]


def feature_parts(config: StellarParametersConfig, root: Path) -> list[Part]:
    """Return a part for each file of the table of parameters.

    Raises DataError if there is none, or a file lacks a column.
    """
    return table_parts(config.table, _names(config), root, KEY)


def check(part: Part, config: StellarParametersConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    if "tables" in part.detail:
        gaia_parts.check(part, _gaia(config))
    else:
        check_part(part)


def read_sources(
    part: Part,
    config: StellarParametersConfig,
    footprint: Footprint | None,
    corrections: Sequence[ChosenCorrection],
) -> ReferenceStars:
    """Read the stars of a part of gaia_source that have parameters, with these.

    Raises DataError if a file is damaged.
    """
    stars = gaia_sources.read_sources(part, _gaia(config), footprint, corrections)
    values = np.full((len(stars), len(PARAMETERS)), np.nan)
    order = np.argsort(stars["source_id"])
    for table in reversed(part.detail["tables"]):  # of several files the first counts
        rows = _table(table, config)
        place, row = rows.find(stars["source_id"][order])
        values[order[place]] = only(PARAMETERS, rows.columns, row)
    columns = dict(zip(PARAMETERS, values.T, strict=True))
    return stars.with_columns(columns).filter(np.isfinite(values).all(axis=1))


def read_features(
    part: Part,
    config: StellarParametersConfig,
    stars: ReferenceStars,
    corrections: Sequence[ChosenCorrection],
) -> Quantities:
    """Read the parameters of the stars given, with their errors and S/N.

    A row that lacks a parameter, or holds one out of its valid range, is left out, and of
    several rows of a star that of the highest S/N counts; a line says how many.

    Raises DataError if the file is damaged.
    """
    rows = _table(part, config)
    best = "the first" if config.columns.snr is None else "the best S/N"
    if line := rows.left_out(str(part.path), best):
        logger.warning("%s", line)
    place, row = rows.find(stars["source_id"])
    names = (*PARAMETERS, *config.columns.further)
    errors = only([ERROR + name for name in names], rows.columns, row)
    return Quantities(
        source_id=np.array(stars["source_id"][place]),
        names=names,
        values=only(names, rows.columns, row),
        errors=np.where(errors > 0, errors, np.nan),
        snr=only(["snr"], rows.columns, row)[:, 0],
        flags=np.zeros(len(row), dtype=np.uint8),
    )


def _gaia(config: StellarParametersConfig) -> GaiaXpConfig:
    return GaiaXpConfig.model_validate(
        {"sources": config.sources, "ref_epoch": config.ref_epoch, "columns": config.gaia_columns}
    )


def _names(config: StellarParametersConfig) -> dict[str, str]:
    columns, errors = config.columns, config.errors
    return columns_named(
        {
            "source_id": columns.source_id,
            **{name: getattr(columns, name) for name in (*PARAMETERS, "snr")},
            **columns.further,
            **{ERROR + name: getattr(errors, name) for name in PARAMETERS},
        }
    )


def _table(part: Part, config: StellarParametersConfig) -> StarRows:
    key = part.path, part.fingerprint, part.detail["extension"]
    return _read(*key, config.model_dump_json())


# Each part of gaia_source asks for the table: a process reads it once.
@lru_cache(maxsize=4)
def _read(path: Path, fingerprint: str, extension: int, settings: str) -> StarRows:
    config = StellarParametersConfig.model_validate_json(settings)
    valid = {name: getattr(config.valid, name) for name in PARAMETERS}
    valid |= dict.fromkeys(config.columns.further, (-np.inf, np.inf))
    best = None if config.columns.snr is None else "snr"
    detail = {"extension": extension, "columns": _names(config)}
    return read_rows(Part("", path, fingerprint, detail), valid, best)
