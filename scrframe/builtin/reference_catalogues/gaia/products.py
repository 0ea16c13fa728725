"""The Gaia products by their columns: which a table is, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Format = Literal["csv", "parquet", "fits", "votable"]
Kind = Literal["int", "float", "flag", "array"]

#: Rows read at a time of a table of numbers, and of one of arrays (7 MB of spectra).
BLOCK_ROWS = 65_536
ARRAY_BLOCK_ROWS = 512


@dataclass(frozen=True)
class TableInfo:
    """What a table holds, known without reading it.

    Attributes
    ----------
    path : Path
        The file.
    format : str
        One of "csv", "parquet", "fits" and "votable".
    names : tuple of str
        Names of the columns, as they stand in the file.
    units : mapping of str to str
        Units of those columns that declare one.
    hdu : int
        Index of the FITS extension; 0 otherwise.
    row_groups : tuple of int
        Rows in each row group of a Parquet file.
    """

    path: Path
    format: Format
    names: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict)
    hdu: int = 0
    row_groups: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The file, with its extension where there are several, for messages."""
        return f"{self.path} (HDU {self.hdu})" if self.format == "fits" else str(self.path)

    def find(self, name: str) -> str | None:
        """Return the name in the file of a column, whatever its case."""
        if name in self.names:
            return name
        return next((own for own in self.names if own.lower() == name.lower()), None)


@dataclass(frozen=True)
class Wanted:
    """A column to read: its name in the file and what it holds."""

    name: str
    kind: Kind


def block_rows(wanted: Mapping[str, Wanted]) -> int:
    """Return how many rows to read at a time."""
    return ARRAY_BLOCK_ROWS if any(item.kind == "array" for item in wanted.values()) else BLOCK_ROWS


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
