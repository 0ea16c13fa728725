"""The frame of a command that works on a survey: its plugins, input, workspace and workers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from scrframe.config import resolve_data_root
from scrframe.observer import Observer
from scrframe.products.files import RUN_MARK
from scrframe.run.correct.catalogues import check_writers
from scrframe.run.executor import SerialExecutor, default_workers, open_executor
from scrframe.run.plugins import Inputs, SelectedPlugins, find_inputs
from scrframe.run.progress import StepMonitor
from scrframe.run.sample_survey import SAMPLE, DataSource, data_note, ensure_sample, note_for
from scrframe.run.workspace import Workspace, work_key


@dataclass(frozen=True)
class Session:
    """What the steps of a command work with, and where.

    Attributes
    ----------
    plugins : SelectedPlugins
    data : DataSource
        The data root, and what every product says of it.
    inputs : Inputs
    workspace : Workspace
    monitor : StepMonitor
        Measures the steps.
    observer : Observer
        Is notified of progress.
    workers : int
        Number of processes, and of threads of a solver or backend.
    executor : Executor
        Runs tasks; in this process until workers are started.
    """

    plugins: SelectedPlugins
    data: DataSource
    inputs: Inputs
    workspace: Workspace
    monitor: StepMonitor = field(default_factory=StepMonitor)
    observer: Observer = field(default_factory=Observer)
    workers: int = 1
    executor: Executor = field(default_factory=SerialExecutor)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Measure what is done within; leave nothing behind if it fails, and name the step."""
        with self.monitor.running(), self.workspace.guarded(self.monitor):
            yield


def begin_session(
    plugins: SelectedPlugins,
    out: Path,
    *,
    mark: str = RUN_MARK,
    workers: int | None = None,
    observer: Observer | None = None,
    corrects: bool = False,
) -> Session:
    """Find the input of a command and open its workspace; see `open_session`."""
    observer, monitor = observer or Observer(), StepMonitor()
    with monitor.running():
        data = _find_data(plugins, monitor, observer)
        with monitor.step("find inputs"):
            inputs = find_inputs(plugins, data.path)
            if corrects:
                check_writers(plugins.writers, inputs.catalogues)
    if data.label != SAMPLE:
        observer.message(data.headline(plugins.survey.name))
    key = work_key(plugins.survey.digest(), inputs.all())
    return Session(
        plugins,
        data,
        inputs,
        Workspace.open(out, key, mark),
        monitor,
        observer,
        workers or default_workers(),
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
) -> Iterator[Session]:
    """Open input, workspace and workers; put the products in their place at the end.

    What fails leaves nothing behind. Only an interruption (Ctrl-C) leaves the work that is
    done, beside the output, and the next command of the same kind goes on from it.

    Parameters
    ----------
    plugins : SelectedPlugins
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

    Raises
    ------
    ScrframeError
        If the data do not allow it; what is raised within gets the name of its step.
    """
    session = begin_session(
        plugins, out, mark=mark, workers=workers, observer=observer, corrects=corrects
    )
    with session.guarded():
        with open_executor(session.workers) as executor:
            yield replace(session, executor=executor)
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
        return DataSource(ensure_sample(plugins, observer), SAMPLE, note)
