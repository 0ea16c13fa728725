"""How far predictions are off: dispersion, mean residual against a variable, coverage of errors.

Conformal prediction (Vovk et al. 2005; Mondrian and cross-conformal forms) takes a star's error
from the held-out residuals of stars alike, whatever the backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import robust_sd
from scrframe.statistics.sky import kd_partition

#: Shares of a normal distribution within one and two standard deviations.
WITHIN_1, WITHIN_2 = float(2 * ndtr(1.0) - 1), float(2 * ndtr(2.0) - 1)
#: Shares at which the curve of calibration is taken.
CURVE = np.arange(1, 20) / 20
#: Cells of stars alike at most: more of them follow noise.
MOST_CELLS = 64


@dataclass(frozen=True)
class Dispersion:
    """Residuals (predicted minus observed) in a few numbers.

    Attributes
    ----------
    sd_mag : float
        Standard deviation about the mean.
    mad_mag : float
        1.4826 times the median absolute deviation from the median.
    bias_mag : float
        Mean.
    r2 : float
        1 less the mean square of the residuals over the variance of the observed; NaN where
        the observed do not differ.
    count : int
        Residuals judged; those that are not finite are left out.
    """

    sd_mag: float
    mad_mag: float
    bias_mag: float
    r2: float
    count: int


def disperse(predicted_mag: FloatArray, observed_mag: FloatArray) -> Dispersion:
    """Judge predictions against what was observed.

    Parameters
    ----------
    predicted_mag : ndarray, shape (n,) or (seeds, n)
    observed_mag : ndarray, shape (n,)

    Returns
    -------
    Dispersion
        Of all seeds together; all NaN when no prediction is finite.
    """
    observed_mag = np.broadcast_to(observed_mag, np.shape(predicted_mag))
    residual = predicted_mag - observed_mag
    good = np.isfinite(residual)
    residual, observed = residual[good], observed_mag[good]
    if not residual.size:
        return Dispersion(np.nan, np.nan, np.nan, np.nan, 0)
    variance = float(observed.var())
    r2 = 1 - float(np.mean(residual**2)) / variance if variance > 0 else np.nan
    return Dispersion(
        float(residual.std()), robust_sd(residual), float(residual.mean()), r2, residual.size
    )


@dataclass(frozen=True)
class ResidualTrend:
    """Mean residual in bins of a variable that hold like numbers of stars.

    Attributes
    ----------
    centre : ndarray, shape (bins,)
        Median of the variable in each bin.
    mean_mag, err_mag : ndarray, shape (bins,)
        Mean residual and its standard error.
    count : ndarray of int64, shape (bins,)
        Stars in each bin.
    """

    variable: str
    centre: FloatArray
    mean_mag: FloatArray
    err_mag: FloatArray
    count: IntArray

    @property
    def rms_mag(self) -> float:
        """Root mean square of the bin means less what their errors alone give, >= 0."""
        excess = self.mean_mag**2 - self.err_mag**2
        excess = excess[np.isfinite(excess)]
        return float(np.sqrt(max(0.0, excess.mean()))) if excess.size else float("nan")

    @property
    def largest_sigma(self) -> float:
        """Largest mean over its error; of 12 bins without a trend, above 2.9 in 1 of 20."""
        sigma = np.abs(self.mean_mag) / self.err_mag
        sigma = sigma[np.isfinite(sigma)]
        return float(sigma.max()) if sigma.size else float("nan")


def binned(
    residual_mag: FloatArray,
    value: FloatArray,
    variable: str,
    bins: int = 12,
    block: IntArray | None = None,
) -> ResidualTrend:
    """Average residuals in bins of a variable.

    Parameters
    ----------
    residual_mag, value : ndarray, shape (n,) or (seeds, n)
        Several seeds are averaged star by star first. Stars where either is not finite are
        left out; equal values share a bin.
    variable : str
        Name of the variable.
    bins : int
        Number of bins; fewer where values repeat or stars are few.
    block : ndarray of int64, shape (n,), or None
        Sky cell of each star. Errors then follow from the scatter between cells, since
        residuals of neighbours are alike; without it, from the scatter between stars.

    Returns
    -------
    ResidualTrend
        Without bins where no star is left; the error of a bin of one star is NaN.
    """
    residual, value = (
        np.asarray(np.atleast_2d(each).mean(axis=0), dtype=np.float64)
        for each in (residual_mag, value)
    )
    good = np.isfinite(residual) & np.isfinite(value)
    residual, value = residual[good], value[good]
    if not residual.size:
        none = np.empty(0)
        return ResidualTrend(variable, none, none, none, np.empty(0, dtype=np.int64))
    edges = np.unique(np.quantile(value, np.arange(1, bins) / bins))
    _, index = np.unique(np.searchsorted(edges, value, side="left"), return_inverse=True)
    count = np.bincount(index)
    mean = np.bincount(index, residual) / count
    centre = np.array([np.median(value[index == one]) for one in range(len(count))])
    left = residual - mean[index]
    group = np.arange(len(left)) if block is None else np.asarray(block)[good]
    # The linear form of a bootstrap of whole groups, exact without draws (Cameron & Miller 2015,
    # Sect. II). A bin that lies in one group has no such scatter: its error is that of
    # independent stars. `left` are the residuals less the mean of their bin.
    names, group = np.unique(group, return_inverse=True)
    both, place = np.unique(index * len(names) + group, return_inverse=True)
    of_bin = both // len(names)
    sums, groups = np.bincount(place, left), np.bincount(of_bin)
    with np.errstate(divide="ignore", invalid="ignore"):
        grouped = np.bincount(of_bin, sums**2) * groups / (groups - 1)
        single = np.bincount(index, left**2) * count / (count - 1)
    err = np.asarray(np.sqrt(np.where(groups > 1, grouped, single)) / count)
    return ResidualTrend(variable, centre, mean, err, count.astype(np.int64))


@dataclass(frozen=True)
class Coverage:
    """How often residuals lie within their errors.

    Attributes
    ----------
    within_1, within_2 : float
        Share of residuals within one and two errors.
    expected_1, expected_2 : float
        The same of a normal distribution, 0.683 and 0.954.
    pull_sd : float
        Standard deviation of residual over error.
    expected, found : ndarray, shape (k,)
        The curve of calibration: share that a normal distribution has within as many errors,
        and share found.
    """

    within_1: float
    within_2: float
    expected_1: float
    expected_2: float
    pull_sd: float
    median_err_mag: float
    count: int
    expected: FloatArray
    found: FloatArray


def conformal_errors(
    residual_mag: FloatArray, fold: IntArray, columns: FloatArray, least: int = 200
) -> FloatArray:
    """Return the error of each star from residuals of other folds of stars alike.

    The error is the half width that holds 68.3 per cent of those residuals, with the correction
    for their finite number. Stars alike share a cell of the columns.

    Parameters
    ----------
    residual_mag : ndarray, shape (n,)
        Out-of-fold residuals.
    fold : ndarray of int64, shape (n,)
    columns : ndarray, shape (n, k)
        What the error may depend on: magnitude, predicted colour, S/N; no label. Only the order
        of the values counts.
    least : int
        Fewest stars in a cell, where there are as many.

    Returns
    -------
    ndarray, shape (n,)
        NaN where a cell has too few residuals of other folds.
    """
    cells = max(1, min(len(fold) // least, MOST_CELLS))
    ranks = np.argsort(np.argsort(columns, axis=0, kind="stable"), axis=0)
    cell = kd_partition(ranks.astype(np.float64), cells)
    error = np.empty(len(fold))
    for one in np.unique(fold):
        held = fold == one
        error[held] = _half_widths(np.abs(residual_mag[~held]), cell[~held], cells)[cell[held]]
    return error


def _half_widths(size_mag: FloatArray, cell: IntArray, cells: int) -> FloatArray:
    """Return by cell what 68.3 per cent of further residuals will not exceed, shape (cells,).

    Of n residuals that is the one at place (n + 1) 0.683, rounded up; NaN where there are too
    few.
    """
    order = np.lexsort([size_mag, cell])
    count = np.bincount(cell, minlength=cells)
    place = np.ceil((count + 1) * WITHIN_1).astype(np.int64)
    first = np.cumsum(count) - count
    found = np.full(cells, np.nan)
    enough = (place <= count) & (count > 0)
    found[enough] = size_mag[order][first[enough] + place[enough] - 1]
    return found


def coverage(residual_mag: FloatArray, err_mag: FloatArray) -> Coverage:
    """Compare residuals with their errors, arrays of any one shape.

    Where either is not finite or the error is not positive, the star is left out.
    """
    good = np.isfinite(residual_mag) & np.isfinite(err_mag) & (err_mag > 0)
    pull = np.asarray(residual_mag[good] / err_mag[good])
    share = partial(_share_within, np.sort(np.abs(pull)))
    return Coverage(
        within_1=float(share(1.0)),
        within_2=float(share(2.0)),
        expected_1=WITHIN_1,
        expected_2=WITHIN_2,
        pull_sd=float(pull.std()) if pull.size else np.nan,
        median_err_mag=float(np.median(err_mag[good])) if pull.size else np.nan,
        count=pull.size,
        expected=CURVE,
        found=share(ndtri(0.5 + CURVE / 2)),
    )


def _share_within(size: FloatArray, limit: npt.ArrayLike) -> FloatArray:
    """Return the share of sorted sizes that do not exceed each limit."""
    if not size.size:
        return np.full(np.shape(limit), np.nan)
    return np.asarray(np.searchsorted(size, limit, side="right") / size.size)
