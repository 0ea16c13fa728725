"""What a comparison finds: figures by backend, differences, and costs apart.

`Comparison` holds nothing that changes from run to run of the same input and seeds; what does
(seconds, memory) stands in `Costs`.

Signs: residuals are predicted minus observed colour, offset errors estimated minus true.
A `Difference` is the backend's figure less the reference backend's; below zero it is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from astropy.table import Table

from scrframe.analysis.compare.scores import Coverage, Dispersion, ResidualTrend
from scrframe.products.files import write_ecsv, write_json
from scrframe.statistics.json import from_json, to_json

Json: TypeAlias = dict[str, Any]


Row: TypeAlias = dict[str, str | int | float]


#: Kinds of folds, as keys of `BackendResult.folds`.
FoldKind = Literal["random", "blocked"]


FOLD_KINDS: tuple[FoldKind, ...] = ("random", "blocked")
Verdict = Literal["better", "worse", "not told apart"]
#: A directory that holds this file is a comparison.
COMPARISON = "comparison.json"
TABLE = "comparison.ecsv"


@dataclass(frozen=True)
class Difference:
    """A figure of one backend less that of another.

    Attributes
    ----------
    value, low, high : float
        The difference and its interval, mag; below zero the first is better. The interval is
        NaN where all stars are in one group.
    verdict : {"better", "worse", "not told apart"}
        Of the first; not told apart when the interval holds zero.
    """

    value: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class BackendScores:
    """How a backend predicts stars that it did not train on, in one kind of folds.

    Attributes
    ----------
    dispersion : Dispersion
        Of the residuals of all seeds together.
    by_seed : tuple of Dispersion
        Of each seed, in the order of `Comparison.seeds`.
    trends : dict of str to ResidualTrend
        Mean residual against a variable, by its name: "predicted_colour",
        "reference_mag", "extinction", "ra", "dec", "xp_snr".
    coverage : Coverage or None
        Of the conformal error of each star.
    own_coverage : Coverage or None
        Of the errors that the backend gives itself, where it does.
    """

    dispersion: Dispersion
    by_seed: tuple[Dispersion, ...] = ()
    trends: dict[str, ResidualTrend] = field(default_factory=dict)
    coverage: Coverage | None = None
    own_coverage: Coverage | None = None


@dataclass(frozen=True)
class OffsetError:
    """Error of the offsets of a level.

    Attributes
    ----------
    level : str
        "visit", "ccd", "pixel" or "total" against the truth of a simulated survey; "repeats"
        or "overlaps" are rms differences of held-out detections of the same star.
    rms_mag : float
    count : int
        Offsets, or pairs of detections, judged.
    """

    level: str
    rms_mag: float
    count: int


@dataclass(frozen=True)
class BackendResult:
    """All figures of a backend.

    Attributes
    ----------
    name, summary, version : str
    settings : dict
        Settings it ran with, plain JSON values.
    chosen : dict or None
        Hyperparameters that a search found; None where none was asked for.
    fault : str or None
        What the backend does that it may not; it then has no figures.
    notes : tuple of str
    folds : dict of str to BackendScores
        By kind of folds, "random" and "blocked".
    offsets : dict of str to OffsetError
        By level.
    against_reference : dict of str to Difference
        By figure: "random_sd", "random_mad", "blocked_sd", "blocked_mad", and ``offset_<level>``.
        Empty for the reference backend itself.
    """

    name: str
    summary: str = ""
    version: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] | None = None
    fault: str | None = None
    notes: tuple[str, ...] = ()
    folds: dict[str, BackendScores] = field(default_factory=dict)
    offsets: dict[str, OffsetError] = field(default_factory=dict)
    against_reference: dict[str, Difference] = field(default_factory=dict)

    def row(self) -> Row:
        """Return the figures as one flat row; a figure that is missing has no key."""
        row: Row = {"backend": self.name, "version": self.version, "fault": self.fault or ""}
        for kind, figures in self.folds.items():
            row |= _figures_row(kind, figures)
        for level, error in self.offsets.items():
            row |= {f"offset_{level}_rms_mag": error.rms_mag, f"offset_{level}_count": error.count}
        for figure, difference in self.against_reference.items():
            row[f"diff_{figure}_mag"] = difference.value
            row[f"diff_{figure}_low_mag"] = difference.low
            row[f"diff_{figure}_high_mag"] = difference.high
            row[f"diff_{figure}_verdict"] = difference.verdict
        return row


@dataclass(frozen=True)
class Pair:
    """Difference of two backends, the first less the second, as the ranking judged it."""

    first: str
    second: str
    difference: Difference


@dataclass(frozen=True)
class Comparison:
    """Backends compared on the same stars, labels, features and folds.

    Attributes
    ----------
    survey, band : str
    reference : str
        Name of the backend that differences are taken against.
    seeds : tuple of int
    folds : int
    control_stars : int
    truth : bool
        Whether offsets are judged against the truth of a simulated survey.
    data_note : str
        What the data are, in words.
    backends : tuple of BackendResult
        In the order asked for.
    ranking : tuple of tuple of str
        Groups of backends that are not told apart, best first, by the dispersion in blocked
        folds; a backend with a fault is in none.
    pairs : tuple of Pair
        The differences behind the ranking.
    """

    survey: str
    band: str
    reference: str
    seeds: tuple[int, ...]
    folds: int
    control_stars: int
    truth: bool
    data_note: str
    backends: tuple[BackendResult, ...]
    ranking: tuple[tuple[str, ...], ...] = ()
    pairs: tuple[Pair, ...] = ()

    def to_json(self) -> Json:
        """Return plain JSON values; a number that is not finite becomes None."""
        plain: Json = to_json(self)
        return plain

    @classmethod
    def from_json(cls, plain: Json) -> Comparison:
        """Return the comparison that `to_json` wrote."""
        result: Comparison = from_json(cls, plain)
        return result

    def rows(self) -> list[Row]:
        """Return a flat row for each backend, all with the same keys in the same order.

        A figure that a backend lacks is NaN, a count 0, a text empty. `rank` is the number of
        the backend's group in the ranking, from 1; 0 for a backend with a fault.
        """
        found: list[Row] = [{"rank": self._rank(one.name), **one.row()} for one in self.backends]
        kinds = {key: type(value) for row in found for key, value in row.items()}
        empty: dict[type, str | int | float] = {str: "", int: 0, float: float("nan")}
        return [{key: row.get(key, empty[kind]) for key, kind in kinds.items()} for row in found]

    def _rank(self, name: str) -> int:
        return next((i for i, group in enumerate(self.ranking, 1) if name in group), 0)


def _figures_row(kind: str, figures: BackendScores) -> Row:
    """Return figures of one kind of folds, each key led by the kind."""
    one = figures.dispersion
    row: Row = {
        f"{kind}_sd_mag": one.sd_mag,
        f"{kind}_mad_mag": one.mad_mag,
        f"{kind}_bias_mag": one.bias_mag,
        f"{kind}_r2": one.r2,
        f"{kind}_count": one.count,
    }
    if len(figures.by_seed) > 1:
        by_seed = np.std([seed.sd_mag for seed in figures.by_seed], ddof=1)
        row[f"{kind}_sd_between_seeds_mag"] = float(by_seed)
    for variable, trend in figures.trends.items():
        row[f"{kind}_trend_{variable}_rms_mag"] = trend.rms_mag
        row[f"{kind}_trend_{variable}_sigma"] = trend.largest_sigma
    for name, coverage in (("", figures.coverage), ("own_", figures.own_coverage)):
        if coverage is not None:
            row[f"{kind}_{name}within_1"] = coverage.within_1
            row[f"{kind}_{name}within_2"] = coverage.within_2
            row[f"{kind}_{name}pull_sd"] = coverage.pull_sd
    return row


def write_comparison(folder: Path, comparison: Comparison, provenance: Mapping[str, Any]) -> None:
    """Write comparison.json and comparison.ecsv, which a rerun repeats to the bit."""
    plain = {**comparison.to_json(), "provenance": dict(provenance)}
    write_json(folder / COMPARISON, plain)
    about = {"reference": comparison.reference, "data_note": comparison.data_note}
    _write_table(folder / TABLE, comparison.rows(), about)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> None:
    """Write rows as a table whose names tell the units."""
    table = Table(rows=list(rows))
    for name in table.colnames:
        unit = next((unit for unit in ("mag", "deg") if name.endswith(f"_{unit}")), None)
        table[name].unit = unit
    table.meta = dict(about)
    write_ecsv(table, path)
