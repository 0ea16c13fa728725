"""The figures of a run's report, one call each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrframe.errors import DataError
from scrframe.products.run_data import RunData
from scrframe.report.figures.catalogue import FIGURES

if TYPE_CHECKING:  # it loads the drawing library
    from scrframe.report.figure import FigureProduct


class RunPlots:
    """Figures of a run, as its report shows them.

    Each call returns a figure with `figure` (matplotlib's), `data` (the numbers that are drawn, an
    astropy table), `title`, `caption`, and `save(folder)`; a notebook shows it. It raises DataError
    where the run cannot show it.
    """

    def __init__(self, data: RunData) -> None:
        self._run = data

    def footprint(self) -> FigureProduct:
        """Return the fields on the sky, and which of them overlaps tie together."""
        return self._drawn(16)

    def sky_samples(self) -> FigureProduct:
        """Return the samples on the sky."""
        return self._drawn(1)

    def control_field(self) -> FigureProduct:
        """Return the control field before and after."""
        return self._drawn(2)

    def predicted_colour(self) -> FigureProduct:
        """Return predicted against observed colour."""
        return self._drawn(3)

    def reddening(self) -> FigureProduct:
        """Return the reddening law with fitted slopes."""
        return self._drawn(4)

    def visit_sky(self) -> FigureProduct:
        """Return offsets of visits on the sky."""
        return self._drawn(5)

    def visit_time(self) -> FigureProduct:
        """Return offsets of visits in time."""
        return self._drawn(6)

    def ccd_maps(self) -> FigureProduct:
        """Return offsets of CCDs over the focal plane."""
        return self._drawn(7)

    def ccd_time(self) -> FigureProduct:
        """Return offsets of CCDs in time."""
        return self._drawn(8)

    def pixel_seasons(self) -> FigureProduct:
        """Return the maps of CCDs by season."""
        return self._drawn(9)

    def pixel_plane(self) -> FigureProduct:
        """Return the maps of all CCDs."""
        return self._drawn(10)

    def single_stars(self) -> FigureProduct:
        """Return single stars on a CCD."""
        return self._drawn(11)

    def residuals(self) -> FigureProduct:
        """Return residuals by magnitude, colour and extinction."""
        return self._drawn(12)

    def histograms(self) -> FigureProduct:
        """Return differences before and after."""
        return self._drawn(13)

    def _drawn(self, number: int) -> FigureProduct:
        from scrframe.report.figures.drawing import DRAWINGS  # noqa: PLC0415 - drawing library

        product = DRAWINGS[number](self._run)
        if product is None:
            needs = next(each.needs for each in FIGURES if each.number == number)
            raise DataError(f"the run cannot show this figure: it needs {needs}")
        return product
