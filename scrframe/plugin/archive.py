"""Archives: what is wanted of a service, how it is asked in pieces, and what it delivers.

An `Archive` is a way to ask (a protocol); addresses and names of tables are its settings, which
stand in YAML. The framework keeps what is delivered, goes on after an interruption, and writes
the files that a run reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from scrframe.arrays import BoolArray, IntArray
from scrframe.plugin.descriptors import Descriptor, PluginConfig
from scrframe.plugin.helpers.guest import Guest

#: What reference data are called: positions and magnitudes, spectra, extinctions.
Product = Literal["sources", "spectra", "extinctions"]
PRODUCTS: tuple[Product, ...] = ("sources", "spectra", "extinctions")
#: A Gaia identifier holds the HEALPix pixel of level 12, nested, in the bits from here on.
ID_BITS, ID_LEVEL = 35, 12
SKY_DEG2 = 4 * np.pi * np.rad2deg(1) ** 2


def shift_of(level: int) -> int:
    """Return the bits by which an identifier is shifted to give its pixel of a level."""
    return ID_BITS + 2 * (ID_LEVEL - level)


@dataclass(frozen=True)
class SourceRanges:
    """Ranges of Gaia identifiers: a region of the sky, for they hold a HEALPix pixel.

    Attributes
    ----------
    first, last : ndarray of int64, shape (n,)
        Least and greatest identifier of each range, ascending and apart from each other.
    """

    first: IntArray
    last: IntArray

    @staticmethod
    def of_pixels(pixel: IntArray, level: int) -> SourceRanges:
        """Return the ranges of HEALPix pixels (nested) of a level, neighbours joined."""
        found = np.unique(np.asarray(pixel, dtype=np.int64))
        cut = np.flatnonzero(np.diff(found) > 1)
        first = found[np.concatenate([[0], cut + 1]).astype(np.int64)] if len(found) else found
        last = found[np.concatenate([cut, [len(found) - 1]]).astype(np.int64)]
        shift = shift_of(level)
        return SourceRanges(first << shift, ((last + 1) << shift) - 1)

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self.first.tolist(), self.last.tolist(), strict=True))

    @property
    def area_deg2(self) -> float:
        """The area on the sky."""
        whole = 12 * 4**ID_LEVEL
        cells = np.sum((self.last - self.first + 1) / 2.0**ID_BITS)
        return float(cells / whole * SKY_DEG2)

    def contains(self, source_id: IntArray) -> BoolArray:
        """Return which identifiers lie in a range, shape (n,)."""
        if not len(self):
            return np.zeros(len(source_id), dtype=bool)
        place = np.searchsorted(self.first, source_id, side="right") - 1
        return np.asarray((place >= 0) & (source_id <= self.last[np.maximum(place, 0)]))

    def touches(self, first: int, last: int) -> bool:
        """Tell whether a range of identifiers and this region have any in common."""
        place = int(np.searchsorted(self.last, first))
        return place < len(self) and int(self.first[place]) <= last

    def within(self, first: int, last: int) -> SourceRanges:
        """Return what lies between two identifiers, both included."""
        kept = (self.last >= first) & (self.first <= last)
        return SourceRanges(np.maximum(self.first[kept], first), np.minimum(self.last[kept], last))

    def less(self, other: SourceRanges) -> SourceRanges:
        """Return what does not lie in another region."""
        left: list[tuple[int, int]] = []
        for first, last in self:
            start = first
            for low, high in other.within(first, last):
                if low > start:
                    left.append((start, low - 1))
                start = high + 1
            if start <= last:
                left.append((start, last))
        ends = np.array(left, dtype=np.int64).reshape(-1, 2)
        return SourceRanges(ends[:, 0], ends[:, 1])

    def groups(self, size: int) -> list[SourceRanges]:
        """Return the ranges in groups of at most `size`, in order."""
        return [
            SourceRanges(self.first[at : at + size], self.last[at : at + size])
            for at in range(0, len(self), size)
        ]


@dataclass(frozen=True)
class Wanted:
    """What is wanted of an archive.

    Attributes
    ----------
    product : {"sources", "spectra", "extinctions"}
    ranges : SourceRanges
        The region.
    source_id : ndarray of int64, shape (n,), optional
        Ascending; only these stars of the region are wanted. None: all.
    expected : float
        How many are wanted, as far as known, where they are not known singly.
    estimate : bool
        Whether anybody looks at the cost; if not, nothing needs to be asked for it.
    limit : int, optional
        So many stars are enough, of each piece: it is a trial.
    """

    product: Product
    ranges: SourceRanges
    source_id: IntArray | None = None
    expected: float = float("nan")
    estimate: bool = True
    limit: int | None = None

    def chosen(self, source_id: IntArray) -> BoolArray:
        """Return which of these stars are wanted, shape (n,)."""
        inside = self.ranges.contains(source_id)
        if self.source_id is None:
            return inside
        place = np.searchsorted(self.source_id, source_id)
        place[place == len(self.source_id)] = 0
        known = self.source_id[place] == source_id if len(self.source_id) else place > 0
        return np.asarray(inside & known)


@dataclass(frozen=True)
class Piece:
    """What is asked at once: a query, a batch of stars, a file.

    Attributes
    ----------
    key : str
        Names it, and a file of what it gave; the same in every plan of the same wish.
    ask : mapping
        Whatever the archive needs to ask it; plain JSON.
    """

    key: str
    ask: Mapping[str, Any]


@dataclass(frozen=True)
class ArchivePlan:
    """How an archive will be asked, and what it will cost.

    Attributes
    ----------
    pieces : tuple of Piece
    stars : float
        Stars that it will deliver; NaN where nobody can say.
    gigabytes : float
        What goes over the line.
    seconds : float
        Time, as far as known beforehand.
    requests : int
        Queries, or requests for a batch or a file.
    files : int
        Files to be downloaded.
    queries : tuple of str
        The queries, word for word (ADQL, or the parameters of a request).
    addresses : tuple of (str, str)
        Files and their checksum (MD5, or empty), for who downloads them by other means.
    notes : tuple of str
        How the numbers were come by, and what is uncertain, a line each.
    """

    pieces: tuple[Piece, ...]
    stars: float
    gigabytes: float
    seconds: float
    requests: int
    files: int = 0
    queries: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """What a piece gave.

    Attributes
    ----------
    table : pyarrow.Table
        The product's own columns, one row a star.
    asked : int
        Rows that should be there: as the service counts them, or the stars asked for.
    without : ndarray of int64, shape (n,)
        Stars asked for of which the service has nothing, as it says itself.
    undelivered : ndarray of int64, shape (n,)
        Stars that it should have, asked for twice, and not delivered.
    """

    table: pa.Table
    asked: int
    without: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    undelivered: IntArray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, kw_only=True)
class Archive(Descriptor):
    """A way to fetch reference data.

    Attributes
    ----------
    plan : callable (wanted, config, guest) -> ArchivePlan
        Cuts a wish into pieces. It may ask for listings and counts, no more.
    fetch : callable (piece, wanted, config, guest, scratch) -> Delivery
        Asks for a piece, and returns what is wanted of it when it is whole. `scratch` is a
        folder of the piece's own, which outlives an interruption and goes when it is done.
        Raises UnfinishedError where asking again may help, else ServiceError.
    products : tuple of str
        What it can fetch.
    address : callable (config, address) -> config
        Returns the settings with another address, as of ``--from URL``.
    example : callable (directory) -> (config, sources), optional
        Writes a tiny archive that needs no net, and returns settings that read it and the
        identifiers of the stars in it.
    """

    plan: Callable[[Wanted, Any, Guest], ArchivePlan]
    fetch: Callable[[Piece, Wanted, Any, Guest, Path], Delivery]
    products: tuple[str, ...]
    address: Callable[[Any, str], PluginConfig]
    example: Callable[[Path], tuple[PluginConfig, IntArray]] | None = None


def within_groups(source_id: IntArray, size: int) -> Iterable[IntArray]:
    """Yield identifiers in groups of at most `size`, in order."""
    return (source_id[at : at + size] for at in range(0, len(source_id), size))
