"""Robust spread: what a standard deviation would be without the outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

#: Median of the absolute value of a normal deviate: the upper quartile.
NORMAL_MEDIAN = float(special.ndtri(0.75))
#: Standard deviation of a normal distribution over its median absolute deviation, 1.4826.
MAD_TO_SD = 1 / NORMAL_MEDIAN
#: Efficiency of the median absolute deviation: its error is that of a standard deviation of
#: this share of the values.
MAD_EFFICIENCY = 0.37
#: The median of chi squared with one degree of freedom.
MEDIAN_CHI2 = NORMAL_MEDIAN**2


def robust_sd(values: npt.NDArray[Any], *, about: float | None = None) -> float:
    """Return the standard deviation as the median absolute deviation tells it.

    Parameters
    ----------
    values : ndarray, any shape
        NaN is left out.
    about : float, optional
        Deviations are from it; by default from the median.

    Returns
    -------
    float
        1.4826 times the median absolute deviation; NaN of no values.
    """
    if not np.isfinite(values).any():
        return np.nan
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(values) if about is None else about
        return float(MAD_TO_SD * np.nanmedian(np.abs(values - middle)))
