"""What a description can hold: its JSON schema for editors, and the columns that cuts can name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scrframe.config.base import line
from scrframe.config.blocks import FlatBlock, PluginBlock
from scrframe.config.document import Document, KeyPath
from scrframe.config.plugin_blocks import BLOCKS, CorrectionBlock
from scrframe.config.survey import SurveyDescription
from scrframe.errors import ConfigError
from scrframe.plugin import (
    ColourModel,
    Descriptor,
    ExtinctionCatalogue,
    OffsetLevel,
    ReferenceCatalogue,
    Registry,
    SurveyLoader,
)
from scrframe.tables.columns import (
    BY_NAME,
    DETECTION_REQUIRED,
    EXTINCTION_REQUIRED,
    REFERENCE_REQUIRED,
    VOCABULARY,
    Column,
)
from scrframe.tables.cuts import Cut, unknown_column
from scrframe.tables.table import INPUTS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Columns of detections that only the framework knows, once there is a model.
FRAMEWORK = frozenset(
    {"colour0", "predicted_mag", "r_v_slope", "relative_colour", "star_ra", "star_dec"}
)


def survey_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON schema of survey descriptions, with the blocks of a registry's plugins."""
    schema = SurveyDescription.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions.pop("PluginConfig", None)
    for block in BLOCKS:
        if block.__name__ in definitions:
            base = definitions[block.__name__]
            base["properties"].pop("plugins")
            own = {
                name: _own_schema(block, descriptor, definitions)
                for name, descriptor in _descriptors(block, registry).items()
            }
            if issubclass(block, FlatBlock):
                definitions[block.__name__] = _flat(base, own)
                continue
            base["properties"]["kind"] |= {"enum": list(own)}
            for name, keys in own.items():  # each plugin's keys sit under its name
                base["properties"][name] = {**keys, "type": ["object", "null"]}
    return {"$schema": _DIALECT, **schema, "$defs": definitions}


def _descriptors(block: type[PluginBlock], registry: Registry) -> dict[str, Descriptor]:
    if not issubclass(block, CorrectionBlock):
        return block.choices({"registry": registry})
    found: dict[str, Descriptor] = {}
    for name in registry.names(ReferenceCatalogue):
        catalogue = registry.get(ReferenceCatalogue, name)
        found.update((correction.name, correction) for correction in catalogue.corrections)
    return found


def _flat(base: dict[str, Any], plugins: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a block that has the keys of its kind beside the core's."""
    choices = []
    for name, own in plugins.items():
        about = own["description"]
        kind = {**base["properties"]["kind"], "const": name, "description": about}
        choices.append(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {**base["properties"], "kind": kind, **own.get("properties", {})},
                "required": [*base["required"], *own.get("required", [])],
            }
        )
    shown: dict[str, Any] = {key: base[key] for key in ("title", "description") if key in base}
    return {**shown, "oneOf": choices} if choices else {**shown, "not": {}}


def _own_schema(
    block: type[PluginBlock], descriptor: Descriptor, definitions: dict[str, Any]
) -> dict[str, Any]:
    """Return a plugin's schema; what it refers to moves up under a name of its own."""
    prefix = f"{block.__name__}.{descriptor.name}."
    own = descriptor.config.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    for name, definition in own.pop("$defs", {}).items():
        definitions[prefix + name] = definition
    return {**own, "title": descriptor.name, "description": descriptor.summary}


@dataclass(frozen=True)
class VocabularyRow(Column):
    """A column that cuts can name, and the plugin that owns it; none owns the vocabulary."""

    provider: str = ""


def column_vocabulary(registry: Registry | None = None) -> list[VocabularyRow]:
    """Return all columns that cuts can name, in the order in which a run makes them.

    A registry adds the columns that its plugins own.
    """
    owned = [(column, "") for column in VOCABULARY]
    if registry is not None:
        for _, descriptor, _ in registry.everything():
            own: tuple[Column, ...] = getattr(descriptor, "own_columns", ())
            owned += [(column, descriptor.name) for column in own]
    return [VocabularyRow(**vars(column), provider=provider) for column, provider in owned]


def own_columns(description: SurveyDescription, registry: Registry) -> tuple[Column, ...]:
    """Return the columns outside the vocabulary that the selected plugins provide."""
    loader, reference, extinction = _selected(description, registry)
    return (*loader.own_columns, *reference.own_columns, *extinction.own_columns)


def available_columns(description: SurveyDescription, registry: Registry) -> frozenset[str]:
    """Return the names that cuts can use with the selected plugins.

    A derived column is available when the columns that it is made from are.
    """
    loader, reference, extinction = _selected(description, registry)
    names = {
        *DETECTION_REQUIRED,
        *loader.columns,
        *REFERENCE_REQUIRED,
        *reference.columns,
        *EXTINCTION_REQUIRED,
        *extinction.columns,
        *(column.name for column in own_columns(description, registry)),
    }
    derived = {name for name, inputs in INPUTS.items() if names.issuperset(inputs)}
    # Each has a S/N of its own, and of quantities not all catalogues know it.
    derived.discard("snr")
    if reference.provides != "spectra":
        derived.discard("xp_snr")
    return frozenset(names | derived)


def check_columns(
    description: SurveyDescription, document: Document, registry: Registry
) -> list[str]:
    """Return a line for each cut or level that names a column which is not there.

    Likewise for each block that does not go with what the reference catalogue provides.
    """
    own = own_columns(description, registry)
    available = available_columns(description, registry)
    found = [line(document, path, wrong) for path, wrong in misfits(description, registry)]
    for path, cut in _cuts(description):
        message = _wrong_cut(cut, own, available)
        if message:
            found.append(line(document, path, message))
    return [*found, *_wrong_levels(description, document, registry)]


def misfits(description: SurveyDescription, registry: Registry) -> Iterator[tuple[KeyPath, str]]:
    """Yield path and message of each block that does not go with what the reference provides."""
    kind = description.reference.kind
    provides = registry.get(ReferenceCatalogue, kind).provides
    model = description.colour_model.kind
    learns = registry.get(ColourModel, model).learns
    if provides == "colour" and learns:
        none = [
            name
            for name in registry.names(ColourModel)
            if not registry.get(ColourModel, name).learns
        ]
        yield (
            ("colour_model", "kind"),
            f'is "{model}", but reference.kind "{kind}" provides colours and nothing is trained;'
            f" choose {' or '.join(none)}",
        )
    if provides != "colour" and not learns:
        yield (
            ("colour_model", "kind"),
            f'is "{model}", which learns nothing, but reference.kind "{kind}" provides'
            f" {provides}, from which colours are learnt; choose another",
        )
    if provides == "spectra":
        return
    if description.extinction.second_curve is not None:
        yield (
            ("extinction", "second_curve"),
            f'is for spectra, and reference.kind "{kind}" provides {provides}; take it out',
        )
    if description.absolute is not None and description.absolute.kind == "passband":
        yield (
            ("absolute", "kind"),
            f'is "passband", which needs spectra, and reference.kind "{kind}" provides'
            f" {provides}; tie by standards",
        )


def _selected(
    description: SurveyDescription, registry: Registry
) -> tuple[SurveyLoader, ReferenceCatalogue, ExtinctionCatalogue]:
    return (
        _loader(description, registry),
        registry.get(ReferenceCatalogue, description.reference.kind),
        registry.get(ExtinctionCatalogue, description.extinction.values.kind),
    )


def _loader(description: SurveyDescription, registry: Registry) -> SurveyLoader:
    block = description.loader
    return registry.get(SurveyLoader, block.kind).with_settings(block.settings)


def _cuts(description: SurveyDescription) -> Iterable[tuple[KeyPath, Cut]]:
    groups: dict[KeyPath, tuple[Cut, ...]] = {
        ("selection", "calibration"): description.selection.calibration,
        ("selection", "control"): description.selection.control,
        ("zero_point",): description.zero_point,
    }
    for path, cuts in groups.items():
        for index, cut in enumerate(cuts):
            yield (*path, index), cut


def _wrong_cut(cut: Cut, own: tuple[Column, ...], available: frozenset[str]) -> str | None:
    for name in cut.names:
        if name in BY_NAME and name not in available:
            return (
                f'"{name}" is provided by none of the selected plugins'
                f" (available: {', '.join(sorted(available))})"
            )
        if name not in available:
            return unknown_column(name, available)
    try:
        cut.stage(own)
    except ConfigError as error:
        return str(error)
    return None


def _wrong_levels(
    description: SurveyDescription, document: Document, registry: Registry
) -> Iterable[str]:
    stars = available_columns(description, registry) | FRAMEWORK
    for index, level in enumerate(description.offsets.levels):
        descriptor = registry.get(OffsetLevel, level.kind)
        role = descriptor.role(level.settings)
        columns = stars if role == "nuisance" else _of_catalogues(description, registry)
        if role == "colour":
            columns |= {"relative_colour"}
        for name in descriptor.needs(level.settings):
            if name not in columns:
                path = _mention(document, ("offsets", "levels", index), name)
                yield line(document, path, unknown_column(name, columns))


def _of_catalogues(description: SurveyDescription, registry: Registry) -> frozenset[str]:
    """Return what detections have by themselves: corrections are applied to catalogues alone."""
    loader = _loader(description, registry)
    own = (column.name for column in loader.own_columns)
    follow = (name for name in INPUTS if BY_NAME[name].stage == "detection")
    return frozenset({*DETECTION_REQUIRED, *loader.columns, *own, *follow})


def _mention(document: Document, path: KeyPath, name: str) -> KeyPath:
    """Return the path of the value, at or below a path, that is the name."""
    node: Any = document.data
    for step in path:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return path
    return next(_find(node, path, name), path)


def _find(node: Any, path: KeyPath, name: str) -> Iterator[KeyPath]:
    items: Iterable[tuple[Any, Any]] = enumerate(node) if isinstance(node, list) else ()
    if isinstance(node, dict):
        items = node.items()
    for step, item in items:
        if item == name and step not in ("name", "kind", "parent"):
            yield (*path, step)
        yield from _find(item, (*path, step), name)
