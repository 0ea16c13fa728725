"""Settings of the Monte Carlo error of model magnitudes (paper, Section 4 and Fig. 14)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from scrframe.config.base import Real, Settings, Switch, Whole, as_written
from scrframe.units import InUnit

Magnitude = Annotated[float, InUnit("mag"), Field(ge=0)]
#: The paper's median errors of all stars, and those at their 90th percentile.
MEDIAN: dict[str, Any] = {
    "mag": "0.005 mag", "reference_mag": "0.003 mag", "extinction": "0.014 mag", "snr": 118.0,
}  # fmt: skip
HIGH: dict[str, Any] = {
    "mag": "0.021 mag", "reference_mag": "0.005 mag", "extinction": "0.019 mag", "snr": 57.0,
}  # fmt: skip


class ErrorSetSettings(Settings):
    """Errors that all stars are given."""

    mag: Magnitude = Field(description="Error of an observed magnitude.")
    reference_mag: Magnitude = Field(description="Error of the reference magnitude.")
    extinction: Magnitude = Field(description="Error of the extinction E.")
    snr: Annotated[Real, Field(gt=0)] = Field(
        description="S/N of the spectrum, the same at each wavelength."
    )


class MonteCarloSettings(Settings):
    """Realisations of `scrframe montecarlo`, from which the error of model magnitudes follows."""

    realisations: Whole = Field(default=10, ge=2, description="Realisations of each set of errors.")
    retrain: Switch = Field(
        default=True,
        description="Whether the colour model is trained anew on each realisation, so that errors"
        " of magnitudes count; false: trained once, and only what it predicts from is perturbed.",
    )
    seed: Whole = Field(default=1, ge=0, description="Seed of the errors that are drawn.")
    median: ErrorSetSettings = Field(
        default=as_written(MEDIAN), validate_default=True, description="The usual errors."
    )
    high: ErrorSetSettings = Field(
        default=as_written(HIGH),
        validate_default=True,
        description="Errors that one star in ten exceeds.",
    )
