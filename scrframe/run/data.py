"""The data of a survey: where they are, whether they can be read, and simulated ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scrframe.config import SimulationSettings, SurveyDescription, locate, resolve_data_root
from scrframe.errors import ConfigError, DataError, PluginError
from scrframe.io import read_table
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, Registry, SurveyLoader, load_registry
from scrframe.products.files import write_json
from scrframe.run.keys import work_key
from scrframe.run.plugins import SelectedPlugins, check_writers, find_inputs, resolve_plugins
from scrframe.run.sample.coverage import SkyCoverage, absent_products, coverage, why_absent
from scrframe.run.sample.visits import (
    bands_of,
    merge_visits,
    refuse_doubles,
    refuse_mixed_bands,
    refuse_twins,
    visits_of,
)
from scrframe.run.workers import open_executor, run_tasks
from scrframe.run.workspace import fit_place, open_workspace
from scrframe.tables import Detections
from scrframe.tables.table import plausible

#: A data tree that holds this file is simulated; it says what and with which settings.
SIMULATION_MARK = "simulation.json"
#: What the built-in sample survey is called as a data root.
SAMPLE = "sample"


@dataclass(frozen=True)
class DataSource:
    """A data root."""

    path: Path
    #: ``sample``, or the path as it was given.
    label: str
    #: What every product says of its data; empty for real data.
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
    """Return the built-in sample survey, simulated at its first use and kept in the cache."""
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
        If `out` holds something already, or cannot be made; or if the description lacks what
        a simulation of its layout needs.
    PluginError
        If a selected plugin cannot write simulated data.
    """
    plugins = resolve_plugins(survey, registry or load_registry())
    out, settings = Path(out).absolute(), settings or survey.simulation
    place = fit_place(out, None)
    if place.out.exists() and (not place.out.is_dir() or any(place.entries())):
        raise ConfigError(f"{out}: exists and is not empty; choose another --out")
    with open_workspace(out, work_key(survey.digest()), resumes=False) as space:
        _fill(plugins, settings, space.run, gaia_format, observer or Observer())
    return out


def read_centres(path: Path, fields: int | None = None) -> list[tuple[str, str]]:
    """Return centres of fields, for `simulation.centres`: columns ra and dec of a table, in deg.

    Parameters
    ----------
    fields : int, optional
        So many, from the first row on.

    Raises
    ------
    ConfigError
        If there are not so many.
    DataError
        If the table cannot be read, or lacks a column.
    """
    block = read_table(path, ("ra", "dec"))
    ra, dec = block.numbers("ra").tolist(), block.numbers("dec").tolist()
    if fields is not None and not 0 < fields <= len(ra):
        raise ConfigError(f"--fields: {path} holds {len(ra):,} fields, not {fields:,}")
    pairs = zip(ra[:fields], dec[:fields], strict=True)
    return [(f"{east} deg", f"{north} deg") for east, north in pairs]


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
    try:
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
    except PluginError as error:
        if not error.key:
            raise
        key = ("loader", survey.loader.kind, *error.key)
        raise ConfigError(locate(survey, key, str(error))) from None
    write_json(
        folder / SIMULATION_MARK,
        {
            "note": note_for(survey.band),
            "generator_version": GENERATOR_VERSION,
            "settings": settings.model_dump(mode="json"),
            "summary": summary,
        },
    )


#: The input of which damaged parts may be left out.
CATALOGUES = "catalogues"


@dataclass(frozen=True)
class CheckTask:
    """One part to be checked in a worker."""

    group: str
    check: Callable[[Part, Any], Detections | None]
    settings: PluginConfig
    part: Part


@dataclass(frozen=True)
class Validation:
    """What a check found.

    Attributes
    ----------
    data_root : str
        ``sample`` or a path.
    counts : mapping of str to int
        Number of parts of each input; empty for the built-in sample, which is made on use.
    problems : tuple of str
        One line for each input that cannot be read.
    skipped : mapping of str to str
        Damaged catalogues that a run would leave out (``on_bad_file: skip``), and why.
    coverage : SkyCoverage, optional
        How many visits lack reference data, as far as it can be told.
    """

    data_root: str
    counts: dict[str, int]
    problems: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    coverage: SkyCoverage | None = None


def check_part(task: CheckTask) -> str | Detections | None:
    """Return why a part is not readable, else its first detections where it has any."""
    try:
        found = task.check(task.part, task.settings)
        if found is not None:
            visits_of(plausible(found, str(task.part.path)))
    except DataError as error:
        return str(error)
    return found


def _compared(heads: Mapping[str, Detections], loader: SurveyLoader) -> Iterator[str]:
    """Yield what is wrong between parts, by the first detections of each."""
    try:
        seen = {key: visits_of(head) for key, head in heads.items()}
        if not loader.visits_span_parts:
            refuse_twins(seen)
        visits = merge_visits(visit for several in seen.values() for visit in several)
        refuse_mixed_bands({key: bands_of(head) for key, head in heads.items()})
        refuse_doubles(
            visits,
            lambda key: Detections.concat(
                head.filter(head["visit"] == key) for head in heads.values()
            ),
        )
    except DataError as error:
        yield str(error)


def validate(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    workers: int = 1,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> Validation:
    """Check that all that a description names is there and readable.

    `executor` is as of `scrframe.calibrate`.

    Raises
    ------
    ScrframeError
        If a plugin or a whole input is missing.
    """
    observer = observer or Observer()
    plugins = resolve_plugins(survey, registry or load_registry())
    root = resolve_data_root(survey, None if data is None else str(data))
    if root.path is None:
        return Validation("sample", {}, ())
    absent = absent_products(plugins, root.path)
    if absent:
        catalogues = plugins.loader.parts(survey.loader.settings, root.path)
        said = tuple(why_absent(plugins, root.path, absent))
        counts = {CATALOGUES: len(catalogues)}
        return Validation(str(root.path), counts, said, coverage=SkyCoverage(0, {}, absent))
    inputs = find_inputs(plugins, root.path)
    check_writers(plugins.writers, inputs.catalogues)
    reference, extinction = survey.reference.settings, survey.extinction.values.settings
    groups = {
        CATALOGUES: (inputs.catalogues, plugins.loader.check, survey.loader.settings),
        "reference stars": (inputs.sources, plugins.reference.check, reference),
        "spectra": (inputs.features, plugins.reference.check, reference),
        "extinctions": (inputs.extinctions, plugins.extinctions.check, extinction),
    }
    tasks = [
        CheckTask(name, check, settings, part)
        for name, (parts, check, settings) in groups.items()
        if check is not None
        for part in parts
    ]
    with (
        open_executor(workers, executor, needs=(root.path,), say=observer.message) as opened,
        observer.step("Checking inputs", len(tasks)) as done,
    ):
        answers = run_tasks(opened, check_part, tasks, done)
    found = {
        (task.group, task.part.key): problem
        for task, problem in zip(tasks, answers, strict=True)
        if isinstance(problem, str)
    }
    heads = {
        task.part.key: head
        for task, head in zip(tasks, answers, strict=True)
        if isinstance(head, Detections)
    }
    skipped: dict[str, str] = {}
    if survey.data.on_bad_file == "skip":
        damaged = [(group, key) for group, key in found if group == CATALOGUES]
        skipped = {key: found.pop((group, key)) for group, key in damaged}
        if len(skipped) == len(inputs.catalogues):
            reason = list(skipped.values())[-1]
            raise DataError(f"no catalogue could be read; the last reason: {reason}")
    counts = {name: len(parts) for name, (parts, _, _) in groups.items()}
    counts[CATALOGUES] -= len(skipped)
    problems = tuple(dict.fromkeys([*found.values(), *_compared(heads, plugins.loader)]))
    covered = None if problems else coverage(plugins, inputs, list(heads.values()))
    if covered is not None:
        problems = tuple(_uncovered(covered))
    return Validation(str(root.path), counts, problems, skipped, covered)


def _uncovered(covered: SkyCoverage) -> Iterator[str]:
    """Yield what is wrong where no visit at all has what it needs."""
    words = {"sources": "reference star", "spectra": "spectrum", "extinctions": "extinction"}
    for product, count in covered.without.items():
        if count == covered.visits:
            yield f"no visit has a {words[product]}: its files are of another part of the sky"
            return  # what follows of it is missing too
