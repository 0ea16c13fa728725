"""Blocks for what follows the offsets: `absolute`, `checks`, `montecarlo` and `report`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scrframe.config.base import Settings, as_written
from scrframe.units import InUnit, Real, Switch, Whole

Magnitude = Annotated[float, InUnit("mag")]
Positive = Annotated[float, InUnit("mag"), Field(gt=0)]
ErrorSize = Annotated[float, InUnit("mag", positive=False), Field(ge=0)]
SignalToNoise = Annotated[Real, Field(gt=0)]
WavelengthUnit = Literal["nm", "angstrom", "um"]
#: What the keys of a set of errors mean.
MAG = "Error of an observed magnitude."
REFERENCE = "Error of the reference magnitude."
EXTINCTION = "Error of the extinction E."
SNR = "S/N of the spectrum, the same at each wavelength."


class StandardColumns(Settings):
    """Columns of the table of standards."""

    magnitude: str = Field(min_length=1, description="Column of the magnitude in the band.")
    error: str | None = None
    """Column of its error; by default the error of the tie is from the scatter."""
    source_id: str | None = None
    """Column of the reference catalogue's identifier."""
    ra: str | None = None
    """Column of the right ascension, if there is no identifier."""
    dec: str | None = Field(default=None, description="Column of the declination.")
    colour: str | None = None
    """Column of the colour of colour terms; by default the modelled intrinsic colour C0."""

    @model_validator(mode="after")
    def _one_way_to_match(self) -> StandardColumns:
        by_position = self.ra is not None and self.dec is not None
        half = (self.ra is None) != (self.dec is None)
        if half or by_position == (self.source_id is not None):
            raise ValueError("needs either source_id, or ra and dec")
        return self


class StandardsSettings(Settings):
    """A table of stars with true magnitudes."""

    file: str = Field(min_length=1)
    """The table, below the data root; FITS, VOTable, Parquet, ECSV or CSV."""
    columns: StandardColumns
    match_radius: Annotated[float, InUnit("arcsec")] = as_written("1 arcsec")
    """Largest distance of a match by position."""


class VegaSettings(Settings):
    """A spectrum of Vega, which is not shipped."""

    file: str = Field(min_length=1)
    """The spectrum, below the data root, such as CALSPEC's alpha_lyr_stis."""
    wavelength: str = Field(default="WAVELENGTH", description="Column of the wavelength.")
    flux: str = Field(default="FLUX", description="Column of the flux per unit wavelength.")
    wavelength_unit: WavelengthUnit | None = None
    """Unit of the wavelength, where the file does not state it."""
    flux_unit: Literal["erg / (s cm2 Angstrom)", "W / (m2 nm)"] | None = None
    """Unit of the flux, where the file does not state it."""
    magnitude: Real = Field(default=0.0, description="Magnitude of Vega in the band.")


class PassbandSettings(Settings):
    """Synthetic photometry of the reference spectra through the survey's passband."""

    file: str = Field(min_length=1)
    """The passband, below the data root; a table of wavelength and transmission per photon."""
    wavelength: str = "wavelength"
    """Column of the wavelength; col1, col2, ... in a text without names."""
    transmission: str = Field(default="transmission", description="Column of the transmission.")
    wavelength_unit: WavelengthUnit | None = None
    """Unit of the wavelength, where the file does not state it."""
    vega: VegaSettings | None = None
    """Spectrum of Vega, for the system Vega."""


class AbsoluteSettings(Settings):
    """The tie of the zero point to a true system, by standards or by synthetic photometry."""

    kind: Literal["standards", "passband"]
    """What calibrated stars are compared with."""
    system: Literal["AB", "Vega"]
    """System of the magnitudes, a label that all products carry."""
    err: Annotated[float, InUnit("mag")]
    """Systematic error of the standard or synthetic magnitudes."""
    bright: Annotated[float, InUnit("mag", positive=False)] | None = None
    """Calibrated magnitude of the brightest stars compared."""
    faint: Annotated[float, InUnit("mag", positive=False)] | None = None
    """Calibrated magnitude of the faintest stars compared."""
    min_stars: Whole = Field(default=10, ge=5, description="Stars that a tie needs.")
    colour_order: Whole = Field(default=0, ge=0, le=3)
    """Order of the colour term; 0 for none."""
    colour_pivot: Real | None = None
    """Colour at which the shift holds; by default the median of the stars'."""
    standards: StandardsSettings | None = None
    """The table, for the kind standards."""
    passband: PassbandSettings | None = None
    """The passband, for the kind passband."""

    @model_validator(mode="after")
    def _complete(self) -> AbsoluteSettings:
        if getattr(self, self.kind) is None:
            raise ValueError(f'needs the block "{self.kind}", for this kind')
        band = self.passband
        if self.kind == "passband" and self.system == "Vega" and band and band.vega is None:
            raise ValueError(
                "needs passband.vega for the system Vega: a spectrum of Vega, such as CALSPEC's"
                " alpha_lyr_stis, which is not shipped"
            )
        if self.bright is not None and self.faint is not None and self.bright >= self.faint:
            raise ValueError("has a limit bright that is not brighter than its limit faint")
        return self


class CheckSettings(Settings):
    """Limits of the null tests; a number fails that is above its limit and significant."""

    significance: Real = Field(default=3.3, gt=0)
    """Standard deviations above which a number is significant."""
    size: Positive | None = None
    """Size of an effect that matters; by default a third of the errors that the run states of its
    corrections (root mean square, `mag_cal_sys` included), and at least 2 mmag."""
    residual_trend: Positive | None = None
    """Largest departure of residuals from flat in magnitude, colour, E and distance to the training
    stars; by default 3 times `size`."""
    magnitude_slope: ErrorSize = as_written("2.5 mmag")
    """Slope of residuals on the reference magnitude, in mag per mag, that is no failure: the noise
    of spectra makes it in data without any fault."""
    residual_ccd: Positive | None = None
    """Standard deviation of mean residuals by CCD beyond noise; by default `size`."""
    reserved: Positive | None = None
    """Difference of the mean residuals of reserved and used stars; by default 1.5 times `size`."""
    structure: Positive | None = None
    """Standard deviation of what residuals share on the sky, in a field's law or over the focal
    plane, and of what the model says of fields against overlaps, beyond noise; by default 1.5 times
    `size`."""
    detector_structure: Positive | None = None
    """The same of places on the CCDs, their change with season, and their colour terms; by default
    `size`."""
    visit_trend: Magnitude = Field(default=as_written("20 mmag"), gt=0)
    """Range of a trend of visit offsets with what they must not depend on."""
    repeats_pull: Real = Field(default=0.25, gt=0)
    """Departure from 1 of the standard deviation of repeats over their errors."""
    repeats: Positive | None = None
    """Root mean square difference of two visits of a field beyond its error; by default 1.5 times
    `size`."""
    overlaps: Positive | None = None
    """Root mean square difference of two fields beyond its error; by default 1.5 times `size`."""
    ccd_step: Magnitude = Field(default=as_written("5 mmag"), gt=0)
    """Step in time of a CCD's offset that the other CCDs do not have."""
    ccd_places: Real = Field(default=0.5, gt=0)
    """Distance of a CCD from its usual position in the camera, over the distance to the next
    CCD."""


class MedianErrors(Settings):
    """The usual errors, by default the paper's medians."""

    mag: ErrorSize = Field(default=as_written("0.005 mag"), description=MAG)
    reference_mag: ErrorSize = Field(default=as_written("0.003 mag"), description=REFERENCE)
    extinction: ErrorSize = Field(default=as_written("0.014 mag"), description=EXTINCTION)
    snr: SignalToNoise = Field(default=118.0, description=SNR)


class HighErrors(Settings):
    """Errors that one star in ten exceeds, by default the paper's 90th percentiles."""

    mag: ErrorSize = Field(default=as_written("0.021 mag"), description=MAG)
    reference_mag: ErrorSize = Field(default=as_written("0.005 mag"), description=REFERENCE)
    extinction: ErrorSize = Field(default=as_written("0.019 mag"), description=EXTINCTION)
    snr: SignalToNoise = Field(default=57.0, description=SNR)


class MonteCarloSettings(Settings):
    """Realisations of `scrframe montecarlo`, from which the error of model magnitudes follows."""

    realisations: Whole = Field(default=10, ge=2, description="Realisations of each set of errors.")
    retrain: Switch = True
    """Whether the colour model is trained anew on each realisation, so that errors of magnitudes
    count, as in the paper; false: trained once, and only what it predicts from is perturbed."""
    seed: Whole = Field(default=1, ge=0, description="Seed of the errors that are drawn.")
    median: MedianErrors = as_written({})
    high: HighErrors = as_written({})


class ReportSettings(Settings):
    """The report of a run: null tests, anomalies, figures and the page."""

    enabled: bool = True
    """Whether a run ends with its report; `scrframe report` makes it any time."""
