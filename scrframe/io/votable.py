"""VOTable; read whole, for it cannot be read in parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from scrframe.errors import DataError
from scrframe.io.arrays import from_numpy
from scrframe.io.table_file import BLOCK_ROWS, only_length


class VoTable:
    """The first table of a VOTable.

    Raises
    ------
    DataError
        If the file is none, or is cut short.
    """

    extension = 0
    row_groups: tuple[int, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path, self.label = path, str(path)
        self._table = parse_votable(path).get_first_table()
        fields = self._table.fields
        self.names: tuple[str, ...] = tuple(field.name for field in fields)
        self.units: dict[str, str] = {
            field.name: str(field.unit) for field in fields if field.unit is not None
        }

    def blocks(
        self, names: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Yield the columns named."""
        array = self._table.array
        own = dict(zip(self.names, array.dtype.names or (), strict=True))
        for start in range(0, len(array), BLOCK_ROWS):
            part = array[start : start + BLOCK_ROWS]
            if not names:
                yield start, only_length(len(part))
                continue
            yield start, pa.table({name: from_numpy(part[own[name]]) for name in names})

    def keyword(self, name: str) -> Any:
        """Return None: there are no keywords."""
        return None


def parse_votable(path: Path) -> Any:
    """Return a VOTable file as astropy holds it.

    Raises
    ------
    DataError
        If it is none, or is cut short.
    """
    from astropy.io import votable  # noqa: PLC0415 - slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = votable.parse(path, verify="ignore")
            found.get_first_table()
    except Exception as error:  # the parser raises whatever its XML and numpy raise
        message = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: is no readable VOTable: {message}") from None
    return found
