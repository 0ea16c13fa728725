"""The keys of a description in words: what each takes, its default and its meaning.

They are read from the JSON schema, so that the core's keys and those of plugins are alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Schema = dict[str, Any]
#: How JSON's types are called in words.
TYPES = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "mapping",
}


@dataclass(frozen=True)
class KeyInWords:
    """One key; names and values that are written as such stand between backquotes.

    Attributes
    ----------
    path : str
        Such as ``offsets.joint.margin``; ``[]`` is any item of a list, ``<name>`` any name.
    kind : str
        The kind of a block, or of a level, that has the key; empty where all have it.
    value : str
        What it takes.
    default : str
        Empty if there is none, or it is null.
    about : str
    """

    path: str
    value: str
    default: str
    about: str
    kind: str = ""


def keys_in_words(schema: Schema, path: str = "") -> Iterator[KeyInWords]:
    """Yield the keys of descriptions, or those at and below a path.

    Parameters
    ----------
    schema : dict
        As `survey_schema` gives it.
    path : str
        Keys joined by points, without what sets kinds apart.
    """
    for name, field in schema["properties"].items():
        for key in keys_below(schema, field, name):
            if not path or f"{key.path}.".startswith((f"{path}.", f"{path}[]")):
                yield key


def resolved(schema: Schema, field: Schema) -> Schema:
    """Return a field with what it refers to; an optional block as the block."""
    blocks = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
    if len(blocks) == 1 and "$ref" in blocks[0]:
        field = {**blocks[0], **{key: value for key, value in field.items() if key != "anyOf"}}
    if "$ref" in field:
        target = schema["$defs"][field["$ref"].removeprefix("#/$defs/")]
        return {**target, **{key: value for key, value in field.items() if key != "$ref"}}
    return field


def is_mapping(field: Schema) -> bool:
    """Return whether a field takes a block of keys."""
    return bool(field.get("properties")) or "oneOf" in field


def keys_below(schema: Schema, field: Schema, path: str) -> Iterator[KeyInWords]:
    """Yield the keys at and below a field, which may be one without keys of its own."""
    field = resolved(schema, field)
    if field.get("properties"):
        for name, inner in field["properties"].items():
            yield from keys_below(schema, inner, f"{path}.{name}")
    elif "oneOf" in field:
        yield from _kinds(schema, field["oneOf"], path)
    elif items := _block(schema, field.get("items")):
        default = field.get("default")
        yield _row(path, "list", default, field.get("description", ""))
        yield from keys_below(schema, items, f"{path}[]")
    elif values := _block(schema, field.get("additionalProperties")):
        yield _row(path, _value(schema, field), field.get("default"), _about(field))
        yield from keys_below(schema, values, f"{path}.<name>")
    elif block := _block(schema, field):
        yield _row(path, _value(schema, field), field.get("default"), _about(field))
        yield from keys_below(schema, block, path)
    else:
        yield _row(path, _value(schema, field), field.get("default"), _about(field))


def _block(schema: Schema, field: Any) -> Schema:
    """Return what a field takes that is a mapping of known keys; empty if nothing is."""
    if not isinstance(field, dict):
        return {}
    whole: Schema = resolved(schema, field)
    if is_mapping(whole):
        return whole
    blocks = (_block(schema, choice) for choice in whole.get("anyOf", []))
    return next((block for block in blocks if block), {})


def _kinds(schema: Schema, choices: list[Schema], path: str) -> Iterator[KeyInWords]:
    """Yield the keys of blocks that differ by `kind`; common keys once."""
    common = set.intersection(*(set(choice["properties"]) for choice in choices))
    names = ", ".join(f"`{choice['properties']['kind']['const']}`" for choice in choices)
    yield KeyInWords(f"{path}.kind", f"one of {names}", "", "Name of the plugin.")
    for name in choices[0]["properties"]:
        if name in common - {"kind"} and _same(choices, name):
            yield from keys_below(schema, choices[0]["properties"][name], f"{path}.{name}")
    for choice in choices:
        kind = choice["properties"]["kind"]["const"]
        for name, inner in choice["properties"].items():
            if name != "kind" and not (name in common and _same(choices, name)):
                for key in keys_below(schema, inner, f"{path}.{name}"):
                    yield replace(key, kind=key.kind or kind)


def _same(choices: list[Schema], name: str) -> bool:
    texts = {json.dumps(choice["properties"][name], sort_keys=True) for choice in choices}
    return len(texts) == 1


def _row(path: str, value: str, default: Any, about: str) -> KeyInWords:
    return KeyInWords(path, value, "" if default is None else _plain(default), about)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _about(field: Schema) -> str:
    return str(field.get("description", ""))


def _value(schema: Schema, field: Schema) -> str:
    """Return in words what a key takes."""
    field = resolved(schema, field)
    if "anyOf" in field:
        choices = [_value(schema, choice) for choice in field["anyOf"]]
        return " or ".join(dict.fromkeys(choices))
    if "enum" in field:
        return "one of " + ", ".join(f"`{_plain(choice)}`" for choice in field["enum"])
    if "const" in field:
        return f"`{_plain(field['const'])}`"
    kind = field.get("type", "any")
    if isinstance(kind, list):
        kind = next(word for word in kind if word != "null")
    if kind == "array":
        if "prefixItems" in field:
            return f"list of {len(field['prefixItems'])} {_value(schema, field['prefixItems'][0])}"
        return f"list of {_value(schema, field.get('items', {}))}"
    text = TYPES.get(kind, str(kind))
    if kind == "string" and "examples" in field:
        text += f", such as `{field['examples'][0]}`"
    return text + _bounds(field)


def _bounds(field: Schema) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    said = [f"{word} {field[key]:g}" for key, word in words.items() if key in field]
    return f" ({', '.join(said)})" if said else ""
