"""Parts of the reference that are written from the source: keys, columns, commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

import scrframe
from scrframe.checks.remedies import REMEDIES
from scrframe.cli.app import app
from scrframe.config import column_vocabulary, survey_schema
from scrframe.config.keys import KeyInWords, is_mapping, keys_below, resolved
from scrframe.plugin import Registry, load_registry
from scrframe.plugin.registry import KINDS
from scrframe.testing import CHECKS

Row = tuple[str, ...]


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
        rows = [_key_row(key) for key in keys_below(schema, field, name)]
        if len(rows) == 1 and not is_mapping(resolved(schema, field)):
            simple += rows
            continue
        about = resolved(schema, field).get("description", field.get("description", ""))
        sections.append(f"## {name}\n\n{about}\n\n" + _keys_table(rows))
    return "## At the top\n\n" + _keys_table(simple) + "\n" + "\n".join(sections)


def _key_row(key: KeyInWords) -> Row:
    kind = f" (`kind: {key.kind}`)" if key.kind else ""
    return (f"`{key.path}`{kind}", key.value, key.default and f"`{key.default}`", key.about)


def _keys_table(rows: list[Row]) -> str:
    return markdown_table(("key", "value", "default", "meaning"), rows)


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
