"""Check a description, its plugins and its data before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.plugin import Part, PluginConfig, Registry, load_registry
from scrframe.run.correct.catalogues import check_writers
from scrframe.run.executor import open_executor, run_tasks
from scrframe.run.plugins import SelectedPlugins, find_inputs, resolve_plugins

#: The input of which damaged parts may be left out.
CATALOGUES = "catalogues"


@dataclass(frozen=True)
class CheckTask:
    """One part to be checked in a worker."""

    group: str
    check: Callable[[Part, Any], None]
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
    """

    data_root: str
    counts: dict[str, int]
    problems: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)


def check_part(task: CheckTask) -> str | None:
    """Return why a part is not readable, or None."""
    try:
        task.check(task.part, task.settings)
    except DataError as error:
        return str(error)
    return None


def validate(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    workers: int = 1,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> Validation:
    """Check that all that a description names is there and readable.

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
    inputs = find_inputs(plugins, root.path)
    check_writers(plugins.writers, inputs.catalogues)
    groups = {
        CATALOGUES: inputs.catalogues,
        "reference stars": inputs.sources,
        "spectra": inputs.features,
        "extinctions": inputs.extinctions,
    }
    tasks = [task for name, parts in groups.items() for task in _tasks(plugins, name, parts)]
    with open_executor(workers) as executor:
        found = _check(executor, tasks, observer)
    skipped: dict[str, str] = {}
    if survey.data.on_bad_file == "skip":
        skipped = {
            part.key: found.pop((CATALOGUES, part.key))
            for part in inputs.catalogues
            if (CATALOGUES, part.key) in found
        }
        _require_one(inputs.catalogues, skipped)
    counts = {name: len(parts) for name, parts in groups.items()}
    counts[CATALOGUES] -= len(skipped)
    problems = tuple(dict.fromkeys(found.values()))
    return Validation(str(root.path), counts, problems, skipped)


def _tasks(plugins: SelectedPlugins, group: str, parts: tuple[Part, ...]) -> list[CheckTask]:
    survey = plugins.survey
    check, settings = {
        CATALOGUES: (plugins.loader.check, survey.loader.settings),
        "reference stars": (plugins.reference.check, survey.reference.settings),
        "spectra": (plugins.reference.check, survey.reference.settings),
        "extinctions": (plugins.extinctions.check, survey.extinction.values.settings),
    }[group]
    return [CheckTask(group, check, settings, part) for part in parts] if check is not None else []


def _check(
    executor: Executor, tasks: list[CheckTask], observer: Observer
) -> dict[tuple[str, str], str]:
    """Return what is wrong, by input and key of the part."""
    with observer.step("Checking inputs", len(tasks)) as done:
        found = run_tasks(executor, check_part, tasks, done)
    return {
        (task.group, task.part.key): problem
        for task, problem in zip(tasks, found, strict=True)
        if problem is not None
    }


def _require_one(catalogues: Sequence[Part], skipped: Mapping[str, str]) -> None:
    if len(skipped) == len(catalogues):
        reason = list(skipped.values())[-1]
        raise DataError(f"no catalogue could be read; the last reason: {reason}")
