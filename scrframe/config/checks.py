"""The `checks` block: limits of the null tests of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scrframe.config.base import Settings, as_written
from scrframe.units import InUnit, Real

Magnitude = Annotated[float, InUnit("mag")]


class CheckSettings(Settings):
    """Limits of the null tests; a number fails that is above its limit and significant."""

    significance: Real = Field(
        default=3.3,
        gt=0,
        description="Standard deviations beyond which a number is no chance.",
    )
    residual_trend: Magnitude = Field(
        default=as_written("15 mmag"),
        gt=0,
        description="Largest departure of residuals from flat in magnitude, colour, E and distance"
        " to the training stars.",
    )
    residual_ccd: Magnitude = Field(
        default=as_written("8 mmag"),
        gt=0,
        description="Standard deviation of mean residuals by CCD beyond noise.",
    )
    reserved: Magnitude = Field(
        default=as_written("10 mmag"),
        gt=0,
        description="Difference of the mean residuals of reserved and used stars.",
    )
    visit_trend: Magnitude = Field(
        default=as_written("20 mmag"),
        gt=0,
        description="Range of a trend of visit offsets in what they must not depend on.",
    )
    repeats_pull: Real = Field(
        default=0.25,
        gt=0,
        description="Departure from 1 of the standard deviation of repeats over their errors.",
    )
    repeats: Magnitude = Field(
        default=as_written("10 mmag"),
        gt=0,
        description="Root mean square difference of two visits of a field beyond its error.",
    )
    overlaps: Magnitude = Field(
        default=as_written("15 mmag"),
        gt=0,
        description="Root mean square difference of two fields beyond its error.",
    )
    ccd_step: Magnitude = Field(
        default=as_written("5 mmag"),
        gt=0,
        description="Step in time of a CCD's offset that the other CCDs do not have.",
    )
    ccd_places: Real = Field(
        default=0.5,
        gt=0,
        description="Distance of a CCD from its usual place in the camera, over the distance to"
        " the next CCD.",
    )
