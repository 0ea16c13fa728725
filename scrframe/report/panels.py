"""Small multiples: like panels side by side, and axes that one bad series does not stretch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from scrframe.report.style import new_figure

#: What labels and a colour bar take in height, in inches.
MARGIN_IN = 0.55
#: Characters that fit above a panel at the usual size.
LONG_NAME = 18


def panel_grid(
    panels: int, height_in: float, columns: int = 2, share: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure one column wide and its panels, row by row.

    Parameters
    ----------
    panels : int
        At least 1.
    height_in : float
        Of each row of panels.
    columns : int
        Most panels beside each other.
    share : bool
        Whether all panels have the same axes, labelled at the left and below only.
    """
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = new_figure(rows * height_in + MARGIN_IN)
    grid = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
    axes = list(grid.flat)
    for extra in axes[panels:]:
        extra.remove()
    if share:
        for above in axes[panels - columns : panels]:
            above.tick_params(labelbottom=True)
    return figure, axes[:panels]


def shared_limit(series: Iterable[npt.ArrayLike], most: float = 4.0) -> float:
    """Return how far axes about zero reach: to the largest value, or `most` times what is usual.

    Parameters
    ----------
    series : iterable of array_like
        Values of each series; the usual is the median over series of their largest, the lower
        one of two.
    most : float
        A series that goes further leaves the axes, so that the others stay readable.
    """
    arrays = [np.abs(np.asarray(one, dtype=float)) for one in series]
    largest = [float(one[np.isfinite(one)].max()) for one in arrays if np.isfinite(one).any()]
    largest = sorted(value for value in largest if value > 0)
    return min(largest[-1], most * largest[(len(largest) - 1) // 2]) if largest else 1.0


def few_log_ticks(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5 of each decade."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def name_panel(axes: Axes, name: str) -> None:
    """Write a name above a panel, smaller if it is long."""
    axes.set_title(name, fontweight="bold", fontsize=min(7.5, 7.5 * LONG_NAME / len(name)))


def note(axes: Axes, lines: Sequence[str], corner: str = "upper left") -> None:
    """Write short lines into a corner of a panel."""
    up, left = "upper" in corner, "left" in corner
    axes.text(
        0.04 if left else 0.96,
        0.95 if up else 0.05,
        "\n".join(lines),
        transform=axes.transAxes,
        va="top" if up else "bottom",
        ha="left" if left else "right",
        fontsize=6,
        linespacing=1.25,
    )
