"""Figure 16 of a run: the survey on the sky, and which fields overlaps tie together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.degeneracy.fields import LEAST_SHARED, field_ties
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import ra_start, unwrap_ra
from scrframe.report.figures.sky import ra_axis
from scrframe.report.style import INK, RULE, house_style, new_figure, series_style
from scrframe.statistics.groups import codes

#: Groups that have a name and a colour of their own, the largest.
NAMED = 6
#: From here on points are drawn as an image within PDF and SVG.
MANY = 500


def figure_footprint(data: RunData) -> FigureProduct | None:
    """Draw the fields of a run, those that share stars in one colour.

    None where no detection has a position.
    """
    ra, dec = data.star("ra_deg"), data.star("dec_deg")
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if not len(rows):
        return None
    table = data.visit_table
    # A visit without a field is one by itself.
    names = np.where(table.field == "", np.array(table.visit), table.field)
    visit = data.star("visit_code")[rows].astype(np.int64)
    star = codes(data.star("source_id")[rows])
    ties = field_ties(star, visit, names, ra[rows], dec[rows])
    number = np.searchsorted(np.array([one.field for one in ties]), names)
    visits = np.array([one.visits for one in ties])
    start = ra_start(ra[rows])
    at_ra = _middles(unwrap_ra(ra[rows], start), number[visit], len(ties))
    at_dec = _middles(dec[rows], number[visit], len(ties))
    group = np.array([one.group for one in ties])
    size = np.bincount(group)
    several = size[group] > 1
    with house_style():
        figure = new_figure(2.6)
        axes = figure.subplots()
        _draw(axes, at_ra, at_dec, group, size)
        axes.set(xlabel="right ascension (deg)", ylabel="declination (deg)")
        ra_axis(axes)
        handles = len(axes.get_legend_handles_labels()[0])
        figure.legend(loc="outside upper left", ncols=1 if handles == 1 else 2)
    alone = int((~several).sum())
    tied = f"{int((size > 1).sum())} groups of {int(several.sum())} fields that overlaps tie"
    said = (
        "all fields are tied to each other"
        if len(size) == 1
        else f"{tied} together, and {alone} fields that no other overlaps"
    )
    return FigureProduct(
        "footprint",
        "The survey, and what overlaps tie together",
        f"The middles of {len(ties)} fields. Fields with {LEAST_SHARED} stars in common or more,"
        " directly or by way of others, have one colour and marker, and the largest groups a"
        " letter. Zero points of different groups are compared by the model alone: no star is seen"
        " in two of them.",
        f"Map of {len(ties)} fields with {int(visits.sum())} visits: {said}.",
        figure,
        figure_data(
            {
                "field": np.array([one.field for one in ties]),
                "group": np.array([group_name(n) for n in group]),
                "ra": np.mod(at_ra, 360),
                "dec": at_dec,
                "visits": visits,
                "overlapping_fields": np.array([one.overlapping_fields for one in ties]),
                "shared_stars": np.array([one.shared_stars for one in ties]),
            },
            {"deg": ("ra", "dec")},
            {"group": "fields that overlaps tie together, A the largest", "ra": "of the middle"},
        ),
    )


def group_name(number: int) -> str:
    """Return the letters of a group by its number from 0: A to Z, AA, AB and so on."""
    letters = ""
    number += 1
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("A") + place) + letters
    return letters


def _middles(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
    """Return the mean by field; NaN of a field without a detection."""
    count = np.bincount(group, minlength=groups)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(group, values, groups) / count)


def _draw(
    axes: Axes,
    ra: FloatArray,
    dec: FloatArray,
    group: npt.NDArray[np.integer],
    size: npt.NDArray[np.integer],
) -> None:
    """Draw the largest groups by name, then those without one, then single fields."""
    largest = [n for n in range(min(NAMED, len(size))) if size[n] > 1]
    area = float(np.clip(2500 / len(ra), 5, 28))
    options: dict[str, Any] = {
        "s": area,
        "linewidths": 0.3,
        "edgecolors": INK,
        "rasterized": len(ra) > MANY,
    }
    for n in largest:
        mine, style = group == n, series_style(n)
        label = f"{group_name(n)}: {size[n]} fields"
        axes.scatter(
            ra[mine], dec[mine], c=style.colour, marker=style.marker, label=label, **options
        )
        where = int(np.nanargmax(np.where(mine, dec, np.nan)))
        axes.annotate(
            group_name(n),
            (ra[where], dec[where]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
            fontsize=6.5,
        )
    others = (size[group] > 1) & (group >= len(largest))
    if others.any():
        many = len(np.unique(group[others]))
        label = f"{many} smaller groups: {int(others.sum())} fields"
        axes.scatter(ra[others], dec[others], c=RULE, marker="p", label=label, **options)
    single = size[group] == 1
    if single.any():
        label = f"alone: {int(single.sum())} fields"
        axes.scatter(
            ra[single], dec[single], c=INK, marker="x", s=area, linewidths=0.8, label=label
        )
