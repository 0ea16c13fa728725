"""Settings of the Monte Carlo error of model magnitudes (paper, Section 4 and Fig. 14)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scrframe.config.base import Settings, as_written
from scrframe.units import InUnit, Real, Switch, Whole

Magnitude = Annotated[float, InUnit("mag", positive=False), Field(ge=0)]
SignalToNoise = Annotated[Real, Field(gt=0)]
#: What the keys of a set of errors mean.
MAG = "Error of an observed magnitude."
REFERENCE = "Error of the reference magnitude."
EXTINCTION = "Error of the extinction E."
SNR = "S/N of the spectrum, the same at each wavelength."


class MedianErrors(Settings):
    """The usual errors, by default the paper's medians."""

    mag: Magnitude = Field(default=as_written("0.005 mag"), description=MAG)
    reference_mag: Magnitude = Field(default=as_written("0.003 mag"), description=REFERENCE)
    extinction: Magnitude = Field(default=as_written("0.014 mag"), description=EXTINCTION)
    snr: SignalToNoise = Field(default=118.0, description=SNR)


class HighErrors(Settings):
    """Errors that one star in ten exceeds, by default the paper's 90th percentiles."""

    mag: Magnitude = Field(default=as_written("0.021 mag"), description=MAG)
    reference_mag: Magnitude = Field(default=as_written("0.005 mag"), description=REFERENCE)
    extinction: Magnitude = Field(default=as_written("0.019 mag"), description=EXTINCTION)
    snr: SignalToNoise = Field(default=57.0, description=SNR)


class MonteCarloSettings(Settings):
    """Realisations of `scrframe montecarlo`, from which the error of model magnitudes follows."""

    realisations: Whole = Field(default=10, ge=2, description="Realisations of each set of errors.")
    retrain: Switch = Field(
        default=True,
        description="Whether the colour model is trained anew on each realisation, so that errors"
        " of magnitudes count, as in the paper; false: trained once, and only what it predicts from"
        " is perturbed.",
    )
    seed: Whole = Field(default=1, ge=0, description="Seed of the errors that are drawn.")
    median: MedianErrors = Field(default=as_written({}), validate_default=True)
    high: HighErrors = Field(default=as_written({}), validate_default=True)
