"""Names for the types of arrays, arrays that nobody changes, and the memory of those gone."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
#: Features of stars, shape (n, features).
Features: TypeAlias = npt.NDArray[np.float32]


def read_only(record: Any) -> None:
    """Make the arrays that a dataclass holds read-only, as those of all that travels are."""
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


def give_memory_back() -> None:
    """Give back what Arrow and the C library keep of memory that is free.

    The C library keeps an arena for each thread: sums over many small arrays in several threads
    leave most of theirs behind.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # only glibc keeps it, and can be told
        ctypes.CDLL("libc.so.6").malloc_trim(0)
