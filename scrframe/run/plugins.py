"""The plugins that a description chooses, with their settings and their input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

from scrframe.config import SurveyDescription
from scrframe.config.plugin_blocks import LevelBlock
from scrframe.config.schema import misfits
from scrframe.errors import ConfigError, DataError
from scrframe.plugin import (
    ChosenCorrection,
    ColourModel,
    ExtinctionCatalogue,
    ExtinctionCurve,
    OffsetLevel,
    Part,
    PluginConfig,
    ReferenceCatalogue,
    Registry,
    SurveyLoader,
    Writer,
    file_part,
)
from scrframe.run.sample.selection import loosen
from scrframe.tables import BY_NAME, STAGES, Column, FittedLevel, MatchedStars
from scrframe.tables.columns import DETECTION_REQUIRED
from scrframe.tables.cuts import Cut
from scrframe.tables.levels import COLOUR, OBSERVED_COLOUR

#: Columns of detections that are kept when the loader has them, for reports and null tests.
KEPT = ("field", "airmass", "seeing", "exposure_time", "classification", "usable")


@dataclass(frozen=True)
class SelectedPlugins:
    """Descriptors by role; settings come from the description's blocks."""

    survey: SurveyDescription
    registry: Registry
    loader: SurveyLoader
    reference: ReferenceCatalogue
    extinctions: ExtinctionCatalogue
    curve: ExtinctionCurve
    backend: ColourModel
    levels: tuple[OffsetLevel, ...]
    writers: tuple[SelectedWriter, ...]
    second_extinctions: ExtinctionCatalogue | None = None
    second_curve: ExtinctionCurve | None = None

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """Columns of the selected plugins outside the vocabulary."""
        return (
            *self.loader.own_columns,
            *self.reference.own_columns,
            *self.extinctions.own_columns,
        )

    def with_terms(self, kept: Iterable[LevelBlock]) -> SelectedPlugins:
        """Return the selection with terms among the levels, and nothing left to choose."""
        offsets = self.survey.offsets.with_terms(kept)
        survey = self.survey.model_copy(update={"offsets": offsets})
        levels = tuple(
            self.registry.get(OffsetLevel, block.kind) for block in offsets.active_levels()
        )
        return replace(self, survey=survey, levels=levels)

    def cuts(self) -> dict[str, tuple[Cut, ...]]:
        """Return the cuts of the Calibration Sample by stage, in written order.

        In mode joint those on magnitudes reach a margin beyond their limits.
        """
        offsets = self.survey.offsets
        margin = offsets.joint.margin if offsets.mode == "joint" else 0.0
        cuts = [loosen(cut, margin) for cut in self.survey.selection.calibration]
        return {
            stage: tuple(cut for cut in cuts if cut.stage(self.own_columns) == stage)
            for stage in STAGES
        }

    def detection_columns(self) -> tuple[str, ...]:
        """Return the columns to ask the loader for: what cuts and levels use, and some more."""
        selection = self.survey.selection
        cuts = (*selection.calibration, *selection.control, *self.survey.zero_point)
        used = {name for cut in cuts for name in cut.names} | set(
            level_columns(self.survey, self.registry, self.loader)
        )
        own = {column.name for column in self.loader.own_columns}
        offered = [*self.loader.columns, *sorted(own)]
        keep = [name for name in offered if name in used or name in KEPT]
        return tuple(name for name in keep if name not in DETECTION_REQUIRED)

    def corrections(self, root: Path) -> tuple[ChosenCorrection, ...]:
        """Return the corrections of the reference catalogue that are asked for."""
        known = {correction.name: correction for correction in self.reference.corrections}
        return tuple(
            ChosenCorrection(known[block.kind], block.settings, root)
            for block in self.survey.reference.corrections
        )


def level_columns(
    survey: SurveyDescription, registry: Registry, loader: SurveyLoader
) -> tuple[str, ...]:
    """Return the columns that the levels of a description read and catalogues have.

    Columns of stars, which nuisance terms read, are not among them; those that follow from
    others (a season from the date) are.
    """
    offered = {*loader.columns, *(column.name for column in loader.own_columns)}
    needed = [
        name
        for block in (*survey.offsets.active_levels(), *survey.offsets.candidates())
        for name in registry.get(OffsetLevel, block.kind).needs(block.settings)
        if name not in DETECTION_REQUIRED
    ]
    offered |= {
        name for name, column in BY_NAME.items() if column.derived and column.stage == "detection"
    }
    if COLOUR in needed:
        needed.append(OBSERVED_COLOUR)
    return tuple(name for name in dict.fromkeys(needed) if name in offered)


def prepare_levels(plugins: SelectedPlugins, matched: MatchedStars) -> tuple[FittedLevel, ...]:
    """Return the levels of the description's mode, prepared on a sample."""
    blocks = plugins.survey.offsets.active_levels()
    levels = tuple(
        descriptor.prepare(block.name, matched, block.settings)
        for descriptor, block in zip(plugins.levels, blocks, strict=True)
    )
    for level, block in zip(levels, blocks, strict=True):
        level.parent = block.parent
    return levels


def level_needs(plugins: SelectedPlugins) -> dict[str, tuple[str, ...]]:
    """Return the columns that each level and candidate of the mode reads, by its name."""
    offsets = plugins.survey.offsets
    return {
        block.name: tuple(plugins.registry.get(OffsetLevel, block.kind).needs(block.settings))
        for block in (*offsets.active_levels(), *offsets.candidates())
    }


@dataclass(frozen=True)
class Application:
    """What applies a solution: nothing else of a description is needed, or looked at."""

    loader: SurveyLoader
    settings: PluginConfig
    writers: tuple[SelectedWriter, ...]
    columns: tuple[str, ...]


def application_record(plugins: SelectedPlugins) -> dict[str, Any]:
    """Return an `Application` as plain JSON, which goes with the solution."""
    survey = plugins.survey
    return {
        "loader": _record(survey.loader.kind, survey.loader.settings),
        "writers": [_record(block.kind, block.settings) for block in survey.writers],
        "columns": list(level_columns(survey, plugins.registry, plugins.loader)),
    }


def read_application(record: Mapping[str, Any], registry: Registry) -> Application:
    """Look up the plugins of a stored `Application`.

    Raises PluginError if the loader or a writer is not installed, and KeyError or ValueError if the
    record is damaged.
    """
    loader = registry.get(SurveyLoader, record["loader"]["kind"])
    writers = []
    for entry in record["writers"]:
        writer = registry.get(Writer, entry["kind"])
        writers.append(SelectedWriter(writer, writer.config.model_validate(entry["settings"])))
    settings = loader.config.model_validate(record["loader"]["settings"])
    loader = loader.with_settings(settings)
    return Application(loader, settings, tuple(writers), tuple(record["columns"]))


def _record(kind: str, settings: PluginConfig) -> dict[str, Any]:
    return {"kind": kind, "settings": settings.model_dump(mode="json")}


def resolve_plugins(survey: SurveyDescription, registry: Registry) -> SelectedPlugins:
    """Look up everything that a description names.

    Raises PluginError if something is not installed, and ConfigError if a block does not go with
    what the reference catalogue provides.
    """
    for path, message in misfits(survey, registry):
        raise ConfigError(f"{'.'.join(map(str, path))} {message}")
    reference = registry.get(ReferenceCatalogue, survey.reference.kind)
    extinction = survey.extinction
    return SelectedPlugins(
        survey=survey,
        registry=registry,
        loader=registry.get(SurveyLoader, survey.loader.kind).with_settings(survey.loader.settings),
        reference=reference,
        extinctions=registry.get(ExtinctionCatalogue, survey.extinction.values.kind),
        curve=registry.get(ExtinctionCurve, survey.extinction.curve.kind),
        backend=registry.get(ColourModel, survey.colour_model.kind),
        levels=tuple(
            registry.get(OffsetLevel, block.kind) for block in survey.offsets.active_levels()
        ),
        writers=tuple(
            SelectedWriter(registry.get(Writer, block.kind), block.settings)
            for block in survey.writers
        ),
        second_extinctions=None
        if extinction.second_values is None
        else registry.get(ExtinctionCatalogue, extinction.second_values.kind),
        second_curve=None
        if extinction.second_curve is None
        else registry.get(ExtinctionCurve, extinction.second_curve.kind),
    )


@dataclass(frozen=True)
class Inputs:
    """Every part of every input, found but not yet read."""

    root: Path
    catalogues: tuple[Part, ...]
    sources: tuple[Part, ...]
    features: tuple[Part, ...]
    extinctions: tuple[Part, ...]
    corrections: tuple[Part, ...] = ()
    absolute: tuple[Part, ...] = ()
    second_extinctions: tuple[Part, ...] = ()

    def all(self) -> tuple[Part, ...]:
        """Return all parts."""
        inputs = (getattr(self, item.name) for item in fields(self) if item.name != "root")
        return tuple(chain.from_iterable(inputs))


def find_inputs(plugins: SelectedPlugins, root: Path) -> Inputs:
    """Find the input of all selected plugins below a data root.

    Raises DataError if the root or any input is missing, or what is supplied for a correction or
    the absolute tie is unusable.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such data root; give one with --data or SCRFRAME_DATA")
    survey = plugins.survey
    reference = survey.reference.settings
    found = Inputs(
        root,
        _parts(plugins.loader.parts, survey.loader.settings, root),
        _parts(plugins.reference.source_parts, reference, root),
        _parts(plugins.reference.feature_parts, reference, root),
        _parts(plugins.extinctions.parts, survey.extinction.values.settings, root),
        tuple(
            file_part(path, f"{each.correction.name}:{path}")
            for each in plugins.corrections(root)
            if each.correction.files is not None
            for path in each.correction.files(each.config, each.root)
        ),
    )
    if survey.absolute is not None:  # its files are read, to see that they can be used
        from scrframe.run.offsets.absolute import absolute_files  # noqa: PLC0415 - slow to import

        files = absolute_files(survey.absolute, root)
        found = replace(
            found, absolute=tuple(file_part(path, f"absolute:{path}") for path in files)
        )
    block = survey.extinction.second_values
    if plugins.second_extinctions is not None and block is not None:
        second = _parts(plugins.second_extinctions.parts, block.settings, root)
        parts = tuple(replace(part, key=f"second:{part.key}") for part in second)
        found = replace(found, second_extinctions=parts)
    return found


def _parts(
    find: Callable[[PluginConfig, Path], Sequence[Part]], settings: PluginConfig, root: Path
) -> tuple[Part, ...]:
    parts = tuple(find(settings, root))
    if not parts:
        raise DataError(f"{root}: nothing to read for {type(settings).__name__}")
    return parts


@dataclass(frozen=True)
class SelectedWriter:
    """A writer with its settings."""

    writer: Writer
    settings: PluginConfig


def check_writers(writers: Sequence[SelectedWriter], parts: Sequence[Part]) -> None:
    """Refuse parts that a writer cannot write, before any work.

    A part must be a whole file, unless the writer gives the parts of a file names of their
    own: they would be written over each other.

    Raises ConfigError naming the writer and the file.
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
