"""All figures of a run's report, by the numbers of the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct
from scrframe.report.figures.ccd import figure_ccd_maps, figure_ccd_time
from scrframe.report.figures.colour import figure_predicted_colour
from scrframe.report.figures.pixel import figure_pixel_plane, figure_pixel_seasons
from scrframe.report.figures.pixel_single import figure_single_stars
from scrframe.report.figures.reddening import figure_reddening
from scrframe.report.figures.residuals import figure_histograms, figure_residuals
from scrframe.report.figures.sky import figure_control_field, figure_sky_samples
from scrframe.report.figures.visits import figure_visit_sky, figure_visit_time

Draw = Callable[[RunData], FigureProduct | None]


class RunFigure(NamedTuple):
    """How one figure comes about.

    Attributes
    ----------
    number : int
        That of the paper's figure which shows the same.
    draw : callable
        From `RunData` to a figure, None where the run cannot show it.
    section : str
        Title of the section of the page that it stands in.
    title : str
        What it shows, for the list of what is missing.
    needs : str
        What a run needs for it, completing "needs".
    """

    number: int
    draw: Draw
    section: str
    title: str
    needs: str


#: By section of the page, in the order of their numbers: number, drawing, title and what it needs.
_SECTIONS = {
    "Samples": (
        (1, figure_sky_samples, "Samples on the sky", "stars with positions on the sky"),
        (2, figure_control_field, "Control field before and after", "enough control stars"),
    ),
    "Colour model": (
        (3, figure_predicted_colour, "Predicted against observed colour", "enough control stars"),
    ),
    "Reddening law": (
        (4, figure_reddening, "Reddening with fitted slopes", "stars of several extinctions"),
    ),
    "Offsets": (
        (5, figure_visit_sky, "Visit offsets on the sky", "a level of offsets by visit"),
        (6, figure_visit_time, "Visit offsets in time", "visits with a date"),
        (7, figure_ccd_maps, "CCD offsets of visits", "offsets of CCDs in visits"),
        (8, figure_ccd_time, "CCD offsets in time", "offsets of CCDs in visits of several dates"),
    ),
    "Maps": (
        (9, figure_pixel_seasons, "Maps of CCDs by season", "positions on detectors, and dates"),
        (10, figure_pixel_plane, "Maps of all CCDs", "a level by position on the CCD"),
        (11, figure_single_stars, "Single stars on a CCD", "a CCD with enough stars"),
    ),
    "Residuals": (
        (
            12,
            figure_residuals,
            "Residual by magnitude, colour, extinction",
            "enough corrected detections",
        ),
        (13, figure_histograms, "Differences before and after", "50 detections with a correction"),
    ),
}
FIGURES = tuple(
    RunFigure(number, draw, section, title, needs)
    for section, figures in _SECTIONS.items()
    for number, draw, title, needs in figures
)


#: Section of what other commands have found.
FURTHER = "Other runs"


def other_figures(drawn: Mapping[int, FigureProduct]) -> tuple[RunFigure, ...]:
    """Return the figures 14 and 15, of other results than the run's.

    Parameters
    ----------
    drawn : mapping of int to FigureProduct
        Those that are at hand, by number.
    """
    return (
        RunFigure(
            14,
            lambda _: drawn.get(14),
            FURTHER,
            "Error of model magnitudes",
            "a Monte Carlo: `scrframe montecarlo`, then `scrframe report --montecarlo DIR`",
        ),
        RunFigure(
            15,
            lambda _: drawn.get(15),
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
    """The figures of a run.

    Attributes
    ----------
    by_section : mapping of str to list of FigureProduct
        Their titles begin with their numbers.
    missing : list of Missing
    """

    by_section: dict[str, list[FigureProduct]]
    missing: list[Missing]


def draw_all(
    open_data: Callable[[], RunData],
    done: Callable[[int], None] = lambda _: None,
    figures: Sequence[RunFigure] = FIGURES,
) -> Drawn:
    """Draw all figures that a run can show.

    Parameters
    ----------
    open_data : callable
        Returns the run anew for each figure, so that columns which one figure has read do not
        stay in memory for the others.
    done : callable
        Is told 1 after each figure.
    figures : sequence of RunFigure
    """
    by_section: dict[str, list[FigureProduct]] = {one.section: [] for one in figures}
    missing = []
    for one in figures:
        product = one.draw(open_data())
        if product is None:
            missing.append(Missing(one.number, one.title, f"needs {one.needs}"))
        else:
            title = f"Figure {one.number}: {product.title}"
            by_section[one.section].append(replace(product, title=title))
        done(1)
    return Drawn(by_section, missing)
