"""The reddening law R(C0) = E(colour) / E, fitted to the Calibration Sample (paper, Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.errors import CalibrationError
from scrframe.tables import ReddeningLaw

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LawSettings:
    """How the law is fitted; see the survey description's `reddening` block."""

    order: int = 2
    start: float = 1.39
    max_rounds: int = 5
    visit_constants: bool = True
    tolerance: float = 0.005
    clip_sigma: float = 3.0
    clip_rounds: int = 3
    colour_percentiles: tuple[float, float] = (5.0, 95.0)


def constant_law(ratio: float, order: int) -> ReddeningLaw:
    """Return the law that an iteration starts from: R the same for all colours."""
    coefficients = np.zeros(order + 1)
    coefficients[-1] = ratio
    return ReddeningLaw(coefficients, np.zeros((order + 1, order + 1)), 0.0)


def fit_law(
    colour0_mag: FloatArray,
    extinction: FloatArray,
    excess_mag: FloatArray,
    visit: npt.NDArray[np.integer],
    settings: LawSettings,
) -> ReddeningLaw:
    """Fit E(colour) = (a0 C0^2 + a1 C0 + a2) E + constant by clipped least squares.

    With `visit_constants` each visit has a constant of its own, and dM is their mean over
    detections; a single constant confounds the law with the visits' zero points.

    Parameters
    ----------
    colour0_mag, extinction, excess_mag : ndarray, shape (n,)
        Modelled intrinsic colour, E, and observed colour less modelled, by detection.
    visit : ndarray of int, shape (n,)
        Code of the visit of each detection.
    settings : LawSettings

    Raises
    ------
    CalibrationError
        If the detections do not determine the law (too few, or no spread in E).
    """
    powers = np.arange(settings.order, -1, -1)
    terms = colour0_mag[:, None] ** powers * extinction[:, None]
    group = visit if settings.visit_constants else np.zeros(len(visit), dtype=np.int64)
    kept = np.isfinite(excess_mag) & np.isfinite(terms).all(axis=1)
    law = constant_law(settings.start, settings.order)
    for _ in range(settings.clip_rounds):
        coefficients, inverse = _least_squares(terms[kept], excess_mag[kept], group[kept])
        misfit = excess_mag - terms @ coefficients
        residual = misfit - _group_means(misfit, group, kept)[group]
        free = int(kept.sum()) - len(powers) - len(np.unique(group[kept]))
        sigma = float(np.sqrt(np.sum(residual[kept] ** 2) / max(free, 1)))
        law = ReddeningLaw(coefficients, inverse * sigma**2, float(np.mean(misfit[kept])))
        kept = np.abs(residual) <= settings.clip_sigma * sigma
    return law


def _least_squares(
    terms: FloatArray, excess_mag: FloatArray, group: npt.NDArray[np.integer]
) -> tuple[FloatArray, FloatArray]:
    """Return coefficients and (A^T A)^-1 with a free constant for each group."""
    if len(terms) <= terms.shape[1] + len(np.unique(group)):
        raise CalibrationError(f"{len(terms)} detections are too few to fit the reddening law")
    everything = np.ones(len(group), dtype=bool)
    centred = np.column_stack(
        [column - _group_means(column, group, everything)[group] for column in terms.T]
    )
    target = excess_mag - _group_means(excess_mag, group, everything)[group]
    normal = centred.T @ centred
    scale = np.sqrt(np.diag(normal))
    if not np.all(scale > 0) or np.linalg.cond(normal / np.outer(scale, scale)) > 1e12:
        raise CalibrationError(
            "the reddening law is not determined: the extinctions (or colours) of the"
            " Calibration Sample hardly differ within visits; lower `reddening.order`"
        )
    inverse = np.linalg.inv(normal)
    return inverse @ (centred.T @ target), inverse


def _group_means(
    values: FloatArray, group: npt.NDArray[np.integer], keep: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return the mean of the kept values of each group; 0 for a group without any."""
    width = int(group.max()) + 1 if len(group) else 0
    total = np.bincount(group[keep], weights=values[keep], minlength=width)
    count = np.bincount(group[keep], minlength=width)
    return total / np.maximum(count, 1)


def largest_change(
    new: ReddeningLaw, old: ReddeningLaw, colour0_mag: FloatArray, settings: LawSettings
) -> float:
    """Return the largest change of R over the central range of intrinsic colours."""
    low, high = np.percentile(colour0_mag, settings.colour_percentiles)
    grid = np.linspace(low, high, 21)
    return float(np.max(np.abs(new.ratio(grid) - old.ratio(grid))))
