"""Named quantities of stars: stellar parameters, or a predicted colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import DataError
from scrframe.tables.spectra import Spectra


@dataclass(frozen=True)
class Quantities:
    """What a reference catalogue tells of stars in place of spectra, one row a star.

    Attributes
    ----------
    source_id : ndarray of int64, shape (n,)
        Identifier in the reference catalogue.
    names : tuple of str, length m
        Names of the quantities; of a catalogue that provides colours the only one is
        ``colour``, the observed (reddened) colour band - reference magnitude, in mag.
    values : ndarray of float64, shape (n, m)
    errors : ndarray of float64, shape (n, m)
        Their errors, independent of each other; NaN where they are not known.
    snr : ndarray of float64, shape (n,)
        S/N of what the quantities come from, NaN where it is not known.
    flags : ndarray of uint8, shape (n,)
        As those of `Spectra`.
    """

    source_id: npt.NDArray[np.int64]
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    snr: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        shape = len(self.source_id), len(self.names)
        for what, array in (("values", self.values), ("errors", self.errors)):
            if array.shape != shape:
                raise DataError(f"{what} of quantities have shape {array.shape}, expected {shape}")
        if len(self.snr) != shape[0] or len(self.flags) != shape[0]:
            raise DataError("quantities, S/N and flags differ in length")
        arrays: tuple[npt.NDArray[Any], ...] = (
            self.source_id,
            self.values,
            self.errors,
            self.snr,
            self.flags,
        )
        for each in arrays:
            each.flags.writeable = False

    def __len__(self) -> int:
        return len(self.source_id)

    @property
    def rows(self) -> npt.NDArray[np.float64]:
        """The values, shape (n, m)."""
        return self.values

    def take(self, index: npt.NDArray[np.integer]) -> Quantities:
        """Return the rows of the given indices."""
        return Quantities(
            self.source_id[index],
            self.names,
            self.values[index],
            self.errors[index],
            self.snr[index],
            self.flags[index],
        )

    @classmethod
    def concat(cls, parts: list[Quantities]) -> Quantities:
        """Stack quantities of the same names.

        Raises
        ------
        DataError
            If there is nothing to stack or the names differ.
        """
        if not parts:
            raise DataError("no quantities of stars were read")
        names = parts[0].names
        if any(part.names != names for part in parts):
            raise DataError("different files hold different quantities of stars")
        return cls(
            np.concatenate([part.source_id for part in parts]),
            names,
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.errors for part in parts]),
            np.concatenate([part.snr for part in parts]),
            np.concatenate([part.flags for part in parts]),
        )


#: What a reference catalogue tells of stars.
StarFeatures = Spectra | Quantities
