"""Correct catalogues, one part at a time: those of a run, and further ones by its solution.

`apply` needs nothing of a run but its solution and the loader.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.arrays import FloatArray
from scrframe.errors import (
    CalibrationError,
    ConfigError,
    DataError,
    InputChangedError,
    one_line,
    told_once,
)
from scrframe.io import matching_files, refuse_name
from scrframe.observer import Observer
from scrframe.offsets.apply import apply_solution, near_colours, own_colours, unknown_visits
from scrframe.plugin import Part, PluginConfig, Registry, SurveyLoader, file_part, load_registry
from scrframe.products.files import from_json, seal, sealed
from scrframe.products.solution import read_solution
from scrframe.run.engines.engine import Shared
from scrframe.run.inputs import FileState, state_of, unchanged
from scrframe.run.keys import work_key
from scrframe.run.plugins import SelectedWriter, check_writers, read_application
from scrframe.run.workers import open_executor, run_tasks
from scrframe.run.workspace import open_workspace
from scrframe.tables import BY_NAME, Corrections, Detections, Solution
from scrframe.tables.table import derive, plausible

#: Folder of corrected catalogues in a run.
CATALOGUES = "catalogues"
#: What a table of stars' colours has, such as a run's star catalogue.
COLOUR_COLUMNS = ("ra_deg", "dec_deg", "colour")
#: Stars are read so far beyond the detections.
MARGIN_DEG = 0.01
#: Begins the names of folders in which a part is written.
SCRATCH = ".part-"


@dataclass(frozen=True)
class CorrectTask:
    """One part to correct in a worker."""

    loader: SurveyLoader
    settings: PluginConfig
    part: Part
    columns: tuple[str, ...]
    #: Travels once to each worker.
    solution: Shared[Solution]
    writers: tuple[SelectedWriter, ...]
    #: Below which the part's path keeps its place.
    root: Path
    #: Where the corrected catalogue goes.
    out: Path
    note: str
    #: Whether a visit that the solution does not know is an error. One of "stop", "flag".
    unknown_visit: str
    #: Names the piece of work that is done when the part is finished.
    done_mark: Path | None = None
    #: The files of the part as they were found.
    known: tuple[FileState, ...] = ()
    #: Table of stars with ra_deg, dec_deg and colour, for colour terms.
    colours: Path | None = None


@dataclass(frozen=True)
class PartCorrected:
    """What was written for one part."""

    key: str
    files: tuple[str, ...]
    detections: int
    corrected: int
    unknown_visits: tuple[str, ...]


def correct_part(task: CorrectTask) -> PartCorrected:
    """Read one part, apply the solution, write the corrected catalogue.

    Raises CalibrationError if a visit is unknown and that is not asked to be flagged, and
    InputChangedError if the part's files are not what they were.
    """
    earlier = None if task.done_mark is None else sealed(task.done_mark)
    if earlier is not None:
        return from_json(PartCorrected, earlier)  # type: ignore[no-any-return]
    known = task.known or state_of(task.part)
    with unchanged(task.part, known):
        return _correct_fresh(task)


def _correct_fresh(task: CorrectTask) -> PartCorrected:
    detections = read_for_levels(task.loader, task.settings, task.part, task.columns)
    solution = task.solution.get()
    if task.colours is not None and solution.colour is not None:
        stars = read_colours(task.colours, detections["dec"])
        detections = near_colours(detections, *stars, solution.colour)
    elif solution.colour is not None:
        detections = own_colours(detections, solution.colour)
    unknown = unknown_visits(solution, detections)
    names = tuple(sorted(set(detections["visit"][unknown])))
    if names and task.unknown_visit == "stop":
        raise CalibrationError(
            f"{task.part.path}: visit {names[0]} is not in the solution; calibrate it, or"
            " write it uncorrected with --unknown-visit flag"
        )
    corrections = apply_solution(solution, detections)
    written = _write(task, detections, corrections)
    good = np.isfinite(corrections.total_mag) & np.isfinite(detections["mag"])
    done = PartCorrected(task.part.key, written, len(detections), int(good.sum()), names)
    if task.done_mark is not None:
        seal(task.done_mark, *(task.out / file for file in written), said=asdict(done))
    return done


def read_colours(path: Path, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return right ascension and declination in deg and colours of the stars about detections.

    Raises DataError if the table cannot be read or lacks a column.
    """
    placed = dec_deg[np.isfinite(dec_deg)]
    low, high = (placed.min(), placed.max()) if len(placed) else (np.inf, -np.inf)
    around = [("dec_deg", ">=", low - MARGIN_DEG), ("dec_deg", "<=", high + MARGIN_DEG)]
    try:
        table = pq.read_table(path, columns=list(COLOUR_COLUMNS), filters=around)
        ra, dec, colour = (
            table.column(name).to_numpy().astype(np.float64) for name in COLOUR_COLUMNS
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: must be a Parquet table with numbers {', '.join(COLOUR_COLUMNS)}:"
            f" {one_line(error)}"
        ) from None
    return ra, dec, colour


def correct_part_or_reason(task: CorrectTask) -> PartCorrected | str:
    """Correct one part; of one that cannot be read any more the reason comes back."""
    try:
        return correct_part(task)
    except DataError as error:
        return str(error)


def read_for_levels(
    loader: SurveyLoader, settings: PluginConfig, part: Part, columns: tuple[str, ...]
) -> Detections:
    """Read a part with the columns that levels need, some of which follow from others."""
    derived = {name for name in columns if name in BY_NAME and BY_NAME[name].derived}
    own = tuple(name for name in columns if name not in derived)
    read = plausible(loader.read(part, settings, own), str(part.path))
    return derive(read, "detection", derived)


def _write(task: CorrectTask, detections: Detections, corrections: Corrections) -> tuple[str, ...]:
    """Write one part into a temporary folder, and rename its files into place."""
    task.out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=task.out) as folder:
        scratch = Path(folder)
        for each in task.writers:
            files = each.writer.write(
                task.part, detections, corrections, task.root, scratch, each.settings, task.note
            )
            _move_files(files, scratch, task.out)
            written += [str(file.relative_to(scratch)) for file in files]
    return tuple(written)


@dataclass(frozen=True)
class Corrected:
    """What was corrected, and why other parts were left out."""

    parts: tuple[PartCorrected, ...]
    left_out: Mapping[str, str]


def correct_all(
    executor: Executor,
    tasks: Sequence[CorrectTask],
    observer: Observer,
    on_bad_file: str = "stop",
) -> Corrected:
    """Correct all parts in parallel.

    Raises DataError if one cannot be read and `on_bad_file` is ``stop``, or none can.
    """
    for out in {task.out for task in tasks}:
        for left in out.glob(f"{SCRATCH}*"):  # of workers that were killed
            shutil.rmtree(left)
    function = correct_part_or_reason if on_bad_file == "skip" else correct_part
    with observer.step("Writing corrected catalogues", len(tasks)) as done:
        found = run_tasks(executor, function, tasks, done)
    parts = tuple(each for each in found if isinstance(each, PartCorrected))
    left_out = {
        task.part.key: each
        for task, each in zip(tasks, found, strict=True)
        if isinstance(each, str)
    }
    for line in told_once(f"left out {key}: {why}" for key, why in left_out.items()):
        observer.warning(line)
    if tasks and not parts:
        raise InputChangedError(f"no catalogue could be read again; {list(left_out.values())[-1]}")
    return Corrected(parts, left_out)


def common_root(data_root: Path, parts: Sequence[Part]) -> Path:
    """Return the directory below which parts keep their places in the output.

    It is ``catalogues`` below the data root where all lie there, else the data root.
    """
    folder = data_root / CATALOGUES
    return folder if all(part.path.is_relative_to(folder) for part in parts) else data_root


#: Default folder of corrected catalogues, below the run.
APPLIED = "applied"
#: What would mark a folder of corrected catalogues; there is no such file.
APPLICATION = ""


def apply(
    run: str | Path,
    catalogues: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    unknown_visit: str = "stop",
    colours: str | Path | None = None,
    workers: int = 1,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> list[PartCorrected]:
    """Correct catalogues with the solution of a finished run.

    Parameters
    ----------
    run : path
        Directory of the run.
    catalogues : sequence of path
        Files that the survey's loader reads, or directories of them.
    out : path, optional
        By default ``applied`` below the run.
    unknown_visit : {"stop", "flag"}
        Whether a visit that the run did not see is an error, or is written uncorrected.
    colours : path, optional
        Parquet table of stars with ra_deg, dec_deg and colour (band less reference magnitude),
        such as the run's star_catalogue.parquet, for what colour terms add. Stars without a
        colour are corrected as of the reference colour, with a larger ``mag_cal_sys``.
    workers : int
        Number of processes.
    observer, registry : optional
    executor : Executor or str, optional
        As of `scrframe.calibrate`.

    Returns
    -------
    list of PartCorrected

    Raises
    ------
    DataError
        If the run or a catalogue cannot be read.
    ConfigError
        If a corrected catalogue would replace one that is read.
    CalibrationError
        If a visit is unknown and `unknown_visit` is ``stop``; nothing is written then.
    """
    registry = registry or load_registry()
    run = Path(run)
    solution = read_solution(run / "solution", registry)
    try:
        application = read_application(solution.provenance["application"], registry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{run / 'solution'}: the solution is damaged: {said}") from None
    found = find_catalogues([Path(path) for path in catalogues], application.writers)
    check_writers(application.writers, list(found.values()))
    target = Path(out).absolute() if out is not None else run.absolute() / APPLIED
    originals = {part.path.resolve() for part in found.values()}
    for name, part in found.items():
        if (target / name).resolve() in originals:
            raise ConfigError(
                f"{part.path}: would be replaced by a corrected catalogue; choose another --out"
            )
    observer = observer or Observer()
    table = None if colours is None else Path(colours).absolute()
    if table is not None and solution.colour is None:
        observer.warning(f"{colours}: not used, as the solution has no colour terms")
        table = None
    elif table is not None:
        read_colours(table, np.zeros(0))  # at once, not in the midst of the work
    described = json.dumps([str(run.absolute()), unknown_visit, str(table), sorted(found)])
    key = work_key(described, found.values())
    with (
        open_workspace(target, key, APPLICATION, resumes=False, merges=True) as space,
        open_executor(
            workers,
            executor,
            folder=space.marks(),
            needs=[part.path for part in found.values()][:1],
            say=observer.message,
        ) as opened,
    ):
        shared = Shared(solution, space.shared)
        tasks = [
            CorrectTask(
                loader=application.loader,
                settings=application.settings,
                part=part,
                columns=application.columns,
                solution=shared,
                writers=application.writers,
                root=Path(str(part.path).removesuffix(name)),
                out=space.run,
                note=str(solution.provenance.get("data_note", "")),
                unknown_visit=unknown_visit,
                colours=table,
            )
            for name, part in found.items()
        ]
        return list(correct_all(opened, tasks, observer).parts)


def find_catalogues(paths: Sequence[Path], writers: Sequence[SelectedWriter]) -> dict[str, Part]:
    """Return the catalogues named, by their path in the output; directories are searched.

    Raises DataError if there is none, or a path does not exist, and ConfigError if two would have
    the same path in the output.
    """
    endings = tuple(ending for each in writers for ending in each.writer.suffixes)
    found: dict[str, Part] = {}
    for path in paths:
        for name, file in _files(path.absolute(), endings):
            if name in found:
                raise ConfigError(
                    f"{file} and {found[name].path} would both be written as {name};"
                    " correct them separately, with different --out"
                )
            found[name] = file_part(file, name)
    return found


def _files(path: Path, endings: tuple[str, ...]) -> list[tuple[str, Path]]:
    if path.is_file():
        refuse_name(path)
        return [(path.name, path)]
    if not path.is_dir():
        raise DataError(f"{path}: no such catalogue")
    files = matching_files(".", path)
    files = [file for file in files if not endings or file.name.lower().endswith(endings)]
    if not files:
        raise DataError(f"{path}: holds no catalogue ({', '.join(endings)})")
    return [(file.relative_to(path).as_posix(), file) for file in files]


def _move_files(files: Iterable[Path], scratch: Path, target: Path) -> None:
    for file in files:
        place = target / file.relative_to(scratch)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
