"""The extinction curve over the whole range of the XP spectra, and how it varies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scrframe.arrays import FloatArray

#: Range of the published curve in nm.
FIRST_NM, LAST_NM = 392.0, 992.0
#: How steeply the published curve goes with the shape that extends it, at either end.
SLOPE = 0.96


class ExtendedCurve:
    """A curve k(wavelength), continued beyond its ends with the shape of another.

    Parameters
    ----------
    curve : callable
        k in mag per unit E, known on 392-992 nm.
    shape_nm, shape : ndarray
        A curve of wider range, in any unit; `SLOPE` brings it to the unit of `curve`.
    """

    def __init__(
        self, curve: Callable[[FloatArray], FloatArray], shape_nm: FloatArray, shape: FloatArray
    ) -> None:
        self._curve = curve
        self._shape_nm, self._shape = shape_nm, shape

    def __call__(self, wavelength_nm: FloatArray) -> FloatArray:
        """Return k, same shape as `wavelength_nm`, in mag per unit E."""
        inside = np.clip(wavelength_nm, FIRST_NM, LAST_NM)
        beyond = self._at(wavelength_nm) - self._at(inside)
        return np.asarray(self._curve(inside) + SLOPE * beyond)

    def _at(self, wavelength_nm: FloatArray) -> FloatArray:
        return np.asarray(np.interp(wavelength_nm, self._shape_nm, self._shape))


def law_tilt(k_grid: FloatArray, wavelength_nm: FloatArray, colour_slope: float) -> FloatArray:
    """Return t(wavelength) such that the law of a field is k (1 + eps t).

    The tilt is linear in 1 / wavelength, as a change of R_V is to first order. Its pivot is
    such that a fit of the mean curve to a spectrum of free brightness returns the same E,
    and its size such that E(u - G_BP) grows by the fraction eps. So eps acts on XP, G_BP
    and u together, and E keeps its meaning.

    Parameters
    ----------
    k_grid : ndarray, shape (m,)
        The mean curve on `wavelength_nm`, 392-992 nm.
    wavelength_nm : ndarray, shape (m,)
    colour_slope : float
        A typical R = E(u - G_BP) / E of the mean curve.

    Returns
    -------
    ndarray, shape (2,)
        Coefficients (a, b) of t = a / wavelength + b.
    """
    inverse = 1 / wavelength_nm
    centred = k_grid - k_grid.mean()
    pivot = (centred @ (k_grid * inverse)) / (centred @ k_grid)
    k_bp = float(np.interp(BP_NM, wavelength_nm, k_grid))
    k_u = k_bp + colour_slope
    raw = k_u * (1 / U_NM - pivot) - k_bp * (1 / BP_NM - pivot)
    size = colour_slope / raw
    return np.array([size, -size * pivot])


#: Effective wavelengths in nm of the u band and of G_BP.
U_NM, BP_NM = 354.0, 511.0
