"""The Gaia products by their columns: which a table is, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scrframe.builtin.reference_catalogues.gaia.formats import Kind, TableInfo, Wanted


@dataclass(frozen=True)
class Product:
    """A product of the archive: its columns, by their archive names."""

    name: str
    required: Mapping[str, Kind]
    optional: Mapping[str, Kind]

    def missing(self, info: TableInfo, renamed: Mapping[str, str]) -> list[str]:
        """Return the required columns that a table lacks."""
        names = (renamed.get(name, name) for name in self.required)
        return [name for name in names if info.find(name) is None]

    def wanted(self, info: TableInfo, renamed: Mapping[str, str]) -> dict[str, Wanted]:
        """Return the columns to read of a table that has all that are required."""
        found = {}
        for name, kind in {**self.required, **self.optional}.items():
            own = info.find(renamed.get(name, name))
            if own is not None:
                found[name] = Wanted(own, kind)
        return found


SOURCE = Product(
    "gaia_source",
    {
        "source_id": "int",
        "ra": "float",
        "dec": "float",
        "pmra": "float",
        "pmdec": "float",
        "phot_g_mean_mag": "float",
        "phot_bp_mean_mag": "float",
        "phot_rp_mean_mag": "float",
        "phot_bp_mean_flux_over_error": "float",
        "phot_bp_rp_excess_factor": "float",
    },
    {"ref_epoch": "float", "has_xp_continuous": "flag"},
)
CONTINUOUS = Product(
    "xp_continuous_mean_spectrum",
    {
        "source_id": "int",
        "bp_coefficients": "array",
        "bp_coefficient_errors": "array",
        "rp_coefficients": "array",
        "rp_coefficient_errors": "array",
    },
    {"bp_coefficient_correlations": "array", "rp_coefficient_correlations": "array"},
)
SAMPLED = Product(
    "xp_sampled_mean_spectrum",
    {"source_id": "int", "flux": "array", "flux_error": "array"},
    {},
)
PRODUCTS = {product.name: product for product in (SOURCE, CONTINUOUS, SAMPLED)}
SPECTRA = {"continuous": CONTINUOUS, "sampled": SAMPLED}
#: Names of all columns that are read.
CANONICAL = {
    name for product in PRODUCTS.values() for name in (*product.required, *product.optional)
}
