"""Where what is fetched lies, and what of it is there already.

All that one request gave lies in a folder of its own, whose name begins with the release and
the service; `_provenance.json` in it says where it is from. Files whose name begins with an
underscore or a dot are no data to the readers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.arrays import IntArray
from scrframe.errors import ConfigError
from scrframe.fetch.services import Service
from scrframe.plugin import SourceRanges, Wanted
from scrframe.plugin.archive import Product

PROVENANCE, ASKED = "_provenance.json", "_asked.parquet"
_WILD = "*?["


@dataclass(frozen=True)
class Destination:
    """Where a product's files go.

    Attributes
    ----------
    folder : Path
        The folder of the pattern.
    pattern : str
        What the survey's settings read.
    """

    product: Product
    folder: Path
    pattern: str

    def final(self, name: str) -> Path:
        """Return the folder of data, or beside it, of a request of this name."""
        return self.folder / (f"_{name}" if self.product == "extinctions" else name)

    def file(self, name: str) -> Path:
        """Return the one file of extinctions of a request of this name."""
        return self.folder / f"stellar_params_{name}.h5"


def place_of(product: Product, pattern: str, root: Path) -> Destination:
    """Return where the files of a pattern go.

    Raises ConfigError if the pattern does not read what would be written there.
    """
    steps = PurePosixPath(pattern).parts
    fixed = list(steps[: _first_wild(steps)])
    folder = root.joinpath(*fixed)
    place = Destination(product, folder, pattern)
    written = (place.file("x") if product == "extinctions" else place.final("x")).name
    rest = steps[len(fixed) :]
    fits = len(rest) == 1 and fnmatchcase(written, rest[0])
    if not fits and rest[:1] != ("**",) and rest:
        raise ConfigError(
            f"the pattern {pattern!r} of {product} does not read what is fetched"
            f" ({written} in {folder}); widen it, or give another by --set"
        )
    return place


def _first_wild(steps: tuple[str, ...]) -> int:
    wild = [number for number, step in enumerate(steps) if any(s in step for s in _WILD)]
    return wild[0] if wild else len(steps)


def name_of(service: Service, wanted: Wanted, limit: int | None) -> str:
    """Return the name of a request: release, service, and a digest of all that was wanted."""
    digest = hashlib.sha256()
    for part in (wanted.ranges.first, wanted.ranges.last):
        digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
    if wanted.source_id is not None:
        digest.update(np.ascontiguousarray(wanted.source_id, dtype=np.int64).tobytes())
    said = {**service.described(), "limit": limit}
    settings = dict(said["settings"])
    # How fast it was thought to be is no part of a wish.
    said["settings"] = {k: v for k, v in settings.items() if not k.startswith(_ESTIMATES)}
    digest.update(json.dumps(said, sort_keys=True).encode())
    return f"{service.release}-{service.name}-{digest.hexdigest()[:8]}"


_ESTIMATES = ("seconds_a_", "megabytes_a_", "rows_a_file")


@dataclass(frozen=True)
class Held:
    """What earlier requests brought."""

    folders: tuple[Path, ...]
    ranges: SourceRanges
    #: Stars asked for, whether or not the service had them, ascending.
    asked: IntArray


def held(place: Destination, release: str) -> Held:
    """Return what lies in a place from earlier requests, of the same release."""
    folders: list[Path] = []
    ends: list[Any] = []
    asked: list[IntArray] = []
    for folder, said in provenances(place.folder):
        if said.get("product") != place.product or said.get("release") != release:
            continue
        if said.get("limit") is not None:
            continue  # a trial is no coverage
        folders.append(folder)
        ends.append(np.array(said.get("ranges", []), dtype=np.int64).reshape(-1, 2))
        file = folder / ASKED
        if file.is_file():
            asked.append(pq.read_table(file)["source_id"].to_numpy())
    joined = np.concatenate(ends) if ends else np.empty((0, 2), np.int64)
    order = np.argsort(joined[:, 0], kind="stable")
    ranges = SourceRanges(joined[order, 0], joined[order, 1])
    ids = np.unique(np.concatenate(asked)) if asked else np.empty(0, np.int64)
    return Held(tuple(folders), ranges, ids)


def provenances(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the folders of earlier requests below a folder, and what they say of themselves."""
    if not folder.is_dir():
        return
    for file in sorted(folder.glob(f"*/{PROVENANCE}")):
        try:
            said = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and not file.parent.name.startswith("."):
            yield file.parent, said


def write_asked(path: Path, source_id: IntArray) -> None:
    """Write the stars that were asked for."""
    pq.write_table(pa.table({"source_id": source_id}), path, compression="zstd")
