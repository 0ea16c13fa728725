"""The Gaia products by their columns: which a table is, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scrframe.io import open_tables
from scrframe.io.block import Block
from scrframe.io.table_file import TableFile
from scrframe.plugin import Part


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
