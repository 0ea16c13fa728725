"""Parts of the reference that are written from the source: keys, columns, commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

import scrframe
from scrframe.checks.remedies import REMEDIES
from scrframe.cli.app import app
from scrframe.config import column_vocabulary, survey_schema
from scrframe.plugin import Registry, load_registry
from scrframe.plugin.registry import KINDS
from scrframe.testing import CHECKS

Schema = dict[str, Any]
Row = tuple[str, ...]
#: How JSON's types are called in words.
TYPES = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "mapping",
}


def write_all(folder: Path) -> None:
    """Write every generated part as Markdown below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = load_registry()
    parts = {
        "keys.md": keys_page(registry),
        "columns.md": columns_page(registry),
        "commands.md": commands_page(),
        "checks.md": checks_page(),
        "api.md": api_page(),
        "remedies.md": remedies_page(),
    }
    for name, text in parts.items():
        (folder / name).write_text(text, encoding="utf-8")


def markdown_table(header: Row, rows: list[Row]) -> str:
    """Return a Markdown table; bars within cells are escaped."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    pieces = text.replace("|", "\\|").replace("\n", " ").split("`")
    pieces[::2] = [piece.replace("<", "\\<") for piece in pieces[::2]]
    return "`".join(pieces)


def columns_page(registry: Registry) -> str:
    """Return the vocabulary of cuts as a table."""
    rows = [
        (
            f"`{row.name}`",
            row.unit,
            row.kind,
            row.stage,
            _origin(row.provider, row.derived),
            row.doc,
        )
        for row in column_vocabulary(registry)
    ]
    return markdown_table(("column", "unit", "type", "after step", "from", "meaning"), rows)


def _origin(provider: str, derived: bool) -> str:
    return f"`{provider}`" if provider else "derived" if derived else ""


def keys_page(registry: Registry) -> str:
    """Return every key of a survey description, a section for each key at the top."""
    schema = survey_schema(registry)
    sections = []
    simple: list[Row] = []
    for name, field in schema["properties"].items():
        rows = list(_keys(schema, field, name))
        if len(rows) == 1 and not _is_mapping(_resolved(schema, field)):
            simple += rows
            continue
        about = _resolved(schema, field).get("description", field.get("description", ""))
        sections.append(f"## {name}\n\n{about}\n\n" + _keys_table(rows))
    return "## At the top\n\n" + _keys_table(simple) + "\n" + "\n".join(sections)


def _keys_table(rows: list[Row]) -> str:
    return markdown_table(("key", "value", "default", "meaning"), rows)


def _resolved(schema: Schema, field: Schema) -> Schema:
    """Return a field with what it refers to; an optional block as the block."""
    blocks = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
    if len(blocks) == 1 and "$ref" in blocks[0]:
        field = {**blocks[0], **{key: value for key, value in field.items() if key != "anyOf"}}
    if "$ref" in field:
        target = schema["$defs"][field["$ref"].removeprefix("#/$defs/")]
        return {**target, **{key: value for key, value in field.items() if key != "$ref"}}
    return field


def _is_mapping(field: Schema) -> bool:
    return bool(field.get("properties")) or "oneOf" in field


def _keys(schema: Schema, field: Schema, path: str) -> Iterator[Row]:
    """Yield the keys at and below a field: path, value, default, meaning."""
    field = _resolved(schema, field)
    if field.get("properties"):
        for name, inner in field["properties"].items():
            yield from _keys(schema, inner, f"{path}.{name}")
    elif "oneOf" in field:
        yield from _kinds(schema, field["oneOf"], path)
    elif items := _block(schema, field.get("items")):
        default = field.get("default")
        yield _row(path, "list", default, field.get("description", ""))
        yield from _keys(schema, items, f"{path}[]")
    elif values := _block(schema, field.get("additionalProperties")):
        yield _row(path, _value(schema, field), field.get("default"), _about(field))
        yield from _keys(schema, values, f"{path}.<name>")
    elif block := _block(schema, field):
        yield _row(path, _value(schema, field), field.get("default"), _about(field))
        yield from _keys(schema, block, path)
    else:
        yield _row(path, _value(schema, field), field.get("default"), _about(field))


def _block(schema: Schema, field: Any) -> Schema:
    """Return what a field takes that is a mapping of known keys; empty if nothing is."""
    if not isinstance(field, dict):
        return {}
    field = _resolved(schema, field)
    if _is_mapping(field):
        return field
    blocks = (_block(schema, choice) for choice in field.get("anyOf", []))
    return next(filter(None, blocks), {})


def _kinds(schema: Schema, choices: list[Schema], path: str) -> Iterator[Row]:
    """Yield the keys of blocks that differ by `kind`; common keys once."""
    common = set.intersection(*(set(choice["properties"]) for choice in choices))
    names = ", ".join(f"`{choice['properties']['kind']['const']}`" for choice in choices)
    yield (f"`{path}.kind`", f"one of {names}", "", "Name of the plugin.")
    for name in choices[0]["properties"]:
        if name in common - {"kind"} and _same(choices, name):
            yield from _keys(schema, choices[0]["properties"][name], f"{path}.{name}")
    for choice in choices:
        kind = choice["properties"]["kind"]["const"]
        for name, inner in choice["properties"].items():
            if name != "kind" and not (name in common and _same(choices, name)):
                for key, *rest in _keys(schema, inner, f"{path}.{name}"):
                    yield (f"{key} (`kind: {kind}`)", *rest)


def _same(choices: list[Schema], name: str) -> bool:
    texts = {json.dumps(choice["properties"][name], sort_keys=True) for choice in choices}
    return len(texts) == 1


def _row(path: str, value: str, default: Any, about: str) -> Row:
    shown = "" if default is None else f"`{_plain(default)}`"
    return (f"`{path}`", value, shown, about)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _about(field: Schema) -> str:
    return str(field.get("description", ""))


def _value(schema: Schema, field: Schema) -> str:
    """Return in words what a key takes."""
    field = _resolved(schema, field)
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
    text = TYPES.get(kind, kind)
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


def checks_page() -> str:
    """Return the conformance checks of every kind of plugin, a table for each."""
    return "\n".join(
        f"## {kind}\n\nOf `{KINDS[kind]}`.\n\n"
        + markdown_table(("check", "that"), [(f"`{f.__name__}`", _that(f)) for f in checks])
        for kind, checks in CHECKS.items()
    )


def _that(check: Callable[..., None]) -> str:
    first = (check.__doc__ or "").splitlines()[0]
    return first.removeprefix("Check that ")


def remedies_page() -> str:
    """Return what may be behind each null test that fails."""
    return markdown_table(
        ("test", "what may be behind it"), [(f"`{name}`", text) for name, text in REMEDIES.items()]
    )


#: What `import scrframe` offers, by what it is for.
API = {
    "A finished run": (
        "open_run",
        "FinishedRun",
        "open_runs",
        "FinishedRuns",
        "ProductTable",
        "RunPlots",
        "StarFlat",
        "Exported",
        "explain",
        "Explanation",
    ),
    "Descriptions": (
        "load_survey",
        "SurveyDescription",
        "load_combined",
        "CombinedDescription",
        "validate",
    ),
    "Calibrate": ("calibrate", "Run", "calibrate_combined", "CombinedRun", "Observer"),
    "Correct catalogues": (
        "apply",
        "read_solution",
        "apply_solution",
        "Solution",
        "Detections",
    ),
    "Judge and compare": (
        "write_report",
        "Report",
        "compare_backends",
        "ComparisonRun",
        "Comparison",
        "BackendResult",
        "rank_control_regions",
        "crosscheck",
        "monte_carlo",
    ),
    "Simulate, and write plugins": ("simulate_survey", "hookimpl"),
}
#: Those whose members are told, too.
_WITH_MEMBERS = (
    "FinishedRun",
    "FinishedRuns",
    "ProductTable",
    "RunPlots",
    "StarFlat",
    "Comparison",
    "Observer",
)


def api_page() -> str:
    """Return the directives that show every public name of scrframe, from its docstring."""
    return "\n".join(
        f"## {title}\n\n```{{eval-rst}}\n" + "\n".join(map(_directive, names)) + "\n```\n"
        for title, names in API.items()
    )


def _directive(name: str) -> str:
    if name == "hookimpl":  # a marker, without a docstring of its own
        return ".. py:function:: scrframe.hookimpl\n\n   Marks the hooks that a module implements."
    kind = "class" if isinstance(getattr(scrframe, name), type) else "function"
    # Types of parameters are called "path", which must not lead to an attribute.
    members = "\n   :members:\n   :exclude-members: path" if name in _WITH_MEMBERS else ""
    return f".. auto{kind}:: scrframe.{name}{members}"


def commands_page() -> str:
    """Return the help of every command."""
    root = typer.main.get_command(app)
    return "\n".join(_command_help(root, "scrframe"))


def _command_help(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## {name}\n\n```text\n{context.get_help()}\n```\n"
    for child, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _command_help(inner, f"{name} {child}")
