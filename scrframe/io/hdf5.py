"""HDF5 with a dataset a column, read by h5py in ranges of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.errors import DataError
from scrframe.io.block import Block
from scrframe.io.compressed import refuse_bomb
from scrframe.io.table_file import (
    DAMAGE,
    TableFile,
    from_numpy,
    one_line,
    raise_if_small,
    rows_at_once,
)

_MAGIC = b"\x89HDF\r\n\x1a\n"


class Hdf5Table(TableFile):
    """The datasets at the root of an HDF5 file, of one or two axes and one length.

    A dataset may declare a unit as its attribute ``unit``.

    Attributes
    ----------
    shapes : mapping of str to tuple of int

    What lies in other files (links, virtual datasets) is none of it.

    Raises
    ------
    DataError
        If the file is none, is damaged, its datasets differ in length, or one states far more
        than it holds.
    """

    def __init__(self, path: Path) -> None:
        with _opened(path) as file:
            own = {name: file[name] for name in file if _is_here(file, name)}
            found = {name: each for name, each in own.items() if getattr(each, "ndim", 0) in (1, 2)}
            for name, dataset in found.items():
                _refuse_empty(path, name, dataset)
            shapes: dict[str, tuple[int, ...]] = {name: each.shape for name, each in found.items()}
            units = {
                name: str(dataset.attrs["unit"])
                for name, dataset in found.items()
                if "unit" in dataset.attrs
            }
        if not shapes:
            raise DataError(f"{path}: holds no dataset with a column of a table")
        self._length: int = max(shape[0] for shape in shapes.values())
        for name, shape in shapes.items():
            if shape[0] != self._length:
                raise DataError(
                    f"{path}: dataset {name} has shape {shape}; others have {self._length} rows"
                )
        self.shapes = shapes
        super().__init__(path, tuple(shapes), units)

    def __len__(self) -> int:
        return self._length

    def rows(self, names: Sequence[str], start: int, stop: int) -> Block:
        """Return columns of a range of rows."""
        with _opened(self.path) as file:
            own = {name: self.own_name(name) for name in names}
            table = pa.table({name: from_numpy(file[own[name]][start:stop]) for name in names})
        return Block(self.label, np.arange(start, start + table.num_rows), table)

    def _read(
        self, names: list[str], row_groups: Sequence[int] | None, wide: bool
    ) -> Iterator[pa.Table]:
        step = rows_at_once(wide)
        for start in range(0, self._length, step):
            yield self.rows(names, start, start + step).table


def _is_here(file: Any, name: str) -> bool:
    """Return whether a name at the root leads to what is stored in this file itself."""
    import h5py  # noqa: PLC0415 - slow to import

    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        return False
    found = file[name]
    return not (getattr(found, "external", None) or getattr(found, "is_virtual", False))


def _refuse_empty(path: Path, name: str, dataset: Any) -> None:
    """Refuse a dataset that is far larger than what is stored of it."""
    stored = dataset.id.get_storage_size()
    refuse_bomb(path, dataset.size * max(dataset.dtype.itemsize, 1), stored)
    if dataset.chunks is not None:
        refuse_bomb(path, math.prod(dataset.chunks) * dataset.dtype.itemsize, stored)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file, and say in one line what is wrong with it."""
    import h5py  # noqa: PLC0415 - slow to import

    try:
        with path.open("rb") as handle:
            if handle.read(len(_MAGIC)) != _MAGIC:
                raise DataError(f"{path}: is not an HDF5 file")
        with h5py.File(path, "r") as file:
            yield file
    except DAMAGE as error:
        raise_if_small(error)
        raise DataError(f"{path}: cannot be read as HDF5: {one_line(error)}") from None
