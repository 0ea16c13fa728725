"""Settings of the Gaia XP reference catalogue."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scrframe.builtin.reference_catalogues.gaia.grid import check_grid
from scrframe.builtin.reference_catalogues.gaia.products import CANONICAL
from scrframe.plugin import PluginConfig
from scrframe.units import InUnit

Wavelength = Annotated[float, InUnit("nm")]


class GridConfig(PluginConfig):
    """The wavelengths of the spectra; the default is the paper's grid of 61."""

    start: Wavelength = Field(default="392 nm", description="First wavelength.")  # type: ignore[assignment]
    stop: Wavelength = Field(default="992 nm", description="Last wavelength.")  # type: ignore[assignment]
    step: Wavelength = Field(default="10 nm", description="Step, a multiple of 2 nm.")  # type: ignore[assignment]

    @model_validator(mode="after")
    def _on_the_samples(self) -> GridConfig:
        check_grid(self.start, self.stop, self.step)
        return self


class GaiaXpConfig(PluginConfig):
    """Where the Gaia products are and how they are read."""

    sources: str = Field(
        "gaia_source/*", description="Files of gaia_source, below the data root; folders count."
    )
    spectra: str = Field(
        "gaia_xp/*", description="Files of XP spectra, below the data root; folders count."
    )
    product: Literal["auto", "continuous", "sampled"] = Field(
        "auto", description="Which XP product to read; auto takes the one that is there."
    )
    release: str = Field("DR3", description="Gaia's release.")
    ref_epoch: float = Field(
        2016.0, description="Epoch of the positions (Julian year) where a file does not say."
    )
    grid: GridConfig = Field(default=GridConfig(), description="Wavelengths of the spectra.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Names of columns that differ from the archive's: archive name to own name.",
    )

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - CANONICAL)
        if unknown:
            raise ValueError(
                f"renames {', '.join(unknown)}, which is not read; known are:"
                f" {', '.join(sorted(CANONICAL))}"
            )
        return value
