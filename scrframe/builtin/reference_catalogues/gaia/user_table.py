"""Small tables that a user supplies, in any of the formats of `formats`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import formats
from scrframe.builtin.reference_catalogues.gaia.products import Wanted
from scrframe.errors import DataError
from scrframe.io.arrays import floats


def read_columns(path: Path, names: Sequence[str]) -> list[FloatArray]:
    """Return columns of numbers of a file.

    Raises
    ------
    DataError
        If the file or a column is missing, or a number is.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    info = formats.describe(path)[0]
    wanted: dict[str, Wanted] = {}
    for name in names:
        own = info.find(name)
        if own is None:
            raise DataError(
                f"{info.label}: has no column {name}; there are: {', '.join(info.names)}"
            )
        wanted[name] = Wanted(own, "float")
    table = pa.concat_tables([block for _, block in formats.blocks(info, wanted)])
    found = [floats(table[name], f"{info.label}: column {name}") for name in names]
    for name, values in zip(names, found, strict=True):
        if not len(values) or not np.isfinite(values).all():
            raise DataError(f"{info.label}: column {name} is empty or lacks values")
    return found
