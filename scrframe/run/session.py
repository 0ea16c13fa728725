"""What comparisons and Monte Carlo begin with: inputs, a place to work, one sample and one fit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.errors import CalibrationError, ConfigError, ScrframeError, one_line
from scrframe.observer import Observer
from scrframe.plugin import Registry
from scrframe.run.calibrate import default_workers
from scrframe.run.executor import open_executor
from scrframe.run.offsets.solve import FittedModel, fit_model
from scrframe.run.plugins import Chosen, Inputs, choose, find_inputs
from scrframe.run.progress import StepMonitor
from scrframe.run.sample.builder import SampleBuilder
from scrframe.run.sample_survey import data_note, ensure_sample, note_for
from scrframe.run.summary import Story
from scrframe.run.workspace import Workspace, work_key
from scrframe.tables import MatchedStars


class WithoutDetails(Observer):
    """Passes on steps and warnings; the rounds of a fit are a calibration's affair."""

    def __init__(self, observer: Observer) -> None:
        self.warning, self.step = observer.warning, observer.step  # type: ignore[method-assign]


@dataclass(frozen=True)
class Stage:
    """Where a comparison works, and with what.

    Attributes
    ----------
    chosen : Chosen
    inputs : Inputs
    space : Workspace
    executor : Executor
    monitor : StepMonitor
    observer : Observer
    workers : int
    note : str
        What every product says of its data; empty for real data.
    """

    chosen: Chosen
    inputs: Inputs
    space: Workspace
    executor: Executor
    monitor: StepMonitor
    observer: Observer
    workers: int
    note: str

    def builder(self, *, keep_spectra: bool = False) -> SampleBuilder:
        """Return what builds the sample here, and keeps its observed spectra if need be."""
        return SampleBuilder(
            self.chosen,
            self.inputs,
            self.executor,
            self.space,
            self.monitor,
            self.observer,
            keep_spectra=keep_spectra,
        )

    def fitted(self, builder: SampleBuilder | None = None) -> tuple[MatchedStars, FittedModel]:
        """Build the sample and fit it with the description's own colour model.

        Parameters
        ----------
        builder : SampleBuilder, optional
            By default one that does not keep spectra.

        Raises
        ------
        ScrframeError
            If the data do not allow it, or that colour model fails.
        """
        chosen, observer = self.chosen, self.observer
        sample = (builder or self.builder()).build()
        with self.monitor.step("colour model and law"):
            try:
                fitted = fit_model(chosen, sample, self.workers, WithoutDetails(observer))
            except ScrframeError:
                raise
            except Exception as error:  # foreign code may fail in any way
                raise CalibrationError(
                    f"the description's own colour model {chosen.backend.name!r} fails"
                    f" ({one_line(error)}), and all that follows rests on its colours;"
                    " choose another colour_model.kind"
                ) from None
        return sample, fitted


def choose_for(
    survey: SurveyDescription, data: str | Path | None, registry: Registry, observer: Observer
) -> Chosen:
    """Look up what a description names, and warn of plugins that are broken."""
    if data is not None:
        survey = survey.with_data_root(str(data))
    chosen = choose(survey, registry)
    for broken in registry.broken:
        observer.warning(f"plugin {broken.provider.plugin!r} is broken: {broken.reason}")
    return chosen


def require_training(chosen: Chosen, what: str) -> None:
    """Refuse what asks how a colour model was trained where none is.

    Raises
    ------
    ConfigError
    """
    if chosen.reference.provides == "colour":
        raise ConfigError(
            f"reference.kind {chosen.reference.name!r} provides colours and nothing is trained:"
            f" {what} does not apply; its errors stand in the catalogue itself"
        )


@contextmanager
def stage_for(
    chosen: Chosen, out: Path, mark: str, workers: int | None, observer: Observer
) -> Iterator[Stage]:
    """Open the inputs and a workspace, and put the products in place at the end.

    Parameters
    ----------
    chosen : Chosen
    out : Path
    mark : str
        A directory that holds this file may be replaced.
    workers : int, optional
    observer : Observer
    """
    survey, monitor = chosen.survey, StepMonitor()
    workers = workers or default_workers()
    path = resolve_data_root(survey).path
    label = "sample" if path is None else str(path)
    note = note_for(survey.band) if path is None else data_note(path)
    observer.message(Story(survey, label, note, monitor).headline())
    root = ensure_sample(chosen, observer) if path is None else path
    inputs = find_inputs(chosen, root)
    space = Workspace.open(out, work_key(survey.digest(), inputs.all()), mark)
    try:
        with open_executor(workers) as executor:
            yield Stage(chosen, inputs, space, executor, monitor, observer, workers, note)
        space.finish()
    except ScrframeError as error:
        space.discard()
        raise type(error)(f"{error} (in the step: {monitor.current})") from None
    except Exception:
        space.discard()
        raise
