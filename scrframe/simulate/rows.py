"""Matrices of a row a star: in memory where they are small, else in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray

#: Rows worked on at once, and most that stay in memory.
AT_ONCE = 2**14
MOST_IN_MEMORY = 2**15


class RowsOnDisk:
    """A matrix of float64 in a temporary file; what is asked for is read as an array.

    It is indexed as an array is, by rows or by rows and columns, and becomes one wherever
    numpy takes an array.
    """

    def __init__(self, width: int) -> None:
        self._file = tempfile.TemporaryFile(prefix="scrframe-")  # noqa: SIM115 - lives as long
        self._stored = (0, width)
        self._chosen: IntArray | None = None

    def append(self, block: FloatArray) -> None:
        """Write further rows below the others."""
        self._file.write(np.ascontiguousarray(block, dtype=np.float64).data)
        self._file.flush()
        self._stored = (self._stored[0] + len(block), self._stored[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), self._stored[1]

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """That of its numbers."""
        return np.dtype(np.float64)

    def __len__(self) -> int:
        return self._stored[0] if self._chosen is None else len(self._chosen)

    def __getitem__(self, key: Any) -> FloatArray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if self._chosen is not None:
            rows = self._chosen[rows]
        if self._stored[0] == 0:
            return np.empty(self._stored)[rows, columns]
        # The mapping ends with the copy, and with it what of the file counts as memory.
        mapped = np.memmap(self._file, np.float64, "r", shape=self._stored)
        return np.array(mapped[rows][..., columns])

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def take(self, kept: npt.NDArray[np.bool_]) -> RowsOnDisk:
        """Return the rows where `kept` is true; the file stays as it is."""
        other = object.__new__(RowsOnDisk)
        other._file, other._stored = self._file, self._stored
        rows = np.arange(self._stored[0]) if self._chosen is None else self._chosen
        other._chosen = rows[kept]
        return other


Rows = FloatArray | RowsOnDisk


class RowStore:
    """Takes a matrix block by block.

    Parameters
    ----------
    width : int
        Columns of every block.
    """

    def __init__(self, width: int) -> None:
        self._width, self._number = width, 0
        self._blocks: list[FloatArray] = []
        self._disk: RowsOnDisk | None = None

    def add(self, block: FloatArray) -> None:
        """Put rows below the others; beyond `MOST_IN_MEMORY` all go to disk."""
        self._number += len(block)
        self._blocks.append(block)
        if self._disk is None and self._number > MOST_IN_MEMORY:
            self._disk = RowsOnDisk(self._width)
        if self._disk is not None:
            for one in self._blocks:
                self._disk.append(one)
            self._blocks.clear()

    def rows(self) -> Rows:
        """Return the matrix."""
        if self._disk is not None:
            return self._disk
        return np.concatenate([np.empty((0, self._width)), *self._blocks])


def chosen(rows: Rows, kept: npt.NDArray[np.bool_]) -> Rows:
    """Return the rows where `kept`, shape (n,), is true."""
    return rows.take(kept) if isinstance(rows, RowsOnDisk) else rows[kept]


def slices(rows: int) -> Iterator[slice]:
    """Yield slices that cover so many rows, `AT_ONCE` each."""
    return (slice(start, min(start + AT_ONCE, rows)) for start in range(0, rows, AT_ONCE))
