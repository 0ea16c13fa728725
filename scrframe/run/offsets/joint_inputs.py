"""What the joint solution is given: who takes part, with which errors, and what its levels read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.offsets.noise.model import covariates
from scrframe.run.offsets.curve_slope import SLOPE, curve_slope
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.sample.assembly import derive_for
from scrframe.run.sample.selection import StarSelection, predicted_errors, predicted_inside
from scrframe.scr.training import TrendSettings
from scrframe.tables import Detections, FittedLevel, MatchedStars
from scrframe.tables.table import derive

#: The reference colour where none is given, and the percentiles of a sample that reach it.
REFERENCE_COLOUR_MAG, REACHED = 2.0, (1.0, 99.0)


def reference_colour(sample: MatchedStars, given_mag: float | None) -> float:
    """Return the colour at which offsets hold: the one given, or one that the sample has."""
    if given_mag is not None:
        return given_mag
    colour = sample.detections["mag"] - sample.of_star("reference_mag")
    low, middle, high = np.nanpercentile(colour, [REACHED[0], 50.0, REACHED[1]])
    inside = low <= REFERENCE_COLOUR_MAG <= high
    return REFERENCE_COLOUR_MAG if inside else round(float(middle), 2)


@dataclass(frozen=True)
class JointInputs:
    """A sample, as the joint solution looks at it.

    Attributes
    ----------
    plugins : SelectedPlugins
    sample : MatchedStars
        Reaching the margin beyond the limits in magnitude.
    stars : StarSelection
        Who may take part.
    visit : ndarray of int, shape (n,)
        Code of the visit of each detection, of v in all.
    needs : mapping of str to tuple of str
        Columns that each level reads, by its name.
    """

    plugins: SelectedPlugins
    sample: MatchedStars
    stars: StarSelection
    visit: IntArray
    needs: Mapping[str, tuple[str, ...]]
    #: Observed colour, band less reference magnitude, at which offsets hold, in mag.
    reference_colour_mag: float

    def inside(self, predicted: dict[str, FloatArray], margin: float) -> BoolArray:
        """Return which detections lie inside all cuts, with predicted magnitudes, shape (n,).

        Raises CalibrationError if none of the Control Sample does.
        """
        sample = self.sample
        cuts = self.plugins.survey.selection.calibration
        table = derive_for(cuts, sample.detections)
        inside = predicted_inside(cuts, table, predicted, margin)
        inside &= self.stars.eligible[sample.star]
        if not np.any(inside & sample.in_control):
            raise CalibrationError(
                "no detection of the Control Sample takes part in the joint solution: all lie"
                " within offsets.joint.margin of the cuts on magnitudes, or are reserved or"
                " unlike the training stars; lower the margin or widen the cuts"
            )
        return inside

    def selection(self, predicted_mag: FloatArray) -> tuple[BoolArray, FloatArray]:
        """Return who takes part, and the errors that go with predicted magnitudes."""
        detections = self.sample.detections
        error = predicted_errors(
            detections["mag_err"], detections["mag"], predicted_mag, self.visit
        )
        predicted = {
            "mag": predicted_mag,
            "mag_err": error,
            "colour": predicted_mag - self.sample.of_star("reference_mag"),
        }
        return self.inside(predicted, self.plugins.survey.offsets.joint.margin), error

    def table(
        self, colour0_mag: FloatArray, model_mag: FloatArray, predicted_mag: FloatArray
    ) -> Detections:
        """Return the detections with the columns that only the framework knows."""
        sample = self.sample
        zero = self.reference_colour_mag
        needed = {name for columns in self.needs.values() for name in columns}
        slope = None
        if SLOPE in needed:
            block = self.plugins.survey.colour_model
            trend = TrendSettings("quadratic", block.trend_ridge, block.trend_components)
            slope = curve_slope(sample, colour0_mag, model_mag, trend)
        table = sample.detections.with_columns(
            {
                "colour0": colour0_mag[sample.star],
                "predicted_mag": predicted_mag,
                "relative_colour": model_mag - sample.of_star("reference_mag") - zero,
                "star_ra": sample.of_star("ref_ra"),
                "star_dec": sample.of_star("ref_dec"),
            }
        )
        if slope is not None:
            table = table.with_columns({SLOPE: slope[sample.star]})
        return derive(table, "detection", needed)

    def problem(
        self,
        levels: tuple[FittedLevel, ...],
        table: Detections,
        used: BoolArray,
        delta: FloatArray,
        error: FloatArray,
        colour0_mag: FloatArray,
        settings: JointSolverSettings,
    ) -> JointProblem:
        """Return what the solver is given of the detections used."""
        rows, star = np.unique(self.sample.star[used], return_inverse=True)
        stars, block = self.sample.stars, self.plugins.survey.offsets.joint
        known: dict[str, FloatArray] = {
            "magnitude": stars["reference_mag"],
            "extinction": stars["extinction"],
            "colour": colour0_mag,
        }
        properties: dict[str, FloatArray] = {name: known[name][rows] for name in block.scatter}
        return JointProblem(
            levels=levels,
            table=table.filter(used),
            delta_mag=delta[used],
            star=star.astype(np.int64),
            error_mag=error[used],
            covariates=covariates(properties, block.scatter_degree)
            if properties
            else np.ones((len(rows), 1)),
            settings=settings,
        )
