"""Correct further catalogues from a solution and the loader alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scrframe.errors import ConfigError, DataError
from scrframe.observer import Observer
from scrframe.plugin import Part, Registry, file_part, load_registry
from scrframe.products.files import writable
from scrframe.products.solution import read_solution
from scrframe.run.correct.catalogues import (
    CorrectTask,
    PartCorrected,
    SelectedWriter,
    check_writers,
    correct_all,
)
from scrframe.run.executor import open_executor
from scrframe.run.plugins import Application, read_application
from scrframe.run.workspace import missing_folders, remove_empty
from scrframe.tables import Solution

#: Default folder of corrected catalogues, below the run.
APPLIED = "applied"


def apply(
    run: str | Path,
    catalogues: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    unknown_visit: str = "stop",
    workers: int = 1,
    observer: Observer | None = None,
    registry: Registry | None = None,
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
    workers : int
        Number of processes.
    observer, registry : optional

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
    application = _application(run, solution, registry)
    found = find_catalogues([Path(path) for path in catalogues], application.writers)
    check_writers(application.writers, list(found.values()))
    target = Path(out).absolute() if out is not None else run.absolute() / APPLIED
    _keep_originals(target, found)
    with _scratch(target) as scratch:
        tasks = [
            CorrectTask(
                loader=application.loader,
                settings=application.settings,
                part=part,
                columns=application.columns,
                solution=solution,
                writers=application.writers,
                root=Path(str(part.path).removesuffix(name)),
                out=scratch,
                note=str(solution.provenance.get("data_note", "")),
                unknown_visit=unknown_visit,
            )
            for name, part in found.items()
        ]
        with open_executor(workers) as executor:
            corrected = correct_all(executor, tasks, observer or Observer())
        _move_files(scratch, target)
    return corrected


def _application(run: Path, solution: Solution, registry: Registry) -> Application:
    try:
        return read_application(solution.provenance["application"], registry)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{run / 'solution'}: the solution is damaged: {error}") from None


def find_catalogues(paths: Sequence[Path], writers: Sequence[SelectedWriter]) -> dict[str, Part]:
    """Return the catalogues named, by their path in the output; directories are searched.

    Raises
    ------
    DataError
        If there is none, or a path does not exist.
    ConfigError
        If two would have the same path in the output.
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
        return [(path.name, path)]
    if not path.is_dir():
        raise DataError(f"{path}: no such catalogue")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in files if not endings or file.name.lower().endswith(endings)]
    if not files:
        raise DataError(f"{path}: holds no catalogue ({', '.join(endings)})")
    return [(file.relative_to(path).as_posix(), file) for file in files]


def _keep_originals(target: Path, found: Mapping[str, Part]) -> None:
    """Refuse an output in which a corrected catalogue would replace one that is read."""
    originals = {part.path.resolve() for part in found.values()}
    for name, part in found.items():
        if (target / name).resolve() in originals:
            raise ConfigError(
                f"{part.path}: would be replaced by a corrected catalogue; choose another --out"
            )


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Yield a folder beside the target, gone afterwards; folders made for it go if unused."""
    made = missing_folders(target.parent)
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    try:
        with scratch as folder:
            yield Path(folder)
    finally:
        remove_empty(made)


def _move_files(scratch: Path, target: Path) -> None:
    for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
        place = target / file.relative_to(scratch)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
