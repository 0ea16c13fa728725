"""DataLink, as Gaia's archive delivers spectra: batches of identifiers, answered by a zip."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from scrframe.arrays import IntArray
from scrframe.builtin.archives.columns import ID, STAR_BYTES, ColumnNames, gather
from scrframe.builtin.reference_catalogues.gaia.datalink import gaia_tables
from scrframe.errors import DataError, ServiceError, UnfinishedError
from scrframe.io.table_file import TableFile
from scrframe.plugin import ArchivePlan, Delivery, Piece, PluginConfig, Wanted
from scrframe.plugin.archive import within_groups
from scrframe.plugin.helpers.guest import Guest, said_in

_MARKUP = (b"<?xml", b"<VOTABLE", b"<!doctype", b"<html", b"{")


class DataLinkConfig(ColumnNames):
    """A DataLink service that takes many identifiers at once."""

    url: str = Field("", description="Address of the service.")
    parameters: dict[str, str] = Field(
        default_factory=lambda: {
            "RETRIEVAL_TYPE": "XP_CONTINUOUS",
            "DATA_STRUCTURE": "RAW",
            "FORMAT": "csv",
            "RELEASE": "Gaia DR3",
            "VALID_DATA": "true",
            "USE_ZIP_ALWAYS": "true",
        },
        description="What is sent with the identifiers.",
    )
    id_parameter: str = Field("ID", description="Parameter of the identifiers.")
    id_prefix: str = Field("", description="What stands before the first identifier.")
    ids_a_request: int = Field(5000, ge=1, description="Most stars of a request.")
    seconds_a_request: float = Field(60.0, ge=0, description="Of a full batch, for estimates.")


def plan(wanted: Wanted, config: DataLinkConfig, guest: Guest) -> ArchivePlan:
    """Return the batches; of stars that are not known yet, how many there will be."""
    known = wanted.source_id is not None
    ids = wanted.source_id if wanted.source_id is not None else np.empty(0, np.int64)
    groups = list(within_groups(ids, config.ids_a_request))
    stars = float(len(ids)) if known else wanted.expected
    requests = len(groups) if known else math.ceil(np.nan_to_num(stars) / config.ids_a_request)
    said = "&".join(f"{name}={value}" for name, value in config.parameters.items())
    return ArchivePlan(
        tuple(
            Piece(f"b{number:05d}", {"ids": group.tolist()}) for number, group in enumerate(groups)
        ),
        stars,
        stars * STAR_BYTES[wanted.product][1] / 1e9,
        stars / config.ids_a_request * config.seconds_a_request,
        requests,
        files=requests,
        queries=tuple(
            f"{config.url}?{said}&{config.id_parameter}={_listed(group, config)}"
            for group in groups
        ),
        notes=() if known else ("the stars are named when gaia_source is there",),
    )


def _listed(ids: IntArray | list[int], config: DataLinkConfig) -> str:
    return config.id_prefix + ",".join(str(int(each)) for each in ids)


def fetch(
    piece: Piece, wanted: Wanted, config: DataLinkConfig, guest: Guest, scratch: Path
) -> Delivery:
    """Ask for a batch, and once more for the stars of it that were not delivered.

    A batch that is answered by less than half, or not at all, counts as not whole.
    """
    ids = np.array(piece.ask["ids"], dtype=np.int64)
    table = _batch(ids, config, guest, scratch / "batch.zip")
    left = np.setdiff1d(ids, table[ID].to_numpy())
    if len(left):
        try:
            more = _batch(left, config, guest, scratch / "again.zip")
        except UnfinishedError:
            (scratch / "batch.zip").unlink(missing_ok=True)  # both are asked for anew
            raise
        table = pa.concat_tables([table, more])
        table = table.take(pa.array(np.argsort(table[ID].to_numpy(), kind="stable")))
        left = np.setdiff1d(left, more[ID].to_numpy())
    return Delivery(table.combine_chunks(), len(ids), undelivered=left)


def _batch(ids: IntArray, config: DataLinkConfig, guest: Guest, path: Path) -> pa.Table:
    """Return the spectra of stars, from one request."""
    asked: dict[str, Any] = {**config.parameters, config.id_parameter: _listed(ids, config)}
    guest.download(config.url, path, data=asked)
    try:
        tables = _opened(path, config)
        found, _ = gather(tables, config)
    except DataError as error:
        said = str(error).replace(str(path), config.url)
        path.unlink(missing_ok=True)
        raise UnfinishedError(said) from None
    except ServiceError:
        path.unlink(missing_ok=True)
        raise
    strange = np.setdiff1d(found[ID].to_numpy(), ids)
    if len(strange):
        path.unlink()
        raise UnfinishedError(f"{config.url}: sent star {strange[0]}, which was not asked for")
    return found


def _opened(path: Path, config: DataLinkConfig) -> list[TableFile]:
    """Return the tables of an answer; an empty one has none."""
    head = path.open("rb").read(512).lstrip()
    if not head:
        raise UnfinishedError(f"{config.url}: sent nothing")
    if head.lower().startswith(tuple(each.lower() for each in _MARKUP)):
        raise UnfinishedError(f"{config.url}: {said_in(path.read_text('utf-8', 'replace'))}")
    needed = config.names()[ID][0]
    return [table for table in gaia_tables(path) if table.find(needed) is not None]


def address(config: DataLinkConfig, url: str) -> PluginConfig:
    """Return the settings with another address."""
    return config.model_copy(update={"url": url})
