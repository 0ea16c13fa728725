"""Reading FITS files: structure, headers and columns, fast and with clear errors."""

from scrframe.io.fits.columns import (
    READER_VARIABLE,
    READERS,
    FitsFile,
    open_fits,
    physical,
    read_columns,
    reader,
    stored_rows,
)
from scrframe.io.fits.fields import Field, table_fields
from scrframe.io.fits.structure import BLOCK, CARD, Buffer, Hdu, is_gzipped, load, walk

__all__ = [
    "BLOCK",
    "CARD",
    "READERS",
    "READER_VARIABLE",
    "Buffer",
    "Field",
    "FitsFile",
    "Hdu",
    "is_gzipped",
    "load",
    "open_fits",
    "physical",
    "read_columns",
    "reader",
    "stored_rows",
    "table_fields",
    "walk",
]
