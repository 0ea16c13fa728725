"""A simulated survey on disk, in the formats of the plugins that read it, and its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from scrframe.config.simulation import BandSettings, SimulationSettings
from scrframe.errors import PluginError
from scrframe.plugin import ExtinctionCatalogue, ExtinctionCurve, ReferenceCatalogue, SurveyLoader
from scrframe.simulate.read_back import find_places
from scrframe.simulate.second import draw_survey
from scrframe.simulate.survey import SimulatedSurvey

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
    camera = loader.camera_for(loader_settings)
    if camera is None:
        raise PluginError(
            f"survey loader {loader.name!r} has no camera, which a simulation needs; describe one"
            f" under loader.{loader.name}.camera"
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
    places = find_places(loader, loader_settings, out, files, sizes)
    truth = pa.concat_tables(
        survey.truth(number, file.name, place.key, place.row)
        for number, (file, place) in enumerate(zip(files, places, strict=True))
    ).unify_dictionaries()
    pq.write_table(truth, out / TRUTH, compression="zstd")
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
