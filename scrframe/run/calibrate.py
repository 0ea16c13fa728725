"""The straight line: description to corrected catalogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrframe.arrays import give_memory_back
from scrframe.config import SurveyDescription
from scrframe.observer import Observer
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import RUN_MARK, write_json
from scrframe.products.stars import STAR_CATALOGUE, star_catalogue
from scrframe.run.colour_model import FittedModel, fit_model
from scrframe.run.correct import CATALOGUES, Corrected, CorrectTask, common_root, correct_all
from scrframe.run.engines.engine import Shared
from scrframe.run.inputs import fetched_from, input_hashes
from scrframe.run.offsets.absolute import absolute_tie, check_passband
from scrframe.run.offsets.joint import JointSolve
from scrframe.run.offsets.solve import solve, solve_joint
from scrframe.run.plugins import level_columns, resolve_plugins
from scrframe.run.products import (
    RunRecord,
    TiedSolution,
    model_record,
    provenance,
    sample_record,
    solution_record,
    stars_of,
    write_solution_folder,
    write_star_products,
)
from scrframe.run.sample.builder import CalibrationSample, alternative_dereddening, build_sample
from scrframe.run.sample.detections import PartRead
from scrframe.run.session import Session, open_session
from scrframe.run.workers import let_rest
from scrframe.tables import Solution

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


def calibrate(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    report: bool | None = None,
    force: bool = False,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> Run:
    """Calibrate a survey and write all products.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    out : path, optional
        Directory of the run; by default ``runs/<survey>``. An earlier run of the survey is
        replaced.
    workers : int, optional
        Number of processes; by default as many as there are processors.
    report : bool, optional
        Whether the run ends with its report; by default what the description says.
    force : bool
        Whether a run of another survey may be replaced.
    observer : Observer, optional
        Is notified of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.
    executor : Executor or str, optional
        Does the pieces of work in place of processes of the run's own: an executor, or the
        scheduler of a cluster, such as ``tcp://host:8786``, ``scheduler.json`` or ``local:4``.
        All its workers must see the data and `out`. By default what the user's settings say.

    Returns
    -------
    Run

    Raises
    ------
    ScrframeError
        If the description, the data or a plugin do not allow it; nothing is left behind then.
    ResourceError
        If the machine does not: disk, memory, permissions. A run that fails in this or any
        other way, or is interrupted, leaves what is done, beside its output, and the same
        call goes on from it.
    """
    if data is not None:
        survey = survey.with_data_root(str(data))
    plugins = resolve_plugins(survey, registry or load_registry())
    target = Path(out) if out is not None else Path("runs") / survey.name
    with open_session(
        plugins,
        target,
        workers=workers,
        observer=observer,
        corrects=True,
        force=force,
        executor=executor,
    ) as session:
        hashes = hash_inputs(session)
        sample = draw_sample(session)
        let_rest(session.executor)  # solving needs the memory
        fitted = fit_colour_model(session, sample)
        tied = solve_offsets(session, sample, fitted)
        chosen = replace(session, plugins=tied.solved.plugins)  # with the terms of the data
        record = write_products(chosen, hashes, sample, fitted, tied)
        solution, parts = tied.solution, sample.parts
        del sample, fitted, tied  # large, and no longer needed
        give_memory_back()
        record = record.with_catalogues(correct_catalogues(chosen, parts, solution))
        return close_run(chosen, record, solution, report)


def hash_inputs(session: Session) -> dict[str, str]:
    """Return the SHA-256 of each input file."""
    with session.monitor.step("hash inputs"):
        inputs = session.inputs
        return input_hashes(session.executor, inputs.all(), inputs.root, session.observer)


def draw_sample(session: Session) -> CalibrationSample:
    """Read and match the Calibration Sample, with the spectra that later steps look at."""
    survey = session.plugins.survey
    sample = build_sample(session, keep_spectra=_needs_spectra(survey))
    if survey.absolute is not None and sample.spectra is not None:
        check_passband(survey.absolute, session.inputs.root, sample.spectra.wavelength_nm)
    _notify(session, "sample", sample.matched)
    return sample


def _needs_spectra(survey: SurveyDescription) -> bool:
    """Return whether observed spectra are looked at once there are features."""
    tie, extinction = survey.absolute, survey.extinction
    if tie is not None and tie.kind == "passband":
        return True
    second = extinction.second_values is not None or extinction.second_curve is not None
    return survey.offsets.mode == "joint" and (
        survey.offsets.joint.systematics.extinction or second
    )


def fit_colour_model(session: Session, sample: CalibrationSample) -> FittedModel:
    """Fit colour model and reddening law, which give the model magnitudes."""
    with session.monitor.step("colour model and law"):
        fitted = fit_model(session.plugins, sample.matched, session.workers, session.observer)
    _notify(session, "model", fitted.model)
    return fitted


def solve_alone(session: Session, fitted: FittedModel) -> JointSolve:
    """Return the joint solve of this survey alone."""
    with session.monitor.step("solve offsets"):
        return solve_joint(fitted)


def solve_offsets(
    session: Session,
    sample: CalibrationSample,
    fitted: FittedModel,
    joint: JointSolve | None = None,
) -> TiedSolution:
    """Solve for the offsets, and put the zero point onto an absolute system if it is asked.

    In mode joint, `joint` is what was solved already; by default the survey is solved alone.
    """
    with session.monitor.step("solve offsets"):
        solved = solve(
            session.plugins,
            sample,
            fitted,
            provenance(session, fitted),
            alternative_dereddening(session, sample),
            joint,
        )
    tied = TiedSolution(solved, fitted.model)
    if session.plugins.survey.absolute is not None:
        with session.monitor.step("absolute tie"):
            tied = _tie(session, sample, fitted, tied)
    _notify(session, "solution", tied.solution)
    return tied


def _tie(
    session: Session, sample: CalibrationSample, fitted: FittedModel, free: TiedSolution
) -> TiedSolution:
    """Move the zero point, and with it the model magnitudes, onto a true system."""
    settings, solution = session.plugins.survey.absolute, free.solution
    assert settings is not None
    stars = star_catalogue(stars_of(sample, fitted, free))
    tie = absolute_tie(settings, session.inputs.root, stars, sample.spectra)
    solution = replace(
        solution,
        zero_point_mag=solution.zero_point_mag + tie.shift_mag,
        absolute=tie.to_json(),
        provenance={**solution.provenance, "magnitude_system": tie.system},
    )
    # Residuals are of one gauge: what moves the calibrated moves the model magnitudes.
    model = replace(free.model, model_mag=free.model.model_mag + tie.shift_mag)
    return TiedSolution(replace(free.solved, solution=solution), model, tie)


def write_products(
    session: Session,
    hashes: Mapping[str, str],
    sample: CalibrationSample,
    fitted: FittedModel,
    tied: TiedSolution,
) -> RunRecord:
    """Write stars and solution, and return the record of the run so far."""
    plugins = session.plugins
    with session.monitor.step("write products"):
        stars = stars_of(sample, fitted, tied)
        write_star_products(session, tied, stars)
        write_solution_folder(session, sample, tied.solved)
        return RunRecord(
            plugins.survey,
            session.data,
            hashes,
            tuple(fetched_from(session.inputs.all())),
            sample_record(sample, plugins.survey),
            model_record(fitted, plugins.survey),
            solution_record(plugins, tied.solved, fitted.model, stars),
        )


def correct_catalogues(
    session: Session, parts: Sequence[PartRead], solution: Solution
) -> Corrected:
    """Read every catalogue again, one at a time, and write it corrected."""
    plugins, survey = session.plugins, session.plugins.survey
    root = common_root(session.inputs.root, [read.part for read in parts])
    shared = Shared(solution, session.workspace.shared)
    tasks = [
        CorrectTask(
            loader=plugins.loader,
            settings=survey.loader.settings,
            part=read.part,
            columns=level_columns(survey, plugins.registry, plugins.loader),
            solution=shared,
            writers=plugins.writers,
            root=root,
            out=session.workspace.run / CATALOGUES,
            note=session.data.note,
            unknown_visit="stop",
            done_mark=session.workspace.target(
                "corrected", f"{read.part.key}|{read.part.fingerprint}"
            ),
            known=session.known(read.part),
            colours=None if solution.colour is None else session.workspace.run / STAR_CATALOGUE,
        )
        for read in parts
    ]
    with session.monitor.step("correct catalogues"):
        corrected = correct_all(session.executor, tasks, session.observer, survey.data.on_bad_file)
    _notify(session, "catalogues", list(corrected.parts))
    return corrected


def close_run(session: Session, record: RunRecord, solution: Solution, report: bool | None) -> Run:
    """Write the summary and, if wanted, the report.

    The paths of the run are those after its workspace is put in place.
    """
    folder, monitor = session.workspace.run, session.monitor
    write_json(folder / RUN_MARK, record.summary(monitor))
    written = None
    if session.plugins.survey.report.enabled if report is None else report:
        written = _write_report(session)
        write_json(folder / RUN_MARK, record.summary(monitor))  # with what the report took
    return Run(session.workspace.out, record.summary(monitor), solution, written)


def _write_report(session: Session) -> Report | None:
    """Write the report; whatever goes wrong with it must not lose the calibration."""
    out, observer = session.workspace.out, session.observer
    with session.monitor.step("report"):
        try:
            from scrframe.report.write import write_report  # noqa: PLC0415 - not always

            made = write_report(
                session.workspace.run,
                observer=observer,
                registry=session.plugins.registry,
                executor=session.executor,
            )
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            observer.warning(
                f"the run is complete but has no report ({why}); try scrframe report {out}"
            )
            return None
    return replace(made, path=out / made.path.relative_to(session.workspace.run))


def _notify(session: Session, step: str, result: Any) -> None:
    """Let observing plugins know that a step is done."""
    for failure in session.plugins.registry.step_done(step, result):
        session.observer.warning(failure)
