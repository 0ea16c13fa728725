"""A page in one file: it asks no network, runs no script, and prints.

Text goes in plain and is escaped. Figures are embedded; links beside them lead to the same
figure as PNG and PDF and to its numbers, in a folder next to the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from astropy.table import Table
from jinja2 import Environment, PackageLoader, StrictUndefined

from scrframe.products.files import write_bytes
from scrframe.report.rendered import RenderedFigure

if TYPE_CHECKING:  # it loads the drawing library
    from scrframe.report.figure import FigureProduct

#: Folder beside the page that holds the figures as files.
FIGURES = "figures"
#: Longest table of numbers that a page shows below its figure; longer ones are linked only.
SHOWN_ROWS = 120
NONE = "\N{EN DASH}"
PageFigure: TypeAlias = "FigureProduct | RenderedFigure"
Kind = Literal["text", "number", "good", "bad", "neutral"]


@dataclass(frozen=True)
class Cell:
    """What stands in a table, as text."""

    text: str
    #: Numbers align right; the last three mark verdicts, by a sign and a colour besides the words.
    kind: Kind = "text"


def number(value: float | None, decimals: int, signed: bool = False) -> Cell:
    """Return a number as a cell; a dash for none and for what is not finite."""
    if value is None or not np.isfinite(value):
        return Cell(NONE, "number")
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    if not re.search(r"[1-9]", text):
        text = text.lstrip("+-")
    return Cell(text.replace("-", "\N{MINUS SIGN}"), "number")


@dataclass(frozen=True)
class PageTable:
    """A table of a page."""

    #: With the units of its numbers.
    caption: str
    header: tuple[str, ...]
    #: The first cell of a row is its heading.
    rows: tuple[tuple[Cell, ...], ...]
    #: Whether a narrow screen shows the cells of a row below each other: for sentences.
    stack: bool = False

    @classmethod
    def from_rows(
        cls, caption: str, rows: Sequence[Mapping[str, Cell | str]], stack: bool = False
    ) -> PageTable:
        """Make a table of rows that all have the same keys, which head the columns.

        Raises ValueError if there are no rows, or keys differ.
        """
        if not rows:
            raise ValueError(f"table {caption!r} has no rows")
        header = tuple(rows[0])
        if any(tuple(row) != header for row in rows):
            raise ValueError(f"rows of table {caption!r} have different columns")
        cells = tuple(tuple(map(as_cell, row.values())) for row in rows)
        return cls(caption, header, cells, stack)


def as_cell(value: Cell | str) -> Cell:
    """Return plain text as a cell."""
    return value if isinstance(value, Cell) else Cell(value)


def data_table(data: Table, caption: str) -> PageTable:
    """Return a table of numbers as shown on a page, six digits each."""

    def cell(value: Any) -> Cell:
        if isinstance(value, (float, np.floating)):
            return Cell(f"{value:.6g}" if np.isfinite(value) else NONE, "number")
        return Cell(str(value), "number" if isinstance(value, (int, np.integer)) else "text")

    header = tuple(
        name + (f" ({column.unit})" if column.unit else "") for name, column in data.columns.items()
    )
    return PageTable(caption, header, tuple(tuple(map(cell, row)) for row in data.iterrows()))


@dataclass(frozen=True)
class Section:
    """A section of a page: paragraphs, then tables, then figures."""

    title: str
    #: Paragraphs.
    text: tuple[str, ...] = ()
    tables: tuple[PageTable, ...] = ()
    figures: tuple[PageFigure, ...] = ()

    @property
    def anchor(self) -> str:
        """What links to the section: its title in lower case and dashes."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    """What a page says."""

    title: str
    #: What the page is about, in a sentence.
    lead: str
    #: What the reader came for, in a few sentences; shown first.
    answer: tuple[str, ...]
    sections: tuple[Section, ...]
    #: How the answer is marked, beside its words: by a colour; empty for none.
    state: Literal["", "good", "bad", "partial"] = ""
    #: What must not be overlooked, such as data that are simulated.
    warning: str = ""
    #: Circumstances in short: stars, folds, seeds, versions.
    facts: Mapping[str, str] = field(default_factory=dict)
    #: Further pages of the same report: relative paths by their names.
    links: Mapping[str, str] = field(default_factory=dict)

    def figures(self) -> list[PageFigure]:
        """Return all figures, in their order."""
        return [figure for section in self.sections for figure in section.figures]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scrframe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(data_table=data_table, folder=FIGURES, shown_rows=SHOWN_ROWS)
    return environment


def render(page: Page) -> str:
    """Return a page as HTML; raises ValueError if two sections or figures share an anchor."""
    anchors = [section.anchor for section in page.sections]
    anchors += [f"figure-{figure.name}" for figure in page.figures()]
    twice = sorted({anchor for anchor in anchors if anchors.count(anchor) > 1})
    if twice:
        raise ValueError(f"page {page.title!r} has anchors twice: {', '.join(twice)}")
    return _environment().get_template("page.html").render(page=page)


def write_page(page: Page, folder: Path) -> Path:
    """Write index.html and the figures beside it; return the page's path.

    The page comes last, so that it never stands without its figures.
    """
    figures = folder / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    text = render(page)
    for figure in page.figures():
        figure.save(figures)
    path = folder / "index.html"
    write_bytes(text.encode("utf-8"), path)
    return path
