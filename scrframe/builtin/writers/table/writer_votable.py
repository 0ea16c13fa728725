"""Corrected VOTables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scrframe.builtin.writers.fits_catalogue import WHOLE
from scrframe.builtin.writers.table.added_columns import Added, about, kind_of
from scrframe.io.fits import is_gzipped
from scrframe.io.votable import parse_votable


def write_votable(source: Path, target: Path, added: Added) -> Path:
    """Write a VOTable with fields appended to its first table; all else stays.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    import numpy as np  # noqa: PLC0415 - with astropy
    from astropy.io.votable.tree import Field, Info  # noqa: PLC0415 - slow to import

    votable = parse_votable(source)
    table = votable.get_first_table()
    added.check([field.name for field in table.fields], source)
    old = table.array
    added.check_length(len(old), source)
    names = list(old.dtype.names or ())
    for name in added.columns:
        facts: dict[str, Any] = {} if name in WHOLE else {"unit": "mag"}
        kind = {"f": "double", "i": "int"}[kind_of(name).kind]
        kind = "short" if kind_of(name).itemsize == 2 else kind
        field = Field(votable, name=name, datatype=kind, **facts)
        field.description = about(name)
        table.fields.append(field)
    table.create_arrays(len(old))
    for name in names:
        table.array[name] = old[name]
        table.array.mask[name] = old.mask[name]
    for name, values in added.spread(len(old), source).items():
        table.array[name] = values
        table.array.mask[name] = np.isnan(values) if values.dtype.kind == "f" else False
    for name, value in added.facts.items():
        table.infos.append(Info(name=name, value=value))
    table.infos.append(Info(name="scrframe_columns", value="; ".join(added.about)))
    votable.to_xml(str(target), compressed=is_gzipped(source))
    return target
