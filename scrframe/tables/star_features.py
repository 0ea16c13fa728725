"""What a colour model learns from: spectra of stars, or named quantities in their place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray, IntArray, read_only
from scrframe.errors import DataError

#: Bits of `Spectra.flags`.
SPECTRUM_ERRORS_DIAGONAL = 1
SPECTRUM_OUTSIDE_CORRECTION = 2


@dataclass(frozen=True)
class _RowsOfStars:
    """Arrays with a row a star; a part of them, or several stacked, are of the same kind."""

    source_id: IntArray

    #: Names of the arrays with a row a star.
    _by_star: ClassVar[tuple[str, ...]]
    #: Name of what all parts of a stack must share, and messages where they do not.
    _shared: ClassVar[str]
    _nothing_read: ClassVar[str]
    _others: ClassVar[str]

    def __len__(self) -> int:
        return len(self.source_id)

    def take(self, index: npt.NDArray[np.integer]) -> Self:
        """Return the rows of the given indices."""
        return replace(self, **{name: getattr(self, name)[index] for name in self._by_star})

    @classmethod
    def concat(cls, parts: list[Self]) -> Self:
        """Stack rows that share one wavelength grid, or the names of the quantities.

        Raises DataError if there is nothing to stack, or the parts do not share it.
        """
        if not parts:
            raise DataError(cls._nothing_read)
        shared = getattr(parts[0], cls._shared)
        if any(not np.array_equal(getattr(part, cls._shared), shared) for part in parts):
            raise DataError(cls._others)
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in cls._by_star
        }
        return replace(parts[0], **columns)


@dataclass(frozen=True)
class Spectra(_RowsOfStars):
    """Observed (reddened) spectra, one row a star.

    Attributes
    ----------
    source_id : ndarray of int64, shape (n,)
        Identifier in the reference catalogue.
    wavelength_nm : ndarray of float64, shape (m,)
        The grid.
    flux : ndarray of float32, shape (n, m)
        Flux in W m^-2 nm^-1.
    snr : ndarray of float64, shape (n,)
        Median over the grid of flux divided by its error.
    flags : ndarray of uint8, shape (n,)
        1: no coefficient correlations, errors are diagonal; 2: outside the range of the
        flux correction that was asked for.
    """

    wavelength_nm: FloatArray
    flux: Features
    snr: FloatArray
    flags: npt.NDArray[np.uint8]

    _by_star = ("source_id", "flux", "snr", "flags")
    _shared = "wavelength_nm"
    _nothing_read = "no spectra were read"
    _others = "spectra from different files are on different wavelength grids"

    def __post_init__(self) -> None:
        rows, width = len(self.source_id), len(self.wavelength_nm)
        if self.flux.shape != (rows, width):
            raise DataError(f"spectra have shape {self.flux.shape}, expected {(rows, width)}")
        if len(self.snr) != rows or len(self.flags) != rows:
            raise DataError("spectra, S/N and flags differ in length")
        read_only(self)

    @property
    def rows(self) -> Features:
        """The fluxes, shape (n, m)."""
        return self.flux


@dataclass(frozen=True)
class Quantities(_RowsOfStars):
    """What a reference catalogue knows of stars in place of spectra, one row a star.

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

    names: tuple[str, ...]
    values: FloatArray
    errors: FloatArray
    snr: FloatArray
    flags: npt.NDArray[np.uint8]

    _by_star = ("source_id", "values", "errors", "snr", "flags")
    _shared = "names"
    _nothing_read = "no quantities of stars were read"
    _others = "different files hold different quantities of stars"

    def __post_init__(self) -> None:
        shape = len(self.source_id), len(self.names)
        for what, array in (("values", self.values), ("errors", self.errors)):
            if array.shape != shape:
                raise DataError(f"{what} of quantities have shape {array.shape}, expected {shape}")
        if len(self.snr) != shape[0] or len(self.flags) != shape[0]:
            raise DataError("quantities, S/N and flags differ in length")
        read_only(self)

    @property
    def rows(self) -> FloatArray:
        """The values, shape (n, m)."""
        return self.values


#: What a reference catalogue knows of stars.
StarFeatures = Spectra | Quantities
