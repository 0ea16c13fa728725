"""HATS catalogues, local or at any address that fsspec knows, by way of the `hats` library.

Only the partitions that the region touches are opened. The library is an extra,
``scrframe[hats]``: it brings some forty others.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from scrframe.arrays import IntArray
from scrframe.builtin.archives.columns import ID, STAR_BYTES, ColumnNames, gather
from scrframe.builtin.reference_catalogues.gaia.datalink import ArrowTable
from scrframe.errors import ConfigError, ServiceError, UnfinishedError, one_line
from scrframe.io.table_file import TableFile
from scrframe.plugin import ArchivePlan, Delivery, Piece, PluginConfig, Wanted
from scrframe.plugin.archive import shift_of
from scrframe.plugin.helpers.guest import Guest


class HatsConfig(ColumnNames):
    """A HATS catalogue."""

    url: str = Field("", description="Its folder: a path, or an address as fsspec takes it.")
    storage: dict[str, Any] = Field(
        default_factory=dict, description="Options of the storage, such as {anon: true}."
    )
    only: str = Field("", description="Column of flags: only stars of which it is true are kept.")
    megabytes_a_second: float = Field(10.0, gt=0, description="Of downloads, for estimates.")


def plan(wanted: Wanted, config: HatsConfig, guest: Guest) -> ArchivePlan:
    """Return the partitions that the region touches."""
    catalogue = _opened(config)
    pieces, share = [], 0.0
    for pixel in sorted(catalogue.get_healpix_pixels()):
        shift = shift_of(pixel.order)
        low, high = pixel.pixel << shift, ((pixel.pixel + 1) << shift) - 1
        if wanted.ranges.touches(low, high):
            ask = {"order": int(pixel.order), "pixel": int(pixel.pixel)}
            pieces.append(Piece(f"n{pixel.order}-{pixel.pixel}", ask))
            inside = wanted.ranges.within(low, high)
            share += float(np.sum((inside.last - inside.first + 1) / (high - low + 1)))
    whole = catalogue.catalog_info.total_rows
    total = max(len(catalogue.get_healpix_pixels()), 1)
    stars = share * whole / total if whole else float("nan")
    if wanted.source_id is not None:
        stars = float(len(wanted.source_id))
    gigabytes = (whole or 0) / total * len(pieces) * STAR_BYTES[wanted.product][0] / 1e9
    return ArchivePlan(
        tuple(pieces),
        stars,
        gigabytes,
        1e3 * gigabytes / config.megabytes_a_second,
        len(pieces),
        files=len(pieces),
        addresses=tuple((str(_file(catalogue, piece)), "") for piece in pieces),
        notes=("partitions are taken to hold as many rows each",),
    )


def fetch(
    piece: Piece, wanted: Wanted, config: HatsConfig, guest: Guest, scratch: Path
) -> Delivery:
    """Read a partition, and return the stars of it that are wanted."""
    file = _file(_opened(config), piece)
    try:
        content = file.read_bytes()
        rows = pq.ParquetFile(io.BytesIO(content))
    except (OSError, pa.ArrowException) as error:
        raise UnfinishedError(f"{file}: cannot be read: {one_line(error)}") from None
    names = [one for own in config.names().values() for one in own]
    there = [name for name in names if name in rows.schema_arrow.names]
    table = ArrowTable(Path(str(file)), rows.read(there), str(file))
    found, count = gather(_one(table), config, wanted.chosen)
    if config.only:
        found = found.filter(pc.fill_null(found[config.only], False)).combine_chunks()
    if count != rows.metadata.num_rows:
        raise UnfinishedError(f"{file}: has {rows.metadata.num_rows} rows, of which {count} came")
    return Delivery(found, count, without=_without(piece, wanted, found[ID].to_numpy()))


def _without(piece: Piece, wanted: Wanted, found: IntArray) -> IntArray:
    """Return the stars of this pixel that are wanted and not here."""
    if wanted.source_id is None:
        return np.empty(0, np.int64)
    shift = shift_of(int(piece.ask["order"]))
    here = wanted.source_id >> shift == int(piece.ask["pixel"])
    return np.setdiff1d(wanted.source_id[here], found)


def _one(table: TableFile) -> Iterator[TableFile]:
    yield table


def _opened(config: HatsConfig) -> Any:
    """Return the catalogue; of a collection its main one."""
    try:
        import hats  # noqa: PLC0415 - an extra
        from upath import UPath  # noqa: PLC0415 - comes with it
    except ImportError:
        raise ConfigError(
            "HATS catalogues at an address need the hats library: pip install 'scrframe[hats]'"
        ) from None
    try:
        found = hats.read_hats(UPath(config.url, **config.storage), read_moc=False)
    except Exception as error:  # whatever the storage raises
        raise ServiceError(f"{config.url}: is no HATS catalogue: {one_line(error)}") from None
    return getattr(found, "main_catalog", found)


def _file(catalogue: Any, piece: Piece) -> Any:
    from hats.io.paths import pixel_catalog_file  # noqa: PLC0415 - an extra
    from hats.pixel_math import HealpixPixel  # noqa: PLC0415

    pixel = HealpixPixel(int(piece.ask["order"]), int(piece.ask["pixel"]))
    suffix = catalogue.catalog_info.npix_suffix
    return pixel_catalog_file(catalogue.catalog_base_dir, pixel, npix_suffix=suffix)


def address(config: HatsConfig, url: str) -> PluginConfig:
    """Return the settings with another address."""
    return config.model_copy(update={"url": url})
