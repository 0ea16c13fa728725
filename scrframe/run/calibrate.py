"""The straight line: description to corrected catalogues."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.config.results import AbsoluteSettings
from scrframe.errors import ScrframeError
from scrframe.observer import Observer
from scrframe.offsets.apply import apply_solution
from scrframe.offsets.joint.fit import JointFit
from scrframe.plugin import Diagnostic, Registry, load_registry
from scrframe.products.calibration_stars import star_table
from scrframe.products.files import RUN_MARK, write_json, write_parquet, write_text
from scrframe.products.solution import write_solution, write_visit_covariance
from scrframe.products.star_catalogue import STAR_CATALOGUE, star_catalogue
from scrframe.products.visits import write_visits
from scrframe.run.correct.catalogues import (
    CATALOGUES,
    CorrectTask,
    PartCorrected,
    check_writers,
    common_root,
    correct_all,
)
from scrframe.run.executor import open_executor
from scrframe.run.offsets.absolute import absolute_tie, check_passband
from scrframe.run.offsets.solve import FittedModel, Solved, fit_model, own_fit, solve
from scrframe.run.plugins import (
    Chosen,
    Inputs,
    application_record,
    choose,
    find_inputs,
    level_columns,
)
from scrframe.run.progress import StepMonitor
from scrframe.run.sample.builder import SampleBuilder
from scrframe.run.sample.detections import merge_visits
from scrframe.run.sample_survey import data_note, ensure_sample, note_for
from scrframe.run.summary import Story, summarise
from scrframe.run.workspace import Workspace, input_hashes, versions, work_key
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.tables import MatchedStars, Solution
from scrframe.tables.solution import OWN_SYSTEM, AbsoluteTie
from scrframe.version import __version__

if TYPE_CHECKING:
    from scrframe.report.write import Report


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path : Path
        Its directory.
    summary : mapping
        The content of ``summary.json``.
    solution : Solution
    report : Report, optional
        Null tests and anomalies; None where no report was asked for, or none could be made.
    """

    path: Path
    summary: Mapping[str, Any]
    solution: Solution
    report: Report | None = None


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def calibrate(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    report: bool | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> Run:
    """Calibrate a survey and write all products.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    out : path, optional
        Directory of the run; by default ``runs/<survey>``. An earlier run is replaced.
    workers : int, optional
        Number of processes; by default as many as there are processors.
    report : bool, optional
        Whether the run ends with its report; by default what the description says.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Returns
    -------
    Run

    Raises
    ------
    ScrframeError
        If the description, the data or a plugin do not allow it. Nothing is left behind;
        only an interrupted run leaves what is done, beside its output, and goes on from it.
    """
    begun = Calibration.begin(
        survey, data=data, out=out, workers=workers, observer=observer, registry=registry
    )
    with begun.guarded():
        return begun.run(survey.report.enabled if report is None else report)


def _needs_spectra(survey: SurveyDescription) -> bool:
    """Return whether observed spectra are looked at once there are features."""
    tie, extinction = survey.absolute, survey.extinction
    if tie is not None and tie.kind == "passband":
        return True
    second = extinction.second_values is not None or extinction.second_curve is not None
    asked = survey.offsets.joint.systematics.extinction or second
    return survey.offsets.mode == "joint" and asked


@dataclass(frozen=True)
class Prepared:
    """A run up to its offsets.

    Attributes
    ----------
    builder : SampleBuilder
    sample : MatchedStars
    fitted : FittedModel
    """

    builder: SampleBuilder
    sample: MatchedStars
    fitted: FittedModel


class Calibration:
    """One run; each method is a step, told to observers when it is done."""

    def __init__(
        self,
        chosen: Chosen,
        inputs: Inputs,
        space: Workspace,
        story: Story,
        observer: Observer,
        workers: int,
    ) -> None:
        self._chosen, self._inputs, self._space = chosen, inputs, space
        self._story, self._observer, self._workers = story, observer, workers
        self._monitor = story.monitor
        self._tie: AbsoluteTie | None = None

    @classmethod
    def begin(
        cls,
        survey: SurveyDescription,
        *,
        data: str | Path | None = None,
        out: str | Path | None = None,
        workers: int | None = None,
        observer: Observer | None = None,
        registry: Registry | None = None,
    ) -> Calibration:
        """Find the input of a run and open its workspace; parameters as of `calibrate`."""
        observer = observer or Observer()
        if data is not None:
            survey = survey.with_data_root(str(data))
        chosen = choose(survey, registry or load_registry())
        monitor = StepMonitor()
        with monitor.running():
            path = resolve_data_root(survey).path
            if path is None:
                story = Story(survey, "sample", note_for(survey.band), monitor)
                observer.message(story.headline())  # making the sample takes a while
                with monitor.step("sample survey"):
                    path = ensure_sample(chosen, observer)
            else:
                story = Story(survey, str(path), data_note(path), monitor)
            with monitor.step("find inputs"):
                inputs = find_inputs(chosen, path)
                check_writers(chosen.writers, inputs.catalogues)
            if story.root_label != "sample":
                observer.message(story.headline())
        space = Workspace.open(
            Path(out) if out is not None else Path("runs") / survey.name,
            work_key(survey.digest(), inputs.all()),
        )
        return cls(chosen, inputs, space, story, observer, workers or default_workers())

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Measure what is done within; leave nothing behind if it fails, and say where it did."""
        with self._monitor.running():
            try:
                yield
            except ScrframeError as error:
                self._space.discard()
                raise type(error)(f"{error} (in the step: {self._monitor.current})") from None
            except Exception:
                self._space.discard()
                raise

    def run(self, report: bool) -> Run:
        """Go from the input to all products, and to the report if it is wanted."""
        with open_executor(self._workers) as executor:
            solution = self.correct(executor, self.prepare(executor))
        return self.close(solution, report)

    def prepare(self, executor: Executor) -> Prepared:
        """Match the sample and fit colour model and law."""
        with self._monitor.step("hash inputs"):
            self._story.inputs = input_hashes(
                executor, self._inputs.all(), self._inputs.root, self._observer
            )
        return self._model(executor)

    def own_fit(self, prepared: Prepared) -> JointFit:
        """Return the joint fit of this survey alone."""
        with self._monitor.step("solve offsets"):
            return own_fit(prepared.fitted)

    def correct(
        self, executor: Executor, prepared: Prepared, fit: JointFit | None = None
    ) -> Solution:
        """Solve, or take the joint fit given, write the products and correct all catalogues."""
        solution = self._solve(prepared, fit)
        del prepared, fit  # large, and no longer needed
        with self._monitor.step("correct catalogues"):
            self._story.corrected = self._correct(executor, solution)
        self._tell("catalogues", self._story.corrected)
        return solution

    def close(self, solution: Solution, report: bool) -> Run:
        """Write the summary and, if wanted, the report, and put the run in its place."""
        summary = summarise(self._story)
        write_json(self._space.run / RUN_MARK, summary)
        written = None
        if report:
            written = self._report()
            summary = summarise(self._story)  # with what the report took
            write_json(self._space.run / RUN_MARK, summary)
        self._space.finish()
        return Run(self._space.out, summary, solution, written)

    def _report(self) -> Report | None:
        """Write the report; whatever goes wrong with it must not lose the calibration."""
        out = self._space.out
        with self._monitor.step("report"):
            try:
                from scrframe.report.write import write_report  # noqa: PLC0415 - matplotlib

                made = write_report(
                    self._space.run, observer=self._observer, registry=self._chosen.registry
                )
            except Exception as error:
                why = " ".join(f"{type(error).__name__}: {error}".split())
                self._observer.warning(
                    f"the run is whole, without a report ({why}); scrframe report {out} tries anew"
                )
                return None
        return replace(made, path=out / made.path.relative_to(self._space.run))

    def _model(self, executor: Executor) -> Prepared:
        story, chosen = self._story, self._chosen
        absolute = chosen.survey.absolute
        builder = SampleBuilder(
            chosen,
            self._inputs,
            executor,
            self._space,
            self._monitor,
            self._observer,
            keep_spectra=_needs_spectra(chosen.survey),
        )
        sample = builder.build()
        if absolute is not None and builder.spectra is not None:
            check_passband(absolute, self._inputs.root, builder.spectra.wavelength_nm)
        story.take_sample(builder, sample)
        self._tell("sample", sample)
        with self._monitor.step("colour model and law"):
            fitted = fit_model(chosen, sample, self._workers, self._observer)
        model = fitted.model
        story.model, story.plan, story.search = model, fitted.plan, fitted.search
        self._tell("model", model)
        return Prepared(builder, sample, fitted)

    def _solve(self, prepared: Prepared, fit: JointFit | None) -> Solution:
        story, chosen = self._story, self._chosen
        absolute = chosen.survey.absolute
        builder, sample, fitted = prepared.builder, prepared.sample, prepared.fitted
        model = fitted.model
        with self._monitor.step("solve offsets"):
            visits = builder.first.visits
            second = builder.second_opinions(sample)
            solved = solve(chosen, sample, fitted, visits, self._provenance(), second, fit)
        if absolute is not None:
            with self._monitor.step("absolute tie"):
                solved, model = self._tied(absolute, builder, sample, solved, model)
        self._tell("solution", solved.solution)
        with self._monitor.step("write products"):
            stars = self._star_table(sample, solved, model)
            write_parquet(self._space.run / "stars.parquet", stars, self._stamp())
            write_parquet(self._space.run / STAR_CATALOGUE, star_catalogue(stars), self._stamp())
            self._write_solution(solved)
            story.take_solution(solved, stars, self._diagnostics(stars))
        return solved.solution

    def _tied(
        self,
        settings: AbsoluteSettings,
        builder: SampleBuilder,
        sample: MatchedStars,
        solved: Solved,
        model: ModelMagnitudes,
    ) -> tuple[Solved, ModelMagnitudes]:
        """Move the zero point, and with it the model magnitudes, onto a true system."""
        stars = star_catalogue(self._star_table(sample, solved, model))
        self._tie = absolute_tie(settings, self._inputs.root, stars, builder.spectra)
        solution = replace(
            solved.solution,
            zero_point_mag=solved.solution.zero_point_mag + self._tie.shift_mag,
            absolute=self._tie.to_json(),
            provenance={**solved.solution.provenance, "magnitude_system": self._tie.system},
        )
        # Residuals are of one gauge: what moves the calibrated moves the model magnitudes.
        moved = replace(model, model_mag=model.model_mag + self._tie.shift_mag)
        return replace(solved, solution=solution), moved

    def _correct(self, executor: Executor, solution: Solution) -> list[PartCorrected]:
        chosen, survey = self._chosen, self._chosen.survey
        parts = [read.part for read in self._story.parts]
        root = common_root(self._inputs.root, parts)
        tasks = [
            CorrectTask(
                loader=chosen.loader,
                settings=survey.loader.settings,
                part=part,
                columns=level_columns(survey, chosen.registry, chosen.loader),
                solution=solution,
                writers=chosen.writers,
                root=root,
                out=self._space.run / CATALOGUES,
                note=self._story.note,
                unknown_visit="stop",
                done_mark=self._space.target("corrected", f"{part.key}|{part.fingerprint}"),
            )
            for part in parts
        ]
        return correct_all(executor, tasks, self._observer)

    def _star_table(self, sample: MatchedStars, solved: Solved, model: ModelMagnitudes) -> pa.Table:
        corrections = apply_solution(solved.solution, sample.detections)
        assert self._story.plan is not None
        in_test = np.isin(sample.star, self._story.plan.test)
        return star_table(sample, model, corrections, {**solved.columns, "in_test": in_test})

    def _diagnostics(self, stars: Any) -> dict[str, Any]:
        registry = self._chosen.registry
        return {
            block.kind: registry.get(Diagnostic, block.kind).compute(stars, block.settings)
            for block in self._chosen.survey.diagnostics
        }

    def _write_solution(self, solved: Solved) -> None:
        folder = self._space.run / "solution"
        levels = self._chosen.survey.offsets.active_levels()
        settings = {block.name: block.settings.model_dump(mode="json") for block in levels}
        write_solution(folder, solved.solution, settings)
        visits = merge_visits(visit for part in self._story.parts for visit in part.visits)
        write_visits(folder, visits, self._story.note)
        if solved.solution.exposures is not None:
            write_json(
                folder / "design_report.json",
                {"data_note": self._story.note, **solved.findings},
            )
        if solved.visit_covariance is not None:
            write_visit_covariance(
                folder / "visit_covariance.fits",
                solved.covered,
                solved.visit_covariance,
                self._story.note,
            )
        write_text(folder / "description.yaml", self._chosen.survey.as_yaml())

    def _provenance(self) -> dict[str, Any]:
        survey = self._chosen.survey
        return {
            "survey": survey.name,
            "band": survey.band,
            "magnitude_system": OWN_SYSTEM,
            "data_root": self._story.root_label,
            "data_note": self._story.note,
            "versions": versions(),
            "description_sha256": survey.digest(),
            "seed": survey.colour_model.seed,
            **({"search": self._story.search["chosen"]} if self._story.search else {}),
            "application": application_record(self._chosen),
        }

    def _stamp(self) -> dict[str, str]:
        return {
            "scrframe_version": __version__,
            "survey": self._chosen.survey.name,
            "data_root": self._story.root_label,
            "data_note": self._story.note,
            "magnitude_system": OWN_SYSTEM,
            **(self._tie.metadata() if self._tie is not None else {}),
        }

    def _tell(self, step: str, result: Any) -> None:
        self._chosen.registry.step_done(step, result)
