"""All figures of a run's report, by the numbers of the paper's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from scrframe.report.figure import FigureProduct
from scrframe.report.run_data import RunData
from scrframe.report.run_histograms import figure_histograms

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


#: In the order of their numbers.
FIGURES: tuple[RunFigure, ...] = (
    RunFigure(
        13, figure_histograms, "Residuals", "Differences before and after",
        "50 detections with a correction",
    ),
)  # fmt: skip


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
