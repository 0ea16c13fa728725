"""Settings of synthetic photometry of Gaia XP spectra."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scrframe.builtin.reference_catalogues.gaia.settings import GaiaXpConfig
from scrframe.plugin import PluginConfig

WavelengthUnit = Literal["nm", "angstrom", "um"]


class Passband(PluginConfig):
    """The passband of the band that is calibrated."""

    file: str = Field(
        default="passband.csv",
        min_length=1,
        description="The passband, below the data root: a table of wavelength and transmission"
        " per photon, linear in between.",
    )
    wavelength: str = Field(default="wavelength", description="Column of the wavelength.")
    transmission: str = Field(default="transmission", description="Column of the transmission.")
    wavelength_unit: WavelengthUnit = Field(
        default="nm", description="Unit of the wavelength, where the file does not state it."
    )


class Vega(PluginConfig):
    """A spectrum of Vega, which is not shipped."""

    file: str = Field(
        min_length=1,
        description="The spectrum, below the data root, such as CALSPEC's alpha_lyr_stis.",
    )
    wavelength: str = Field(default="WAVELENGTH", description="Column of the wavelength.")
    flux: str = Field(default="FLUX", description="Column of the flux per unit wavelength.")
    wavelength_unit: WavelengthUnit = Field(
        default="angstrom", description="Unit of the wavelength, where the file does not state it."
    )
    flux_unit: Literal["erg / (s cm2 Angstrom)", "W / (m2 nm)"] = Field(
        default="erg / (s cm2 Angstrom)",
        description="Unit of the flux, where the file does not state it.",
    )
    magnitude: float = Field(default=0.0, description="Magnitude of Vega in the band.")


class XpSyntheticConfig(PluginConfig):
    """Where the Gaia products and the passband are."""

    sources: str = Field(
        default="gaia_source/*",
        description="Files of gaia_source, below the data root; folders count.",
    )
    spectra: str = Field(
        default="gaia_xp/*", description="Files of XP spectra, below the data root; folders count."
    )
    passband: Passband = Field(
        default=Passband(file="passband.csv"), description="The passband of the band."
    )
    system: Literal["AB", "Vega"] = Field(
        default="AB",
        description="System of the synthetic magnitudes, and so of the calibrated ones.",
    )
    vega: Vega | None = Field(default=None, description="Spectrum of Vega, for the system Vega.")
    product: Literal["auto", "continuous", "sampled"] = Field(
        default="auto", description="Which XP product to read; auto takes the one that is there."
    )
    release: str = Field(default="DR3", description="Gaia's release.")
    ref_epoch: float = Field(
        default=2016.0,
        description="Epoch of the positions (Julian year) where a file does not say.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Names of Gaia's columns that differ from the archive's: archive name to own.",
    )

    @model_validator(mode="after")
    def _vega_is_known(self) -> XpSyntheticConfig:
        if (self.system == "Vega") != (self.vega is not None):
            raise ValueError("needs vega (a spectrum of Vega) with system Vega, and only then")
        return self

    def gaia(self) -> GaiaXpConfig:
        """Return the settings by which Gaia's products are found and read."""
        names = ("sources", "spectra", "product", "release", "ref_epoch", "columns")
        return GaiaXpConfig.model_validate({name: getattr(self, name) for name in names})
