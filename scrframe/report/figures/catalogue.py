"""All figures of a run's report, by the numbers of the paper's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from scrframe.report.rendered import RenderedFigure


class RunFigure(NamedTuple):
    """One figure, and its place on the page."""

    #: That of the paper's figure which shows the same; from 16 on the paper has none.
    number: int
    #: Title of the section of the page that it stands in.
    section: str
    #: What it shows, for the list of what is missing.
    title: str
    #: What a run needs for it, completing "needs".
    needs: str


#: By section of the page, in the order of their numbers: number, title and what it needs.
_SECTIONS = {
    "Samples": (
        (1, "Samples on the sky", "stars with positions on the sky"),
        (2, "Control field before and after", "enough control stars"),
    ),
    "Colour model": ((3, "Predicted against observed colour", "enough control stars"),),
    "Reddening law": ((4, "Reddening with fitted slopes", "stars of several extinctions"),),
    "Offsets": (
        (5, "Visit offsets on the sky", "a level of offsets by visit"),
        (6, "Visit offsets in time", "visits with a date"),
        (7, "CCD offsets of visits", "offsets of CCDs in visits"),
        (8, "CCD offsets in time", "offsets of CCDs in visits of several dates"),
    ),
    "Maps": (
        (9, "Maps of CCDs by season", "positions on detectors, and dates"),
        (10, "Maps of all CCDs", "a level by position on the CCD"),
        (11, "Single stars on a CCD", "a CCD with enough stars"),
    ),
    "Residuals": (
        (12, "Residual by magnitude, colour, extinction", "enough corrected detections"),
        (13, "Differences before and after", "50 detections with a correction"),
    ),
}
#: The section at the head of the page.
GLANCE = "At a glance"
FIGURES = (
    *(
        RunFigure(number, section, title, needs)
        for section, figures in _SECTIONS.items()
        for number, title, needs in figures
    ),
    RunFigure(16, GLANCE, "The survey, and what overlaps tie together", "positions on the sky"),
)


#: Section of what other commands have found.
FURTHER = "Other runs"
OTHERS = (
    RunFigure(
        14,
        FURTHER,
        "Error of model magnitudes",
        "a Monte Carlo: `scrframe montecarlo`, then `scrframe report --montecarlo DIR`",
    ),
    RunFigure(
        15,
        FURTHER,
        "Cross-check with another run",
        "another run: `scrframe crosscheck`, then `scrframe report --crosscheck DIR`",
    ),
)


@dataclass(frozen=True)
class Missing:
    """A figure that is not drawn, and why."""

    number: int
    title: str
    reason: str


@dataclass(frozen=True)
class Drawn:
    """The figures of a run."""

    #: Their titles begin with their numbers.
    by_section: dict[str, list[RenderedFigure]]
    missing: list[Missing]

    @classmethod
    def of(cls, figures: Iterable[tuple[RunFigure, RenderedFigure | None]]) -> Drawn:
        """Sort figures into their sections; None stands for what the run cannot show."""
        by_section: dict[str, list[RenderedFigure]] = {}
        missing = []
        for one, drawn in figures:
            if drawn is None:
                missing.append(Missing(one.number, one.title, f"needs {one.needs}"))
            else:
                by_section.setdefault(one.section, []).append(drawn)
        return cls(by_section, missing)
