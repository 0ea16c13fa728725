"""Stellar parameters as features of a colour model: classic Stellar Colour Regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError


@dataclass(frozen=True)
class ColumnScale:
    """Brings quantities of different units to one scale, column by column.

    Nothing is dereddened, and no mean is taken over the quantities of one star: they are not
    of one kind, and none of them depends on the star's brightness.

    Attributes
    ----------
    mean, deviation : ndarray, shape (m,)
        Of the stars that the scale was laid through.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def on(cls, values: FloatArray) -> ColumnScale:
        """Lay the scale through stars, shape (n, m); what does not vary keeps its unit."""
        deviation = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def __call__(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return values, shape (n, m), less the mean, over the standard deviation.

        Raises
        ------
        CalibrationError
            If a value is not finite.
        """
        features = ((values - self.mean) / self.deviation).astype(np.float32)
        bad = int((~np.isfinite(features).all(axis=1)).sum())
        if bad:
            raise CalibrationError(f"{bad} stars have parameters that are not finite")
        return features
