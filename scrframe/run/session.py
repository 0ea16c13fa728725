"""The frame of a command that works on a survey: its plugins, input, workspace and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from scrframe.arrays import give_memory_back
from scrframe.config import resolve_data_root
from scrframe.errors import number_of
from scrframe.observer import Observer
from scrframe.plugin import Part
from scrframe.products.files import RUN_MARK
from scrframe.run.data import SAMPLE, DataSource, data_note, ensure_sample, note_for
from scrframe.run.engines.engine import SerialExecutor
from scrframe.run.inputs import FileState, known_states, states_of
from scrframe.run.keys import work_key
from scrframe.run.place import refuse_small
from scrframe.run.plan import corrected_bytes, refuse_other_survey
from scrframe.run.plugins import Inputs, SelectedPlugins, check_writers, find_inputs
from scrframe.run.workers import default_workers, open_executor
from scrframe.run.workspace import Workspace, fit_place, pieces_done

#: Seconds between two looks at the memory.
INTERVAL = 0.2


@dataclass
class StepMonitor:
    """Measures steps; use `running` around a run and `step` around each step."""

    #: Seconds and peak memory in MB of each step that is done.
    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    #: The last step that was begun.
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
        """Highest memory of the run so far, in MB, summed over the tree."""
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
    """Return the memory of a process (this one) and its descendants, in bytes.

    What several share counts once (PSS) where the system tells it, else as often as it is
    resident.
    """
    root = root or psutil.Process()
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += _memory(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def _memory(process: psutil.Process) -> int:
    if not psutil.LINUX:
        return int(process.memory_info().rss)
    return int(process.memory_full_info().pss)


@dataclass(frozen=True)
class Session:
    """What the steps of a command work with, and where."""

    plugins: SelectedPlugins
    #: The data root, and what every product says of it.
    data: DataSource
    inputs: Inputs
    workspace: Workspace
    #: Measures the steps.
    monitor: StepMonitor = field(default_factory=StepMonitor)
    #: Is notified of progress.
    observer: Observer = field(default_factory=Observer)
    #: Number of processes, and of threads of a solver or backend.
    workers: int = 1
    #: Runs tasks; in this process until workers are started.
    executor: Executor = field(default_factory=SerialExecutor)
    #: The files of the input as they were found; whoever reads them later compares.
    files: Mapping[Path, FileState] = field(default_factory=dict)

    def known(self, part: Part) -> tuple[FileState, ...]:
        """Return the states of the files of a part when they were found."""
        return known_states(self.files, part)

    @contextmanager
    def opened_executor(self, given: Executor | str | None, *others: Path) -> Iterator[Executor]:
        """Open workers that see workspace, data and others; see `open_executor`."""
        self.monitor.current = "start workers"
        with open_executor(
            self.workers,
            given,
            folder=self.workspace.marks(),
            needs=(self.data.path, *others),
            say=self.observer.message,
        ) as opened:
            yield opened

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Measure what is done within; if it fails, keep what is done and name the step."""
        with self.monitor.running(), self.workspace.guarded(lambda: self.monitor.current):
            yield


def begin_session(
    plugins: SelectedPlugins,
    out: Path,
    *,
    mark: str = RUN_MARK,
    workers: int | None = None,
    observer: Observer | None = None,
    corrects: bool = False,
    force: bool = False,
) -> Session:
    """Find the input of a command and open its workspace; see `open_session`."""
    observer, monitor = observer or Observer(), StepMonitor()
    place = fit_place(out, mark)  # at once: data may take their time
    if corrects and not force:
        refuse_other_survey(place.out, plugins.survey.name)
    with monitor.running():
        data = _find_data(plugins, monitor, observer)
        with monitor.step("find inputs"):
            inputs = find_inputs(plugins, data.path)
            if corrects:
                check_writers(plugins.writers, inputs.catalogues)
    if data.label != SAMPLE:
        observer.message(data.headline(plugins.survey.name))
    need = corrected_bytes(plugins, inputs) if corrects else 0
    if need:
        warning = refuse_small(place.out, place.root, need)
        if warning:
            observer.warning(warning)
    key = work_key(plugins.survey.digest(), inputs.all())
    space = Workspace.open(out, key, mark, need=need)
    done = pieces_done(space.root)
    if done:
        pieces = number_of(done, "piece")
        observer.message(f"going on from {pieces} of work that an earlier run of the same data did")
    workers = workers or default_workers()
    does = number_of(workers, "worker")
    observer.detail(f"{len(inputs.all()):,} input files, {does}, work in {space.root}")
    return Session(
        plugins,
        data,
        inputs,
        space,
        monitor,
        observer,
        workers,
        files=states_of(inputs.all()),
    )


@contextmanager
def open_session(
    plugins: SelectedPlugins,
    out: Path,
    *,
    mark: str = RUN_MARK,
    workers: int | None = None,
    observer: Observer | None = None,
    corrects: bool = False,
    force: bool = False,
    executor: Executor | str | None = None,
) -> Iterator[Session]:
    """Open input, workspace and workers; put the products in their place at the end.

    What fails or is interrupted leaves the work that is done, beside the output, and the next
    command of the same kind goes on from it; but wrong input leaves nothing behind.

    Parameters
    ----------
    out : Path
        Directory of the products.
    mark : str
        A directory that holds this file may be replaced.
    workers : int, optional
        By default as many as there are processors.
    observer : Observer, optional
        By default a silent one.
    corrects : bool
        Whether catalogues will be corrected, so that their writers must be able to.
    force : bool
        Whether a run of another survey may be replaced by one that corrects catalogues.
    executor : Executor or str, optional
        Runs tasks in place of processes of the session's own; a text is a scheduler's address.

    Raises
    ------
    ScrframeError
        If the data do not allow it; what is raised within gets the name of its step.
    """
    session = begin_session(
        plugins, out, mark=mark, workers=workers, observer=observer, corrects=corrects, force=force
    )
    with session.guarded():
        with session.opened_executor(executor) as opened:
            yield replace(session, executor=opened)
        session.workspace.finish()


def _find_data(plugins: SelectedPlugins, monitor: StepMonitor, observer: Observer) -> DataSource:
    """Return the data root of a description; the sample survey is made if need be."""
    survey = plugins.survey
    path = resolve_data_root(survey).path
    if path is not None:
        return DataSource(path, str(path), data_note(path))
    note = note_for(survey.band)
    observer.message(DataSource(Path(), SAMPLE, note).headline(survey.name))  # it takes a while
    with monitor.step("sample survey"):
        sample = ensure_sample(plugins, observer)
        give_memory_back()  # drawing takes more than reading
        return DataSource(sample, SAMPLE, note)
