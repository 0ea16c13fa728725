"""A figure with all that goes with it: caption, text alternative and the numbers it shows."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from astropy.table import Table
from matplotlib.figure import Figure

from scrframe.report.rendered import RenderedFigure
from scrframe.report.style import house_style

#: Largest SVG that a page holds, in bytes; beyond it the PNG is used if that is smaller.
SVG_LIMIT = 150_000
#: What would otherwise put the time of the run into a file.
UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def figure_data(
    values: Mapping[str, Any], units: Mapping[str, Sequence[str]], about: Mapping[str, str]
) -> Table:
    """Return the numbers of a figure.

    Parameters
    ----------
    values : mapping of str to array_like, shape (n,)
        Columns by name.
    units : mapping of str to sequence of str
        Names of the columns that have a unit, by unit.
    about : mapping of str to str
        Descriptions of columns, where their names do not say all.
    """
    table = Table(dict(values))
    for unit, names in units.items():
        for name in names:
            table[name].unit = unit
    for name, text in about.items():
        table[name].description = text
    return table


@dataclass(frozen=True)
class FigureProduct:
    """One figure as a product.

    Attributes
    ----------
    name : str
        Stem of its files, and on a page the end of its anchor: lower case, digits, "-" and "_".
    title, caption : str
        The caption says what is drawn, with units, and how to read it.
    alt : str
        What a reader who cannot see the figure needs to know: what it shows, and the main
        numbers.
    figure : Figure
        Drawn within `house_style`.
    data : Table
        The numbers that are drawn, with units and descriptions of columns.

    Raises
    ------
    ValueError
        If the name is not a plain file name, or a text is missing.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure
    data: Table
    _png: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name):
            raise ValueError(f"figure name {self.name!r} is not a plain file name")
        if not (self.title and self.caption and self.alt):
            raise ValueError(f"figure {self.name} lacks its title, caption or text alternative")
        # The layout is found once, not again for every format.
        engine = self.figure.get_layout_engine()
        if engine is not None:
            with house_style():
                engine.execute(self.figure)
                # With "none", matplotlib would still draw twice for each format.
                self.figure.set_layout_engine(None)

    def rendered(self, file_format: str) -> bytes:
        """Return the figure as a "png", "pdf" or "svg" file; the same bytes each time."""
        stream = io.BytesIO()
        with house_style():
            self.figure.savefig(stream, format=file_format, metadata=UNDATED[file_format])
        return stream.getvalue()

    def embedded(self) -> str:
        """Return the figure as a data URI: SVG, or PNG if that is much smaller."""
        content, kind = self.rendered("svg"), "svg+xml"
        if len(content) > SVG_LIMIT:
            png = self._rendered_png()
            content, kind = (png, "png") if len(png) < len(content) else (content, kind)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"

    def _rendered_png(self) -> bytes:
        """Return the PNG, drawn once for the page and the file."""
        if not self._png:
            self._png.append(self.rendered("png"))
        return self._png[0]

    def size_px(self) -> tuple[int, int]:
        """Return width and height in CSS pixels, for a page to keep room before it loads."""
        width, height = self.figure.get_size_inches()
        return round(96 * width), round(96 * height)

    def save(self, folder: Path) -> list[Path]:
        """Write name.png, name.pdf and name.ecsv into an existing folder; return the paths."""
        return self.finished().save(folder)

    def _repr_html_(self) -> str:
        """Return picture and caption, for notebooks."""
        alt, caption = escape(self.alt), escape(self.caption)
        picture = f'<img src="{self.embedded()}" alt="{alt}" width="{self.size_px()[0]}">'
        return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"

    def numbered(self, number: int) -> RenderedFigure:
        """Return the figure in all its formats, with a number in its title."""
        return replace(self.finished(), title=f"Figure {number}: {self.title}")

    def finished(self) -> RenderedFigure:
        """Return the figure in all its formats."""
        numbers = io.StringIO()
        self.data.write(numbers, format="ascii.ecsv")
        return RenderedFigure(
            self.name,
            self.title,
            self.caption,
            self.alt,
            self.data,
            self.embedded(),
            *self.size_px(),
            (
                ("png", self._rendered_png()),
                ("pdf", self.rendered("pdf")),
                ("ecsv", numbers.getvalue().encode("utf-8")),
            ),
        )
