"""How figures look: sizes of a journal's column, colours that colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, NullLocator

#: Width of one column of a journal in inches. Pages show figures at this width as well, so
#: that their text stays readable on a phone.
COLUMN_IN = 3.5
#: Dots per inch of PNG files, and of what is rasterised within PDF and SVG.
DPI = 300
#: Okabe & Ito (2008), "Color Universal Design", without their yellow, which is too faint
#: on white. Markers and lines tell the same series apart in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
#: Figures show magnitudes in mmag.
MMAG = 1000.0
#: Ink, helping lines, and series that only stand for comparison.
INK, RULE, FAINT = "#222222", "#8c8c8c", "#c8c8c8"
#: Maps that grow evenly in lightness: counts and amounts; signed values about zero.
AMOUNT_MAP, SIGNED_MAP = "cividis_r", "RdBu_r"
SETTINGS: Mapping[Any, Any] = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.dpi": DPI,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so files do not depend on the machine
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "figure.labelsize": 7.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.formatter.useoffset": False,
    "image.cmap": AMOUNT_MAP,
    "axes.titlepad": 3.0,
    "pdf.fonttype": 42,  # whole fonts, which publishers ask for, not drawings of letters
    "svg.hashsalt": "scrframe",  # names within a file follow from its content
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save within this style, whatever the user's own matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def new_figure(height_in: float, width_in: float = COLUMN_IN) -> Figure:
    """Return an empty figure; call it, and draw, within `house_style`."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


@dataclass(frozen=True)
class SeriesStyle:
    """What a series looks like in every figure."""

    #: As matplotlib names them.
    colour: str
    marker: str
    line: str


def series_style(number: int) -> SeriesStyle:
    """Return the style of a series by its number from 0; 28 differ."""
    return SeriesStyle(
        COLOURS[number % len(COLOURS)],
        MARKERS[number % len(MARKERS)],
        LINES[number // len(COLOURS) % len(LINES)],
    )


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


def bar_above(
    figure: Figure | SubFigure, drawn: ScalarMappable, axes: Any, label: str, **options: Any
) -> None:
    """Put a bar of the colours of what is drawn above panels; options as of `Figure.colorbar`."""
    settings = {"location": "top", "aspect": 40, "extend": "both", **options}
    figure.colorbar(drawn, ax=axes, label=label, **settings)


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
