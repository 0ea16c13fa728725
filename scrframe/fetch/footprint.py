"""The sky that is wanted: of the catalogues in a data root, of a MOC, or of a list of discs.

It is a region of HEALPix pixels (a MOC), and so of ranges of Gaia's identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scrframe.errors import DataError, number_of, one_line
from scrframe.io import read_table
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, SourceRanges, SurveyLoader
from scrframe.run.workers import LOCAL_POOL, open_executor, run_tasks

#: Level of the pixels of the region (3.4 arcmin), and of those in which detections are placed.
#: A ring of the finer ones (51 arcsec) about them is the room for proper motions.
LEVEL, FINE_LEVEL = 10, 12
_SHIFT = 1  # of the pixels of level 29 to identifiers: 34 bits below level 12 to 35


@dataclass(frozen=True)
class SkyRegion:
    """A region, and how it was come by."""

    ranges: SourceRanges
    said: str


@dataclass(frozen=True)
class _Task:
    loader: SurveyLoader
    settings: PluginConfig
    part: Part


def of_catalogues(
    loader: SurveyLoader,
    settings: PluginConfig,
    parts: list[Part],
    workers: int = 1,
    observer: Observer | None = None,
) -> SkyRegion:
    """Return the region of all detections, of which only the positions are kept.

    Raises DataError if a catalogue is damaged, or none holds a detection.
    """
    tasks = [_Task(loader, settings, part) for part in parts]
    watcher = observer or Observer()
    with (
        open_executor(workers, LOCAL_POOL) as executor,
        watcher.step("Reading positions", len(tasks)) as done,
    ):
        found = run_tasks(executor, _ranges_of, tasks, done)
    ranges = [each for each in found if len(each)]
    if not ranges:
        raise DataError(f"no catalogue, of {len(parts)}, holds a detection")
    return SkyRegion(
        _ranges(_moc_of(np.concatenate(ranges)).add_neighbours().degrade_to_order(LEVEL)),
        number_of(len(parts), "catalogue"),
    )


def _ranges_of(task: _Task) -> Any:
    """Return the ranges of pixels of level 29 in which the detections of a part lie."""
    read = task.loader.read(task.part, task.settings, ())
    ra, dec = read["ra"], read["dec"]
    placed = np.isfinite(ra) & np.isfinite(dec)
    if not placed.any():
        return np.empty((0, 2), np.uint64)
    return of_positions(ra[placed], dec[placed]).to_depth29_ranges


def of_positions(ra_deg: Any, dec_deg: Any) -> Any:
    """Return the MOC of positions."""
    from astropy import units  # noqa: PLC0415 - slow to import
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    return MOC.from_lonlat(ra_deg * units.deg, dec_deg * units.deg, max_norder=FINE_LEVEL)


def _moc_of(ranges: Any) -> Any:
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    return MOC.from_depth29_ranges(FINE_LEVEL, ranges.astype(np.uint64))


def of_file(path: Path, radius_deg: float | None = None) -> SkyRegion:
    """Return the region of a MOC file (FITS, JSON, ASCII), or of a table of discs.

    Parameters
    ----------
    radius_deg : float, optional
        Radius of all discs, of a table without a column ``radius`` (in deg).

    Raises
    ------
    DataError
        If the file cannot be read, or is neither.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a MOC, or a table with ra, dec and radius")
    moc = _loaded(path)
    if moc is None:
        return _of_discs(path, radius_deg)
    if moc.empty():
        raise DataError(f"{path}: the MOC is empty")
    order = min(int(moc.max_order), FINE_LEVEL)
    moc = moc if moc.max_order <= FINE_LEVEL else moc.degrade_to_order(FINE_LEVEL)
    return SkyRegion(_ranges(moc), f"{path.name}, a MOC of order {order}")


def _loaded(path: Path) -> Any:
    """Return the MOC that a file holds, None if it holds none."""
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    head = path.read_bytes()[:2880]
    kinds = ["fits"] if head.startswith(b"SIMPLE") else ["json", "ascii"]
    if path.suffix.lower() in (".csv", ".ecsv", ".parquet", ".vot"):
        return None
    for kind in kinds:
        try:
            return MOC.load(path, format=kind)
        except BaseException as error:  # mocpy raises what its Rust panics with
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
    return None


def _of_discs(path: Path, radius_deg: float | None) -> SkyRegion:
    from astropy import units  # noqa: PLC0415 - slow to import
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    names = ["ra", "dec"] + (["radius"] if radius_deg is None else [])
    try:
        table = read_table(path, names)
    except DataError as error:
        hint = "" if radius_deg is not None else "; or give --radius"
        raise DataError(f"{one_line(error)}{hint}") from None
    ra, dec = table.numbers("ra"), table.numbers("dec")
    radius = np.full(len(ra), radius_deg) if radius_deg is not None else table.numbers("radius")
    table.refuse(~(np.isfinite(ra) & (np.abs(dec) <= 90)), "is no position in degrees")
    table.refuse(~((radius > 0) & (radius <= 180)), "is no radius in degrees")
    moc = MOC.from_cones(
        ra % 360 * units.deg,
        dec * units.deg,
        radius=radius * units.deg,
        max_depth=LEVEL,
        union_strategy="large_cones",
        n_threads=1,
    )
    return SkyRegion(_ranges(moc), f"{path.name}, {number_of(len(ra), 'disc')}")


def _ranges(moc: Any) -> SourceRanges:
    """Return the identifiers of a MOC."""
    ends = np.asarray(moc.to_depth29_ranges).astype(np.int64)
    return SourceRanges(ends[:, 0] << _SHIFT, (ends[:, 1] << _SHIFT) - 1)
