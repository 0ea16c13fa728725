"""Second pass: correct every detection of every catalogue, one part at a time."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scrframe.errors import CalibrationError, ConfigError
from scrframe.observer import Observer
from scrframe.offsets.apply import apply_solution, unknown_visits
from scrframe.plugin import Part, PluginConfig, SurveyLoader, Writer
from scrframe.products.files import write_json
from scrframe.run.executor import run_tasks
from scrframe.tables import BY_NAME, Corrections, Detections, Solution
from scrframe.tables.derived import derive

#: Folder of corrected catalogues in a run.
CATALOGUES = "catalogues"
#: Begins the names of folders in which a part is written.
SCRATCH = ".part-"


@dataclass(frozen=True)
class SelectedWriter:
    """A writer with its settings."""

    writer: Writer
    settings: PluginConfig


@dataclass(frozen=True)
class CorrectTask:
    """One part to correct in a worker.

    Attributes
    ----------
    root : Path
        Below which the part's path keeps its place.
    out : Path
        Where the corrected catalogue goes.
    done_mark : Path or None
        Written when the part is finished; a run that goes on does not write it again.
    unknown_visit : {"stop", "flag"}
        Whether a visit that the solution does not know is an error.
    """

    loader: SurveyLoader
    settings: PluginConfig
    part: Part
    columns: tuple[str, ...]
    solution: Solution
    writers: tuple[SelectedWriter, ...]
    root: Path
    out: Path
    note: str
    unknown_visit: str
    done_mark: Path | None = None


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

    Raises
    ------
    CalibrationError
        If a visit is unknown and that is not asked to be flagged.
    """
    earlier = _earlier(task)
    if earlier is not None:
        return earlier
    detections = read_for_levels(task.loader, task.settings, task.part, task.columns)
    unknown = unknown_visits(task.solution, detections)
    names = tuple(sorted(set(detections["visit"][unknown])))
    if names and task.unknown_visit == "stop":
        raise CalibrationError(
            f"{task.part.path}: visit {names[0]} is not in the solution; calibrate it, or"
            " write it uncorrected with --unknown-visit flag"
        )
    corrections = apply_solution(task.solution, detections)
    written = _write(task, detections, corrections)
    good = np.isfinite(corrections.total_mag) & np.isfinite(detections["mag"])
    done = PartCorrected(task.part.key, written, len(detections), int(good.sum()), names)
    if task.done_mark is not None:
        write_json(task.done_mark, asdict(done))
    return done


def read_for_levels(
    loader: SurveyLoader, settings: PluginConfig, part: Part, columns: tuple[str, ...]
) -> Detections:
    """Read a part with the columns that levels need, some of which follow from others."""
    derived = {name for name in columns if name in BY_NAME and BY_NAME[name].derived}
    own = tuple(name for name in columns if name not in derived)
    return derive(loader.read(part, settings, own), "detection", derived)


def _earlier(task: CorrectTask) -> PartCorrected | None:
    """Return what an interrupted run has written of this part, if it is all there."""
    if task.done_mark is None or not task.done_mark.exists():
        return None
    saved = json.loads(task.done_mark.read_text(encoding="utf-8"))
    if not all((task.out / file).exists() for file in saved["files"]):
        return None
    files, unknown = tuple(saved.pop("files")), tuple(saved.pop("unknown_visits"))
    return PartCorrected(**saved, files=files, unknown_visits=unknown)


def _write(task: CorrectTask, detections: Detections, corrections: Corrections) -> tuple[str, ...]:
    """Write one part into a temporary folder, and rename its files into place."""
    task.out.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=task.out) as folder:
        scratch = Path(folder)
        for each in task.writers:
            files = each.writer.write(
                task.part, detections, corrections, task.root, scratch, each.settings, task.note
            )
            for file in files:
                place = task.out / file.relative_to(scratch)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
                written.append(str(place.relative_to(task.out)))
    return tuple(written)


def correct_all(
    executor: Executor, tasks: Sequence[CorrectTask], observer: Observer
) -> list[PartCorrected]:
    """Correct all parts in parallel."""
    for out in {task.out for task in tasks}:
        for left in out.glob(f"{SCRATCH}*"):  # of workers that were killed
            shutil.rmtree(left)
    with observer.step("Writing corrected catalogues", len(tasks)) as done:
        return run_tasks(executor, correct_part, tasks, done)


def common_root(data_root: Path, parts: Sequence[Part]) -> Path:
    """Return the directory below which parts keep their places in the output.

    It is ``catalogues`` below the data root where all lie there, else the data root.
    """
    folder = data_root / CATALOGUES
    return folder if all(part.path.is_relative_to(folder) for part in parts) else data_root


def check_writers(writers: Sequence[SelectedWriter], parts: Sequence[Part]) -> None:
    """Refuse parts that a writer cannot write, before any work.

    A part must be a whole file, unless the writer gives the parts of a file names of their
    own: they would be written over each other.

    Raises
    ------
    ConfigError
        Naming the writer and the file.
    """
    for each in writers:
        endings = each.writer.suffixes
        seen: set[Path] = set()
        for part in parts:
            if part.path in seen and not each.writer.pieces:
                raise ConfigError(
                    f"writer {each.writer.name!r} writes whole files, but the loader reads"
                    f" {part.path} in several parts; choose other `writers`, or none"
                )
            seen.add(part.path)
            if endings and not part.path.name.lower().endswith(endings):
                raise ConfigError(
                    f"writer {each.writer.name!r} cannot write {part.path.name}"
                    f" (it writes {', '.join(endings)}); choose another under `writers`"
                )
