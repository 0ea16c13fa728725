"""Control regions, ranked by the zero points that they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scrframe.analysis.compare.caps import Cap
from scrframe.analysis.compare.paired import Difference, Verdict
from scrframe.analysis.compare.region_errors import Judging, RegionScores
from scrframe.arrays import FloatArray
from scrframe.statistics.json import to_json

Kind = Literal["described", "part of described", "low extinction", "cap"]

#: Draws of the bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class Region:
    """A candidate control region and the stars in it.

    Attributes
    ----------
    name, kind : str
    cap : Cap or None
        Where it is a circle.
    stars : int
        Stars that train.
    extinction_median, extinction_p90 : float
        Of these stars.
    colour_low, colour_high : float
        1st and 99th percentile of their intrinsic colour, mag.
    """

    name: str
    kind: Kind
    cap: Cap | None
    stars: int
    extinction_median: float
    extinction_p90: float
    colour_low: float
    colour_high: float


@dataclass(frozen=True)
class RegionResult:
    """What a region leads to; NaN and None where a model could not be trained on it.

    Attributes
    ----------
    region : Region
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
        plain: dict[str, Any] = to_json(self)
        return {**plain, "verdict": self.verdict}

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
            "scatter_mag": self.scatter_mag,
            "scatter_err_mag": self.scatter_err_mag,
            "bias_mag": self.bias_mag,
            "bias_err_mag": self.bias_err_mag,
            "total_mag": self.total_mag,
            "total_err_mag": self.total_err_mag,
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
    results : tuple of RegionResult
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


@dataclass(frozen=True)
class Tried:
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
    tried: Sequence[Tried],
    judging: Judging,
    reference_mag: FloatArray | None,
    backend: str,
    draws: int = DRAWS,
    seed: int = 1,
) -> RegionComparison:
    """Judge the model magnitudes of all regions, and rank the regions.

    Parameters
    ----------
    tried : sequence of Tried
        One of them the described region.
    judging : Judging
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
    tried: Sequence[Tried],
    judging: Judging,
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
    tried: Tried, found: RegionScores | None, described: RegionScores | None
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
