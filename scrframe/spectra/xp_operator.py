"""Gaia XP coefficients to absolute fluxes and errors, as one linear operator.

The calibration of GaiaXPy is linear: flux = b B + r R with the coefficients b and r of BP
and RP, and the operators B and R, which hold the merging weights of the two bands. They
were derived by passing unit vectors to GaiaXPy; `scripts/derive_xp_operator.py` does it
again. The method is that of De Angeli et al. 2023 (A&A 674, A2) and Montegriffo et al. 2023
(A&A 674, A3).

Of the errors GaiaXPy takes, for each band, cov = D C D / s^2 with D the diagonal matrix of
the coefficients' errors, C their correlations and s the band's standard deviation, then
sqrt(diag(B' cov B)) s. The standard deviation s drops out. The two bands are independent
and add in quadrature.

A BLAS library may sum in another order when it uses other threads or sees another shape.
So work goes by blocks of the same shape whatever the number of threads, BLAS runs on one
thread inside a block, and threads only take different blocks.
"""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from scrframe.arrays import FloatArray
from scrframe.errors import DataError, one_line

RealArray = npt.NDArray[np.floating[Any]]
Grid = Literal["paper", "sampled"]
#: Coefficients of one band.
BASES = 55
#: Stored correlations of one band: the strict triangle of a 55 x 55 matrix.
PACKED = BASES * (BASES - 1) // 2
#: Rows of a block: large enough for BLAS, small enough for the cache of a core.
BLOCK_ROWS = 256


@cache
def packed_indices(
    bases: int = BASES,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return row and column, row > column, of each of the packed correlations (1485 of 55 bases).

    The archive stores the elements above the diagonal column by column, that is (1, 0),
    (2, 0), (2, 1), (3, 0), ...
    """
    row, column = np.tril_indices(bases, -1)
    row.flags.writeable = column.flags.writeable = False
    return row, column


@dataclass(frozen=True)
class _Band:
    """One band's operator where it contributes, in the forms that the sums need."""

    support: slice
    operator: FloatArray
    squares: FloatArray
    products: FloatArray


@dataclass(frozen=True)
class XpOperator:
    """The operator from XP coefficients to fluxes on one grid."""

    #: The grid. Shape (m,).
    wavelength_nm: FloatArray
    #: Flux in W m^-2 nm^-1 per unit coefficient, merging weights included. Shape (55, m).
    bp: FloatArray
    rp: FloatArray
    #: What the operator was derived from.
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bases(self) -> int:
        """Number of coefficients of a band, 55 in DR3."""
        return len(self.bp)

    @property
    def packed(self) -> int:
        """Number of stored correlations of a band."""
        return self.bases * (self.bases - 1) // 2

    def flux(
        self, bp_coefficients: RealArray, rp_coefficients: RealArray, threads: int = 1
    ) -> FloatArray:
        """Return fluxes in W m^-2 nm^-1, shape (n, m), from coefficients of shape (n, 55).

        A row with a missing (NaN) coefficient is NaN throughout.
        """
        bp = _checked(bp_coefficients, self.bases, "BP coefficients")
        rp = _checked(rp_coefficients, self.bases, "RP coefficients")
        result = np.empty((len(bp), len(self.wavelength_nm)))

        def work(block: slice) -> None:
            rows = result[block]
            np.matmul(bp[block].astype(np.float64), self.bp, out=rows)
            rows += rp[block].astype(np.float64) @ self.rp

        for_blocks(work, len(bp), threads)
        return result

    def flux_error_exact(
        self,
        bp_errors: RealArray,
        bp_correlations: RealArray,
        rp_errors: RealArray,
        rp_correlations: RealArray,
        threads: int = 1,
    ) -> FloatArray:
        """Return errors of the fluxes, with the correlations of the coefficients.

        Parameters
        ----------
        bp_errors, rp_errors : ndarray, shape (n, 55)
            Errors of the coefficients, as catalogued.
        bp_correlations, rp_correlations : ndarray, shape (n, 1485)
            Their correlations, packed as in the archive (see `packed_indices`).
        threads : int
            Number of threads; the result does not depend on it.

        Returns
        -------
        ndarray, shape (n, m)
            Errors in W m^-2 nm^-1.
        """
        bands = (
            (
                self._bands[0],
                _checked(bp_errors, self.bases, "BP errors"),
                _checked(bp_correlations, self.packed, "BP correlations"),
            ),
            (
                self._bands[1],
                _checked(rp_errors, self.bases, "RP errors"),
                _checked(rp_correlations, self.packed, "RP correlations"),
            ),
        )
        result = np.zeros((len(bp_errors), len(self.wavelength_nm)))

        def work(block: slice) -> None:
            rows = result[block]
            for band, errors, correlations in bands:
                error = errors[block].astype(np.float64)
                covariance = _packed_covariance(error, correlations[block])
                rows[:, band.support] += covariance @ band.products
                rows[:, band.support] += (error * error) @ band.squares
            np.sqrt(rows, out=rows)

        for_blocks(work, len(result), threads)
        return result

    def flux_error_diagonal(
        self, bp_errors: RealArray, rp_errors: RealArray, threads: int = 1
    ) -> FloatArray:
        """Return errors of the fluxes, shape (n, m), as if coefficients were independent."""
        bands = (
            (self._bands[0], _checked(bp_errors, self.bases, "BP errors")),
            (self._bands[1], _checked(rp_errors, self.bases, "RP errors")),
        )
        result = np.zeros((len(bp_errors), len(self.wavelength_nm)))

        def work(block: slice) -> None:
            rows = result[block]
            for band, errors in bands:
                error = errors[block].astype(np.float64)
                rows[:, band.support] += (error * error) @ band.squares
            np.sqrt(rows, out=rows)

        for_blocks(work, len(result), threads)
        return result

    @cached_property
    def _bands(self) -> tuple[_Band, _Band]:
        return _band(self.bp), _band(self.rp)


@cache
def load_operator(grid: Grid) -> XpOperator:
    """Return a shipped operator: "paper" (392, 402, ... 992 nm) or "sampled" (336 ... 1020).

    The sampled grid is that of the archive's sampled spectra, with the operator by which
    they were made; the paper's is evaluated directly at its wavelengths.
    """
    source = resources.files("scrframe.spectra") / "data" / f"xp_operator_{grid}.npz"
    with source.open("rb") as handle, np.load(handle) as stored:
        arrays = {name: stored[name] for name in ("wavelength_nm", "bp", "rp")}
        provenance = json.loads(str(stored["provenance"]))
    for array in arrays.values():
        array.flags.writeable = False
    return XpOperator(**arrays, provenance=provenance)


@cache
def read_operator(path: Path) -> XpOperator:
    """Return an operator to the 343 samples 336, 338, ... 1020 nm from a file of the user's.

    The file is an ``npz`` with ``wavelength_nm``, ``bp`` and ``rp`` of shape (bases, 343) and
    ``provenance``, JSON that names the ``release``.

    Raises DataError if it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            grid, bp, rp = (
                np.asarray(stored[name], dtype=np.float64) for name in ("wavelength_nm", "bp", "rp")
            )
            provenance = json.loads(str(stored["provenance"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no operator file: {one_line(error)}") from None
    samples = load_operator("sampled").wavelength_nm
    if grid.shape != samples.shape or not np.allclose(grid, samples):
        raise DataError(f"{path}: wavelength_nm is not 336, 338, ... 1020 nm")
    if bp.ndim != 2 or bp.shape != rp.shape or bp.shape[1] != len(samples):
        raise DataError(f"{path}: bp has shape {bp.shape} and rp {rp.shape}; expected (bases, 343)")
    for array in (grid, bp, rp):
        array.flags.writeable = False
    return XpOperator(samples, bp, rp, provenance=provenance)


def _band(operator: FloatArray) -> _Band:
    """Restrict one band's operator to the wavelengths to which it contributes."""
    used = np.flatnonzero(operator.any(axis=0))
    support = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
    inside = np.ascontiguousarray(operator[:, support])
    row, column = packed_indices(len(operator))
    return _Band(support, inside, inside**2, 2 * inside[row] * inside[column])


def _packed_covariance(error: FloatArray, correlations: RealArray) -> FloatArray:
    """Return C_ij e_i e_j, shape (rows, 1485), in memory that the next call uses again."""
    row, column = packed_indices(error.shape[1])
    workspace = _workspace(len(error), len(row))
    covariance: FloatArray = workspace[0]
    other: FloatArray = workspace[1]
    # Fresh memory for every block would cost more than the products themselves; the mode
    # "clip" only lets `take` write to it without a copy.
    error.take(row, axis=1, out=covariance, mode="clip")
    error.take(column, axis=1, out=other, mode="clip")
    covariance *= other
    covariance *= correlations
    return covariance


_memory = threading.local()


def _workspace(rows: int, packed: int) -> FloatArray:
    """Return this thread's two arrays of shape (rows, packed), of undefined content."""
    arrays = getattr(_memory, "arrays", None)
    if arrays is None or arrays.shape[2] != packed:
        _memory.arrays = np.empty((2, BLOCK_ROWS, packed))
    workspace: FloatArray = _memory.arrays
    return workspace[:, :rows]


def _checked(array: RealArray, width: int, what: str) -> RealArray:
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(f"{what} have shape {array.shape}; expected (n, {width})")
    return array


@cache
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Bound BLAS to one thread while the context lasts."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def for_blocks(work: Callable[[slice], None], rows: int, threads: int = 1) -> None:
    """Call `work` with every block of `rows` rows, on at most `threads` threads.

    Parameters
    ----------
    work : callable (slice) -> None
        Writes its own rows of the result, and nothing else.
    rows : int
        Number of rows.
    threads : int
        Number of threads; the result is the same, bit for bit, for any.
    """
    blocks = [slice(at, min(at + BLOCK_ROWS, rows)) for at in range(0, rows, BLOCK_ROWS)]
    with one_blas_thread():
        if threads <= 1 or len(blocks) <= 1:
            for block in blocks:
                work(block)
            return
        with ThreadPoolExecutor(threads) as pool:
            # Consuming the results raises what a block raised.
            list(pool.map(work, blocks))
