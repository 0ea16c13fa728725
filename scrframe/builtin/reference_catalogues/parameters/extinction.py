"""A column of a table as the extinction of stars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scrframe.builtin.reference_catalogues.parameters.settings import ParameterTableConfig
from scrframe.builtin.reference_catalogues.parameters.table import (
    check_part,
    columns_named,
    read_rows,
    table_parts,
)
from scrframe.builtin.reference_catalogues.parameters.write import write_example
from scrframe.plugin import Part
from scrframe.tables import Extinctions

KEY = "parameter_table"


def parts(config: ParameterTableConfig, root: Path) -> list[Part]:
    """Return a part for each file of the table.

    Raises
    ------
    DataError
        If there is none, or a file lacks a column.
    """
    columns = config.columns
    names = {
        "source_id": columns.source_id,
        "extinction": columns.extinction,
        "extinction_err": columns.extinction_err,
    }
    return table_parts(config.table, columns_named(names), root, KEY)


def check(part: Part, config: ParameterTableConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    check_part(part)


def read(part: Part, config: ParameterTableConfig, source_id: npt.NDArray[np.int64]) -> Extinctions:
    """Read the extinctions of the stars given; a star without one is absent.

    E is `scale` times the column. Its error is that of the column, scaled, and that of the
    scale, in quadrature. Of several rows of a star the first usable one counts.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    rows = read_rows(part, {"extinction": config.valid}, None)
    place, row = rows.find(source_id)
    value = rows.columns["extinction"][row]
    own = np.full(len(row), config.err)
    if "extinction_err" in rows.columns:
        given = rows.columns["extinction_err"][row]
        own = np.where(given >= 0, given, own)
    return Extinctions.from_columns(
        {
            "source_id": source_id[place],
            "extinction": config.scale * value,
            "extinction_err": np.hypot(config.scale * own, config.scale_err * value),
        }
    )


def example(directory: Path) -> ParameterTableConfig:
    """Write a tiny table, and return settings that read it."""
    write_example(directory)
    return ParameterTableConfig()
