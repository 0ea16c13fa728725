"""Reading FITS files: structure, headers and columns, fast and with clear errors."""

from scrframe.plugin.helpers.fits_columns import (
    READER_VARIABLE,
    Field,
    read_columns,
    reader,
    stored_rows,
    table_fields,
)
from scrframe.plugin.helpers.fits_structure import Buffer, Hdu, is_gzipped, load, walk

__all__ = [
    "READER_VARIABLE",
    "Buffer",
    "Field",
    "Hdu",
    "is_gzipped",
    "load",
    "read_columns",
    "reader",
    "stored_rows",
    "table_fields",
    "walk",
]
