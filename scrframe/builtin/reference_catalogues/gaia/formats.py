"""Tables in any of the formats in which Gaia products come, as blocks of Arrow columns.

The format is found by content: Parquet, FITS, VOTable, and CSV or ECSV, the latter three
gzipped or not. Names of columns are matched without regard to case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from scrframe.builtin.reference_catalogues.gaia.products import TableInfo, Wanted
from scrframe.io.formats import detect_format


def describe(path: Path) -> list[TableInfo]:
    """Return the tables of a file; several only for FITS.

    Raises
    ------
    DataError
        If the file cannot be read or is of none of the formats.
    """
    # Each format's library is imported only when a file needs it.
    kind = detect_format(path)
    if kind == "parquet":
        from scrframe.builtin.reference_catalogues.gaia import format_parquet  # noqa: PLC0415

        return [format_parquet.describe(path)]
    if kind == "fits":
        from scrframe.builtin.reference_catalogues.gaia import format_fits  # noqa: PLC0415

        return format_fits.describe(path)
    if kind == "votable":
        from scrframe.builtin.reference_catalogues.gaia import format_votable  # noqa: PLC0415

        return [format_votable.describe(path)]
    from scrframe.builtin.reference_catalogues.gaia import format_csv  # noqa: PLC0415

    return [format_csv.describe(path)]


def blocks(
    info: TableInfo, wanted: Mapping[str, Wanted], row_groups: tuple[int, ...] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of the first row and the columns of blocks of rows, in file order.

    Parameters
    ----------
    info : TableInfo
        The table.
    wanted : mapping of str to Wanted
        Columns to read, by the names that they get.
    row_groups : tuple of int, optional
        Only these, consecutive row groups of a Parquet file.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    if info.format == "parquet":
        from scrframe.builtin.reference_catalogues.gaia import format_parquet  # noqa: PLC0415

        stream = format_parquet.blocks(info, wanted, row_groups)
    elif info.format == "fits":
        from scrframe.builtin.reference_catalogues.gaia import format_fits  # noqa: PLC0415

        stream = format_fits.blocks(info, wanted)
    elif info.format == "votable":
        from scrframe.builtin.reference_catalogues.gaia import format_votable  # noqa: PLC0415

        stream = format_votable.blocks(info, wanted)
    else:
        from scrframe.builtin.reference_catalogues.gaia import format_csv  # noqa: PLC0415

        stream = format_csv.blocks(info, wanted)
    start = sum(info.row_groups[: row_groups[0]]) if row_groups else 0
    for table in stream:
        yield start, table
        start += table.num_rows
