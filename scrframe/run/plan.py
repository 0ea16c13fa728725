"""What a calibration would read, make and replace: found from names and sizes, nothing is made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.errors import ConfigError, number_of
from scrframe.plugin import Part, Registry, load_registry
from scrframe.products.files import RUN_MARK
from scrframe.run.data import SAMPLE, data_note, note_for
from scrframe.run.inputs import file_state
from scrframe.run.keys import work_key
from scrframe.run.place import RUN_SIZE, free_bytes, size_text
from scrframe.run.plugins import Inputs, SelectedPlugins, find_inputs, resolve_plugins
from scrframe.run.workspace import fit_place, pieces_done


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes
    ----------
    survey, data_root : str
    note : str
        What every product would say of the data; empty for real data.
    inputs : mapping of str to (int, int)
        Files and bytes of each input; empty for the built-in sample.
    out : Path
    replaces : str
        Survey of the run that is there; empty if there is none.
    pieces : int
        Pieces of work of the same run that are done already, and would not be done again.
    written : int
        Bytes that the run takes while it is made; 0 where that is not known.
    free : int
        Bytes that the disk has.
    """

    survey: str
    data_root: str
    note: str
    inputs: Mapping[str, tuple[int, int]]
    out: Path
    replaces: str
    pieces: int
    written: int
    free: int

    def lines(self) -> Iterator[str]:
        """Yield what would be read, made and replaced, line by line."""
        yield f"survey {self.survey}, data root {self.data_root}" + (
            f": {self.note}" if self.note else ""
        )
        for name, (files, size) in self.inputs.items():
            yield f"reads {name}: {number_of(files, 'file')}, {size_text(size)}"
        if not self.inputs:
            yield "reads the built-in sample survey, which is simulated at its first use"
        room = f", about {size_text(self.written)} while it is made" if self.written else ""
        yield f"makes {self.out}{room} ({size_text(self.free)} free)"
        if self.replaces:
            yield f"replaces the run of {self.replaces} that is there"
        if self.pieces:
            yield f"goes on from {number_of(self.pieces, 'piece')} of work that are done already"


def plan_run(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
    registry: Registry | None = None,
) -> RunPlan:
    """Return what `scrframe.calibrate` would do with the same arguments.

    Raises
    ------
    ScrframeError
        If the description, the data or the place do not allow it.
    """
    if data is not None:
        survey = survey.with_data_root(str(data))
    plugins = resolve_plugins(survey, registry or load_registry())
    place = fit_place(Path(out) if out is not None else Path("runs") / survey.name)
    if not force:
        refuse_other_survey(place.out, survey.name)
    root, replaces = resolve_data_root(survey).path, survey_of_run(place.out)
    free = free_bytes(place.out)
    if root is None:
        note = note_for(survey.band)
        return RunPlan(survey.name, SAMPLE, note, {}, place.out, replaces, 0, 0, free)
    inputs = find_inputs(plugins, root)
    sizes = {name: _size(parts) for name, parts in _groups(inputs).items() if parts}
    key, known = work_key(survey.digest(), inputs.all()), place.root / "key"
    same = known.is_file() and known.read_text(encoding="utf-8") == key
    return RunPlan(
        survey.name,
        str(root),
        data_note(root),
        sizes,
        place.out,
        replaces,
        pieces_done(place.root) if same else 0,
        int(RUN_SIZE * corrected_bytes(plugins, inputs)),
        free,
    )


def _groups(inputs: Inputs) -> dict[str, tuple[Part, ...]]:
    return {
        "catalogues": inputs.catalogues,
        "reference stars": inputs.sources,
        "spectra or other features": inputs.features,
        "extinctions": (*inputs.extinctions, *inputs.second_extinctions),
        "corrections and standards": (*inputs.corrections, *inputs.absolute),
    }


def _size(parts: tuple[Part, ...]) -> tuple[int, int]:
    """Return how many files parts are in, and their bytes."""
    states = [file_state(path) for path in {part.path for part in parts}]
    return len(states), sum(state[0] for state in states if state is not None)


def corrected_bytes(plugins: SelectedPlugins, inputs: Inputs) -> int:
    """Return about how much the corrected catalogues will take: as much as those read."""
    return len(plugins.writers) * _size(inputs.catalogues)[1]


def survey_of_run(out: Path) -> str:
    """Return the survey of the run in a folder; empty if there is none that can be read."""
    try:
        return str(json.loads((out / RUN_MARK).read_text(encoding="utf-8"))["survey"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def refuse_other_survey(out: Path, survey: str) -> None:
    """Raise ConfigError if the run of another survey would be replaced."""
    there = survey_of_run(out)
    if there and there != survey:
        raise ConfigError(
            f"{out}: holds a run of the survey {there}, not {survey}; choose another --out, or"
            " replace it with --force"
        )
