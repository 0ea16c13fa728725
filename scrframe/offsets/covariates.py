"""What the scatter of stars may depend on: bounded powers of standardised star properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scrframe.offsets.model import FloatArray

#: Standardised properties end here, so that no star lies far outside the others.
BOUND = 3.0


@dataclass(frozen=True)
class CovariateScale:
    """A frozen standardisation: the same property always gives the same covariate.

    Attributes
    ----------
    names : tuple of str
        Properties, in the order of their covariates.
    centre, spread : tuple of float
        Median and robust standard deviation of each property, in its own unit. A spread of
        0 (all stars alike) makes the property's covariates 0.
    degree : int
        Highest power of each property.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    degree: int

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray], degree: int) -> CovariateScale:
        """Measure centre and spread of star properties, each of shape (s,)."""
        measured = [centre_and_spread(values) for values in columns.values()]
        centre = tuple(pair[0] for pair in measured)
        return cls(tuple(columns), centre, tuple(pair[1] for pair in measured), degree)

    def covariates(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the covariates of stars, shape (s, t).

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (s,)
            At least the properties in `names`; a value that is not known (NaN) counts as
            that of the typical star.

        Returns
        -------
        ndarray, shape (s, t)
            First 1, then by property its powers 1 to `degree`; t = 1 + degree * properties.
        """
        stars = len(next(iter(columns.values()))) if columns else 0
        result = np.ones((stars, 1 + self.degree * len(self.names)))
        for i, name in enumerate(self.names):
            base = _standardised(columns[name], self.centre[i], self.spread[i])
            for power in range(1, self.degree + 1):
                result[:, i * self.degree + power] = base**power
        return result


def covariates(columns: Mapping[str, FloatArray], degree: int) -> FloatArray:
    """Return covariates of stars, shape (s, t), standardised on these very stars.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (s,)
        Properties such as magnitude, extinction or colour.
    degree : int
        Highest power of each.
    """
    return CovariateScale.of(columns, degree).covariates(columns)


def centre_and_spread(values: FloatArray) -> tuple[float, float]:
    """Return median and robust standard deviation of the finite values; 0, 0 if there are none.

    The standard deviation is 1.4826 times the median absolute deviation (a normal
    distribution's).
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 0.0
    centre = float(np.median(finite))
    return centre, float(1.482602218505602 * np.median(np.abs(finite - centre)))


def _standardised(values: FloatArray, centre: float, spread: float) -> FloatArray:
    if spread == 0.0:
        return np.zeros(len(values))
    scaled = np.clip((np.asarray(values, dtype=np.float64) - centre) / spread, -BOUND, BOUND)
    return np.nan_to_num(scaled, nan=0.0)
