"""Settings of simulated surveys, the built-in sample among them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from scrframe.config.base import Settings, as_written
from scrframe.units import InUnit, Real, Switch, Whole

Scale = Annotated[float, InUnit("deg")]
Size = Annotated[Real, Field(ge=0)]
Degrees = Annotated[float, InUnit("deg", positive=False)]
Days = Annotated[float, InUnit("d")]
#: Wavelengths in nm that simulated spectra cover.
SPECTRA_NM = (336.0, 1020.0)
#: Farthest from the equator, in deg, that fields may lie.
MOST_DEC = 85.0


class TraitSettings(Settings):
    """Traits of real skies and visits; 0 turns each off, and none changes the draws of another.

    Fields on the sky and clouds are Gaussian random fields: at an angle d values correlate by
    exp(-d^2 / (2 scale^2)).
    """

    law_sd: Size = 0.0
    """Relative variation of the band's extinction law on the sky."""
    law_scale: Scale = as_written("0.15 deg")
    """Scale of that variation."""
    law_large_sd: Size = 0.0
    """The same once more, by itself, at a larger scale."""
    law_large_scale: Scale = as_written("5 deg")
    """The larger scale."""
    rv_sd: Size = 0.0
    """Relative variation of R_V on the sky, which shapes spectra, G_BP and the band together."""
    rv_scale: Scale = as_written("2 deg")
    """Scale of that variation."""
    metallicity_sd: Size = 0.0
    """Variation of the mean [Fe/H] of stars on the sky, in dex, zero in the middle of the control
    region."""
    metallicity_scale: Scale = as_written("5 deg")
    """Scale of that variation."""
    gradient: Size = 0.0
    """Each visit has a plane over the focal plane, of random direction and of a steepness with
    this standard deviation, in mag per deg."""
    cloud_share: Real = Field(default=0.15, ge=0, le=1)
    """Share of the visits that clouds pass through."""
    cloud_sd: Size = 0.0
    """Structure over the focal plane in each of those, in mag."""
    cloud_scale: Scale = as_written("0.3 deg")
    """Scale of clouds."""
    ccd_colour: Size = 0.0
    """Colour terms of the CCDs, of zero mean over them, in mag per mag of band - G_BP."""
    season_colour: Size = 0.0
    """Colour terms of the seasons, of zero mean over them."""
    extinction_colour: Real = 0.0
    """Second-order extinction by the atmosphere: what magnitudes gain per mag of colour and unit
    of airmass; about -0.03 in a wide blue band."""
    nonlinearity: Real = 0.0
    """What magnitudes gain per mag, about magnitude 17."""
    season_pattern_sd: Size = 0.0
    """Pattern over the pixels of each CCD that is new in each season, in mag, beside `pixel_sd`."""


class RegionSettings(Settings):
    """Where a simulated survey's fields lie, and when they are observed.

    A range of right ascension across 0 is written with a negative or a large number:
    ``[-10 deg, 10 deg]``.
    """

    control_ra: tuple[Degrees, Degrees]
    """Right ascension of the control region; control fields lie wholly in it."""
    control_dec: tuple[Degrees, Degrees] = Field(description="Its declination.")
    other_ra: tuple[Degrees, Degrees]
    """Right ascension of the centres of the other fields."""
    other_dec: tuple[Degrees, Degrees] = Field(description="Their declination.")
    dates: tuple[Days, Days] = Field(description="First and last night, Modified Julian dates.")

    @model_validator(mode="after")
    def _ranges(self) -> RegionSettings:
        for name in ("control_ra", "control_dec", "other_ra", "other_dec", "dates"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"has {name} from {low:g} to {high:g}; the first must be smaller")
        for name in ("control_dec", "other_dec"):
            if max(map(abs, getattr(self, name))) > MOST_DEC:
                raise ValueError(f"has {name} beyond {MOST_DEC:g} deg")
        return self


class BandSettings(Settings):
    """Another band than u: its magnitudes are those of the spectra through a passband."""

    passband: tuple[tuple[Real, Real], ...] = Field(min_length=2)
    """Pairs of wavelength in nm and transmission per photon, linear in between; 0 beyond the first
    and the last. Magnitudes are AB."""

    @field_validator("passband")
    @classmethod
    def _curve(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        wavelengths, through = zip(*value, strict=True)
        if any(after <= before for before, after in itertools.pairwise(wavelengths)):
            raise ValueError("must have ascending wavelengths")
        low, high = SPECTRA_NM
        if wavelengths[0] < low or wavelengths[-1] > high:
            raise ValueError(f"must lie within the spectra, {low:g} to {high:g} nm")
        if min(through) < 0 or not max(through) > 0:
            raise ValueError("must have transmissions of 0 or more, not all of them 0")
        return value


class SimulationSettings(Settings):
    """What a simulated survey holds; amplitudes are standard deviations in mag.

    Everything random follows from `seed`. The switches and amplitudes after the three
    levels of offsets are traits of real data; 0 or false turns each off by itself.
    """

    fields: Whole = Field(default=36, ge=1, description="Number of fields, of two pointings each.")
    density: Real = Field(default=2150.0, gt=0, le=50000)
    """Stars with spectra per square degree."""
    control_density: Real | None = Field(default=None, gt=0, le=50000)
    """The same in control fields; by default as elsewhere."""
    seed: Whole = Field(default=1, ge=0, description="Seed of everything random.")
    control_fields: Whole | None = Field(default=None, ge=1)
    """How many of the fields lie in the control region; by default one in three."""
    centres: tuple[tuple[Degrees, Degrees], ...] | None = Field(default=None, min_length=1)
    """Right ascension and declination of the first pointing of each field, in place of drawn ones;
    `fields` is their number. Those that reach into the control region are control fields."""
    overlapping_fields: Real = Field(default=0.6, ge=0, le=1)
    """Share of the other fields that overlap a neighbour by two fifths."""
    other_sources: Real = Field(default=0.9, ge=0)
    """Fainter stars, galaxies and spurious detections per star with a spectrum."""
    region: RegionSettings | None = None
    """Where the fields lie and when they are observed; by default along the Galactic plane, as the
    paper's survey."""
    visit_sd: Real = Field(default=0.063, ge=0, description="Offsets of visits, in mag.")
    visit_seasonal: Real = Field(default=0.3, ge=0, le=1)
    """Share of the variance of visits that follows the season."""
    ccd_sd: Real = Field(default=0.022, ge=0, description="Offsets of a CCD in a visit, in mag.")
    ccd_static: Real = Field(default=0.4, ge=0, le=1)
    """Share of their variance that is constant."""
    ccd_drift: Real = Field(default=0.2, ge=0, le=1, description="Share that drifts with time.")
    ccd_jitter: Real = Field(default=0.4, ge=0, le=1)
    """Share that is new in every visit."""
    pixel_sd: Real = Field(default=0.009, ge=0, description="Offsets over a CCD's pixels, in mag.")
    extinction_noise: Switch = True
    """Measured extinctions have errors, correlated with the spectra's."""
    extinction_noise_correlation: Real = Field(default=0.3, ge=0, le=1)
    """Coefficient of that correlation."""
    xp_noise: Switch = Field(default=True, description="Spectra have noise of the real size.")
    reference_noise: Switch = True
    """The reference magnitude has errors (median 0.003 mag)."""
    law_variation: Real = Field(default=0.02, ge=0)
    """Relative variation of the extinction curve between fields, tilted as by another R_V."""
    hidden_scatter: Real = Field(default=0.05, ge=0)
    """Scatter of colours that spectra do not show, in mag."""
    hidden_coherent: Real = Field(default=0.05, ge=0, le=1)
    """Share of its variance that is coherent over degrees."""
    hidden_scale: Scale = as_written("2 deg")
    """Scale of that part."""
    population_gradients: Switch = True
    """Colours, giants and metallicity vary by field and with extinction."""
    outliers: Real = Field(default=0.02, ge=0, lt=1)
    """Share of detections that are wrong: half of them stars that are blends."""
    variables: Real = Field(default=0.01, ge=0, lt=1, description="Share of stars that vary.")
    error_underestimate: Real = Field(default=1.5, ge=0)
    """True photometric errors divided by those in the catalogues."""
    defective_column: Switch = True
    """One column of one CCD is defective."""
    photometric_floor: Real = Field(default=0.008, ge=0)
    """Error of every magnitude, in mag, that the catalogued errors do not include."""
    photometric_limit: Real = 21.5
    """Magnitude at which the catalogued error is about 0.1 mag."""
    astrometric_error_mas: Real = Field(default=70.0, ge=0)
    """Rms distance of measured from true positions, in mas."""
    traits: TraitSettings = as_written({})
    """Traits of real skies, atmospheres and detectors."""
    band: BandSettings | None = None
    """The band that is drawn; by default u, as stars of the paper's control field have it."""
    shared_scatter: Real | None = Field(default=None, ge=-1, le=1)
    """Makes it another survey of the stars that the same settings give without this and `band`: the
    correlation of what spectra do not show of their colours with that of theirs."""

    @model_validator(mode="after")
    def _shares(self) -> SimulationSettings:
        total = self.ccd_static + self.ccd_drift + self.ccd_jitter
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"has ccd_static + ccd_drift + ccd_jitter = {total:g}; shares must sum to 1"
            )
        if self.control_fields is not None and self.control_fields > self.fields:
            raise ValueError("has more control_fields than fields")
        return self

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, data: Any) -> Any:
        """Take the number of fields from their centres."""
        centres = data.get("centres") if isinstance(data, Mapping) else None
        return data if not isinstance(centres, Sequence) else {**data, "fields": len(centres)}

    @field_validator("centres")
    @classmethod
    def _on_the_sky(
        cls, value: tuple[tuple[float, float], ...] | None
    ) -> tuple[tuple[float, float], ...] | None:
        if value is not None and max(abs(dec) for _, dec in value) > MOST_DEC:
            raise ValueError(f"must have declinations within {MOST_DEC:g} deg of the equator")
        return value
