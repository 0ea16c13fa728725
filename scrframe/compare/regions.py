"""Control regions: which patches of the sky to try, and the zero points they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from scrframe.compare.paired import Difference, Verdict
from scrframe.compare.plain import to_plain

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Kind = Literal["described", "part of described", "low extinction", "cap"]

#: Caps that share more of their stars than this (of the stars of either) are one candidate.
ALIKE = 0.8
#: Bins of colour, of equal numbers of detections, over which a colour-dependent bias is taken.
COLOUR_BINS = 12
#: Fewest fields, and for a consensus fewest regions, that tell regions apart.
LEAST_GROUPS = 3
#: Draws of the bootstrap.
DRAWS = 1000


@dataclass(frozen=True)
class Cap:
    """A circle on the sky.

    Attributes
    ----------
    ra_deg, dec_deg, radius_deg : float
    """

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def holds(self, ra_deg: FloatArray, dec_deg: FloatArray) -> BoolArray:
        """Return which positions lie in it, shape (n,)."""
        centre = directions(np.array([self.ra_deg]), np.array([self.dec_deg]))[0]
        # The chord: cosines of small angles have no digits left.
        chord = np.linalg.norm(directions(ra_deg, dec_deg) - centre, axis=1)
        return np.asarray(chord <= 2 * np.sin(np.radians(self.radius_deg) / 2))


def directions(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec)])


def centre_of(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[float, float]:
    """Return the mean direction of positions, RA from 0 to 360 deg and Dec."""
    x, y, z = directions(ra_deg, dec_deg).mean(axis=0)
    return float(np.degrees(np.arctan2(y, x)) % 360), float(
        np.degrees(np.arctan2(z, np.hypot(x, y)))
    )


def low_extinction_caps(
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    extinction: FloatArray,
    place: IntArray,
    radii_deg: Sequence[float],
    each: int,
    min_stars: int,
) -> list[Cap]:
    """Return caps about the places of least extinction, a few of each radius.

    For each radius the caps about the centres of all places are ranked by the median E of
    their stars; the first are taken, but none that overlaps by half with one of the same radius
    before it, or holds nearly the stars of any.

    Parameters
    ----------
    ra_deg, dec_deg, extinction : ndarray, shape (n,)
        Of stars.
    place : ndarray of int64, shape (n,)
        Code of the field or cell of each star.
    radii_deg : sequence of float
        Ascending.
    each : int
        Most caps of one radius.
    min_stars : int
        Stars that a cap must hold.
    """
    rows = [np.flatnonzero(place == code) for code in np.unique(place)]
    centres = [centre_of(ra_deg[row], dec_deg[row]) for row in rows]
    caps: list[Cap] = []
    taken: list[BoolArray] = []
    for radius in radii_deg:
        found = [Cap(*centre, float(radius)) for centre in centres]
        inside = [cap.holds(ra_deg, dec_deg) for cap in found]
        level = [float(np.median(extinction[mask])) for mask in inside]
        before = len(caps)
        for number in np.argsort(level, kind="stable"):
            mask = inside[number]
            if len(caps) - before == each:
                break
            near = any(overlap(mask, one) for one in taken[before:])
            if mask.sum() < min_stars or near or any(alike(mask, one) for one in taken):
                continue
            caps.append(found[number])
            taken.append(mask)
    return caps


def overlap(first: BoolArray, second: BoolArray) -> bool:
    """Return whether the smaller of two regions has half its stars in the other."""
    return bool((first & second).sum() > min(first.sum(), second.sum()) / 2)


def alike(first: BoolArray, second: BoolArray) -> bool:
    """Return whether two regions hold nearly the same stars."""
    return bool((first & second).sum() > ALIKE * (first | second).sum())


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
        plain: dict[str, Any] = to_plain(self)
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
class Judging:
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
class Figures:
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

    def less(self, other: Figures, level: float = 0.95) -> tuple[Difference, ...]:
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
) -> list[Figures | None]:
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
    found = iter(Figures(value[i], drawn[:, i], groups) for i in range(len(good)))
    return [None if each.error_mag is None else next(found) for each in tried]


def _result(tried: Tried, found: Figures | None, described: Figures | None) -> RegionResult:
    if found is None:
        return RegionResult(tried.region, tried.fault, outside=tried.outside)
    value, err = found.value.tolist(), found.err.tolist()
    against: tuple[Difference | None, ...] = (None, None, None)
    if described is not None and tried.region.kind != "described":
        against = found.less(described)
    return RegionResult(
        tried.region, None, value[0], err[0], value[1], err[1], value[2], err[2],
        tried.outside, *against,
    )  # fmt: skip
