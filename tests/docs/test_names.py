"""Commands, options and keys that the pages name are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from code_blocks import PAGES, name_of

from scrframe.cli.app import app
from scrframe.config import survey_schema
from scrframe.plugin import load_registry

#: Words of the code within text; what stands in blocks is run.
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command by its words: `plugins list`."""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        yield name, command
        for below, inner in getattr(command, "commands", {}).items():
            yield f"{name} {below}", inner


COMMANDS = dict(commands())
OPTIONS = {
    option
    for command in [typer.main.get_command(app), *COMMANDS.values()]
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--")
} | {"--help"}
#: Of the benchmark of the joint solution, which a page quotes, and of Dask's programs.
OTHERS = {"--fit", "--nworkers", "--nthreads", "--scheduler-file"}


def inline(page) -> list[str]:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return INLINE.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options(page):
    named = {
        option for words in inline(page) for option in re.findall(r"(?<![\w-])--[a-z-]+", words)
    }
    assert named - OPTIONS - OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands(page):
    for words in inline(page):
        found = re.match(r"scrframe ([a-z]+)( [a-z]+)?\b", words)
        if found:
            first, both = found[1], f"{found[1]}{found[2] or ''}"
            assert both in COMMANDS or first in COMMANDS, words
            group = getattr(COMMANDS[first], "commands", None)
            assert not (group and found[2]) or both in COMMANDS, words


def known_keys() -> dict[str, set[str]]:
    """Return the keys below each top-level key of a description, of all plugins together."""
    schema = survey_schema(load_registry())
    return {
        name: reachable(value, schema["$defs"], set())
        for name, value in schema["properties"].items()
    }


def reachable(schema, definitions, seen: set[str]) -> set[str]:
    """Return all names of properties below a schema; names of plugins are among them."""
    found: set[str] = set()
    if isinstance(schema, list):
        for each in schema:
            found |= reachable(each, definitions, seen)
    elif isinstance(schema, dict):
        target = schema.get("$ref", "").rpartition("/")[2]
        if target and target not in seen:
            seen.add(target)
            found |= reachable(definitions[target], definitions, seen)
        found |= set(schema.get("properties", {}))
        for value in schema.values():
            found |= reachable(value, definitions, seen)
    return found


KEYS = known_keys()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_keys(page):
    """A dotted name that begins with a key of a description goes on with keys below it."""
    for words in inline(page):
        path = re.fullmatch(r"([a-z_0-9]+(?:\.[a-z_0-9]+)+)(?:[=:].*)?", words)
        if path is None or page.name == "products.md" or page.parent.name == "surveys":
            continue
        first, *rest = path[1].split(".")
        # Names of levels are the author's own; `summary` and the like are other files.
        if (
            first in KEYS
            and first != "offsets"
            and not re.search(r"\.(py|csv|h5|yaml|json|parquet|ecsv)$", words)
        ):
            assert set(rest) <= KEYS[first], words
