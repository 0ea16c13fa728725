"""What a comparison finds: figures by backend, differences, and costs apart.

`Comparison` holds nothing that changes from run to run of the same input and seeds; what does
(seconds, memory) stands in `Costs`.

Signs: residuals are predicted minus observed colour, offset errors estimated minus true.
A `Difference` is the backend's figure less the reference backend's; below zero it is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from astropy.table import Table

from scrframe.analysis.compare.scores import Coverage, Dispersion, ResidualTrend
from scrframe.arrays import FloatArray
from scrframe.products.files import from_json, to_json, write_ecsv, write_json

Json: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, str | int | float]
#: Kinds of folds, as keys of `BackendResult.folds`.
FoldKind = Literal["random", "blocked"]
FOLD_KINDS: tuple[FoldKind, ...] = ("random", "blocked")
Verdict = Literal["better", "worse", "not told apart"]
UNDECIDED: Verdict = "not told apart"
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

    @classmethod
    def of(cls, value: float, low: float, high: float, apart: bool) -> Difference:
        """Return a difference with the verdict; `apart` says whether the two are told apart."""
        return cls(value, low, high, ("better" if value < 0 else "worse") if apart else UNDECIDED)


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
    settings : dict
        Settings it ran with, plain JSON values.
    chosen : dict or None
        Hyperparameters that a search found; None where none was asked for.
    fault : str or None
        What the backend does that it may not; it then has no figures.
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
        for figure, gap in self.against_reference.items():
            ends = {f"diff_{figure}_low_mag": gap.low, f"diff_{figure}_high_mag": gap.high}
            row |= {f"diff_{figure}_mag": gap.value, **ends, f"diff_{figure}_verdict": gap.verdict}
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
    reference : str
        Name of the backend that differences are taken against.
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
        return cast(Json, to_json(self))

    @classmethod
    def from_json(cls, plain: Json) -> Comparison:
        """Return the comparison that `to_json` wrote."""
        return cast(Comparison, from_json(cls, plain))

    def rows(self) -> list[Row]:
        """Return a flat row for each backend, all with the same keys in the same order.

        A figure that a backend lacks is NaN, a count 0, a text empty. `rank` is the number of
        the backend's group in the ranking, from 1; 0 for a backend with a fault.
        """
        rank = {name: number for number, group in enumerate(self.ranking, 1) for name in group}
        found: list[Row] = [{"rank": rank.get(one.name, 0), **one.row()} for one in self.backends]
        kinds = {key: type(value) for row in found for key, value in row.items()}
        empty: dict[type, str | int | float] = {str: "", int: 0, float: float("nan")}
        return [{key: row.get(key, empty[kind]) for key, kind in kinds.items()} for row in found]


def _figures_row(kind: str, figures: BackendScores) -> Row:
    """Return figures of one kind of folds, each key led by the kind."""
    row: Row = {f"{kind}_{name}": value for name, value in vars(figures.dispersion).items()}
    if len(figures.by_seed) > 1:
        by_seed = np.std([seed.sd_mag for seed in figures.by_seed], ddof=1)
        row[f"{kind}_sd_between_seeds_mag"] = float(by_seed)
    for variable, trend in figures.trends.items():
        row[f"{kind}_trend_{variable}_rms_mag"] = trend.rms_mag
        row[f"{kind}_trend_{variable}_sigma"] = trend.largest_sigma
    for name, coverage in (("", figures.coverage), ("own_", figures.own_coverage)):
        if coverage is not None:
            for key in ("within_1", "within_2", "pull_sd"):
                row[f"{kind}_{name}{key}"] = getattr(coverage, key)
    return row


def write_comparison(folder: Path, comparison: Comparison, provenance: Mapping[str, Any]) -> None:
    """Write comparison.json and comparison.ecsv, which a rerun repeats to the bit."""
    plain = {**comparison.to_json(), "provenance": dict(provenance)}
    write_json(folder / COMPARISON, plain)
    about = {"reference": comparison.reference, "data_note": comparison.data_note}
    write_rows(folder / TABLE, comparison.rows(), about)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> None:
    """Write rows as a table whose names tell the units."""
    table = Table(rows=list(rows))
    for name in table.colnames:
        table[name].unit = next((u for u in ("mag", "deg") if name.endswith(f"_{u}")), None)
    table.meta = dict(about)
    write_ecsv(table, path)


@dataclass(frozen=True)
class ResidualTable:
    """Control stars as a backend predicts them while held out, in blocked folds.

    Attributes
    ----------
    observed_mag, predicted_mag : ndarray, shape (n,)
        Intrinsic colour (band less reference magnitude) as labelled, and as predicted in the
        folds of one seed. Residuals are predicted less observed.
    err_mag : ndarray, shape (n,)
        Error of each prediction, NaN where there is none.
    reference_mag : ndarray, shape (n,)
        Magnitude in the reference band.
    extinction : ndarray, shape (n,)
        E in mag.
    colour : ndarray, shape (n,)
        Predicted colour to bin by, the same for all backends: the reference backend's.
    ra, dec : ndarray, shape (n,)
        ICRS, deg.

    Raises
    ------
    ValueError
        If the arrays differ in shape.
    """

    observed_mag: FloatArray
    predicted_mag: FloatArray
    err_mag: FloatArray
    reference_mag: FloatArray
    extinction: FloatArray
    colour: FloatArray
    ra: FloatArray
    dec: FloatArray

    def __post_init__(self) -> None:
        shapes = {one.name: np.shape(getattr(self, one.name)) for one in fields(self)}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"columns of residuals differ in shape: {shapes}")

    @property
    def residual_mag(self) -> FloatArray:
        """Predicted less observed."""
        return self.predicted_mag - self.observed_mag


def main_kind(result: BackendResult) -> str | None:
    """Return the kind of folds that judges a backend: blocked where there are such."""
    return next((kind for kind in ("blocked", "random") if kind in result.folds), None)


def main_figures(result: BackendResult) -> BackendScores | None:
    """Return the figures in the kind of folds that judges a backend."""
    kind = main_kind(result)
    return None if kind is None else result.folds[kind]


def judged(comparison: Comparison) -> list[tuple[BackendResult, BackendScores]]:
    """Return the backends that have figures, best first as far as they are ranked."""
    order = [name for group in comparison.ranking for name in group]
    found = [(one, figures) for one in comparison.backends if (figures := main_figures(one))]
    rank = {name: number for number, name in enumerate(order)}
    return sorted(found, key=lambda pair: rank.get(pair[0].name, len(order)))
