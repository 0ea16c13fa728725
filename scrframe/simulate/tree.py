"""A simulated survey on disk, in the formats of the plugins that read it, and its truth."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from scrframe.config.band import BandSettings
from scrframe.config.simulation import SimulationSettings
from scrframe.errors import PluginError
from scrframe.plugin import ExtinctionCatalogue, ExtinctionCurve, ReferenceCatalogue, SurveyLoader
from scrframe.simulate.survey import SimulatedSurvey, build_survey

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
    band : str
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
    if reference.write_simulated is None:
        raise PluginError(f"reference catalogue {reference.name!r} cannot write simulated data")
    if extinction.write_simulated is None:
        raise PluginError(f"extinction catalogue {extinction.name!r} cannot write simulated data")
    # Products of matrices differ in the last bit with the number of threads.
    with threadpool_limits(1):
        survey = build_survey(
            settings,
            loader.camera,
            lambda wavelength: curve.curve(curve_settings, wavelength),
            band=band,
            progress=progress,
        )
    files = [
        loader.write_simulated(survey.visit(number), out) for number in range(len(survey.visits))
    ]
    reference.write_simulated(survey.catalogue, out, gaia_format)
    extinction.write_simulated(survey.catalogue, out)
    if settings.band is not None:
        _write_passband(out / PASSBAND.format(band=band), settings.band)
    visits = _visit_keys(loader, loader_settings, out, files)
    truth = pa.concat_tables(
        survey.truth(number, file.name, visits[file.resolve()]) for number, file in enumerate(files)
    ).unify_dictionaries()
    pq.write_table(truth, out / TRUTH, compression="zstd")
    return _summary(survey, truth.num_rows)


def _write_passband(path: Path, band: BandSettings) -> None:
    """Write a passband as CSV, wavelengths in nm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{wavelength!r},{through!r}" for wavelength, through in band.passband]
    path.write_text("\n".join(["wavelength,transmission", *lines, ""]), encoding="utf-8")


def _visit_keys(
    loader: SurveyLoader, settings: Any, root: Path, files: list[Path]
) -> dict[Path, str]:
    """Return the loader's own key of the visit in each file."""
    keys: dict[Path, str] = {}
    for part in loader.parts(settings, root):
        codes, labels = loader.read(part, settings, ()).codes("visit")
        if len(codes) and len(np.unique(codes)) == 1:
            keys[part.path.resolve()] = labels[codes[0]]
    missing = [os.fspath(file) for file in files if file.resolve() not in keys]
    if missing:
        raise PluginError(
            f"survey loader {loader.name!r} does not find the visit that it wrote to {missing[0]}"
        )
    return keys


def _summary(survey: SimulatedSurvey, star_detections: int) -> dict[str, Any]:
    return {
        "fields": len(survey.layout.name),
        "visits": len(survey.visits),
        "stars": len(survey.stars),
        "stars_with_spectra": int(survey.stars.has_spectrum.sum()),
        "detections": sum(len(found.star) for found in survey.visits),
        "star_detections": star_detections,
    }
