"""The description's JSON schema for editors, and the vocabulary of cuts as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scrframe.config.blocks import FlatBlock, PluginBlock
from scrframe.config.plugin_blocks import BLOCKS, CorrectionBlock
from scrframe.config.survey import SurveyDescription
from scrframe.plugin import Descriptor, ReferenceCatalogue, Registry
from scrframe.tables.columns import VOCABULARY, Column

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def survey_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON schema of survey descriptions, with the installed plugins' blocks.

    Parameters
    ----------
    registry : Registry
        The plugins whose names and keys the schema offers.
    """
    schema = SurveyDescription.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions.pop("PluginConfig", None)
    for block in BLOCKS:
        if block.__name__ in definitions:
            base = definitions[block.__name__]
            base["properties"].pop("plugins")
            descriptors = _descriptors(block, registry)
            write = _flat if issubclass(block, FlatBlock) else _nested
            definitions[block.__name__] = write(base, block, descriptors, definitions)
    return {"$schema": _DIALECT, **schema, "$defs": definitions}


def _descriptors(block: type[PluginBlock], registry: Registry) -> dict[str, Descriptor]:
    if not issubclass(block, CorrectionBlock):
        return block.choices({"registry": registry})
    found: dict[str, Descriptor] = {}
    for name in registry.names(ReferenceCatalogue):
        catalogue = registry.get(ReferenceCatalogue, name)
        found.update((correction.name, correction) for correction in catalogue.corrections)
    return found


def _nested(
    base: dict[str, Any],
    block: type[PluginBlock],
    descriptors: Mapping[str, Descriptor],
    definitions: dict[str, Any],
) -> dict[str, Any]:
    """Return a block in which each plugin's keys sit under its name."""
    base["properties"]["kind"] |= {"enum": list(descriptors)}
    for name, descriptor in descriptors.items():
        own = _own_schema(block, descriptor, definitions)
        base["properties"][name] = {**own, "type": ["object", "null"]}
    return base


def _flat(
    base: dict[str, Any],
    block: type[PluginBlock],
    descriptors: Mapping[str, Descriptor],
    definitions: dict[str, Any],
) -> dict[str, Any]:
    """Return a block that has the keys of its kind beside the core's."""
    choices = []
    for name, descriptor in descriptors.items():
        own = _own_schema(block, descriptor, definitions)
        kind = {**base["properties"]["kind"], "const": name, "description": descriptor.summary}
        choices.append(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {**base["properties"], "kind": kind, **own.get("properties", {})},
                "required": [*base["required"], *own.get("required", [])],
            }
        )
    about: dict[str, Any] = {key: base[key] for key in ("title", "description") if key in base}
    return {**about, "oneOf": choices} if choices else {**about, "not": {}}


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
class VocabularyRow:
    """One column that cuts can name.

    Attributes
    ----------
    name, unit, kind, stage, doc : str
        As of `scrframe.tables.Column`.
    derived : bool
        Whether the framework computes it.
    provider : str
        The plugin that owns it; empty for the common vocabulary.
    """

    name: str
    unit: str
    kind: str
    stage: str
    derived: bool
    doc: str
    provider: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return asdict(self)


def column_vocabulary(registry: Registry | None = None) -> list[VocabularyRow]:
    """Return all columns that cuts can name, in the order in which a run makes them.

    Parameters
    ----------
    registry : Registry, optional
        Adds the columns that its plugins own.
    """
    rows = [_row(column) for column in VOCABULARY]
    if registry is not None:
        for _, descriptor, _ in registry.everything():
            own: tuple[Column, ...] = getattr(descriptor, "own_columns", ())
            rows.extend(_row(column, descriptor.name) for column in own)
    return rows


def _row(column: Column, provider: str = "") -> VocabularyRow:
    return VocabularyRow(
        column.name,
        column.unit,
        column.kind,
        column.stage,
        column.derived,
        column.doc,
        provider,
    )
