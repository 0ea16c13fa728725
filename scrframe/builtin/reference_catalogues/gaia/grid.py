"""Wavelength grids on top of the archive's 343 samples, 336, 338, ... 1020 nm."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.spectra import XpOperator, load_operator

SAMPLES_NM: FloatArray = np.arange(336.0, 1021.0, 2.0)
SAMPLE_STEP_NM = 2.0
#: The samples averaged for a point lie this far or less from it, in steps of the samples.
HALF_WIDTH = 2


def check_grid(start_nm: float, stop_nm: float, step_nm: float) -> None:
    """Raise ValueError unless a grid's points fall on samples with room around them."""
    if stop_nm <= start_nm:
        raise ValueError(f"has its stop ({stop_nm:g} nm) not above its start ({start_nm:g} nm)")
    for name, value in (("start", start_nm - SAMPLES_NM[0]), ("step", step_nm)):
        if value % SAMPLE_STEP_NM:
            raise ValueError(f"{name} is not on the samples 336, 338, ... 1020 nm")
    if (stop_nm - start_nm) % step_nm:
        raise ValueError(f"has a stop that is not a multiple of {step_nm:g} nm from its start")
    margin = _half_width(step_nm) * SAMPLE_STEP_NM
    first, last = SAMPLES_NM[0] + margin, SAMPLES_NM[-1] - margin
    if start_nm < first or stop_nm > last:
        raise ValueError(f"must lie within {first:g} and {last:g} nm")


def wavelengths(start_nm: float, stop_nm: float, step_nm: float) -> FloatArray:
    """Return the points of a grid in nm."""
    count = round((stop_nm - start_nm) / step_nm) + 1
    return np.asarray(start_nm + step_nm * np.arange(count), dtype=np.float64)


def average(samples: FloatArray, grid_nm: FloatArray) -> FloatArray:
    """Return spectra, shape (n, m), as the mean of the five samples around each point.

    `samples` has shape (n, 343). A grid as fine as the samples takes them as they are.
    """
    near = _near(grid_nm)
    total = samples[:, near[0]]
    for index in near[1:]:
        total = total + samples[:, index]
    return total / len(near)


def average_error(errors: FloatArray, grid_nm: FloatArray) -> FloatArray:
    """Return errors of such means, the samples' errors taken as independent.

    Errors of neighbouring samples are correlated in truth, but the sampled product does not
    say how.
    """
    near = _near(grid_nm)
    total = errors[:, near[0]] ** 2
    for index in near[1:]:
        total = total + errors[:, index] ** 2
    return np.asarray(np.sqrt(total) / len(near))


@cache
def operator_for(start_nm: float, stop_nm: float, step_nm: float) -> XpOperator:
    """Return the operator from coefficients to a grid.

    On the paper's grid it is evaluated directly; any other grid averages the samples.
    """
    grid_nm = wavelengths(start_nm, stop_nm, step_nm)
    paper = load_operator("paper")
    if np.array_equal(grid_nm, paper.wavelength_nm):
        return paper
    sampled = load_operator("sampled")
    return XpOperator(
        grid_nm, average(sampled.bp, grid_nm), average(sampled.rp, grid_nm), sampled.provenance
    )


def _half_width(step_nm: float) -> int:
    return HALF_WIDTH if step_nm > SAMPLE_STEP_NM else 0


def _near(grid_nm: FloatArray) -> list[npt.NDArray[np.int64]]:
    step = float(grid_nm[1] - grid_nm[0])
    centre = np.rint((grid_nm - SAMPLES_NM[0]) / SAMPLE_STEP_NM).astype(np.int64)
    width = _half_width(step)
    return [centre + shift for shift in range(-width, width + 1)]
