"""Seconds and peak memory of each step, over the whole process tree."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

#: Seconds between two looks at the memory.
INTERVAL = 0.2


@dataclass
class StepMonitor:
    """Measures steps; use `running` around a run and `step` around each step.

    Attributes
    ----------
    steps : dict
        Seconds and peak memory in MB of each step that is done.
    current : str
        The last step that was begun.
    """

    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    current: str = ""
    _peak: int = 0
    _highest: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample memory in the background while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._sample, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        self._peak, self.current = 0, name
        start = time.perf_counter()
        try:
            yield
        finally:
            self._look()
            entry = self.steps.setdefault(name, {"seconds": 0.0, "peak_memory_mb": 0.0})
            entry["seconds"] = round(entry["seconds"] + time.perf_counter() - start, 3)
            entry["peak_memory_mb"] = max(entry["peak_memory_mb"], round(self._peak / 1e6, 1))

    @property
    def peak_memory_mb(self) -> float:
        """Highest memory of the run so far, in MB of resident set, summed over the tree."""
        return round(self._highest / 1e6, 1)

    @property
    def seconds(self) -> float:
        """Sum of the steps."""
        return round(sum(entry["seconds"] for entry in self.steps.values()), 3)

    def _sample(self, stop: threading.Event) -> None:
        while not stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        memory = tree_memory()
        self._peak = max(self._peak, memory)
        self._highest = max(self._highest, memory)


def tree_memory(root: psutil.Process | None = None) -> int:
    """Return the resident memory of a process (this one) and its descendants, in bytes."""
    root = root or psutil.Process()
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
