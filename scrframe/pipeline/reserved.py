"""What stars that took no part in training or solve say of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float64]
#: 1.4826 times the median absolute deviation is a normal distribution's sd.
MAD_TO_SIGMA = 1.4826
#: The median of chi squared with one degree of freedom.
MEDIAN_CHI2 = 0.45494


def judged_by_reserved(stars: pa.Table) -> dict[str, Any]:
    """Compare reserved stars with those of the solve, from the columns of stars.parquet.

    Returns
    -------
    dict
        For ``reserved`` and ``solved`` stars: ``detections``; ``median_mag`` and
        ``mad_sigma_mag`` of model less calibrated magnitudes (the median and a robust
        spread, for outliers are in it); ``repeats_mag``, the robust spread of differences
        between two detections of a star over the square root of 2; and ``repeats_pull``,
        the same in units of the errors stated.
    """
    reserved = stars.column("reserved").to_numpy(zero_copy_only=False)
    solved = stars.column("in_solve").to_numpy(zero_copy_only=False)
    return {"reserved": _figures(stars, reserved), "solved": _figures(stars, solved)}


def _figures(stars: pa.Table, chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
    model, mag, error = (
        stars.column(name).to_numpy()[chosen] for name in ("mag_model", "mag_cal", "mag_cal_err")
    )
    source = stars.column("source_id").to_numpy()[chosen]
    residual = model - mag
    first, second = _pairs(source)
    difference = mag[first] - mag[second]
    pull = difference / np.hypot(error[first], error[second])
    return {
        "detections": int(chosen.sum()),
        "median_mag": _median(residual),
        "mad_sigma_mag": MAD_TO_SIGMA * _median(np.abs(residual - _median(residual))),
        "pairs": len(first),
        "repeats_mag": MAD_TO_SIGMA * _median(np.abs(difference)) / 2**0.5,
        "repeats_pull": float(np.sqrt(_median(pull**2) / MEDIAN_CHI2)),
    }


def _pairs(source: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows of successive detections of the same star."""
    order = np.argsort(source, kind="stable")
    same = source[order][1:] == source[order][:-1]
    return order[:-1][same], order[1:][same]


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
