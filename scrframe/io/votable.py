"""VOTable, as astropy reads it: whole, for it cannot be read in parts."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path
from typing import Any

from scrframe.errors import DataError
from scrframe.io.fits.structure import is_gzipped
from scrframe.io.table_file import TableInMemory, one_line

_ELSEWHERE = re.compile(rb"<(?:\w+:)?STREAM\b[^>]*\bhref\s*=", re.DOTALL)


class VoTable(TableInMemory):
    """The first table of a VOTable.

    Raises
    ------
    DataError
        If the file is none, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        table = parse_votable(path).get_first_table()
        own = zip(table.fields, table.array.dtype.names or (), strict=True)
        units = {field.name: str(field.unit) for field in table.fields if field.unit is not None}
        super().__init__(path, {field.name: table.array[name] for field, name in own}, units)


def parse_votable(path: Path) -> Any:
    """Return a VOTable file as astropy holds it.

    Raises DataError if it is none, is cut short, or keeps its rows at another address.
    """
    from astropy.io import votable  # noqa: PLC0415 - slow to import

    try:
        with (gzip.open if is_gzipped(path) else open)(path, "rb") as handle:
            elsewhere = _ELSEWHERE.search(handle.read())
        if elsewhere:  # astropy would fetch it
            raise DataError(
                f"{path}: keeps its rows in another file (STREAM href), which is not read"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = votable.parse(path, verify="ignore")
            found.get_first_table()
    except DataError:
        raise
    except Exception as error:  # the parser raises whatever its XML and numpy raise
        raise DataError(f"{path}: is not a readable VOTable: {one_line(error)}") from None
    return found
