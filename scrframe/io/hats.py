"""HATS, the layout of catalogues that are partitioned on the sky, as folders of Parquet files.

A catalogue has a file of properties and its rows in ``dataset/Norder=k/Dir=d/Npix=p.parquet``, by
HEALPix pixel (nested). Local ones are read as any Parquet files, without a copy and without a
library; what else lies beside the rows (statistics, maps, a thumbnail) is no data.
"""

from __future__ import annotations

import re
from pathlib import Path

_PROPERTIES = ("hats.properties", "properties")
_COLLECTION = "collection.properties"
_LEAF = re.compile(r"Norder=(\d+)/(?:Dir=\d+/)?Npix=(\d+)(?:\.[A-Za-z.]+)?(?:/[^/]+)?$")
_PRIMARY = re.compile(r"^\s*hats_primary_table_url\s*=\s*(\S+)", re.MULTILINE)


def pixel_of(path: Path) -> tuple[int, int] | None:
    """Return order and pixel of a file of a HATS catalogue; None of any other file."""
    found = _LEAF.search(path.as_posix())
    return None if found is None else (int(found[1]), int(found[2]))


def accompanies(path: Path, known: dict[Path, bool]) -> bool:
    """Tell whether a file belongs to a HATS catalogue and is none of its rows.

    So does a row of a catalogue in a collection that is not the main one: a margin, an index.

    Parameters
    ----------
    known : dict
        What was found of folders; it is added to.
    """
    if pixel_of(path) is None:
        return any(_is_hats(folder, known) for folder in path.parents[:2])
    root = next((above.parent for above in path.parents if above.name == "dataset"), None)
    if root is None or not (root.parent / _COLLECTION).is_file():
        return False
    named = _PRIMARY.search((root.parent / _COLLECTION).read_text("utf-8", "replace"))
    return named is not None and named[1] != root.name


def _is_hats(folder: Path, known: dict[Path, bool]) -> bool:
    if folder not in known:
        known[folder] = (folder / _COLLECTION).is_file() or (
            (folder / "dataset").is_dir() and any((folder / each).is_file() for each in _PROPERTIES)
        )
    return known[folder]
