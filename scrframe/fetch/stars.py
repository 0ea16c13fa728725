"""The stars whose spectra and extinctions are wanted: those that a detection may match."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from scrframe.arrays import IntArray
from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, ReferenceCatalogue, SourceRanges, SurveyLoader
from scrframe.products.files import load_arrow, save_arrow
from scrframe.run.workers import LOCAL_POOL, open_executor, run_tasks
from scrframe.scr.match import SkyIndex, julian_year, sky_index
from scrframe.statistics.sky import chord, unit_vectors
from scrframe.tables import ReferenceStars

#: A star this much farther from a detection than the matching radius is still wanted.
MARGIN_ARCSEC = 0.5
#: Proper motion of the fastest star over some decades.
_ROOM_DEG = 0.1


def stars_in(
    catalogue: ReferenceCatalogue, settings: PluginConfig, root: Path, ranges: SourceRanges
) -> ReferenceStars | None:
    """Return the stars of a data root that lie in a region and have a spectrum; None of no file.

    Raises DataError if a file is damaged.
    """
    try:
        parts = catalogue.source_parts(settings, root)
    except DataError as error:
        if ": no file of " in str(error):
            return None
        raise
    found = []
    for part in parts:
        bounds = part.detail.get("bounds")
        if bounds is not None and not ranges.touches(*bounds):
            continue
        stars = catalogue.read_sources(part, settings, None, ())
        found.append(stars.filter(ranges.contains(stars["source_id"])))
    if not found:
        return None
    whole = ReferenceStars.concat(found)
    _, first = np.unique(whole["source_id"], return_index=True)
    return whole.take(first)


@dataclass(frozen=True)
class _Task:
    loader: SurveyLoader
    settings: PluginConfig
    part: Part
    stars: Path
    radius_arcsec: float


def near_detections(
    stars: ReferenceStars,
    loader: SurveyLoader,
    settings: PluginConfig,
    parts: Sequence[Part],
    radius_arcsec: float,
    workers: int,
    observer: Observer,
) -> IntArray:
    """Return the identifiers of the stars that a detection may match, ascending.

    Proper motions are those of the date of each visit.
    """
    with tempfile.TemporaryDirectory(prefix="scrframe-stars-") as folder:
        file = Path(folder) / "stars.arrow"
        save_arrow(file, stars.arrow)
        tasks = [_Task(loader, settings, part, file, radius_arcsec) for part in parts]
        with (
            open_executor(workers, LOCAL_POOL) as executor,
            observer.step("Finding the stars that are detected", len(tasks)) as done,
        ):
            rows = run_tasks(executor, _rows_near, tasks, done)
        _index.cache_clear()
    seen = np.unique(np.concatenate(rows)) if rows else np.empty(0, np.int64)
    return np.sort(stars["source_id"][seen])


@cache
def _index(path: Path) -> SkyIndex:
    return sky_index(ReferenceStars(load_arrow(path)[0]))


def _rows_near(task: _Task) -> IntArray:
    """Return the rows of the stars near a detection of one part."""
    index = _index(task.stars)
    read = task.loader.read(task.part, task.settings, ())
    placed = np.isfinite(read["ra"]) & np.isfinite(read["dec"])
    read = read.filter(placed)
    if not len(read):
        return np.empty(0, np.int64)
    codes, labels = read.codes("visit")
    found = []
    limit = chord((task.radius_arcsec + MARGIN_ARCSEC) / 3600)
    for code in range(len(labels)):
        of_visit = read.filter(codes == code)
        if not len(of_visit):
            continue
        here = unit_vectors(of_visit["ra"], of_visit["dec"])
        centre = here.mean(axis=0)
        centre /= np.linalg.norm(centre)
        reach = np.rad2deg(np.arccos(np.clip((here @ centre).min(), -1, 1)))
        near = index.near(centre, reach + _ROOM_DEG)
        moved = index.at(near, julian_year(float(of_visit["mjd"][0])))
        distance, _ = cKDTree(here).query(moved, distance_upper_bound=limit)
        found.append(index.row[near[np.isfinite(distance)]])
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
