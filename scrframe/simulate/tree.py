"""A simulated survey on disk, in the formats of the plugins that read it, and its truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import threadpool_limits

from scrframe.arrays import Array
from scrframe.config.simulation import BandSettings, SimulationSettings
from scrframe.errors import PluginError
from scrframe.io.parquet import write_plain
from scrframe.plugin import ExtinctionCatalogue, ExtinctionCurve, ReferenceCatalogue, SurveyLoader
from scrframe.simulate.second import draw_survey
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.tables import ColumnTable

#: Name of the file that holds the truth.
TRUTH = "truth.parquet"
#: Where the passband of a band that `simulation.band` describes is written.
PASSBAND = "passbands/{band}.csv"


def simulate_tree(
    settings: SimulationSettings,
    *,
    loader: SurveyLoader,
    loader_settings: Any,
    reference: ReferenceCatalogue,
    extinction: ExtinctionCatalogue,
    curve: ExtinctionCurve,
    curve_settings: Any,
    out: Path,
    band: str,
    gaia_format: str = "parquet",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write a simulated survey below `out`, with ``truth.parquet`` and a band's passband.

    Parameters
    ----------
    settings : SimulationSettings
        The same settings give the same files.
    loader, reference, extinction : descriptors
        Plugins that can write simulated data; the loader has a camera.
    loader_settings : PluginConfig
        With which the loader finds and reads what it has written.
    curve, curve_settings : ExtinctionCurve, PluginConfig
        The extinction curve that reddens the stars.
    out : Path
        An existing, empty directory; the caller moves it into place.
    gaia_format : {"parquet", "csv"}
    progress : callable (fields), optional
        Told of every field that is done.

    Returns
    -------
    dict
        Counts, for a summary.

    Raises
    ------
    PluginError
        If a plugin cannot write simulated data.
    """
    if loader.camera is None or loader.write_simulated is None:
        raise PluginError(f"survey loader {loader.name!r} cannot write simulated data")
    camera = loader.camera_for(loader_settings)
    if camera is None:
        raise PluginError(
            f"survey loader {loader.name!r} has no camera, which a simulation needs; describe one"
            f" under loader.{loader.name}.camera, or name your own data by --data"
        )
    if reference.write_simulated is None:
        raise PluginError(f"reference catalogue {reference.name!r} cannot write simulated data")
    if extinction.write_simulated is None:
        raise PluginError(f"extinction catalogue {extinction.name!r} cannot write simulated data")
    # Products of matrices differ in the last bit with the number of threads.
    with threadpool_limits(1):
        survey = draw_survey(
            settings,
            camera,
            lambda wavelength: curve.curve(curve_settings, wavelength),
            band=band,
            progress=progress,
        )
    files = [
        loader.write_simulated(survey.visit(number), out, loader_settings)
        for number in range(len(survey.visits))
    ]
    if loader.close_simulated is not None:
        loader.close_simulated(out, loader_settings)
    reference.write_simulated(survey.catalogue, out, gaia_format)
    extinction.write_simulated(survey.catalogue, out)
    if settings.band is not None:
        _write_passband(out / PASSBAND.format(band=band), settings.band)
    sizes = [len(found.star) for found in survey.visits]
    visit_rows = find_visits(loader, loader_settings, out, files, sizes)
    truth = pa.concat_tables(
        survey.truth(number, file.name, visit.key, visit.row)
        for number, (file, visit) in enumerate(zip(files, visit_rows, strict=True))
    ).unify_dictionaries()
    write_plain(out / TRUTH, truth, {})
    return _summary(survey, truth.num_rows)


def _write_passband(path: Path, band: BandSettings) -> None:
    """Write a passband as CSV, wavelengths in nm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{wavelength!r},{through!r}" for wavelength, through in band.passband]
    path.write_text("\n".join(["wavelength,transmission", *lines, ""]), encoding="utf-8")


def _summary(survey: SimulatedSurvey, star_detections: int) -> dict[str, Any]:
    return {
        "fields": len(survey.layout.name),
        "visits": len(survey.visits),
        "stars": len(survey.stars),
        "stars_with_spectra": int(survey.stars.has_spectrum.sum()),
        "detections": sum(len(found.star) for found in survey.visits),
        "star_detections": star_detections,
    }


@dataclass(frozen=True)
class WrittenVisit:
    """Where a visit is found again."""

    #: The loader's key of the visit.
    key: str
    #: Rows of its detections, in the order in which they were written. Shape (n,).
    row: npt.NDArray[np.int64]


def find_visits(
    loader: SurveyLoader, settings: Any, root: Path, files: Sequence[Path], sizes: Sequence[int]
) -> list[WrittenVisit]:
    """Return where the loader finds each visit.

    Parameters
    ----------
    root : Path
        Data root.
    files : sequence of Path
        The file of each visit; several visits may be in one, one after the other.
    sizes : sequence of int
        Number of detections of each visit, as written.

    Raises
    ------
    PluginError
        If a visit is not found, or is found mixed with others.
    """
    found = _read(loader, settings, root)
    starts: dict[Path, int] = {}
    totals: dict[Path, int] = {}
    for file, size in zip(files, sizes, strict=True):
        totals[file.resolve()] = totals.get(file.resolve(), 0) + size
    visits = []
    for file, size in zip(files, sizes, strict=True):
        path = file.resolve()
        start = starts.get(path, 0)
        starts[path] = start + size
        content = found.get(path)
        visit = None if content is None else _visit_rows(content, start, size, totals[path])
        if visit is None:
            raise PluginError(
                f"survey loader {loader.name!r} does not find the visit that it wrote to {file}"
            )
        visits.append(visit)
    return visits


@dataclass(frozen=True)
class _Content:
    """What the loader reads of one file, in its order; arrays of shape (m,)."""

    visit: Array
    labels: Array
    extension: Array
    row: Array


def _visit_rows(content: _Content, start: int, size: int, total: int) -> WrittenVisit | None:
    """Return the visit written from row `start` on, None if it is not there by itself."""
    if len(content.row) == total:
        here = np.arange(start, start + size)
        row = content.row[here]
    elif np.ptp(content.extension) == 0:
        # Some rows are filtered out: those that are read name their own.
        here = np.flatnonzero((content.row >= start) & (content.row < start + size))
        row = np.arange(start, start + size)
    else:
        return None
    codes = np.unique(content.visit[here])
    if len(codes) != 1:
        return None
    return WrittenVisit(str(content.labels[codes[0]]), row.astype(np.int64))


def _read(loader: SurveyLoader, settings: Any, root: Path) -> dict[Path, _Content]:
    pieces: dict[Path, list[ColumnTable]] = {}
    for part in loader.parts(settings, root):
        read = loader.read(part, settings, ()).arrow.select(["visit", "extension", "row"])
        pieces.setdefault(part.path.resolve(), []).append(ColumnTable(read))
    return {
        path: _joined(ColumnTable.concat(tables)) for path, tables in pieces.items() if len(tables)
    }


def _joined(table: ColumnTable) -> _Content:
    codes, labels = table.codes("visit")
    # Arrow may hold a label twice.
    names, code = np.unique(np.array([*labels, ""]), return_inverse=True)
    visit = code[codes] if len(codes) else np.zeros(0, np.int64)
    return _Content(visit, names, table["extension"], table["row"])
