"""Several surveys in one run: each alone up to its offsets, which are solved together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scrframe.analysis.combined.files import SHARED, write_shared
from scrframe.analysis.combined.solve import Alone, Combined, solve_combined
from scrframe.config.combined import CombinedDescription
from scrframe.errors import ScrframeError
from scrframe.observer import Observer
from scrframe.offsets.joint.fit import JointFit
from scrframe.plugin import Registry, load_registry
from scrframe.run.calibrate import Calibration, Prepared, Run, default_workers
from scrframe.run.executor import open_executor
from scrframe.run.progress import StepMonitor
from scrframe.run.workspace import Workspace, versions
from scrframe.tables import Solution


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
    """

    path: Path
    runs: Mapping[str, Run]
    summary: Mapping[str, Any]


def calibrate_combined(
    description: CombinedDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    report: bool | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> CombinedRun:
    """Calibrate several surveys that share stars and terms, and write all products.

    Parameters
    ----------
    description : CombinedDescription
        From `scrframe.config.load_combined`.
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

    Raises
    ------
    ScrframeError
        As `scrframe.calibrate` does, with the name of the survey. Nothing is left behind.
    """
    if data is not None:
        description = description.with_data_root(str(data))
    target = Path(out) if out is not None else Path("runs") / description.name
    key = f"{description.digest()}\n{versions()}"
    space = Workspace.open(
        target, hashlib.sha256(key.encode()).hexdigest(), f"{SHARED}/summary.json"
    )
    workers = workers or default_workers()
    try:
        whole = _Whole(
            description, space, observer or Observer(), workers, registry or load_registry()
        )
        made = whole.run(report)
    except Exception:
        space.discard()
        raise
    space.finish()
    return made


class _Whole:
    """The run of all; surveys are worked on one after the other."""

    def __init__(
        self,
        description: CombinedDescription,
        space: Workspace,
        observer: Observer,
        workers: int,
        registry: Registry,
    ) -> None:
        self._description, self._space = description, space
        self._observer, self._workers, self._registry = observer, workers, registry
        self._monitor = StepMonitor()

    def run(self, report: bool | None) -> CombinedRun:
        description = self._description
        names = [member.name for member in description.members]
        with self._monitor.running():
            begun = [self._begin(number) for number in range(len(names))]
            with open_executor(self._workers) as executor:
                prepared, alone = [], []
                for each, name in zip(begun, names, strict=True):
                    with self._working(each, name):
                        prepared.append(each.prepare(executor))
                        alone.append(each.own_fit(prepared[-1]))
                found = self._together(prepared, alone)
                solutions = []
                for number, (each, name) in enumerate(zip(begun, names, strict=True)):
                    with self._working(each, name):
                        made = each.correct(executor, prepared[number], found.fits[number])
                        solutions.append(made)
            runs = self._close(begun, solutions, report)
        summary = write_shared(self._space.run, description, found, self._monitor)
        return CombinedRun(self._space.out, runs, summary)

    def _begin(self, number: int) -> Calibration:
        member = self._description.members[number]
        with _named(member.name):
            return Calibration.begin(
                member,
                out=self._space.run / member.name,
                workers=self._workers,
                observer=self._observer,
                registry=self._registry,
            )

    @contextmanager
    def _working(self, begun: Calibration, name: str) -> Iterator[None]:
        """Say whose turn it is, and name it in errors."""
        self._observer.message(f"survey {name}")
        with _named(name), begun.guarded():
            yield

    def _together(self, prepared: Sequence[Prepared], alone: Sequence[JointFit]) -> Combined:
        description = self._description
        surveys = [
            Alone.of(member, each, fit)
            for member, each, fit in zip(description.members, prepared, alone, strict=True)
        ]
        with self._monitor.step("solve together"):
            found = solve_combined(surveys, description.share, self._workers)
        for line in found.lines():
            self._observer.message(line)
        return found

    def _close(
        self, begun: Sequence[Calibration], solutions: Sequence[Solution], report: bool | None
    ) -> dict[str, Run]:
        """Finish the run of each survey; their paths are those after the whole has moved."""
        runs, out = {}, self._space.out
        members = self._description.members
        for member, each, solution in zip(members, begun, solutions, strict=True):
            wanted = member.report.enabled if report is None else report
            with self._working(each, member.name):
                run = each.close(solution, wanted)
            made = run.report
            if made is not None:
                made = replace(made, path=out / made.path.relative_to(self._space.run))
            runs[member.name] = replace(run, path=out / member.name, report=made)
        return runs


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a survey before what is wrong with it."""
    try:
        yield
    except ScrframeError as error:
        raise type(error)(f"survey {name}: {error}") from None
