"""Spectra of stars on one wavelength grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.errors import DataError

FloatArray = npt.NDArray[np.floating]

#: Bits of `Spectra.flags`.
SPECTRUM_ERRORS_DIAGONAL = 1
SPECTRUM_OUTSIDE_CORRECTION = 2


@dataclass(frozen=True)
class Spectra:
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

    source_id: npt.NDArray[np.int64]
    wavelength_nm: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float32]
    snr: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        rows, width = len(self.source_id), len(self.wavelength_nm)
        if self.flux.shape != (rows, width):
            raise DataError(f"spectra have shape {self.flux.shape}, expected {(rows, width)}")
        if len(self.snr) != rows or len(self.flags) != rows:
            raise DataError("spectra, S/N and flags differ in length")
        for array in (self.source_id, self.wavelength_nm, self.flux, self.snr, self.flags):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.source_id)

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """The fluxes, shape (n, m)."""
        return self.flux

    def take(self, index: npt.NDArray[np.integer]) -> Spectra:
        """Return the rows of the given indices."""
        return Spectra(
            self.source_id[index],
            self.wavelength_nm,
            self.flux[index],
            self.snr[index],
            self.flags[index],
        )

    @classmethod
    def concat(cls, parts: list[Spectra]) -> Spectra:
        """Stack spectra of one grid.

        Raises
        ------
        DataError
            If there is nothing to stack or the grids differ.
        """
        if not parts:
            raise DataError("no spectra were read")
        grid = parts[0].wavelength_nm
        if any(not np.array_equal(part.wavelength_nm, grid) for part in parts):
            raise DataError("spectra from different files are on different wavelength grids")
        return cls(
            np.concatenate([part.source_id for part in parts]),
            grid,
            np.concatenate([part.flux for part in parts]),
            np.concatenate([part.snr for part in parts]),
            np.concatenate([part.flags for part in parts]),
        )
