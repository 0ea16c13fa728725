"""VOTable, as astropy reads it: whole, for it cannot be read in parts.

Expat looks at the file first, since astropy would fetch what a STREAM names and make room for as
many rows as a header states.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from scrframe.errors import DataError
from scrframe.io.compressed import open_bytes
from scrframe.io.table_file import TableInMemory, one_line

_CHUNK = 1 << 20
#: Bytes in memory of a value of each type; others take up to 16.
_SIZES = {"boolean": 1, "bit": 1, "unsignedByte": 1, "short": 2, "char": 1, "int": 4, "float": 4}
#: How many times its own size a table may take in memory, and what any may.
_MOST_TIMES, _MOST_BYTES = 100, 64 << 20


class VoTable(TableInMemory):
    """The first table of a VOTable; its parameters count as keywords.

    Raises
    ------
    DataError
        If the file is none, or is cut short.
    """

    def __init__(self, path: Path) -> None:
        table, *others = parse_votable(path).iter_tables()
        first = {field.name for field in table.fields}
        if any(len(each.array) and first <= {f.name for f in each.fields} for each in others):
            raise DataError(
                f"{path}: has several tables of the same columns, of which one can be read; write"
                " each into a file of its own"
            )
        own = list(zip(table.fields, table.array.dtype.names or (), strict=True))
        units = {field.name: str(field.unit) for field in table.fields if field.unit is not None}
        self._keywords = {param.name: param.value for param in table.params}
        columns = {field.name: table.array[name] for field, name in own}
        if len(columns) < len(own):
            names = [field.name for field, _ in own]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f'{path}: has two columns called "{twice}"')
        super().__init__(path, columns, units)

    def keyword(self, name: str) -> Any:
        """Return the value of a PARAM of the table; None if there is none."""
        value: Any = self._keywords.get(name)
        return value.item() if isinstance(value, np.generic) else value


def write_votable(table: Any, target: Any) -> None:
    """Write a table of astropy as VOTable, what its `meta` says as INFO elements.

    Text has any length: astropy states that of the longest, which for one letter is deprecated
    (VOTable 1.3, erratum 3).
    """
    from astropy.io.votable.tree import Info, VOTableFile  # noqa: PLC0415 - slow to import

    votable = VOTableFile.from_table(table)
    made = votable.get_first_table()
    for field in made.fields:
        if field.datatype in ("char", "unicodeChar") and "x" not in str(field.arraysize):
            field.arraysize = "*"
    made.infos.extend(Info(name=name, value=str(value)) for name, value in table.meta.items())
    votable.to_xml(target)


def parse_votable(path: Path) -> Any:
    """Return a VOTable file as astropy holds it.

    Raises DataError if it is none, is cut short, keeps its rows at another address, or states
    more rows than it can hold.
    """
    from astropy.io import votable  # noqa: PLC0415 - slow to import

    try:
        _look_over(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = votable.parse(path, verify="ignore")
            found.get_first_table()
    except DataError:
        raise
    except Exception as error:  # the parser raises whatever its XML and numpy raise
        raise DataError(f"{path}: is not a readable VOTable: {one_line(error)}") from None
    return found


def _look_over(path: Path) -> None:
    """Refuse what astropy must not see."""
    width, rows, stated = [0], [0], [0]

    def start(name: str, given: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        attributes = {key.rpartition(":")[2]: value for key, value in given.items()}
        if tag == "TR":
            rows[0] += 1
        elif tag == "STREAM" and "href" in attributes:
            raise DataError(
                f"{path}: keeps its rows in another file (STREAM href), which is not read"
            )
        elif tag == "FIELD":
            sizes = [
                int(size) for size in attributes.get("arraysize", "1").split("x") if size.isdigit()
            ]
            width[0] += math.prod(sizes) * _SIZES.get(attributes.get("datatype", ""), 16)
        elif tag == "TABLE" and attributes.get("nrows", "").strip().isdigit():
            stated[0] = max(stated[0], int(attributes["nrows"]))

    def entity(name: str, *_: Any) -> None:
        raise DataError(f"{path}: defines the entity {name[:40]}; such XML is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EntityDeclHandler = start, entity
    size = 0
    with open_bytes(path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            parser.Parse(chunk)
    parser.Parse(b"", True)
    # A row in text takes nine bytes at least, and one in binary an eighth of a byte.
    if stated[0] > 8 * size or max(rows[0], stated[0]) * width[0] > max(
        _MOST_TIMES * size, _MOST_BYTES
    ):
        raise DataError(
            f"{path}: states {max(rows[0], stated[0])} rows of {width[0]} bytes, which a file of"
            f" {size} bytes does not hold"
        )
