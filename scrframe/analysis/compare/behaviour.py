"""How a backend behaves, its accuracy aside: checks for leakage, and what it costs.

Each check returns a sentence that names what a backend may not do, or None. A backend must give
one finite number a row, forget a training when it begins the next, hold out a row's own label
where it says so, and do the same twice. Noise that the checks add to labels is independent of
all else, so a backend without fault fails by chance once in millions of checks.
"""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from scrframe.analysis.compare.result import Json
from scrframe.arrays import Features, FloatArray
from scrframe.plugin import FittedColourModel
from scrframe.products.files import from_json, to_json, write_json
from scrframe.run.session import tree_memory
from scrframe.scr.training import Linear

#: Standard deviations beyond which a response is no chance.
SURE = 5.0
#: Share of rows whose labels carry the canary, and its size in standard deviations of labels.
CANARY_SHARE, CANARY_SIZE = 0.25, 3.0
#: Change of features, in their standard deviations, that makes rows new to a backend.
FRESH = 1e-3
#: Independent sets of signs added to labels, so that a small response shows.
SIGN_SETS = 20
#: Rows on which predictions are timed; fewer stars are taken several times over.
TIMED_ROWS = 200_000
#: Seconds after which the time of all stars' predictions says enough.
LONG_ENOUGH = 4.0
#: Seconds between two looks at the memory.
INTERVAL = 0.02
COSTS = "costs.json"


class Model(Protocol):
    """A trained model."""

    def predict(self, features: Features, /) -> FloatArray:
        """Return colours, shape (n,), at features (n, m)."""
        ...

    def smoother(self, features: Features, /) -> Linear | None:
        """Return the model as a smoother for these rows, or None where it is not linear."""
        ...


#: Trains on features (n, m) and colours (n,); settings, seed and threads are bound.
Fit: TypeAlias = Callable[[Features, FloatArray], Model]


def check_output(predicted: Any, rows: int) -> str | None:
    """Say what is wrong with predictions: not numbers, of a wrong shape, not finite, constant."""
    values = np.asarray(predicted)
    if values.dtype.kind not in "fiu":
        return f"predicts no numbers (dtype {values.dtype})"
    if values.shape != (rows,):
        return f"predicts an array of shape {values.shape} for {rows} stars; expected ({rows},)"
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        return f"predicts values that are not finite for {bad} of {rows} stars"
    if rows > 1 and np.all(values == values[0]):
        return f"predicts the same value, {values[0]:.4g}, for all {rows} stars"
    return None


def check_memory(fit: Fit, features: Features, colour: FloatArray, seed: int) -> str | None:
    """Say whether a backend remembers rows from one training to the next.

    Some rows get noise on their labels in a first training and are left out of a second, whose
    predictions of these rows must not follow the noise. The features are changed a little, so
    that no row is known from a training before the check.

    Parameters
    ----------
    fit : callable (features, colour) -> Model
    features : ndarray, shape (n, m)
    colour : ndarray, shape (n,)
        Some hundred rows suffice; the response that shows falls with their root.
    """
    rng = np.random.default_rng(seed)
    shift = FRESH * features.std(axis=0) * rng.standard_normal(features.shape)
    fresh = (features + shift).astype(features.dtype)
    chosen = np.zeros(len(colour), dtype=bool)
    chosen[rng.permutation(len(colour))[: max(2, int(CANARY_SHARE * len(colour)))]] = True
    noise = rng.standard_normal(np.count_nonzero(chosen))
    marked = colour.copy()
    marked[chosen] += CANARY_SIZE * colour.std() * noise
    fit(fresh, marked)
    predicted = fit(fresh[~chosen], colour[~chosen]).predict(fresh[chosen])
    fault = check_output(predicted, len(noise))
    if fault is not None:
        return fault
    left = predicted - colour[chosen]
    left = left - left.mean()
    # With the residuals as they are, the sum is normal whatever their distribution.
    size = float(np.sqrt(np.sum(left**2)))
    sigma = float(np.sum(noise * left)) / size if size > 0 else 0.0
    if sigma <= SURE:
        return None
    return (
        "remembers rows from one training to the next: predictions of stars that were left out "
        f"follow noise on their labels in an earlier training ({sigma:.0f} sigma)"
    )


def check_held_out(model: Model, features: Features, colour: FloatArray, seed: int) -> str | None:
    """Say whether the held-out predictions of training rows know these rows' own labels.

    Random signs are added to all labels; a held-out prediction may follow those of other rows,
    never its own.

    Parameters
    ----------
    model : Model
        Trained on `features` and `colour`. One that has no smoother is not at fault.
    features : ndarray, shape (n, m)
    colour : ndarray, shape (n,)
    """
    smoother = model.smoother(features)
    if smoother is None:
        return None
    before = smoother.held_out(colour)
    fault = check_output(before, len(colour))
    if fault is not None:
        return f"{fault}, of training stars held out"
    rng = np.random.default_rng(seed)
    step = float(colour.std())
    own = square = 0.0
    for _ in range(SIGN_SETS):
        sign = rng.choice([-1.0, 1.0], size=len(colour))
        change = (smoother.held_out(colour + step * sign) - before) / step
        own += float(np.sum(sign * change))
        square += float(np.sum(change**2))
    # Twice, for the responses of two rows to each other may be the same number.
    sigma = own / np.sqrt(2 * square) if square > 0 else 0.0
    if sigma <= SURE:
        return None
    return (
        "held-out predictions of training stars know these stars' own labels: they follow "
        f"changes of them by {own / (SIGN_SETS * len(colour)):.2g} of the change "
        f"({sigma:.0f} sigma)"
    )


def check_repeatable(fit: Fit, features: Features, colour: FloatArray) -> str | None:
    """Say whether two trainings on the same rows predict other bits."""
    first, second = (np.asarray(fit(features, colour).predict(features)) for _ in range(2))
    if first.dtype == second.dtype and first.tobytes() == second.tobytes():
        return None
    if first.shape != second.shape:
        return "predicts arrays of other shapes when trained twice with the same seed"
    most = float(np.max(np.abs(first - second)))
    return (
        "does not repeat itself: trained twice with the same seed, predictions differ by up to "
        f"{most:.2g} mag"
    )


def check_skill(residual: FloatArray, observed: FloatArray) -> str | None:
    """Say whether predictions are no better than the mean of what was observed.

    Parameters
    ----------
    residual : ndarray, shape (n,) or (seeds, n)
        Held-out predictions less `observed`, shape (n,).
    observed : ndarray, shape (n,)
    """
    rms, spread = float(np.sqrt(np.mean(residual**2))), float(observed.std())
    if rms < spread:
        return None
    return (
        f"predicts no better than the mean colour: rms residual {rms:.3f} mag, standard "
        f"deviation of the colours {spread:.3f} mag"
    )


@dataclass(frozen=True)
class Costs:
    """What a backend costs; not the same in a rerun.

    Attributes
    ----------
    fit_s : float
        Seconds to train on all control stars.
    predict_per_s : float
        Stars predicted in a second.
    model_mb : float
        Size of the pickled model.
    """

    backend: str
    fit_s: float
    predict_per_s: float
    peak_memory_mb: float
    model_mb: float

    def to_json(self) -> Json:
        """Return plain JSON values; a number that is not finite becomes None."""
        return cast(Json, to_json(self))

    @classmethod
    def from_json(cls, plain: Json) -> Costs:
        """Return the costs that `to_json` wrote."""
        return cast(Costs, from_json(cls, plain))


def costs_of(name: str, measured: Mapping[str, float | None]) -> Costs | None:
    """Return the costs of a backend as they were measured, None where nothing was."""
    if not measured:
        return None
    keys = ("fit_s", "predictions_per_s", "peak_memory_mb", "size_mb")
    values = (measured[key] for key in keys)
    return Costs(name, *(np.nan if value is None else float(value) for value in values))


def write_costs(folder: Path, costs: Sequence[Costs], threads: int) -> None:
    """Write costs.json, which is not the same in a rerun."""
    write_json(folder / COSTS, {"threads": threads, "backends": [each.to_json() for each in costs]})


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


def pickled_mb(model: FittedColourModel) -> float | None:
    """Return the size of a model as Python would store it, in MB; None if it cannot."""
    try:
        return len(pickle.dumps(model, protocol=5)) / 1e6
    except Exception:  # foreign code: anything may go wrong, and nothing depends on it
        return None
