"""Reading FITS files: structure, headers and columns, fast and with clear errors."""

from scrframe.io.compressed import is_gzipped
from scrframe.io.fits.columns import Field, physical, table_fields
from scrframe.io.fits.structure import BLOCK, CARD, Buffer, Hdu, load, walk
from scrframe.io.fits.table import FitsFile, open_fits, read_columns, stored_rows

__all__ = [
    "BLOCK",
    "CARD",
    "Buffer",
    "Field",
    "FitsFile",
    "Hdu",
    "is_gzipped",
    "load",
    "open_fits",
    "physical",
    "read_columns",
    "stored_rows",
    "table_fields",
    "walk",
]
