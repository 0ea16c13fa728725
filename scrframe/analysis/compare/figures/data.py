"""What the figures of a comparison need besides the comparison itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from scrframe.analysis.compare.result import BackendResult, BackendScores, Comparison
from scrframe.arrays import FloatArray
from scrframe.report.style import SeriesStyle, series_style

#: From mag, the unit of all products, to mmag, the unit of axes.
MMAG = 1000.0


#: Names of variables on axes, with their units.
VARIABLES = {
    "predicted_colour": ("predicted colour", "mag"),
    "reference_mag": ("reference magnitude", "mag"),
    "extinction": ("extinction E", "mag"),
    "ra": ("right ascension", "deg"),
    "dec": ("declination", "deg"),
    "xp_snr": ("S/N of the spectrum", ""),
}
LEVELS = {"ccd": "CCD x visit"}


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
    last = len(order)
    return sorted(
        found, key=lambda pair: order.index(pair[0].name) if pair[0].name in order else last
    )


def styles(comparison: Comparison) -> dict[str, SeriesStyle]:
    """Return the style of each backend, the same in all figures."""
    return {one.name: series_style(number) for number, one in enumerate(comparison.backends)}


def with_stars(
    comparison: Comparison, residuals: Mapping[str, ResidualTable]
) -> dict[str, ResidualTable]:
    """Return the residuals of the backends that have figures, in their order."""
    return {one.name: residuals[one.name] for one, _ in judged(comparison) if one.name in residuals}


def table_of(rows: Sequence[tuple[object, ...]], columns: Mapping[str, tuple[str, str]]) -> Table:
    """Return a table of rows; columns map names to (unit, description)."""
    table = Table(rows=list(rows), names=list(columns))
    for name, (unit, description) in columns.items():
        table[name].unit = unit or None
        table[name].description = description
    return table


def stacked(parts: Mapping[str, Mapping[str, npt.ArrayLike]], units: Mapping[str, str]) -> Table:
    """Return the arrays of all backends as one long table, led by a column `backend`.

    Parameters
    ----------
    parts : mapping of backend to mapping of column to array
    units : mapping of column to unit
        Of all columns, in their order.
    """
    columns = {
        name: np.concatenate([np.asarray(part[name]) for part in parts.values()]) for name in units
    }
    lengths = [len(np.asarray(next(iter(part.values())))) for part in parts.values()]
    table = Table({"backend": np.repeat(list(parts), lengths), **columns})
    for name, unit in units.items():
        table[name].unit = unit or None
    return table


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence."""
    return ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + items[-1] if items else ""


def figure_name(figure: str) -> str:
    """Return a key of `BackendResult.against_reference` in words."""
    kind, _, rest = figure.partition("_")
    if kind == "offset":
        return level_name(rest) + ("" if rest in {"repeats", "overlaps"} else " offsets")
    statistic = {"sd": "sd", "mad": "MAD"}.get(rest, rest)
    return f"{statistic}, {kind}"


def level_name(level: str) -> str:
    """Return a level of offsets in words."""
    return LEVELS.get(level, level)
