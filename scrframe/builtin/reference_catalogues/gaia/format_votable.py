"""VOTable, as the archive answers queries; read whole, for such answers are small."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from astropy.io import votable

from scrframe.builtin.reference_catalogues.gaia.products import TableInfo, Wanted
from scrframe.errors import DataError
from scrframe.io.arrays import from_numpy


def describe(path: Path) -> TableInfo:
    """Return what the first table of a file holds."""
    fields = _first_table(path).fields
    return TableInfo(
        path,
        "votable",
        tuple(field.name for field in fields),
        {field.name: str(field.unit) for field in fields if field.unit is not None},
    )


def blocks(info: TableInfo, wanted: Mapping[str, Wanted]) -> Iterator[pa.Table]:
    """Yield the columns wanted, all rows at once."""
    table = _first_table(info.path).to_table(use_names_over_ids=True)
    yield pa.table({own: from_numpy(table[item.name]) for own, item in wanted.items()})


def _first_table(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return votable.parse(path, verify="ignore").get_first_table()
    except Exception as error:  # the parser raises whatever its XML and numpy raise
        message = " ".join(str(error).split())
        raise DataError(f"{path}: is no readable VOTable: {message}") from None
