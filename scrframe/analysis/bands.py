"""What a run of many bands has once: a catalogue of stars, and a report that compares the bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scrframe.config.combined import CombinedDescription
from scrframe.observer import Observer
from scrframe.products.band_stars import band_catalogue
from scrframe.products.files import write_parquet
from scrframe.products.stars import STAR_CATALOGUE
from scrframe.report.bands import BandPart, write_bands_report
from scrframe.run.calibrate import Run
from scrframe.version import __version__


def write_bands(
    folder: Path,
    description: CombinedDescription,
    places: Sequence[Path],
    runs: Mapping[str, Run],
    shared: Mapping[str, Any],
    observer: Observer,
) -> Path | None:
    """Write the catalogue of stars and, where bands have theirs, the report; return its page.

    Parameters
    ----------
    folder : Path
        Directory of the run of all.
    description : CombinedDescription
        With bands.
    places : sequence of Path
        Directories in which the runs of the bands lie now, in the order of the members.
    runs : mapping of str to Run
        By the names of the members.
    shared : mapping
        The content of ``shared/summary.json``.
    observer : Observer
        Is told why there is no report, if one cannot be made.
    """
    members = {each.band: each.name for each in description.members}
    place = dict(zip(members, places, strict=True))
    stars = band_catalogue({band: path / STAR_CATALOGUE for band, path in place.items()})
    summaries = [runs[name].summary for name in members.values()]
    stamp = {
        "scrframe_version": __version__,
        "survey": description.name,
        "bands": ",".join(members),
        "data_note": "; ".join(sorted({str(each["data_note"]) for each in summaries} - {""})),
        **{
            f"magnitude_system_{band}": str(runs[name].summary["magnitude_system"])
            for band, name in members.items()
        },
    }
    write_parquet(folder / STAR_CATALOGUE, stars, stamp)
    reports = {name: run.report for name, run in runs.items()}
    if not any(reports.values()):
        return None
    parts = [
        BandPart(band, place[band], runs[name].summary, made.checks if made is not None else ())
        for band, name in members.items()
        for made in [reports[name]]
    ]
    try:  # as of one band: a report that fails must not lose the calibration
        return write_bands_report(folder, parts, shared, stars.column("n_bands").to_numpy())
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        observer.warning(f"the run is complete but has no report of all bands ({why})")
        return None
