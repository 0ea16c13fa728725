"""One colour-model backend put to the test; what it does wrong is named, and stops nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from scrframe.analysis.compare import behaviour
from scrframe.analysis.compare.result import FOLD_KINDS
from scrframe.analysis.compare.training_set import Folds, TrainingSet, detrended
from scrframe.arrays import Features, FloatArray
from scrframe.errors import one_line
from scrframe.plugin import ColourModel, FittedColourModel, PluginConfig
from scrframe.products.files import load_arrow, save_arrow, seal, sealed
from scrframe.scr.training import Linear

#: Stars on which a backend is checked for leakage: enough to see it, few enough to be quick.
LEAKAGE_STARS = 1500


class FaultError(Exception):
    """A backend did what it must not; the message says what."""


@dataclass(frozen=True)
class BackendEvaluation:
    """What one backend predicted, or what is wrong with it."""

    #: In one sentence.
    fault: str | None = None
    notes: tuple[str, ...] = ()
    #: Predictions of the control stars by models that have not seen them, by kind and seed of the
    #: folds. Arrays of shape (n,).
    held_out: Mapping[tuple[str, int], FloatArray] = field(default_factory=dict)
    #: The backend's own errors of the first blocked predictions. Shape (n,), or None.
    err_mag: FloatArray | None = None
    #: Predictions of all stars; of the control stars by the first random folds. Shape (s,), or
    #: None.
    colour_mag: FloatArray | None = None
    #: ``fit_s``, ``predictions_per_s``, ``peak_memory_mb`` and ``size_mb``.
    costs: Mapping[str, float | None] = field(default_factory=dict)


class CheckedModel:
    """A backend with fixed settings that is given copies only, and whose answers are checked.

    Parameters
    ----------
    seed : int
        Added to the training set's.
    """

    def __init__(
        self, backend: ColourModel, settings: PluginConfig, training: TrainingSet, seed: int = 0
    ) -> None:
        self._backend, self._settings = backend, settings
        self._seed, self._threads = training.seed + seed, training.threads

    def train(self, features: Features, colour_mag: FloatArray) -> FittedColourModel:
        """Train on features (t, m) and colours (t,)."""
        return self._backend.fit(
            np.array(features),
            np.array(colour_mag),
            None,
            self._settings.model_copy(),
            seed=self._seed,
            threads=self._threads,
        )

    def __call__(self, features: Features, colour_mag: FloatArray) -> PlainModel:
        """Train, and return a model that predicts plain arrays."""
        return PlainModel(self.train(features, colour_mag))


@dataclass(frozen=True)
class PlainModel:
    """A trained model as `scrframe.analysis.compare.behaviour` takes it."""

    model: FittedColourModel

    def predict(self, features: Features) -> FloatArray:
        """Predict the colours of features (k, m), shape (k,)."""
        return np.asarray(self.model.predict(np.array(features)).colour_mag)

    def smoother(self, features: Features) -> Linear | None:
        """Return the model as linear in its training colours, where it is."""
        return self.model.smoother(np.array(features))


def evaluate(
    backend: ColourModel, settings: PluginConfig, training: TrainingSet, done: Callable[[int], None]
) -> BackendEvaluation:
    """Put one backend to the test; whatever goes wrong in it becomes its fault.

    Parameters
    ----------
    done : callable
        Called with 1 after each training; `trainings` says how many there are.
    """
    finished = 0

    def count(units: int) -> None:
        nonlocal finished
        finished += units
        done(units)

    try:
        _require(_leakage(CheckedModel(backend, settings, training), training))
        count(1)
        held_out: dict[tuple[str, int], FloatArray] = {}
        err_mag = None
        for folds in training.folds:
            checked = CheckedModel(backend, settings, training, folds.seed)
            predicted, errors = held_out_colours(checked, training, folds, count)
            for kind, colour_mag in predicted.items():
                _require(
                    behaviour.check_skill(colour_mag - training.colour_mag, training.colour_mag)
                )
                held_out[kind, folds.seed] = colour_mag
            if folds.seed == 0:
                err_mag = errors
        final = _final(CheckedModel(backend, settings, training), training)
        count(1)
        colour = np.array(final.colour_mag)
        colour[training.control] = held_out["random", 0]
        return replace(final, held_out=held_out, err_mag=err_mag, colour_mag=colour)
    except FaultError as fault:
        return BackendEvaluation(fault=str(fault))
    except (Exception, SystemExit) as error:  # foreign code may fail in any way
        return BackendEvaluation(fault=one_line(error))
    finally:
        done(trainings(training) - finished)


def trainings(training: TrainingSet) -> int:
    """Return the units of work of one backend."""
    return 2 + sum(folds.number for folds in training.folds)


def _require(fault: str | None) -> None:
    if fault is not None:
        raise FaultError(fault)


def _leakage(checked: CheckedModel, training: TrainingSet) -> str | None:
    """Return what a backend may not do and does, on some of the control stars."""
    random, number = np.random.default_rng([training.seed, 20441]), len(training.control)
    some = np.sort(random.choice(number, min(LEAKAGE_STARS, number), replace=False))
    features, colour = training.features[training.control[some]], training.colour_mag[some]
    model = checked(features, colour)
    return (
        behaviour.check_output(model.predict(features), len(some))
        or behaviour.check_memory(checked, features, colour, training.seed)
        or behaviour.check_held_out(model, features, colour, training.seed)
        or behaviour.check_repeatable(checked, features, colour)
    )


def held_out_colours(
    checked: CheckedModel, training: TrainingSet, folds: Folds, done: Callable[[int], None]
) -> tuple[dict[str, FloatArray], FloatArray | None]:
    """Return predictions of the control stars by kind of folds, each by models without them.

    Also the backend's own errors of those in blocked folds, None where it has none.
    """
    features = training.features[training.control]
    predicted: dict[str, FloatArray] = {kind: np.full(len(features), np.nan) for kind in FOLD_KINDS}
    errors: FloatArray | None = np.full(len(features), np.nan)
    for number in range(folds.number):
        inside = {kind: folds.of(kind) == number for kind in FOLD_KINDS}
        out = inside["random"] | inside["blocked"]
        trend, rest = detrended(features, training.colour_mag, ~out, training.trend)
        model = checked.train(features[~out], rest)
        prediction = model.predict(np.array(features[out]))
        _require(behaviour.check_output(prediction.colour_mag, int(out.sum())))
        colour = np.full(len(features), np.nan)
        colour[out] = trend[out] + prediction.colour_mag
        for kind, here in inside.items():
            predicted[kind][here] = colour[here]
        if prediction.err_mag is None or np.shape(prediction.err_mag) != (int(out.sum()),):
            errors = None
        elif errors is not None:
            own = inside["blocked"]
            errors[own] = np.asarray(prediction.err_mag)[own[out]]
        done(1)
    return predicted, errors


def _final(checked: CheckedModel, training: TrainingSet) -> BackendEvaluation:
    """Train on all control stars, predict all stars, and say what it costs."""
    features = training.features[training.control]
    is_control = np.zeros(len(training.features), dtype=bool)
    is_control[training.control] = True
    colours = np.full(len(training.features), np.nan)
    colours[training.control] = training.colour_mag
    trend, rest = detrended(training.features, colours, is_control, training.trend)
    with behaviour.peak_memory() as peak:
        start = time.perf_counter()
        model = checked.train(features, rest)
        trained = time.perf_counter()
        colour = np.asarray(model.predict(np.array(training.features)).colour_mag)
        predicted = time.perf_counter()
    _require(behaviour.check_output(colour, len(training.features)))
    rate = behaviour.prediction_rate(model, training.features, predicted - trained)
    size = behaviour.pickled_mb(model)
    notes = () if size is not None else ("the trained model cannot be pickled",)
    costs = {
        "fit_s": trained - start,
        "predictions_per_s": rate,
        "peak_memory_mb": peak.above_start_mb,
        "size_mb": size,
    }
    return BackendEvaluation(notes=notes, colour_mag=trend + colour, costs=costs)


def keep_evaluation(path: Path, evaluation: BackendEvaluation) -> None:
    """Keep what a backend predicted."""
    control = {f"{kind}_{seed}": held for (kind, seed), held in evaluation.held_out.items()}
    if evaluation.err_mag is not None:
        control["err"] = evaluation.err_mag
    every = {} if evaluation.colour_mag is None else {"colour": evaluation.colour_mag}
    save_arrow(path.with_suffix(".stars.arrow"), pa.table(every))
    record = {
        "fault": evaluation.fault,
        "notes": evaluation.notes,
        "held_out": list(evaluation.held_out),
        "costs": dict(evaluation.costs),
    }
    save_arrow(path, pa.table(control), record)
    seal(path, path.with_suffix(".stars.arrow"))


def kept_evaluation(path: Path) -> BackendEvaluation | None:
    """Return what a backend predicted before an interruption, None if it was not done."""
    if sealed(path) is None:
        return None
    table, record = load_arrow(path)
    every, _ = load_arrow(path.with_suffix(".stars.arrow"))
    control = {name: np.array(table.column(name)) for name in table.column_names}
    return BackendEvaluation(
        fault=record["fault"],
        notes=tuple(record["notes"]),
        held_out={(kind, seed): control[f"{kind}_{seed}"] for kind, seed in record["held_out"]},
        err_mag=control.get("err"),
        colour_mag=np.array(every.column("colour")) if every.column_names else None,
        costs=record["costs"],
    )
