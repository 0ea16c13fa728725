"""The reddening law with a random slope on E by field: a mixed model.

    y = X a + constant(visit) + b_field E + noise,   b ~ N(0, sd^2)

Fields are independent once the visits' constants are taken out, so that sums of products
by field are all that is needed (Harville 1977, JASA 72, 320; Robinson 1991, Stat. Sci. 6, 15).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from scrframe.arrays import FloatArray
from scrframe.scr.law_design import Sums, check_determined

#: Points at which the likelihood is looked at before it is refined.
GRID = 60


@dataclass(frozen=True)
class SlopeFit:
    """The mixed model's solution.

    Attributes
    ----------
    coefficients : ndarray, shape (k,)
        Generalised least squares.
    covariance : ndarray, shape (k, k)
        Given the variances; the variation between fields is in it.
    slope, err, free, free_err : ndarray, shape (f,)
        See `scrframe.tables.FieldSlopes`.
    sd, noise_mag : float
        Standard deviations of the slopes and of the noise.
    """

    coefficients: FloatArray
    covariance: FloatArray
    slope: FloatArray
    err: FloatArray
    free: FloatArray
    free_err: FloatArray
    sd: float
    noise_mag: float


class SlopeModel:
    """The likelihood of the ratio sd / noise, given the sums by field.

    Parameters
    ----------
    sums : Sums
        By field, shape (f, k, k) and so on.
    column : int
        Column of the design that is E itself.
    freedom : float
        Detections less coefficients and constants.
    """

    def __init__(self, sums: Sums, column: int, freedom: float) -> None:
        self._sums, self._freedom = sums, freedom
        self.spread = sums.normal[:, column, column]
        self.shared = sums.normal[:, column, :]
        self.pull = sums.right[:, column]

    def equations(self, ratio: float) -> tuple[FloatArray, FloatArray, float]:
        """Return normal matrix, right side and sum of squares with the slopes integrated out."""
        weight = ratio**2 / (1 + ratio**2 * self.spread)
        normal = self._sums.normal.sum(axis=0) - (self.shared.T * weight) @ self.shared
        right = self._sums.right.sum(axis=0) - self.shared.T @ (weight * self.pull)
        square = self._sums.square.sum() - weight @ self.pull**2
        return normal, right, float(square)

    def noise_variance(self, ratio: float) -> float:
        """Return the variance of the noise that is most likely at a ratio."""
        normal, right, square = self.equations(ratio)
        return float((square - right @ np.linalg.solve(normal, right)) / self._freedom)

    def deviance(self, ratio: float) -> float:
        """Return -2 log of the restricted likelihood, up to a constant."""
        log_noise = np.log(self.noise_variance(ratio))
        log_normal = np.linalg.slogdet(self.equations(ratio)[0])[1]
        spread = np.log1p(ratio**2 * self.spread).sum()
        return float(self._freedom * log_noise + log_normal + spread)

    def best_ratio(self) -> float:
        """Return the ratio of the largest restricted likelihood; 0 if slopes do not differ."""
        usual = 1 / np.sqrt(self.spread.mean())
        grid = np.concatenate([[0.0], usual * np.geomspace(1e-2, 1e4, GRID)])
        deviance = [self.deviance(ratio) for ratio in grid]
        place = int(np.argmin(deviance))
        bounds = grid[max(place - 1, 0)], grid[min(place + 1, GRID)]
        refined = minimize_scalar(
            self.deviance, bounds=bounds, method="bounded", options={"xatol": 1e-6 * bounds[1]}
        )
        return float(refined.x) if refined.fun < deviance[0] else 0.0

    def solve(self) -> SlopeFit:
        """Estimate the variances, then coefficients and slopes.

        Raises
        ------
        CalibrationError
            If the law is not determined.
        """
        check_determined(self._sums.normal.sum(axis=0))
        ratio = self.best_ratio()
        normal, right, _ = self.equations(ratio)
        noise = self.noise_variance(ratio)
        inverse = np.asarray(np.linalg.inv(normal), dtype=np.float64)
        coefficients = inverse @ right
        left = self.pull - self.shared @ coefficients
        weight = ratio**2 / (1 + ratio**2 * self.spread)
        of_law = np.einsum("fi,ij,fj->f", self.shared, inverse, self.shared)
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.where(self.spread > 0, left / self.spread, np.nan)
            free_err = np.where(self.spread > 0, np.sqrt(noise / self.spread), np.nan)
        return SlopeFit(
            coefficients,
            inverse * noise,
            weight * left,
            np.sqrt(noise * (weight + weight**2 * of_law)),
            free,
            free_err,
            float(ratio * np.sqrt(noise)),
            float(np.sqrt(noise)),
        )
