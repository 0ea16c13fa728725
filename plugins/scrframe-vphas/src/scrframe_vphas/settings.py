"""Settings of the CASU loader: the `vphas_casu` block of a survey description."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, Strict, field_validator

from scrframe.plugin import PluginConfig
from scrframe.units import InUnit
from scrframe_vphas.camera import N_CCDS
from scrframe_vphas.layout import CORRECTED_APERTURES

Mag = Annotated[float, InUnit("mag", positive=False)]
Arcsec = Annotated[float, InUnit("arcsec")]
Whole = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]


class Keywords(PluginConfig):
    """Names of header keywords, without HIERARCH; the defaults are CASU's."""

    object: str = Field(default="OBJECT", description="Name of the pointing.")
    mjd: str = Field(
        default="MJD-OBS", description="Start of the exposure, a modified Julian date."
    )
    exposure_time: str = Field(
        default="EXPTIME",
        description="Exposure time in s; of the primary header, else the extension's.",
    )
    filter: str = Field(default="ESO INS FILT1 NAME", description="Name of the filter.")
    airmass_start: str = Field(default="ESO TEL AIRM START", description="Airmass at the start.")
    airmass_end: str = Field(default="ESO TEL AIRM END", description="Airmass at the end.")
    ccd: str = Field(default="CAMNUM", description="Number of the CCD.")
    zero_point: str = Field(default="MAGZPT", description="Zero point of the magnitudes.")
    extinction: str = Field(
        default="EXTINCT", description="Atmospheric extinction, mag per airmass."
    )
    seeing: str = Field(default="SEEING", description="Seeing in pixels.")


class VphasCasuConfig(PluginConfig):
    """Where the catalogues are and how magnitudes are made from them."""

    catalogues: str = Field(
        default="catalogues/**/*.fits*", description="Pattern of the files, below the data root."
    )
    aperture: Whole = Field(default=3, description="Aperture of the magnitudes, 1 to 7.")
    airmass_extinction: Switch = Field(
        default=False,
        description="Subtract EXTINCT x (airmass - 1), which is constant over a visit.",
    )
    # Defaults are validated like what stands in YAML: as text with a unit.
    min_error: Mag = Field(  # type: ignore[assignment]
        default="0.001 mag", description="Errors are at least this."
    )
    filter: str | tuple[str, ...] | None = Field(
        default="u_SDSS", description="Name(s) of the filter that files must have; null takes any."
    )
    band: str = Field(default="u", min_length=1, description="Label of the band.")
    ccds: Whole = Field(default=N_CCDS, ge=1, description="Number of CCDs that a file must hold.")
    pixel_scale: Arcsec = Field(  # type: ignore[assignment]
        default="0.21 arcsec", description="Size of a pixel on the sky."
    )
    keywords: Keywords = Keywords()

    @field_validator("catalogues")
    @classmethod
    def _below_the_root(cls, value: str) -> str:
        pattern = PurePosixPath(value)
        if not value.strip() or pattern.is_absolute() or ".." in pattern.parts:
            raise ValueError(f"{value!r} is not a pattern of files below the data root")
        return value

    @field_validator("min_error")
    @classmethod
    def _not_negative(cls, value: float) -> float:
        if value < 0:
            raise ValueError(f"is {value} mag; expected 0 or more")
        return value

    @field_validator("aperture")
    @classmethod
    def _corrected(cls, value: int) -> int:
        if value not in CORRECTED_APERTURES:
            raise ValueError(
                f"is {value}; only apertures {CORRECTED_APERTURES[0]} to"
                f" {CORRECTED_APERTURES[-1]} have a correction (APCOR1 ... APCOR7)"
            )
        return value

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the filters that are accepted; empty where any is."""
        if self.filter is None:
            return ()
        return (self.filter,) if isinstance(self.filter, str) else self.filter
