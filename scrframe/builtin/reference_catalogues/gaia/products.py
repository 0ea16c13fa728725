"""The Gaia products by their columns, the wavelengths of their spectra, and the settings.

Grids of wavelengths lie on the archive's 343 samples, 336, 338, ... 1020 nm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.releases import sampled_operator
from scrframe.io.table_file import TableFile
from scrframe.plugin import PluginConfig
from scrframe.spectra import BASES, PACKED, XpOperator, load_operator
from scrframe.units import InUnit

#: Names in the vocabulary of columns that are taken as they are.
COPIED = {
    "phot_g_mean_mag": "g_mag",
    "phot_bp_mean_mag": "bp_mag",
    "phot_rp_mean_mag": "rp_mag",
    "phot_bp_rp_excess_factor": "phot_bp_rp_excess_factor",
}

SAMPLES_NM: FloatArray = np.arange(336.0, 1021.0, 2.0)
SAMPLE_STEP_NM = 2.0


def check_grid(start_nm: float, stop_nm: float, step_nm: float) -> None:
    """Raise ValueError unless a grid's points fall on samples with room around them."""
    if stop_nm <= start_nm:
        raise ValueError(f"has its stop ({stop_nm:g} nm) not above its start ({start_nm:g} nm)")
    for name, value in (("start", start_nm - SAMPLES_NM[0]), ("step", step_nm)):
        if value % SAMPLE_STEP_NM:
            raise ValueError(f"{name} is not on the samples 336, 338, ... 1020 nm")
    if (stop_nm - start_nm) % step_nm:
        raise ValueError(f"has a stop that is not a multiple of {step_nm:g} nm from its start")
    first, last = SAMPLES_NM[0], SAMPLES_NM[-1]
    if start_nm < first or stop_nm > last:
        raise ValueError(f"must lie within {first:g} and {last:g} nm")


def wavelengths(start_nm: float, stop_nm: float, step_nm: float) -> FloatArray:
    """Return the points of a grid in nm."""
    count = round((stop_nm - start_nm) / step_nm) + 1
    return np.asarray(start_nm + step_nm * np.arange(count), dtype=np.float64)


def at_grid(samples: FloatArray, grid_nm: FloatArray) -> FloatArray:
    """Return spectra, or their errors, at the points of a grid, shape (n, m), of (n, 343).

    Both products give the same: coefficients are evaluated at the points of the grid, and of
    samples those at these points are taken. Neighbouring samples are as good as one
    measurement, so that their mean would be hardly better than each.
    """
    place = np.rint((grid_nm - SAMPLES_NM[0]) / SAMPLE_STEP_NM).astype(np.int64)
    return samples[:, place]


@cache
def operator_for(start_nm: float, stop_nm: float, step_nm: float, file: str = "") -> XpOperator:
    """Return the operator from coefficients to a grid: from a user's file, or one that ships."""
    grid_nm = wavelengths(start_nm, stop_nm, step_nm)
    paper = load_operator("paper")
    if not file and np.array_equal(grid_nm, paper.wavelength_nm):
        return paper
    sampled = sampled_operator(file)
    bp, rp = at_grid(sampled.bp, grid_nm), at_grid(sampled.rp, grid_nm)
    return XpOperator(grid_nm, bp, rp, sampled.provenance)


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
_COEFFICIENTS = ("coefficients", "coefficient_errors")
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
#: Lengths of the arrays.
WIDTHS = {
    **{f"{band}_{name}": BASES for band in ("bp", "rp") for name in _COEFFICIENTS},
    **{f"{band}_coefficient_correlations": PACKED for band in ("bp", "rp")},
    **dict.fromkeys(("flux", "flux_error"), len(SAMPLES_NM)),
}
PRODUCTS = {product.name: product for product in (SOURCE, CONTINUOUS, SAMPLED)}
SPECTRA = {"continuous": CONTINUOUS, "sampled": SAMPLED}
#: Columns of coefficients, whose lengths are those of the release.
CONTINUOUS_COLUMNS = tuple(name for name in WIDTHS if "coefficient" in name)
#: Names of all columns that are read.
CANONICAL = {
    name for product in PRODUCTS.values() for name in (*product.required, *product.optional)
}


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


GaiaRelease = Annotated[
    Literal["dr3", "dr4"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


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
    release: GaiaRelease = Field("dr3", description="Gaia's release, dr3 or dr4.")
    operator: str | None = Field(
        None,
        description="File of the operator from coefficients to fluxes, below the data root, of a"
        " release for which none ships.",
    )
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
