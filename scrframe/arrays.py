"""Names for the types of arrays, and arrays that nobody changes."""

from __future__ import annotations

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
