"""Check a description, its plugins and its data before any work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.errors import DataError
from scrframe.pipeline.chosen import Chosen, choose, find_inputs
from scrframe.pipeline.correct import check_writers
from scrframe.pipeline.executor import open_executor, run_tasks
from scrframe.pipeline.observer import Observer
from scrframe.plugin import Part, PluginConfig, Registry, load_registry


@dataclass(frozen=True)
class CheckTask:
    """One part to be checked in a worker."""

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
    """

    data_root: str
    counts: dict[str, int]
    problems: tuple[str, ...]


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
    chosen = choose(survey, registry or load_registry())
    root = resolve_data_root(survey, None if data is None else str(data))
    if root.path is None:
        return Validation("sample", {}, ())
    inputs = find_inputs(chosen, root.path)
    check_writers(chosen.writers, inputs.catalogues)
    groups = {
        "catalogues": inputs.catalogues,
        "reference stars": inputs.sources,
        "spectra": inputs.features,
        "extinctions": inputs.extinctions,
    }
    tasks = [task for name, parts in groups.items() for task in _tasks(chosen, name, parts)]
    with open_executor(workers) as executor:
        problems = _check(executor, tasks, observer)
    counts = {name: len(parts) for name, parts in groups.items()}
    return Validation(str(root.path), counts, problems)


def _tasks(chosen: Chosen, group: str, parts: tuple[Part, ...]) -> list[CheckTask]:
    survey = chosen.survey
    check, settings = {
        "catalogues": (chosen.loader.check, survey.loader.settings),
        "reference stars": (chosen.reference.check, survey.reference.settings),
        "spectra": (chosen.reference.check, survey.reference.settings),
        "extinctions": (chosen.extinctions.check, survey.extinction.values.settings),
    }[group]
    return [CheckTask(check, settings, part) for part in parts] if check is not None else []


def _check(executor: Executor, tasks: list[CheckTask], observer: Observer) -> tuple[str, ...]:
    with observer.step("Checking inputs", len(tasks)) as done:
        found = run_tasks(executor, check_part, tasks, done)
    return tuple(dict.fromkeys(problem for problem in found if problem is not None))
