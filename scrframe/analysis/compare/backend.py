"""One colour-model backend put to the test; what it does wrong is named, and stops nothing else."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.analysis.compare.leakage import (
    check_held_out,
    check_memory,
    check_output,
    check_repeatable,
    check_skill,
)
from scrframe.analysis.compare.result import FOLD_KINDS
from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.errors import one_line
from scrframe.plugin import ColourModel, FittedColourModel, PluginConfig
from scrframe.run.session import tree_memory
from scrframe.scr.training import Linear
from scrframe.scr.trend import Trend, TrendSettings

#: Rows on which predictions are timed; fewer stars are taken several times over.
TIMED_ROWS = 200_000
#: Seconds after which the time of all stars' predictions says enough.
LONG_ENOUGH = 4.0
#: Seconds between two looks at the memory.
INTERVAL = 0.02


@dataclass
class Peak:
    """Memory of a block of work; see `peak_memory`.

    Attributes
    ----------
    start, highest : int
        Resident memory of the process and its descendants, in bytes.
    """

    start: int = 0
    highest: int = 0

    @property
    def above_start_mb(self) -> float:
        """Return by how much the memory rose above its start, in MB."""
        return max(self.highest - self.start, 0) / 1e6

    def look(self) -> None:
        """Take note of the present memory."""
        self.highest = max(self.highest, tree_memory())


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the memory while the block runs."""
    gc.collect()
    peak = Peak()
    peak.start = peak.highest = tree_memory()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(INTERVAL):
            peak.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
        peak.look()


def prediction_rate(
    model: FittedColourModel, features: Features, seconds: float, rows: int = TIMED_ROWS
) -> float:
    """Return predictions a second.

    Parameters
    ----------
    model : FittedColourModel
    features : ndarray of float32, shape (s, m)
    seconds : float
        What predicting these rows has just taken; a slow model is not timed again.
    rows : int
        Rows to time a fast one on.
    """
    if seconds > LONG_ENOUGH:
        return len(features) / seconds
    many = features[np.arange(rows) % len(features)]
    start = time.perf_counter()
    model.predict(many)
    return rows / max(time.perf_counter() - start, 1e-9)


class _Counter:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes) -> int:
        """Count some bytes."""
        size = memoryview(data).nbytes
        self.size += size
        return size


def pickled_mb(model: FittedColourModel) -> float | None:
    """Return the size of a model as Python would store it, in MB; None if it cannot."""
    counter = _Counter()
    try:
        pickle.Pickler(counter, protocol=5).dump(model)
    except Exception:  # foreign code: anything may go wrong, and nothing depends on it
        return None
    return counter.size / 1e6


#: Stars on which a backend's honesty is judged: enough to see it, few enough to be quick.
HONESTY_STARS = 1500


class FaultError(Exception):
    """A backend did what it must not; the message says what."""


@dataclass(frozen=True)
class Folds:
    """One assignment of the control stars to folds of both kinds.

    A training holds back one random and one blocked fold together, and its model predicts
    both: half the trainings, on 64 per cent of the stars with five folds.

    Attributes
    ----------
    seed : int
        Number of the seed, from 0.
    random, blocked : ndarray of int64, shape (n,)
        Fold of each star.
    """

    seed: int
    random: IntArray
    blocked: IntArray

    @property
    def number(self) -> int:
        """Return the number of folds of a kind."""
        return int(max(self.random.max(), self.blocked.max())) + 1

    def of(self, kind: str) -> IntArray:
        """Return the folds of one kind, shape (n,)."""
        return self.random if kind == "random" else self.blocked


@dataclass(frozen=True)
class Lesson:
    """What every backend learns from and is judged by, the same for all.

    Attributes
    ----------
    features : ndarray of float32, shape (s, m)
        Of all stars.
    control : ndarray of int64, shape (n,)
        Rows of the control stars.
    colour_mag : ndarray, shape (n,)
        Their observed intrinsic colours.
    folds : tuple of Folds
        By seed; the first random ones serve the control stars' predictions for the offsets.
    trend : TrendSettings
    seed, threads : int
    """

    features: Features
    control: IntArray
    colour_mag: FloatArray
    folds: tuple[Folds, ...]
    trend: TrendSettings
    seed: int
    threads: int


@dataclass(frozen=True)
class Judged:
    """What one backend predicted, or what is wrong with it.

    Attributes
    ----------
    fault : str or None
        In one sentence.
    notes : tuple of str
    held_out : mapping of (str, int) to ndarray, shape (n,)
        Predictions of the control stars by models that have not seen them, by kind and seed
        of the folds.
    err_mag : ndarray, shape (n,), or None
        The backend's own errors of the first blocked predictions.
    colour_mag : ndarray, shape (s,), or None
        Predictions of all stars; of the control stars by the first random folds.
    costs : mapping of str to float or None
        ``fit_s``, ``predictions_per_s``, ``peak_memory_mb`` and ``size_mb``.
    """

    fault: str | None = None
    notes: tuple[str, ...] = ()
    held_out: Mapping[tuple[str, int], FloatArray] = field(default_factory=dict)
    err_mag: FloatArray | None = None
    colour_mag: FloatArray | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)


class Pupil:
    """A backend with fixed settings that is given copies only, and whose answers are checked.

    Parameters
    ----------
    backend : ColourModel
    settings : PluginConfig
    lesson : Lesson
    seed : int
        Added to the lesson's.
    """

    def __init__(
        self, backend: ColourModel, settings: PluginConfig, lesson: Lesson, seed: int = 0
    ) -> None:
        self._backend, self._settings = backend, settings
        self._seed, self._threads = lesson.seed + seed, lesson.threads

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
    """A trained model as `scrframe.analysis.compare.leakage` takes it."""

    model: FittedColourModel

    def predict(self, features: Features) -> FloatArray:
        """Predict the colours of features (k, m), shape (k,)."""
        return np.asarray(self.model.predict(np.array(features)).colour_mag)

    def smoother(self, features: Features) -> Linear | None:
        """Return the model as linear in its training colours, where it is."""
        return self.model.smoother(np.array(features))


def judge(
    backend: ColourModel, settings: PluginConfig, lesson: Lesson, done: Callable[[int], None]
) -> Judged:
    """Put one backend to the test; whatever goes wrong in it becomes its fault.

    Parameters
    ----------
    backend : ColourModel
    settings : PluginConfig
    lesson : Lesson
    done : callable
        Told 1 after each training; `trainings` says how many there are.
    """
    told = 0

    def tell(units: int) -> None:
        nonlocal told
        told += units
        done(units)

    try:
        return _judged(backend, settings, lesson, tell)
    except FaultError as fault:
        return Judged(fault=str(fault))
    except (Exception, SystemExit) as error:  # foreign code may fail in any way
        return Judged(fault=one_line(error))
    finally:
        done(trainings(lesson) - told)


def trainings(lesson: Lesson) -> int:
    """Return the units of work of one backend."""
    return 2 + sum(folds.number for folds in lesson.folds)


def _judged(
    backend: ColourModel, settings: PluginConfig, lesson: Lesson, done: Callable[[int], None]
) -> Judged:
    _require(_dishonesty(Pupil(backend, settings, lesson), lesson))
    done(1)
    held_out: dict[tuple[str, int], FloatArray] = {}
    err_mag = None
    for folds in lesson.folds:
        pupil = Pupil(backend, settings, lesson, folds.seed)
        predicted, errors = held_out_colours(pupil, lesson, folds, done)
        for kind, colour_mag in predicted.items():
            _require(check_skill(colour_mag - lesson.colour_mag, lesson.colour_mag))
            held_out[kind, folds.seed] = colour_mag
        if folds.seed == 0:
            err_mag = errors
    final = _final(Pupil(backend, settings, lesson), lesson)
    done(1)
    colour = np.array(final.colour_mag)
    colour[lesson.control] = held_out["random", 0]
    return replace(final, held_out=held_out, err_mag=err_mag, colour_mag=colour)


def _require(fault: str | None) -> None:
    if fault is not None:
        raise FaultError(fault)


def _dishonesty(pupil: Pupil, lesson: Lesson) -> str | None:
    """Return what a backend may not do and does, on some of the control stars."""
    random = np.random.default_rng([lesson.seed, 20441])
    number = min(HONESTY_STARS, len(lesson.control))
    some = np.sort(random.choice(len(lesson.control), number, replace=False))
    features, colour = lesson.features[lesson.control[some]], lesson.colour_mag[some]
    model = pupil(features, colour)
    return (
        check_output(model.predict(features), number)
        or check_memory(pupil, features, colour, lesson.seed)
        or check_held_out(model, features, colour, lesson.seed)
        or check_repeatable(pupil, features, colour)
    )


def held_out_colours(
    pupil: Pupil, lesson: Lesson, folds: Folds, done: Callable[[int], None]
) -> tuple[dict[str, FloatArray], FloatArray | None]:
    """Return predictions of the control stars by kind of folds, each by models without them.

    Also the backend's own errors of those in blocked folds, None where it has none.
    """
    features = lesson.features[lesson.control]
    predicted: dict[str, FloatArray] = {kind: np.full(len(features), np.nan) for kind in FOLD_KINDS}
    errors: FloatArray | None = np.full(len(features), np.nan)
    for number in range(folds.number):
        inside = {kind: folds.of(kind) == number for kind in FOLD_KINDS}
        out = inside["random"] | inside["blocked"]
        trend, rest = detrended(features, lesson.colour_mag, ~out, lesson.trend)
        model = pupil.train(features[~out], rest)
        found = model.predict(np.array(features[out]))
        _require(check_output(found.colour_mag, int(out.sum())))
        colour = np.full(len(features), np.nan)
        colour[out] = trend[out] + found.colour_mag
        for kind, here in inside.items():
            predicted[kind][here] = colour[here]
        if found.err_mag is None or np.shape(found.err_mag) != (int(out.sum()),):
            errors = None
        if errors is not None:
            own = inside["blocked"]
            errors[own] = np.asarray(found.err_mag)[own[out]]
        done(1)
    return predicted, errors


def detrended(
    features: Features,
    colour_mag: FloatArray,
    train: npt.NDArray[np.bool_],
    settings: TrendSettings,
) -> tuple[FloatArray, FloatArray]:
    """Return the trend of all rows, fitted to the training rows, and what it leaves of those."""
    if settings.shape == "none":
        return np.zeros(len(features)), colour_mag[train]
    trend = Trend.on(features[train], settings).predict(features, colour_mag[train])
    return trend, colour_mag[train] - trend[train]


def _final(pupil: Pupil, lesson: Lesson) -> Judged:
    """Train on all control stars, predict all stars, and say what it costs."""
    features = lesson.features[lesson.control]
    teaching = np.zeros(len(lesson.features), dtype=bool)
    teaching[lesson.control] = True
    colours = np.full(len(lesson.features), np.nan)
    colours[lesson.control] = lesson.colour_mag
    trend, rest = detrended(lesson.features, colours, teaching, lesson.trend)
    with peak_memory() as peak:
        start = time.perf_counter()
        model = pupil.train(features, rest)
        trained = time.perf_counter()
        colour = np.asarray(model.predict(np.array(lesson.features)).colour_mag)
        predicted = time.perf_counter()
    _require(check_output(colour, len(lesson.features)))
    rate = prediction_rate(model, lesson.features, predicted - trained)
    size = pickled_mb(model)
    notes = () if size is not None else ("the trained model cannot be pickled",)
    costs = {
        "fit_s": trained - start,
        "predictions_per_s": rate,
        "peak_memory_mb": peak.above_start_mb,
        "size_mb": size,
    }
    return Judged(notes=notes, colour_mag=trend + colour, costs=costs)


def to_record(judged: Judged) -> dict[str, Any]:
    """Return all but the arrays of stars as plain JSON."""
    return {
        "fault": judged.fault,
        "notes": list(judged.notes),
        "held_out": [list(key) for key in judged.held_out],
        "costs": dict(judged.costs),
    }


def from_record(
    record: Mapping[str, Any], control: Mapping[str, FloatArray], every: FloatArray | None
) -> Judged:
    """Return what `to_record` and its arrays were made of."""
    keys: Sequence[tuple[str, int]] = [(kind, seed) for kind, seed in record["held_out"]]
    return Judged(
        fault=record["fault"],
        notes=tuple(record["notes"]),
        held_out={(kind, seed): control[f"{kind}_{seed}"] for kind, seed in keys},
        err_mag=control.get("err"),
        colour_mag=every,
        costs=record["costs"],
    )
