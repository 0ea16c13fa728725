"""Control regions, ranked by the zero points that they lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scrframe.analysis.compare.result import Difference, Verdict, _write_table
from scrframe.arrays import BoolArray, FloatArray
from scrframe.products.files import write_json
from scrframe.statistics.json import to_json
from scrframe.statistics.sky import chord, unit_vectors

Kind = Literal["described", "part of described", "low extinction", "cap"]
#: A directory that holds this file is a comparison of control regions.
REGIONS = "regions.json"
REGION_TABLE = "regions.ecsv"


@dataclass(frozen=True)
class SkyCircle:
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
        # The chord: cosines of small angles have no digits left.
        apart = unit_vectors(ra_deg, dec_deg) - unit_vectors(self.ra_deg, self.dec_deg)
        return np.asarray(np.linalg.norm(apart, axis=1) <= chord(self.radius_deg))


@dataclass(frozen=True)
class Region:
    """A candidate control region and the stars in it.

    Attributes
    ----------
    name, kind : str
    cap : SkyCircle or None
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
    cap: SkyCircle | None
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


def write_regions(
    folder: Path, regions: RegionComparison, note: str, provenance: Mapping[str, Any]
) -> None:
    """Write regions.json and regions.ecsv, which a rerun repeats to the bit."""
    plain = {"data_note": note, **regions.to_json(), "provenance": dict(provenance)}
    write_json(folder / REGIONS, plain)
    about = {"judged_by": regions.judged_by, "data_note": note}
    _write_table(folder / REGION_TABLE, regions.rows(), about)
