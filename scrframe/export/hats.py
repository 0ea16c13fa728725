"""A run's star catalogue or corrected detections as HATS, which `lsdb` and data centres open.

Pixels of HEALPix are divided until each holds few enough rows. The `hats` library writes what
describes the catalogue; it is an extra, ``scrframe[hats]``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.errors import ConfigError, DataError, number_of
from scrframe.io import open_tables
from scrframe.io.table_file import TableFile
from scrframe.units import unit_factor

INDEX, INDEX_ORDER = "_healpix_29", 29
#: Most rows of a partition, and the finest pixels.
PARTITION_ROWS, FINEST = 500_000, 11
#: Names of positions, in the order in which they are looked for.
_POSITIONS = (("ra", "dec"), ("ra_deg", "dec_deg"), ("ref_ra", "ref_dec"))

_IN_DEGREES = ("ra_deg", "dec_deg")


def write_hats(files: Sequence[Path], out: Path, name: str, rows: int = PARTITION_ROWS) -> int:
    """Write the rows of tables as one HATS catalogue, and return the number of partitions.

    Parameters
    ----------
    files : sequence of Path
        Tables of any format with positions in degrees and the same columns.
    out : Path
        Folder of the catalogue, to be made.
    name : str
        What the catalogue is called.
    rows : int
        Most rows of a partition.

    Raises
    ------
    ConfigError
        If the library is not installed, or the folder exists.
    DataError
        If a table is damaged, has no positions, or nothing is to be written.
    """
    try:
        from hats.catalog import PartitionInfo, TableProperties  # noqa: PLC0415 - an extra
        from hats.io.parquet_metadata import write_parquet_metadata  # noqa: PLC0415
        from hats.pixel_math import HealpixPixel  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "writing HATS needs the hats library: pip install 'scrframe[hats]'"
        ) from None
    if out.exists():
        raise ConfigError(f"{out}: exists; choose another folder")
    hidden = out.with_name(f".{out.name}.partial")
    shutil.rmtree(hidden, ignore_errors=True)
    ra, dec, total, pixels = _partitioned(files, hidden, rows)
    whole = [HealpixPixel(order, pixel) for order, pixel in pixels]
    write_parquet_metadata(hidden)
    PartitionInfo.from_healpix(whole).write_to_file(catalog_path=hidden)
    properties = TableProperties(
        catalog_name=name,
        catalog_type="object" if len(files) == 1 else "source",
        total_rows=total,
        ra_column=ra,
        dec_column=dec,
        healpix_column=INDEX,
        healpix_order=INDEX_ORDER,
    )
    properties.to_properties_file(hidden)
    hidden.rename(out)
    return len(pixels)


def _partitioned(
    files: Sequence[Path], out: Path, most: int
) -> tuple[str, str, int, list[tuple[int, int]]]:
    """Write the partitions; return the columns of positions, the rows, and the pixels."""
    names: tuple[str, str] | None = None
    index: list[npt.NDArray[np.int64]] = []
    for table, own in _tables(files):
        names = names or own
        index.append(table[INDEX].to_numpy())
    found = np.concatenate(index) if index else np.empty(0, np.int64)
    if names is None or not len(found):
        raise DataError(f"no row of {number_of(len(files), 'table')} has a position")
    pixels = divided(found, most)
    writers: dict[tuple[int, int], list[pa.Table]] = {pixel: [] for pixel in pixels}
    for table, _ in _tables(files):
        here = table[INDEX].to_numpy()
        for order, pixel in pixels:
            inside = here >> 2 * (INDEX_ORDER - order) == pixel
            if inside.any():
                writers[order, pixel].append(table.filter(pa.array(inside)))
    for (order, pixel), parts in writers.items():
        whole = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
        whole = whole.take(pa.array(np.argsort(whole[INDEX].to_numpy(), kind="stable")))
        folder = out / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(whole, folder / f"Npix={pixel}.parquet", compression="zstd")
    return *names, len(found), pixels


def _tables(files: Sequence[Path]) -> Iterator[tuple[pa.Table, tuple[str, str]]]:
    """Yield the rows of all files that have a position, with their HEALPix index."""
    from hats.pixel_math.spatial_index import compute_spatial_index  # noqa: PLC0415 - an extra

    for path in files:
        for table in open_tables(path, hdu="all"):
            own = next((each for each in _POSITIONS if all(map(table.find, each))), None)
            if own is None:
                raise DataError(f"{table.label}: has no columns ra and dec")
            own = (table.own_name(own[0]), table.own_name(own[1]))
            scale = [_in_degrees(table, each) for each in own]
            for block in table.blocks(table.names):
                ra, dec = (block.numbers(each) * by for each, by in zip(own, scale, strict=True))
                placed = np.isfinite(ra) & np.isfinite(dec)
                rows = block.table.filter(pa.array(placed))
                place: Any = compute_spatial_index(ra[placed] % 360, dec[placed])
                column = pa.array(np.asarray(place, dtype=np.int64))
                kept = _plain(rows).add_column(0, INDEX, column)
                if scale == [1, 1]:
                    yield kept, own
                    continue
                # Positions of HATS are in degrees; the file's own columns stay as they are.
                for name, values in zip(_IN_DEGREES, (ra, dec), strict=True):
                    kept = kept.append_column(name, pa.array(values[placed]))
                yield kept, _IN_DEGREES


def _in_degrees(table: TableFile, name: str) -> float:
    """Return the factor from a column's unit to degrees."""
    unit = table.unit(name) or "deg"
    try:
        return unit_factor(unit, "deg")
    except ValueError:
        raise DataError(
            f"{table.label}: column {name} is in {unit[:40]}, which is no angle"
        ) from None


def _plain(table: pa.Table) -> pa.Table:
    """Return a table of plain columns: no dictionaries, which differ from part to part."""
    kinds = [
        item.type.value_type if pa.types.is_dictionary(item.type) else item.type
        for item in table.schema
    ]
    fields = [pa.field(name, kind) for name, kind in zip(table.column_names, kinds, strict=True)]
    return table.cast(pa.schema(fields))


def divided(index: npt.NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Return order and number of pixels of at most `most` rows that hold all rows.

    Parameters
    ----------
    index : ndarray of int64, shape (n,)
        Pixels of level 29 of the rows.
    """
    found: list[tuple[int, int]] = []
    waiting = [(0, int(pixel)) for pixel in np.unique(index >> 2 * INDEX_ORDER)]
    index = np.sort(index)
    while waiting:
        order, pixel = waiting.pop()
        shift = 2 * (INDEX_ORDER - order)
        low, high = np.searchsorted(index, [pixel << shift, (pixel + 1) << shift])
        if high - low > most and order < FINEST:
            waiting += [(order + 1, 4 * pixel + child) for child in range(4)]
        elif high > low:
            found.append((order, pixel))
    return sorted(found)
