"""The absolute tie: the robust mean of standard less calibrated magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError, number_of
from scrframe.statistics.robust import NORMAL_MEDIAN
from scrframe.tables.solution import AbsoluteTie, System

#: Tuning of the bisquare, for an efficiency of 95 per cent with normal errors, and of the
#: Huber weights before it (Maronna, Martin & Yohai 2006, Sections 2.2.2 and 2.2.4).
BISQUARE, HUBER = 4.685, 1.345
#: Smallest error of a difference, in mag: equal numbers must not divide by zero.
FLOOR_MAG = 1e-6
_FIRST_ROUNDS, _ROUNDS = 10, 200
_SETTLED_MAG = 1e-8


@dataclass(frozen=True)
class _Fit:
    """A robust fit of differences, with n stars and p coefficients."""

    coefficients: FloatArray
    residual: FloatArray
    weight: FloatArray  # robust weight over variance, shape (n,)
    covariance: FloatArray


def tie(
    calibrated: FloatArray,
    err: FloatArray,
    standard: FloatArray,
    standard_err: FloatArray,
    colour: FloatArray | None = None,
    *,
    system: System,
    order: int = 1,
    pivot: float | None = None,
    sys_mag: float = 0.0,
    shared_err: FloatArray | None = None,
    group: IntArray | None = None,
) -> AbsoluteTie:
    """Return the shift of calibrated magnitudes onto standard ones.

    Differences, standard less calibrated, are fitted by a constant and, where colours are
    given, a polynomial of ``colour - pivot``: an M-estimate with bisquare weights, its
    covariance from the residuals (Maronna, Martin & Yohai 2006, Section 4.4). A variance
    beyond the errors given, such as that of the standards' model, is estimated: the one by
    which the median absolute residual is that of normal errors.

    Parameters
    ----------
    calibrated, err : ndarray, shape (n,)
        Calibrated magnitudes and their errors, independent from star to star.
    standard, standard_err : ndarray, shape (n,)
        Standard magnitudes and their errors.
    colour : ndarray, shape (n,), optional
        Colours in mag.
    system : {"AB", "Vega"}
        System of the standard magnitudes.
    order : int
        Order of the polynomial of colour.
    pivot : float, optional
        Colour at which the shift holds; by default the median of the colours.
    sys_mag : float
        Systematic error of the standard magnitudes.
    shared_err : ndarray, shape (n,), optional
        Errors of the calibrated magnitudes that all stars of a `group` share.
    group : ndarray of int, shape (n,), optional
        Codes from 0.

    Returns
    -------
    AbsoluteTie
        Stars without a finite magnitude, error or colour do not count.

    Raises
    ------
    CalibrationError
        If there are too few stars, or their colours do not fix the colour term.
    """
    difference = standard - calibrated
    variance = err**2 + standard_err**2 + FLOOR_MAG**2
    fine = np.isfinite(difference) & np.isfinite(variance)
    colours = np.zeros(len(difference)) if colour is None else colour
    fine &= np.isfinite(colours)
    width = 1 if colour is None else order + 1
    if fine.sum() < width + 2:
        raise CalibrationError(
            f"only {int(fine.sum())} of the stars have all that a tie of"
            f" {number_of(width, 'coefficient')} needs; at least {width + 2} are needed"
        )
    pivot = float(np.median(colours[fine])) if pivot is None else pivot
    design = np.vander(colours[fine] - pivot, width, increasing=True)
    if np.linalg.matrix_rank(design) < width:
        raise CalibrationError(
            f"the colours of {len(design)} stars do not fix a colour term of order {width - 1};"
            " lower the order"
        )
    fit = _fit(design, difference[fine], variance[fine])
    shared = _shared_variance(fit, design, shared_err, group, fine)
    errors = np.sqrt(np.diag(fit.covariance))
    return AbsoluteTie(
        shift_mag=float(fit.coefficients[0]),
        err_mag=float(np.hypot(errors[0], np.sqrt(shared))),
        sys_mag=float(sys_mag),
        scatter_mag=float(np.median(np.abs(fit.residual)) / NORMAL_MEDIAN),
        count=len(design),
        outliers=int((fit.weight == 0).sum()),
        system=system,
        colour_terms=tuple(map(float, fit.coefficients[1:])),
        colour_term_errs=tuple(map(float, errors[1:])),
        pivot_mag=None if colour is None else pivot,
    )


def _fit(design: FloatArray, value: FloatArray, variance: FloatArray) -> _Fit:
    """Fit by weighted least squares over and over (an MM-estimate).

    The first rounds have weights that reject no star, and find the variances; with these
    held, the last ones reject what is far off.
    """
    width = design.shape[1]
    coefficients = np.zeros(width)
    coefficients[0] = np.median(value)
    for _ in range(_FIRST_ROUNDS):
        residual = value - design @ coefficients
        total = variance + _extra_variance(residual, variance, width)
        coefficients = _solve(design, value, _huber(residual / np.sqrt(total)) / total)
    residual = value - design @ coefficients
    total = variance + _extra_variance(residual, variance, width)
    for _ in range(_ROUNDS):
        before = coefficients
        weight = _bisquare((value - design @ before) / np.sqrt(total)) / total
        coefficients = _solve(design, value, weight)
        if np.abs(coefficients - before).max() < _SETTLED_MAG:
            break
    residual = value - design @ coefficients
    scaled = residual / np.sqrt(total)
    inverse = np.linalg.inv(_normal(design, 1 / total))
    covariance = np.asarray(_spread(scaled, width) * inverse, dtype=np.float64)
    return _Fit(coefficients, residual, _bisquare(scaled) / total, covariance)


def _solve(design: FloatArray, value: FloatArray, weight: FloatArray) -> FloatArray:
    right = design.T @ (weight * value)
    return np.asarray(np.linalg.solve(_normal(design, weight), right), dtype=np.float64)


def _normal(design: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((design.T * weight) @ design)


def _huber(scaled: FloatArray) -> FloatArray:
    return np.asarray(HUBER / np.maximum(np.abs(scaled), HUBER))


def _bisquare(scaled: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(1.0 - (scaled / BISQUARE) ** 2, 0.0) ** 2)


def _spread(scaled: FloatArray, width: int) -> float:
    """Return the factor from least squares' covariance to that of the bisquare (Huber 1981)."""
    count = len(scaled)
    square = np.minimum((scaled / BISQUARE) ** 2, 1.0)
    influence = scaled * (1 - square) ** 2
    slope = (1 - square) * (1 - 5 * square)
    few = 1 + width / count * slope.var() / slope.mean() ** 2
    return float(few**2 * np.sum(influence**2) / (count - width) / slope.mean() ** 2)


def _extra_variance(residual: FloatArray, variance: FloatArray, width: int) -> float:
    """Return the variance that errors lack for residuals of a normal median, or 0.

    With it the median of residual^2 / (variance + x) is that of normal numbers: half of
    the stars have residual^2 / that - variance above x.
    """
    square = residual**2 * (len(residual) / (len(residual) - width))
    return max(0.0, float(np.median(square / NORMAL_MEDIAN**2 - variance)))


def _shared_variance(
    fit: _Fit,
    design: FloatArray,
    shared_err: FloatArray | None,
    group: IntArray | None,
    fine: npt.NDArray[np.bool_],
) -> float:
    """Return what errors shared within groups add to the variance of the shift."""
    if shared_err is None or group is None:
        return 0.0
    pull = np.linalg.solve(_normal(design, fit.weight), (design * fit.weight[:, None]).T)[0]
    return float(np.sum(np.bincount(group[fine], pull * shared_err[fine]) ** 2))
