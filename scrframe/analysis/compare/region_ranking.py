"""Errors of zero points that control regions lead to, with intervals by a bootstrap of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import stats

from scrframe.analysis.compare.region_candidates import Region, TriedRegion
from scrframe.analysis.compare.result import Difference, Verdict, write_rows
from scrframe.arrays import FloatArray, IntArray
from scrframe.products.files import to_json, write_json

#: A directory that holds this file is a comparison of control regions.
REGIONS = "regions.json"
REGION_TABLE = "regions.ecsv"
#: Bins of colour, of equal numbers of detections, over which a colour-dependent bias is taken.
COLOUR_BINS = 12
#: Fewest fields, and for a consensus fewest regions, that tell regions apart.
LEAST_GROUPS = 3
#: Draws of the bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class RegionResult:
    """What a region leads to; NaN and None where a model could not be trained on it.

    Attributes
    ----------
    fault : str or None
        Why it cannot be used.
    scatter_mag, scatter_err_mag : float
        Standard deviation over visits of the errors of their zero points.
    bias_mag, bias_err_mag : float
        Root mean square, over bins of colour, of the mean difference within visits: how
        far zero points depend on a star's colour.
    total_mag, total_err_mag : float
        Both together, root of the sum of squares: what regions are ranked by.
    outside : float
        Share of the calibration stars unlike any training star.
    scatter, bias, total : Difference or None
        Against the described region, whose own are None.
    """

    region: Region
    fault: str | None = None
    scatter_mag: float = np.nan
    scatter_err_mag: float = np.nan
    bias_mag: float = np.nan
    bias_err_mag: float = np.nan
    total_mag: float = np.nan
    total_err_mag: float = np.nan
    outside: float = np.nan
    scatter: Difference | None = None
    bias: Difference | None = None
    total: Difference | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Whether the region is better than the described one."""
        return None if self.total is None else self.total.verdict

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; what is not finite becomes null."""
        return {**to_json(self), "verdict": self.verdict}

    def row(self) -> dict[str, Any]:
        """Return the figures as a flat row of a table."""
        region, cap = self.region, self.region.cap
        return {
            "region": region.name,
            "kind": region.kind,
            "ra_deg": np.nan if cap is None else cap.ra_deg,
            "dec_deg": np.nan if cap is None else cap.dec_deg,
            "radius_deg": np.nan if cap is None else cap.radius_deg,
            "stars": region.stars,
            "extinction_median": region.extinction_median,
            "extinction_p90": region.extinction_p90,
            "colour_low_mag": region.colour_low,
            "colour_high_mag": region.colour_high,
            "outside": self.outside,
            **{
                f"{name}_{end}": getattr(self, f"{name}_{end}")
                for name in ("scatter", "bias", "total")
                for end in ("mag", "err_mag")
            },
            "difference_mag": np.nan if self.total is None else self.total.value,
            "difference_low_mag": np.nan if self.total is None else self.total.low,
            "difference_high_mag": np.nan if self.total is None else self.total.high,
            "verdict": self.verdict or "",
            "fault": self.fault or "",
        }


@dataclass(frozen=True)
class RegionComparison:
    """Regions, best first; those that cannot be used come last.

    Attributes
    ----------
    judged_by : {"truth", "consensus"}
        What the zero points are compared with: the injected ones, or the mean of the regions'
        that share few stars.
    visits, groups : int
        Visits that count, and the fields that the bootstrap draws.
    backend : str
        The colour model that was trained.
    """

    results: tuple[RegionResult, ...]
    judged_by: Literal["truth", "consensus"]
    visits: int
    groups: int
    backend: str

    @property
    def described(self) -> RegionResult:
        """The region of the description."""
        return next(each for each in self.results if each.region.kind == "described")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; what is not finite becomes null."""
        return {
            "judged_by": self.judged_by,
            "visits": self.visits,
            "groups": self.groups,
            "backend": self.backend,
            "regions": [each.to_json() for each in self.results],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row for each region, best first."""
        return [{"rank": rank, **each.row()} for rank, each in enumerate(self.results, start=1)]


def write_regions(
    folder: Path, regions: RegionComparison, note: str, provenance: Mapping[str, Any]
) -> None:
    """Write regions.json and regions.ecsv, which a rerun repeats to the bit."""
    plain = {"data_note": note, **regions.to_json(), "provenance": dict(provenance)}
    write_json(folder / REGIONS, plain)
    about = {"judged_by": regions.judged_by, "data_note": note}
    write_rows(folder / REGION_TABLE, regions.rows(), about)


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
    reference_mag : ndarray, shape (n,), or None
        The true offsets. None to compare with the mean of the independent regions; that this
        is no truth counts in the errors, for which these regions are drawn as well.
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
    scatter, bias, total = found.value.tolist()
    scatter_err, bias_err, total_err = found.err().tolist()
    against: tuple[Difference | None, ...] = (None, None, None)
    if described is not None and tried.region.kind != "described":
        against = found.less(described)
    errors = scatter, scatter_err, bias, bias_err, total, total_err
    return RegionResult(tried.region, None, *errors, tried.outside, *against)


@dataclass(frozen=True)
class JudgingDetections:
    """Detections that judge all regions alike."""

    #: Code of the visit, from 0 without gaps. Shape (n,).
    visit: IntArray
    #: Code of each visit's field, from 0 without gaps: what the bootstrap draws. Shape (v,).
    group: IntArray
    #: Intrinsic colour, the same for all regions. Shape (n,).
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
    """Errors of all r regions, summed by field."""

    #: Number of visits. Shape (g,).
    visits: FloatArray
    #: Sums of the errors of zero points. Shape (g, r).
    first: FloatArray
    #: Sums of their products, region by region. Shape (g, r, r).
    squares: FloatArray
    #: Detections by bin of colour. Shape (g, bins).
    count: FloatArray
    #: Sums of their errors about the means of their visits. Shape (g, r, bins).
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
    """Scatter, bias and total of a region, and under the draws of the bootstrap."""

    #: Shape (3,).
    value: FloatArray
    #: Shape (draws, 3).
    drawn: FloatArray
    #: Independent things that were drawn: fields, or regions if they are fewer.
    groups: int

    def err(self, other: RegionScores | None = None) -> FloatArray:
        """Return the standard errors, shape (3,), also of the differences to another region.

        NaN where too little was drawn.
        """
        drawn = self.drawn if other is None else self.drawn - other.drawn
        if self.groups < LEAST_GROUPS:
            return np.full(3, np.nan)
        # Draws of a few fields scatter too little by the share of one.
        return np.asarray(drawn.std(axis=0, ddof=1) * np.sqrt(self.groups / (self.groups - 1)))

    def less(self, other: RegionScores, level: float = 0.95) -> tuple[Difference, ...]:
        """Return the differences to another region's scatter, bias and total."""
        value, err = self.value - other.value, self.err(other)
        half = err * float(stats.t.ppf(0.5 + level / 2, max(self.groups - 1, 1)))
        return tuple(
            Difference.of(one, one - width, one + width, abs(one) > width)
            for one, width in zip(value.tolist(), half.tolist(), strict=True)
        )
