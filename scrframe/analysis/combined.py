"""Several surveys in one run: each alone up to its offsets, which are solved together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy import units as u
from astropy.table import Table

from scrframe.analysis.bands import write_bands
from scrframe.analysis.combined_solve import (
    CombinedSolution,
    Prepared,
    SingleFit,
    rms,
    solve_combined,
)
from scrframe.config import SurveyDescription
from scrframe.config.combined import CombinedDescription
from scrframe.errors import ScrframeError, reworded
from scrframe.observer import Observer
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.results import ExposureOffsets
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import SHARED, write_ecsv, write_json, write_text
from scrframe.run import calibrate
from scrframe.run.keys import versions, work_key
from scrframe.run.plugins import resolve_plugins
from scrframe.run.products import RunRecord
from scrframe.run.session import Session, StepMonitor, begin_session
from scrframe.run.workers import default_workers, let_rest
from scrframe.run.workspace import Workspace, open_workspace
from scrframe.tables import Solution
from scrframe.version import __version__


@dataclass(frozen=True)
class CombinedRun:
    """A finished run of several surveys.

    Attributes
    ----------
    path : Path
        Its directory.
    runs : mapping of str to Run
        The run of each survey, in a directory of its name below.
    summary : mapping
        The content of ``shared/summary.json``.
    page : Path or None
        Of many bands: the first page of the report of all.
    """

    path: Path
    runs: Mapping[str, calibrate.Run]
    summary: Mapping[str, Any]
    page: Path | None = None


def calibrate_combined(
    description: CombinedDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    report: bool | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> CombinedRun:
    """Calibrate several surveys that share stars and terms, and write all products.

    Parameters
    ----------
    description : CombinedDescription
        From `scrframe.load_combined`.
    data : path, optional
        A folder with the data roots of the surveys, by their names, or ``sample``; by
        default each description's own.
    out : path, optional
        Directory of the run; by default ``runs/<name>``. An earlier run is replaced.
    workers : int, optional
        Number of processes; by default as many as there are processors.
    report : bool, optional
        Whether each survey's run ends with its report; by default what its description says.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.
    executor : Executor or str, optional
        As of `scrframe.calibrate`.

    Raises
    ------
    ScrframeError
        As `scrframe.calibrate` does, with the name of the survey.
    """
    if data is not None:
        description = description.with_data_root(str(data))
    target = Path(out) if out is not None else Path("runs") / description.name
    key = work_key(description.digest())
    workers = workers or default_workers()
    with open_workspace(target, key, f"{SHARED}/summary.json") as space:
        registry, observer = registry or load_registry(), observer or Observer()
        return _Whole(description, space, observer, workers, registry, executor).run(report)


@dataclass(frozen=True)
class _Whole:
    """The run of all; surveys are worked on one after the other."""

    description: CombinedDescription
    space: Workspace
    observer: Observer
    workers: int
    registry: Registry
    executor: Executor | str | None
    monitor: StepMonitor = field(default_factory=StepMonitor)

    def run(self, report: bool | None) -> CombinedRun:
        with self.monitor.running():
            begun = [self._begin(member) for member in self.description.members]
            roots = [each.data.path for each in begun[1:]]
            with begun[0].opened_executor(self.executor, *roots) as executor:
                sessions = [replace(each, executor=executor) for each in begun]
                prepared = [self._prepare(each) for each in sessions]
                found = self._together(prepared)
                finished = [
                    self._correct(session, each, fit)
                    for session, each, fit in zip(sessions, prepared, found.fits, strict=True)
                ]
                runs = {
                    each[0].plugins.survey.name: self._close(*each, report) for each in finished
                }
        summary = write_shared(self.space.run, self.description, found, self.monitor)
        page = None
        if self.description.bands:
            places = [session.workspace.run for session in sessions]
            page = write_bands(
                self.space.run, self.description, places, runs, summary, self.observer
            )
        for session in sessions:  # when all are whole: until then they can go on
            session.workspace.finish()
        if page is not None:
            page = self.space.out / page.relative_to(self.space.run)
        return CombinedRun(self.space.out, runs, summary, page)

    def _begin(self, member: SurveyDescription) -> Session:
        with _named(member.name):
            return begin_session(
                resolve_plugins(member, self.registry),
                self.space.run / member.name,
                workers=self.workers,
                observer=self.observer,
                corrects=True,
            )

    @contextmanager
    def _working(self, session: Session) -> Iterator[None]:
        """Say whose turn it is, and name it in errors."""
        name = session.plugins.survey.name
        self.observer.message(f"survey {name}")
        with _named(name), session.guarded():
            yield

    def _prepare(self, session: Session) -> Prepared:
        with self._working(session):
            hashes = calibrate.hash_inputs(session)
            sample = calibrate.draw_sample(session)
            let_rest(session.executor)
            fitted = calibrate.fit_colour_model(session, sample)
            alone = calibrate.solve_alone(session, fitted)
            survey = alone.state.solver.plugins.survey  # with the terms that were chosen
            return Prepared(survey, hashes, sample, fitted, alone)

    def _together(self, prepared: Sequence[Prepared]) -> CombinedSolution:
        with self.monitor.step("solve together"):
            surveys = [SingleFit.of(each) for each in prepared]
            found = solve_combined(surveys, self.description.share, self.workers)
        for line in found.lines():
            self.observer.message(line)
        return found

    def _correct(
        self, session: Session, each: Prepared, fit: JointFit
    ) -> tuple[Session, RunRecord, Solution]:
        """Take the offsets of the joint solve, write products and correct the catalogues."""
        with self._working(session):
            tied = calibrate.solve_offsets(
                session, each.sample, each.fitted, replace(each.joint, fit=fit)
            )
            session = replace(session, plugins=tied.solved.plugins)
            record = calibrate.write_products(session, each.hashes, each.sample, each.fitted, tied)
            corrected = calibrate.correct_catalogues(session, each.sample.parts, tied.solution)
            return session, record.with_catalogues(corrected), tied.solution

    def _close(
        self, session: Session, record: RunRecord, solution: Solution, report: bool | None
    ) -> calibrate.Run:
        """Finish the run of a survey; its paths are those after the whole has moved."""
        with self._working(session):
            run = calibrate.close_run(session, record, solution, report)
        out, made = self.space.out, run.report
        if made is not None:
            made = replace(made, path=out / made.path.relative_to(self.space.run))
        return replace(run, path=out / session.plugins.survey.name, report=made)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a survey before what is wrong with it."""
    try:
        yield
    except ScrframeError as error:
        raise reworded(error, f"survey {name}: {error}") from None


def write_shared(
    folder: Path, description: CombinedDescription, joint: CombinedSolution, monitor: StepMonitor
) -> dict[str, Any]:
    """Write ``shared/`` below the folder of a run; return the content of its summary."""
    shared = folder / SHARED
    shared.mkdir(exist_ok=True)
    summary = shared_summary(description, joint, monitor)
    write_ecsv(offset_table(joint), shared / "offsets.ecsv")
    members = [f"../{each.name}/solution/description.yaml" for each in description.members]
    share = description.share.model_dump(mode="json")
    said = {"name": description.name, "members": members, "share": share}
    write_text(shared / "description.yaml", yaml.safe_dump(said, sort_keys=False))
    write_json(shared / "summary.json", summary)
    return summary


def shared_summary(
    description: CombinedDescription, joint: CombinedSolution, monitor: StepMonitor
) -> dict[str, Any]:
    """Return what the surveys share and what it is worth, as plain JSON."""
    names, members = joint.names, zip(joint.surveys, joint.alone, joint.together, strict=True)
    return {
        "scrframe_version": __version__,
        "name": description.name,
        **({"bands": list(description.bands)} if description.bands else {}),
        "share": description.share.model_dump(mode="json"),
        "stars": [
            {
                "members": [names[i], names[j]],
                "common": each.common,
                "correlation": each.value,
                "error": each.error,
                "shared": float(joint.loading[i] * joint.loading[j]),
            }
            for (i, j), each in joint.correlations.items()
        ],
        "terms": [
            {
                "name": term.name,
                "sd_mag": dict(zip(names, term.sd_mag, strict=True)),
                "columns": term.columns,
                "common": term.common,
                "correlation_alone": term.correlation,
                "log_likelihood_ratio": term.odds,
                "shared": term.shared,
                "said": term.describe(),
            }
            for term in joint.terms
        ],
        "members": {
            each.survey.name: _figures(each, alone, together) for each, alone, together in members
        },
        "steps": monitor.steps,
        "peak_memory_mb": monitor.peak_memory_mb,
        "versions": versions(),
        "description_sha256": description.digest(),
    }


def _figures(each: SingleFit, alone: ExposureOffsets, together: ExposureOffsets) -> dict[str, Any]:
    """Return errors alone and together, and by how much offsets differ.

    What both solves have of the truth, the solve of one survey alone has in full: the
    difference is expected to have the variance that the errors have lost.
    """
    lost = np.maximum(alone.err_mag**2 - together.err_mag**2, 0)
    moved = together.offset_mag - alone.offset_mag
    return {
        "band": each.survey.band,
        "visits": len(alone.visit_mag),
        "exposures": len(alone.offset_mag),
        "err_alone_mag": rms(alone.err_mag),
        "err_together_mag": rms(together.err_mag),
        "visit_err_alone_mag": rms(alone.visit_err_mag),
        "visit_err_together_mag": rms(together.visit_err_mag),
        "difference_mag": rms(moved),
        "difference_expected_mag": float(np.sqrt(np.mean(lost))),
        "largest_difference_sigma": float(np.max(np.abs(moved) / alone.err_mag, initial=0.0)),
    }


def offset_table(joint: CombinedSolution) -> Table:
    """Return a row for each exposure of each survey: its offset alone and together."""
    parts = []
    for each, alone, both in zip(joint.surveys, joint.alone, joint.together, strict=True):
        exposures = each.fit.design.exposures
        parts.append(
            {
                "survey": np.full(len(exposures), each.survey.name),
                "visit": np.array(exposures.visits)[exposures.visit],
                "field": np.array(each.field),
                "ccd": exposures.ccd,
                "count": alone.count,
                "offset_alone": alone.offset_mag,
                "err_alone": alone.err_mag,
                "offset_together": both.offset_mag,
                "err_together": both.err_mag,
            }
        )
    table = Table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    for name in table.colnames[5:]:
        table[name].unit = u.mag
    table.meta["description"] = "offsets of exposures, of each survey alone and of all together"
    return table
