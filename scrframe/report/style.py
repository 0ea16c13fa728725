"""How figures look: sizes of a journal's column, colours that colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

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
    """What a series looks like in every figure.

    Attributes
    ----------
    colour, marker, line : str
        As matplotlib names them.
    """

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
