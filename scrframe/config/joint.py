"""Settings of the joint solution."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scrframe.config.base import Settings, as_written
from scrframe.tables.settings import DomainSettings, RobustSettings
from scrframe.units import InUnit, Real, Switch, Whole

Magnitude = Annotated[float, InUnit("mag")]
#: Properties of stars that their scatter about the model may depend on.
ScatterProperty = Literal["magnitude", "extinction", "colour"]


class PhotometrySettings(Settings):
    """The true photometric error: (scale * catalogued)^2 + floor^2, from repeats."""

    estimate: Switch = Field(
        default=True, description="Whether scale and floor are estimated where repeats allow it."
    )
    scale: Real = Field(
        default=1.0, gt=0, description="True over catalogued error, where it is not estimated."
    )
    floor: Magnitude = Field(
        default=as_written("5 mmag"),
        ge=0,
        description="Error of every magnitude, where it is not estimated.",
    )


class SystematicSettings(Settings):
    """What mag_cal_sys counts; each is what a second opinion would shift."""

    law: Switch = Field(default=True, description="Another order of the reddening law.")
    law_regions: Switch = Field(
        default=True, description="A law that has not seen one eighth of the sky, each in turn."
    )
    reference_region: Switch = Field(
        default=True, description="Training without one quarter of the control stars' sky."
    )
    colour_model: Switch = Field(default=True, description="The trend alone as colour model.")
    extinction: Switch = Field(
        default=True, description="Extinctions of another scale and zero point."
    )
    extinction_scale: Real = Field(
        default=0.02, ge=0, description="Relative uncertainty of the scale of extinctions."
    )
    extinction_zero: Magnitude = Field(
        default=as_written("10 mmag"), ge=0, description="Uncertainty of their zero point."
    )


class JointSettings(Settings):
    """How all levels are solved at once; read in mode joint only."""

    margin: Magnitude = Field(
        default=as_written("0.3 mag"),
        ge=0,
        description="The solve selects on predicted magnitudes, this far inside the limits of"
        " selection.calibration; the sample reaches as far beyond them.",
    )
    reserved: Real = Field(
        default=0.03,
        ge=0,
        lt=0.5,
        description="Share of the stars that neither train nor solve, and judge the result.",
    )
    scatter: tuple[ScatterProperty, ...] = Field(
        default=as_written(("magnitude", "extinction", "colour")),
        description="What the stars' scatter about the model depends on.",
    )
    scatter_degree: Whole = Field(
        default=2, ge=1, le=3, description="Degree of that dependence, in the logarithm."
    )
    max_rounds: Whole = Field(
        default=15, ge=2, description="Largest number of rounds of weights and variances."
    )
    settled: Real = Field(
        default=0.01,
        gt=0,
        description="Largest relative change of a standard deviation that counts as none.",
    )
    seed: Whole = Field(default=1, ge=0, description="Seed of the reserved stars and of draws.")
    photometry: PhotometrySettings = Field(default_factory=PhotometrySettings)
    robust: RobustSettings = Field(default_factory=RobustSettings)
    domain: DomainSettings = Field(default_factory=DomainSettings)
    systematics: SystematicSettings = Field(default_factory=SystematicSettings)
