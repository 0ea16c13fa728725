"""Drawing the figures of a run's report by their numbers; it loads the drawing library."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct
from scrframe.report.figures.ccd import figure_ccd_maps, figure_ccd_time
from scrframe.report.figures.colour import figure_predicted_colour
from scrframe.report.figures.footprint import figure_footprint
from scrframe.report.figures.pixel import figure_pixel_plane, figure_pixel_seasons
from scrframe.report.figures.pixel_single import figure_single_stars
from scrframe.report.figures.reddening import figure_reddening
from scrframe.report.figures.residuals import figure_histograms, figure_residuals
from scrframe.report.figures.sky import figure_control_field, figure_sky_samples
from scrframe.report.figures.visits import figure_visit_sky, figure_visit_time
from scrframe.report.rendered import RenderedFigure

#: From a run to a figure, None where the run cannot show it, by number (`FIGURES`).
DRAWINGS: Mapping[int, Callable[[RunData], FigureProduct | None]] = {
    1: figure_sky_samples,
    2: figure_control_field,
    3: figure_predicted_colour,
    4: figure_reddening,
    5: figure_visit_sky,
    6: figure_visit_time,
    7: figure_ccd_maps,
    8: figure_ccd_time,
    9: figure_pixel_seasons,
    10: figure_pixel_plane,
    11: figure_single_stars,
    12: figure_residuals,
    13: figure_histograms,
    16: figure_footprint,
}


def drawn_figure(number: int, data: RunData) -> RenderedFigure | None:
    """Draw a figure of a run in all its formats; None where the run cannot show it."""
    product = DRAWINGS[number](data)
    return None if product is None else product.numbered(number)
