"""The Gaia products by their columns, and the settings by which they are found and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scrframe.builtin.reference_catalogues.gaia.grid import check_grid
from scrframe.io import open_tables
from scrframe.io.block import Block
from scrframe.io.table_file import TableFile
from scrframe.plugin import Part, PluginConfig
from scrframe.units import InUnit


@dataclass(frozen=True)
class Product:
    """A product of the archive: its columns, by their archive names."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    wide: bool = False

    def missing(self, table: TableFile, renamed: Mapping[str, str]) -> list[str]:
        """Return the required columns that a table lacks."""
        names = (renamed.get(name, name) for name in self.required)
        return [name for name in names if table.find(name) is None]

    def columns(self, table: TableFile, renamed: Mapping[str, str]) -> dict[str, str]:
        """Return the columns of a table to read, by the names that the archive has for them."""
        names = {name: renamed.get(name, name) for name in (*self.required, *self.optional)}
        return {name: own for name, own in names.items() if table.find(own) is not None}


SOURCE = Product(
    "gaia_source",
    (
        "source_id",
        "ra",
        "dec",
        "pmra",
        "pmdec",
        "phot_g_mean_mag",
        "phot_bp_mean_mag",
        "phot_rp_mean_mag",
        "phot_bp_mean_flux_over_error",
        "phot_bp_rp_excess_factor",
    ),
    ("ref_epoch", "has_xp_continuous"),
)
CONTINUOUS = Product(
    "xp_continuous_mean_spectrum",
    (
        "source_id",
        "bp_coefficients",
        "bp_coefficient_errors",
        "rp_coefficients",
        "rp_coefficient_errors",
    ),
    ("bp_coefficient_correlations", "rp_coefficient_correlations"),
    wide=True,
)
SAMPLED = Product("xp_sampled_mean_spectrum", ("source_id", "flux", "flux_error"), wide=True)
PRODUCTS = {product.name: product for product in (SOURCE, CONTINUOUS, SAMPLED)}
SPECTRA = {"continuous": CONTINUOUS, "sampled": SAMPLED}
#: Names of all columns that are read.
CANONICAL = {
    name for product in PRODUCTS.values() for name in (*product.required, *product.optional)
}


def opened(part: Part) -> TableFile:
    """Return the table of a part, whose detail names its extension.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    (table,) = open_tables(part.path, hdu=part.detail["extension"])
    return table


def blocks(part: Part) -> Iterator[Block]:
    """Yield blocks of rows of a part of a product, its columns called as in the file.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    wide = PRODUCTS[part.detail["product"]].wide
    names = list(part.detail["columns"].values())
    return opened(part).blocks(names, part.detail["row_groups"], wide=wide)


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
