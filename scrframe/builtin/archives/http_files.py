"""Files by HTTP: an archive's bulk folders, of which only what is wanted is kept.

The files of Gaia's bulk folders are cut by HEALPix pixels of level 8, whose range is in the
name; only those that the region touches are downloaded. Each is checked, filtered to the stars
wanted as it arrives, and gone before the next one comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urljoin

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from scrframe.builtin.archives.columns import ID, MEAN_DENSITY, ColumnNames, gather
from scrframe.builtin.reference_catalogues.gaia.parts import named_bounds
from scrframe.errors import DataError, ScrframeError, UnfinishedError, printable
from scrframe.io import open_tables
from scrframe.plugin import ArchivePlan, Delivery, Piece, PluginConfig, Wanted
from scrframe.plugin.helpers.guest import Guest

#: Share of all stars of gaia_source that have a spectrum.
SPECTRA_SHARE = MEAN_DENSITY["with spectra"] / MEAN_DENSITY["all"]


class HttpFilesConfig(ColumnNames):
    """A folder of files with a listing."""

    url: str = Field("", description="Address of the folder.")
    listing: str = Field(
        "_MD5SUM.txt", description="Address of the listing, relative to the folder."
    )
    listing_format: Literal["md5sum", "zenodo"] = Field(
        "md5sum", description="Lines of checksum and name, or the JSON of a record of Zenodo."
    )
    pattern: str = Field(
        r"\.(csv\.gz|csv|ecsv\.gz|parquet|h5|fits)$", description="Names of data files (regex)."
    )
    only: str = Field("", description="Column of flags: only stars of which it is true are kept.")
    rows_a_file: float = Field(535_000, gt=0, description="Stars of a file, for estimates.")
    megabytes_a_file: float = Field(200.0, gt=0, description="Size of a file, for estimates.")
    megabytes_a_second: float = Field(10.0, gt=0, description="Of downloads, for estimates.")


@dataclass(frozen=True)
class Listed:
    """A file of a listing."""

    name: str
    url: str
    md5: str
    size: int = 0


def plan(wanted: Wanted, config: HttpFilesConfig, guest: Guest) -> ArchivePlan:
    """Return the files that the region touches, from the listing."""
    listed = listing(config, guest)
    chosen = [file for file in listed if touches(file.name, wanted)]
    pieces = tuple(
        Piece(
            re.sub(r"[^A-Za-z0-9-]+", "_", PurePosixPath(file.name).name.split(".")[0]),
            {"name": file.name, "url": file.url, "md5": file.md5},
        )
        for file in chosen
    )
    notes: list[str] = []
    sizes = [file.size for file in chosen if file.size]
    if sizes:
        megabytes = float(np.mean(sizes)) / 1e6
    elif wanted.estimate:
        megabytes = _size_of_some(chosen, config, guest, notes)
    else:
        megabytes = config.megabytes_a_file
    total = megabytes * len(chosen)
    return ArchivePlan(
        pieces,
        _stars(chosen, wanted, config),
        total / 1e3,
        total / config.megabytes_a_second,
        len(chosen),
        files=len(chosen),
        addresses=tuple((file.url, file.md5) for file in chosen),
        notes=tuple(notes),
    )


def listing(config: HttpFilesConfig, guest: Guest) -> list[Listed]:
    """Return the data files that a listing names, in order of their names.

    Raises DataError if it names none.
    """
    base = config.url if config.url.endswith("/") else config.url + "/"
    address = urljoin(base, config.listing)
    text = guest.get(address).text
    found = _of_zenodo(text, address) if config.listing_format == "zenodo" else _of_sums(text, base)
    kept = sorted((file for file in found if re.search(config.pattern, file.name)), key=_name)
    if not kept:
        raise DataError(f"{address}: names no data file ({config.pattern})")
    return kept


def _name(file: Listed) -> str:
    return file.name


def _of_sums(text: str, base: str) -> list[Listed]:
    """Return the files of lines such as ``<md5>  GaiaSource_000000-003111.csv.gz``."""
    lines = re.findall(r"^\s*([0-9a-fA-F]{32})\s+\*?(?:\./)?(\S+)\s*$", text, re.MULTILINE)
    return [Listed(name, urljoin(base, name), md5.lower()) for md5, name in lines]


def _of_zenodo(text: str, address: str) -> list[Listed]:
    try:
        return [
            Listed(
                each["key"],
                each["links"]["self"],
                each["checksum"].removeprefix("md5:"),
                int(each["size"]),
            )
            for each in json.loads(text)["files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{address}: is no record of Zenodo: {printable(str(error), 80)}") from None


def touches(name: str, wanted: Wanted) -> bool:
    """Tell whether a file may hold stars of the region; one whose name says nothing may."""
    bounds = named_bounds(name)
    return bounds is None or wanted.ranges.touches(*bounds)


def _stars(files: Sequence[Listed], wanted: Wanted, config: HttpFilesConfig) -> float:
    """Return how many stars of the files are wanted: each file holds about as many."""
    if wanted.source_id is not None:
        return float(len(wanted.source_id))
    if np.isfinite(wanted.expected):
        return wanted.expected
    total = 0.0
    for file in files:
        bounds = named_bounds(file.name)
        if bounds is None:
            return float("nan")
        inside = wanted.ranges.within(*bounds)
        share = float(np.sum((inside.last - inside.first + 1) / (bounds[1] - bounds[0] + 1)))
        total += share * config.rows_a_file
    return total * (SPECTRA_SHARE if config.only else 1.0)


def _size_of_some(
    files: Sequence[Listed], config: HttpFilesConfig, guest: Guest, notes: list[str]
) -> float:
    """Return the size of a file in MB, as the service states it of a few."""
    some = files[:: max(len(files) // 3, 1)][:3]
    sizes = []
    try:
        for file in some:
            answer = guest.hasty().request("HEAD", file.url, allow_redirects=True)
            sizes.append(int(answer.headers.get("Content-Length") or 0))
    except (ScrframeError, ValueError):
        sizes = []
    if sizes and min(sizes) > 0:
        notes.append(f"sizes from {len(sizes)} of the files")
        return float(np.mean(sizes)) / 1e6
    notes.append("sizes as the preset states them")
    return config.megabytes_a_file


def fetch(
    piece: Piece, wanted: Wanted, config: HttpFilesConfig, guest: Guest, scratch: Path
) -> Delivery:
    """Download a file, check it, and return the stars of it that are wanted."""
    name, url, md5 = (str(piece.ask[key]) for key in ("name", "url", "md5"))
    path = scratch / PurePosixPath(name).name
    guest.download(url, path, md5)
    try:
        table, rows = gather(open_tables(path, hdu="all"), config, wanted.chosen)
    except DataError as error:
        path.unlink()
        if md5:  # it came as it is: asking again would not help
            raise
        raise UnfinishedError(str(error).replace(str(path), url)) from None
    path.unlink()
    if config.only:
        table = table.filter(pc.fill_null(table[config.only], False)).combine_chunks()
    bounds = named_bounds(name)
    ids = table[ID].to_numpy()
    if bounds is not None and len(ids) and not (bounds[0] <= ids[0] and ids[-1] <= bounds[1]):
        raise DataError(f"{url}: holds stars of other pixels than its name says")
    without = np.empty(0, np.int64)
    if wanted.source_id is not None and bounds is not None:
        low, high = np.searchsorted(wanted.source_id, [bounds[0], bounds[1] + 1])
        without = np.setdiff1d(wanted.source_id[low:high], ids)
    return Delivery(table, rows, without=without)


def address(config: HttpFilesConfig, url: str) -> PluginConfig:
    """Return the settings with another address."""
    return config.model_copy(update={"url": url})
