"""Stellar parameters as a reference catalogue."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from scrframe.builtin.reference_catalogues.gaia import parts as gaia_parts
from scrframe.builtin.reference_catalogues.gaia import sources as gaia_sources
from scrframe.builtin.reference_catalogues.gaia.products import GaiaXpConfig
from scrframe.builtin.reference_catalogues.parameters.settings import StellarParametersConfig
from scrframe.builtin.reference_catalogues.parameters.table import (
    StarRows,
    check_part,
    columns_named,
    only,
    read_rows,
    table_parts,
)
from scrframe.builtin.reference_catalogues.parameters.write import write_example
from scrframe.errors import DataError
from scrframe.plugin import ChosenCorrection, Part
from scrframe.tables import Footprint, Quantities, ReferenceStars

logger = logging.getLogger(__name__)
KEY = "stellar_parameters"
PARAMETERS = ("teff", "logg", "feh")
#: What the name of a column of errors begins with.
ERROR = "err_"


def source_parts(config: StellarParametersConfig, root: Path) -> list[Part]:
    """Return the parts of gaia_source; each knows the table of parameters.

    Raises
    ------
    DataError
        If one of them is missing, or lacks a column.
    """
    tables = tuple(feature_parts(config, root))
    try:
        found = gaia_parts.source_parts(_gaia(config), root)
    except DataError as error:
        raise DataError(_own_keys(str(error))) from None
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

    Raises
    ------
    DataError
        If there is none, or a file lacks a column.
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

    Raises
    ------
    DataError
        If a file is damaged.
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

    Raises
    ------
    DataError
        If the file is damaged.
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


def example(directory: Path) -> StellarParametersConfig:
    """Write a tiny table of parameters with its Gaia sources, and return its settings."""
    write_example(directory)
    return StellarParametersConfig()


def _gaia(config: StellarParametersConfig) -> GaiaXpConfig:
    return GaiaXpConfig.model_validate(
        {
            "sources": config.sources,
            "ref_epoch": config.ref_epoch,
            "columns": config.gaia_columns,
        }
    )


def _own_keys(message: str) -> str:
    """Return a message on Gaia's sources with this catalogue's keys."""
    keys = {"gaia_xp.columns": f"{KEY}.gaia_columns", "gaia_xp.": f"{KEY}."}
    for other, own in keys.items():
        message = message.replace(other, own)
    return message


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
