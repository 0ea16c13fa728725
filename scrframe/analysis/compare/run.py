"""The comparison of colour models: one sample, one set of labels and folds, every backend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from scrframe.analysis.compare.behaviour import Costs, costs_of, write_costs
from scrframe.analysis.compare.evaluation import (
    BackendEvaluation,
    evaluate,
    keep_evaluation,
    kept_evaluation,
    trainings,
)
from scrframe.analysis.compare.offsets import (
    LevelErrors,
    differences,
    errors_by_pairs,
    errors_by_truth,
    find_pairs,
    offset_finder,
    true_offsets,
)
from scrframe.analysis.compare.page import comparison_page
from scrframe.analysis.compare.ranking import Evaluations
from scrframe.analysis.compare.result import COMPARISON, BackendResult, Comparison, write_comparison
from scrframe.analysis.compare.training_set import (
    ControlStars,
    Folds,
    TrainingSet,
    blocked_folds,
    control_columns,
    random_folds,
)
from scrframe.analysis.fitted_sample import (
    fit_sample,
    provenance,
    require_training,
    resolve_with_warnings,
)
from scrframe.config import SurveyDescription
from scrframe.errors import CalibrationError, ConfigError, ScrframeError, one_line
from scrframe.observer import Observer
from scrframe.plugin import ColourModel, PluginConfig, Registry, load_registry
from scrframe.products.files import write_text
from scrframe.report.page import write_page
from scrframe.run.colour_model import FittedModel, trend_settings
from scrframe.run.hyperparameters import search_folds, search_settings
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.session import Session, open_session
from scrframe.tables import MatchedStars


@dataclass(frozen=True)
class ComparisonRun:
    """A finished comparison.

    Attributes
    ----------
    path : Path
        Its directory.
    comparison : Comparison
        The content of ``comparison.json``.
    costs : tuple of Costs
        Of the backends without fault.
    """

    path: Path
    comparison: Comparison
    costs: tuple[Costs, ...]


@dataclass(frozen=True)
class Plan:
    """Who is compared, and how often."""

    #: The description's own first.
    backends: tuple[ColourModel, ...]
    folds: int
    seeds: int


def default_out(survey: SurveyDescription) -> Path:
    """Return where a comparison goes if nothing else is said."""
    return Path("runs") / f"{survey.name}_comparison"


def compare_backends(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    backends: Sequence[str] | None = None,
    folds: int = 5,
    seeds: int = 2,
    out: str | Path | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> ComparisonRun:
    """Compare colour models on the same stars, labels, features and folds.

    The sample is built and fitted once, with the description's own colour model; its labels
    then train every backend. A backend that fails or cheats is named, and stops no other.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`; its ``colour_model.kind`` is the reference.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    backends : sequence of str, optional
        Colour models besides the reference; by default all that are installed.
    folds, seeds : int
        Number of folds, and how often stars and sky cells are dealt to them.
    out : path, optional
        By default ``runs/<survey>_comparison``. An earlier comparison is replaced.
    workers : int, optional
        Number of processes and threads; by default as many as there are processors.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.
    executor : Executor or str, optional
        As of `scrframe.calibrate`.

    Raises
    ------
    ConfigError
        If folds or seeds are too few, or no backend is named.
    PluginError
        If a backend that is named is not installed.
    ScrframeError
        If the description or the data do not allow it, or every backend fails. A comparison
        that fails otherwise or is interrupted leaves the backends that are done, beside its
        output, and the same call goes on from them.
    """
    observer = observer or Observer()
    chosen = resolve_with_warnings(survey, data, registry or load_registry(), observer)
    require_training(chosen, "a comparison of colour models")
    plan = _plan(chosen, backends, folds, seeds)
    target = Path(out) if out is not None else default_out(survey)
    with open_session(
        chosen, target, mark=COMPARISON, workers=workers, observer=observer, executor=executor
    ) as session:
        comparison, costs = _Comparing(session, plan).run()
    return ComparisonRun(session.workspace.out, comparison, costs)


def _plan(chosen: SelectedPlugins, names: Sequence[str] | None, folds: int, seeds: int) -> Plan:
    if folds < 2 or seeds < 1:
        raise ConfigError("a comparison needs 2 folds or more, and 1 seed or more")
    names = None if names is None else [name for name in names if name]
    if names is not None and not names:
        raise ConfigError("no colour model is named to compare; leave the names out for all")
    registry = chosen.registry
    if names is None:
        every = registry.names(ColourModel)
        names = [name for name in every if registry.get(ColourModel, name).learns]
    # The reference takes part in any case: the others are measured against it.
    order = dict.fromkeys([chosen.backend.name, *names])
    return Plan(tuple(registry.get(ColourModel, name) for name in order), folds, seeds)


class _Comparing:
    """One comparison; each method is a step."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session, self._plan = session, plan
        self._chosen, self._space = session.plugins, session.workspace
        self._observer, self._workers = session.observer, session.workers
        self._searched: dict[str, dict[str, Any]] = {}
        self._settings: dict[str, PluginConfig] = {}

    def run(self) -> tuple[Comparison, tuple[Costs, ...]]:
        monitor = self._session.monitor
        built, fitted = fit_sample(self._session)
        sample = built.matched
        training, stars = self._training_set(sample, fitted)
        with monitor.step("compare backends"):
            evaluated = self._evaluate_all(training)
        good = {name: each for name, each in evaluated.items() if each.fault is None}
        if not good:
            faults = "; ".join(f"{name}: {each.fault}" for name, each in evaluated.items())
            raise CalibrationError(f"no colour model can be used: {faults}")
        with monitor.step("offsets"):
            errors = self._offset_errors(sample, fitted, good)
        with monitor.step("figures"):
            own = self._chosen.backend.name
            evaluations = Evaluations(good, training, stars, errors, own)
            groups, pairs = evaluations.ranked()
            survey = self._chosen.survey
            comparison = Comparison(
                survey.name,
                survey.band,
                own,
                tuple(range(self._plan.seeds)),
                self._plan.folds,
                len(training.control),
                self._has_truth,
                self._session.data.note,
                tuple(
                    evaluations.with_scores(self._describe(backend, evaluated[backend.name]))
                    for backend in self._plan.backends
                ),
                groups,
                pairs,
            )
        with monitor.step("write products"):
            return comparison, self._write(comparison, evaluations)

    def _training_set(
        self, sample: MatchedStars, fitted: FittedModel
    ) -> tuple[TrainingSet, ControlStars]:
        """Return what all backends learn from, with folds from the seed alone."""
        label, seed = fitted.model.label_mag, self._chosen.survey.colour_model.seed
        control = np.flatnonzero(np.isfinite(label))
        columns = control_columns(sample, control)
        number, seeds = self._plan.folds, range(self._plan.seeds)
        blocks = [blocked_folds(columns["ra"], columns["dec"], number, seed + k) for k in seeds]
        folds = tuple(
            Folds(k, random_folds(len(control), number, seed + k), fold)
            for k, (_, fold) in enumerate(blocks)
        )
        training = TrainingSet(
            sample.features,
            control,
            label[control],
            folds,
            trend_settings(self._chosen),
            seed,
            self._workers,
        )
        return training, ControlStars(columns, blocks[0][0])

    def _evaluate_all(self, training: TrainingSet) -> dict[str, BackendEvaluation]:
        found = {}
        total = trainings(training) * len(self._plan.backends)
        with self._observer.step("Comparing colour models", total) as done:
            for backend in self._plan.backends:
                evaluation = found[backend.name] = self._evaluate(backend, training, done)
                if evaluation.fault is None:
                    self._observer.message(f"  {backend.name}: done")
                else:
                    self._observer.warning(f"{backend.name}: {evaluation.fault}")
        return found

    def _evaluate(
        self, backend: ColourModel, training: TrainingSet, done: Any
    ) -> BackendEvaluation:
        """Put one backend to the test, or take up what was found before an interruption."""
        try:
            settings = self._settings_of(backend, training)
        except (ScrframeError, ValidationError) as error:
            done(trainings(training))
            return BackendEvaluation(fault=f"settings: {one_line(error)}")
        self._settings[backend.name] = settings
        path = self._space.target("backends", self._key(backend, settings))
        evaluation = kept_evaluation(path)
        if evaluation is None:
            evaluation = evaluate(backend, settings, training, done)
            keep_evaluation(path, evaluation)
        else:
            done(trainings(training))
        return evaluation

    def _settings_of(self, backend: ColourModel, training: TrainingSet) -> PluginConfig:
        """Return the description's settings of a backend, or those that a search finds."""
        block = self._chosen.survey.colour_model
        settings = block.plugins.get(backend.name) or backend.config()
        if block.search is None:
            return settings
        settings, record = search_settings(
            backend,
            settings,
            block.search,
            training.features[training.control],
            training.colour_mag,
            search_folds(len(training.control), block.search),
            training.seed,
            self._workers,
            training.trend,
        )
        if record:
            self._searched[backend.name] = record
        return settings

    def _key(self, backend: ColourModel, settings: PluginConfig) -> str:
        provider = self._chosen.registry.provider(ColourModel, backend.name)
        code = [backend.name, backend.version, provider.distribution, provider.module]
        plain = settings.model_dump(mode="json")
        return json.dumps([*code, plain, self._plan.folds, self._plan.seeds], sort_keys=True)

    def _offset_errors(
        self, sample: MatchedStars, fitted: FittedModel, good: Mapping[str, BackendEvaluation]
    ) -> dict[str, dict[str, LevelErrors]]:
        """Return errors of the offsets by backend and level."""
        finder = offset_finder(self._chosen, sample, fitted)
        truth = true_offsets(self._session.inputs.root, sample.detections)
        pairs = find_pairs(sample, finder.held_out)
        self._has_truth = truth is not None
        found: dict[str, dict[str, LevelErrors]] = {}
        with self._observer.step("Offsets of each colour model", len(good)) as done:
            for name, evaluation in good.items():
                assert evaluation.colour_mag is not None
                delta = differences(self._chosen, fitted, finder.law_mask, evaluation.colour_mag)
                parameters = finder.parameters(delta)
                by_truth = {} if truth is None else errors_by_truth(finder, parameters, truth)
                by_pairs = errors_by_pairs(
                    finder.everywhere(parameters), sample.detections["mag"], pairs
                )
                found[name] = by_truth | by_pairs
                done(1)
        return found

    def _describe(self, backend: ColourModel, evaluation: BackendEvaluation) -> BackendResult:
        """Return what a backend is and ran with, without scores."""
        name = backend.name
        settings = self._settings.get(name)
        return BackendResult(
            name,
            backend.summary,
            backend.version,
            {} if settings is None else settings.model_dump(mode="json"),
            self._searched.get(name),
            evaluation.fault,
            evaluation.notes,
        )

    def _write(self, comparison: Comparison, evaluations: Evaluations) -> tuple[Costs, ...]:
        folder, survey = self._space.run, self._chosen.survey
        measured = (costs_of(name, each.costs) for name, each in evaluations.by_name.items())
        costs = tuple(each for each in measured if each is not None)
        write_costs(folder, costs, self._workers)
        write_page(comparison_page(comparison, costs, evaluations.residual_tables()), folder)
        write_text(folder / "description.yaml", survey.as_yaml())
        write_comparison(folder, comparison, provenance(survey))
        return costs
