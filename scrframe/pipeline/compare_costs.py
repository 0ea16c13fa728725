"""What a colour model costs: seconds, memory and the size of the trained model."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.pipeline.monitor import tree_memory
from scrframe.plugin import FittedColourModel

Features = npt.NDArray[np.float32]
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
