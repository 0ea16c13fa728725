"""Simulated surveys: the built-in sample, and trees written by `scrframe simulate`."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scrframe.config import SimulationSettings, SurveyDescription
from scrframe.errors import ConfigError
from scrframe.observer import Observer
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import writable, write_json
from scrframe.run.plugins import SelectedPlugins, resolve_plugins

#: A data tree that holds this file is simulated; it says what and with which settings.
SIMULATION_MARK = "simulation.json"
#: What the built-in sample survey is called as a data root.
SAMPLE = "sample"


@dataclass(frozen=True)
class DataSource:
    """A data root.

    Attributes
    ----------
    path : Path
    label : str
        ``sample``, or the path as it was given.
    note : str
        What every product says of its data; empty for real data.
    """

    path: Path
    label: str
    note: str

    def headline(self, survey: str) -> str:
        """Return the first line that a command prints."""
        text = f"scrframe: survey {survey}, data root {self.label}"
        return f"{text}: {self.note}" if self.note else text


def note_for(band: str) -> str:
    """Return what every product of simulated data says."""
    return f"simulated {band} magnitudes on real Gaia XP spectra"


def data_note(root: Path) -> str:
    """Return the note that a data tree asks its products to carry; empty for real data."""
    mark = root / SIMULATION_MARK
    if not mark.is_file():
        return ""
    try:
        return str(json.loads(mark.read_text(encoding="utf-8")).get("note", "simulated data"))
    except (ValueError, AttributeError):
        return "simulated data"


def ensure_sample(plugins: SelectedPlugins, observer: Observer) -> Path:
    """Return the built-in sample survey, made at its first use and kept in the cache."""
    from scrframe.simulate import sample_tree  # noqa: PLC0415 - not needed for real data

    settings = plugins.survey.simulation

    def fill(folder: Path) -> None:
        _fill(plugins, settings, folder, "parquet", observer)

    others = (
        plugins.reference.name,
        plugins.extinctions.name,
        plugins.curve.name,
        plugins.survey.band,
    )
    # The settings of some loaders tell how the files look, and which detectors there are.
    layout = (
        plugins.survey.loader.settings.model_dump_json() if callable(plugins.loader.camera) else ""
    )
    return sample_tree(settings, plugins.loader.name, fill, *others, layout)


def simulate_survey(
    survey: SurveyDescription,
    out: str | Path,
    *,
    settings: SimulationSettings | None = None,
    gaia_format: str = "parquet",
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write a simulated survey in the real formats, with ``truth.parquet``.

    Parameters
    ----------
    survey : SurveyDescription
        Names the plugins that write, and by default the settings (`simulation`).
    out : path
        Directory to be made; it must not exist, or be empty.
    settings : SimulationSettings, optional
    gaia_format : {"parquet", "csv"}
        Format of the Gaia source and XP products.
    observer, registry : optional

    Raises
    ------
    ConfigError
        If `out` holds something already, or cannot be made.
    PluginError
        If a selected plugin cannot write simulated data.
    """
    plugins = resolve_plugins(survey, registry or load_registry())
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: exists and is not empty; choose another --out")
    with writable(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _fill(plugins, settings or survey.simulation, scratch, gaia_format, observer or Observer())
        scratch.chmod(0o755)
        scratch.replace(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return out


def _fill(
    plugins: SelectedPlugins,
    settings: SimulationSettings,
    folder: Path,
    gaia_format: str,
    observer: Observer,
) -> None:
    from scrframe.simulate import (  # noqa: PLC0415 - not needed for real data
        GENERATOR_VERSION,
        simulate_tree,
    )

    survey = plugins.survey
    with observer.step("Simulating the survey", settings.fields) as done:
        summary = simulate_tree(
            settings,
            loader=plugins.loader,
            loader_settings=survey.loader.settings,
            reference=plugins.reference,
            extinction=plugins.extinctions,
            curve=plugins.curve,
            curve_settings=survey.extinction.curve.settings,
            out=folder,
            band=survey.band,
            gaia_format=gaia_format,
            progress=done,
        )
    write_json(
        folder / SIMULATION_MARK,
        {
            "note": note_for(survey.band),
            "generator_version": GENERATOR_VERSION,
            "settings": settings.model_dump(mode="json"),
            "summary": summary,
        },
    )
