"""What a backend costs: time, memory and size."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scrframe.analysis.compare.result import Json
from scrframe.arrays import Features
from scrframe.plugin import FittedColourModel
from scrframe.products.files import write_json
from scrframe.run.session import tree_memory
from scrframe.statistics.json import from_json, to_json

#: Rows on which predictions are timed; fewer stars are taken several times over.
TIMED_ROWS = 200_000


#: Seconds after which the time of all stars' predictions says enough.
LONG_ENOUGH = 4.0


#: Seconds between two looks at the memory.
INTERVAL = 0.02
COSTS = "costs.json"


@dataclass(frozen=True)
class Costs:
    """What a backend costs; not the same in a rerun.

    Attributes
    ----------
    backend : str
    fit_s : float
        Seconds to train on all control stars.
    predict_per_s : float
        Stars predicted in a second.
    peak_memory_mb : float
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
        plain: Json = to_json(self)
        return plain

    @classmethod
    def from_json(cls, plain: Json) -> Costs:
        """Return the costs that `to_json` wrote."""
        result: Costs = from_json(cls, plain)
        return result


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
