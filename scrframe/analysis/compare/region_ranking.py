"""Errors of zero points that control regions lead to, with intervals by a bootstrap of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from scrframe.analysis.compare.regions import Region, RegionComparison, RegionResult
from scrframe.analysis.compare.result import Difference, Verdict
from scrframe.arrays import FloatArray, IntArray

#: Bins of colour, of equal numbers of detections, over which a colour-dependent bias is taken.
COLOUR_BINS = 12


#: Fewest fields, and for a consensus fewest regions, that tell regions apart.
LEAST_GROUPS = 3
#: Draws of the bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class TriedRegion:
    """A region on which a model was trained.

    Attributes
    ----------
    region : Region
    error_mag : ndarray, shape (n,), or None
        Model less observed magnitude of the judging detections; None where it has a fault.
    zero_point_mag : ndarray, shape (v,), or None
        Zero points of the visits.
    outside : float
        Share of the calibration stars unlike any training star.
    fault : str or None
    independent : bool
        Whether it shares few stars with those before it, so that it counts in the consensus.
    """

    region: Region
    error_mag: FloatArray | None = None
    zero_point_mag: FloatArray | None = None
    outside: float = np.nan
    fault: str | None = None
    independent: bool = True


def rank_regions(
    tried: Sequence[TriedRegion],
    judging: JudgingDetections,
    reference_mag: FloatArray | None,
    backend: str,
    draws: int = DRAWS,
    seed: int = 1,
) -> RegionComparison:
    """Judge the model magnitudes of all regions, and rank the regions.

    Parameters
    ----------
    tried : sequence of TriedRegion
        One of them the described region.
    judging : JudgingDetections
    reference_mag : ndarray, shape (n,), or None
        The true offsets. None to compare with the mean of the independent regions; that this
        is no truth counts in the errors, for which these regions are drawn as well.
    backend : str
    draws, seed : int
        Of the bootstrap over fields.
    """
    figures = _figures(tried, judging, reference_mag, draws, seed)
    described = next(
        found for each, found in zip(tried, figures, strict=True) if each.region.kind == "described"
    )
    results = [_result(*each, described) for each in zip(tried, figures, strict=True)]
    # Python's sort is stable: equals, and those with a fault, stay in the order of trial.
    results.sort(key=lambda each: np.inf if each.fault else each.total_mag)
    return RegionComparison(
        tuple(results),
        "consensus" if reference_mag is None else "truth",
        len(judging.group),
        len(np.unique(judging.group)),
        backend,
    )


def _figures(
    tried: Sequence[TriedRegion],
    judging: JudgingDetections,
    reference_mag: FloatArray | None,
    draws: int,
    seed: int,
) -> list[RegionScores | None]:
    """Return the figures of each region under the same draws, None where it has a fault."""
    good = [each for each in tried if each.error_mag is not None]
    if not good:
        return [None] * len(tried)
    errors = np.array([each.error_mag for each in good])
    zero_points = np.array([each.zero_point_mag for each in good])
    if reference_mag is not None:
        errors -= reference_mag
        zero_points -= judging.by_visit(reference_mag)
    sums = judging.sums(errors, zero_points)
    fields, rng = len(sums.visits), np.random.default_rng(seed)
    weights = rng.multinomial(fields, np.full(fields, 1 / fields), draws).astype(np.float64)
    middle, middles, groups = np.zeros((1, len(good))), np.zeros((draws, len(good))), fields
    if reference_mag is None:
        share = np.array([each.independent for each in good], dtype=np.float64)
        number = int(share.sum())
        middle = (share / number)[None, :]
        middles = rng.multinomial(number, middle[0], draws) / number
        groups = min(fields, number)
    value = sums.figures(np.ones((1, fields)), middle)[0]
    drawn = sums.figures(weights, middles)
    found = iter(RegionScores(value[i], drawn[:, i], groups) for i in range(len(good)))
    return [None if each.error_mag is None else next(found) for each in tried]


def _result(
    tried: TriedRegion, found: RegionScores | None, described: RegionScores | None
) -> RegionResult:
    if found is None:
        return RegionResult(tried.region, tried.fault, outside=tried.outside)
    value, err = found.value.tolist(), found.err.tolist()
    against: tuple[Difference | None, ...] = (None, None, None)
    if described is not None and tried.region.kind != "described":
        against = found.less(described)
    return RegionResult(
        tried.region,
        None,
        value[0],
        err[0],
        value[1],
        err[1],
        value[2],
        err[2],
        tried.outside,
        *against,
    )


@dataclass(frozen=True)
class JudgingDetections:
    """Detections that judge all regions alike.

    Attributes
    ----------
    visit : ndarray of int64, shape (n,)
        Code of the visit, from 0 without gaps.
    group : ndarray of int64, shape (v,)
        Code of each visit's field, from 0 without gaps: what the bootstrap draws.
    colour_mag : ndarray, shape (n,)
        Intrinsic colour, the same for all regions.
    """

    visit: IntArray
    group: IntArray
    colour_mag: FloatArray
    bins: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        edges = np.quantile(self.colour_mag, np.arange(1, COLOUR_BINS) / COLOUR_BINS)
        object.__setattr__(self, "bins", np.searchsorted(edges, self.colour_mag, side="right"))

    def by_visit(self, value_mag: FloatArray) -> FloatArray:
        """Return the means over visits, shape (v,), of values of shape (n,)."""
        return np.asarray(np.bincount(self.visit, value_mag) / np.bincount(self.visit))

    def sums(self, error_mag: FloatArray, zero_point_mag: FloatArray) -> ErrorSums:
        """Return errors summed by field.

        Parameters
        ----------
        error_mag : ndarray, shape (r, n)
            Of model magnitudes, by region.
        zero_point_mag : ndarray, shape (r, v)
            Errors of the visits' zero points.
        """
        groups = int(self.group.max()) + 1
        # Each region has its own constant, which has no part in any figure.
        mean = zero_point_mag - zero_point_mag.mean(axis=1, keepdims=True)
        member = (self.group == np.arange(groups)[:, None]).astype(np.float64)
        squares = np.array([(mean * one) @ mean.T for one in member])
        cell = self.group[self.visit] * COLOUR_BINS + self.bins
        within = [
            np.bincount(cell, one - self.by_visit(one)[self.visit], groups * COLOUR_BINS)
            for one in error_mag
        ]
        return ErrorSums(
            visits=member.sum(axis=1),
            first=member @ mean.T,
            squares=squares,
            count=np.bincount(cell, minlength=groups * COLOUR_BINS)
            .reshape(groups, COLOUR_BINS)
            .astype(np.float64),
            within=np.moveaxis(np.reshape(within, (-1, groups, COLOUR_BINS)), 0, 1),
        )


@dataclass(frozen=True)
class ErrorSums:
    """Errors of all r regions, summed by field.

    Attributes
    ----------
    visits : ndarray, shape (g,)
        Number of visits.
    first : ndarray, shape (g, r)
        Sums of the errors of zero points.
    squares : ndarray, shape (g, r, r)
        Sums of their products, region by region.
    count : ndarray, shape (g, bins)
        Detections by bin of colour.
    within : ndarray, shape (g, r, bins)
        Sums of their errors about the means of their visits.
    """

    visits: FloatArray
    first: FloatArray
    squares: FloatArray
    count: FloatArray
    within: FloatArray

    def figures(self, weights: FloatArray, middle: FloatArray) -> FloatArray:
        """Return scatter, bias and total of each region, shape (draws, r, 3).

        Parameters
        ----------
        weights : ndarray, shape (draws, g)
            Of the fields.
        middle : ndarray, shape (draws, r)
            Weights of the regions whose mean errors are counted from; zeros for none.
        """
        regions = self.first.shape[1]
        less = np.eye(regions) - middle[:, None, :]
        visits = weights @ self.visits
        mean = weights @ self.first / visits[:, None]
        square = np.tensordot(weights, self.squares, 1) / visits[:, None, None]
        covariance = square - mean[:, :, None] * mean[:, None, :]
        variance = np.einsum("drs,dst,drt->dr", less, covariance, less)
        count = (weights @ self.count)[:, None, :]
        sums = less @ np.tensordot(weights, self.within, 1)
        by_colour = np.divide(sums, count, out=np.zeros_like(sums), where=count > 0)
        square_bias = np.sum(count * by_colour**2, axis=2) / count.sum(axis=2)
        scatter, bias = np.sqrt(np.maximum(variance, 0.0)), np.sqrt(square_bias)
        return np.stack([scatter, bias, np.hypot(scatter, bias)], axis=2)


@dataclass(frozen=True)
class RegionScores:
    """Scatter, bias and total of a region, and under the draws of the bootstrap.

    Attributes
    ----------
    value : ndarray, shape (3,)
    drawn : ndarray, shape (draws, 3)
    groups : int
        Independent things that were drawn: fields, or regions if they are fewer.
    """

    value: FloatArray
    drawn: FloatArray
    groups: int

    @property
    def err(self) -> FloatArray:
        """Standard errors, shape (3,); NaN where too little was drawn."""
        return self._err(self.drawn)

    def _err(self, drawn: FloatArray) -> FloatArray:
        if self.groups < LEAST_GROUPS:
            return np.full(3, np.nan)
        # Draws of a few fields scatter too little by the share of one.
        return np.asarray(drawn.std(axis=0, ddof=1) * np.sqrt(self.groups / (self.groups - 1)))

    def less(self, other: RegionScores, level: float = 0.95) -> tuple[Difference, ...]:
        """Return the differences to another region's scatter, bias and total."""
        value, err = self.value - other.value, self._err(self.drawn - other.drawn)
        half = err * float(stats.t.ppf(0.5 + level / 2, max(self.groups - 1, 1)))
        return tuple(
            Difference(float(one), float(one - width), float(one + width), _verdict(one, width))
            for one, width in zip(value, half, strict=True)
        )


def _verdict(value: float, half: float) -> Verdict:
    if not abs(value) > half:
        return "not told apart"
    return "better" if value < 0 else "worse"
