"""`scrframe plugins` and `scrframe surveys`: what is installed and what ships, and new plugins."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrframe.cli.common import Screen, help_without_command
from scrframe.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from scrframe.config import VocabularyRow
    from scrframe.testing import Outcome

plugins_app = typer.Typer(help="List, write and check plugins.", rich_markup_mode=None)
surveys_app = typer.Typer(help="List or copy the descriptions that ship.", rich_markup_mode=None)
#: Exit code where a check fails; the plugin is at fault, no file of the user's.
FAILED = 1
WIDTH = 100


@plugins_app.callback(invoke_without_command=True)
def plugins(context: typer.Context) -> None:
    """List, write and check plugins."""
    help_without_command(context)


@surveys_app.callback(invoke_without_command=True)
def surveys(context: typer.Context) -> None:
    """List or copy the survey descriptions that ship."""
    help_without_command(context)


class Kind(StrEnum):
    """Kinds of plugins, one for each hook."""

    survey = "survey"
    reference = "reference"
    extinction = "extinction"
    curve = "curve"
    colour_model = "colour-model"
    offset_level = "offset-level"
    diagnostic = "diagnostic"
    writer = "writer"
    archive = "archive"


@plugins_app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name in survey descriptions.")],
    kind: Annotated[Kind, typer.Option("--kind", help="Kind of plugin.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where scrframe-NAME is made.")] = Path(),
) -> None:
    """Write a new plugin: a distribution that can be installed, and whose tests pass."""
    from scrframe.plugin import load_registry
    from scrframe.plugin.registry import HOOKS, hook_of
    from scrframe.plugin.scaffold import new_plugin

    taken = load_registry().names(HOOKS[hook_of(kind.value)][0])
    path = new_plugin(name, kind.value, out, taken)
    Screen().say(
        f"{path}: written; next: pip install -e {path} pytest, then"
        f" scrframe plugins check {name} --kind {kind.value}, and change"
        f" {path / 'src'}/*/plugin.py"
    )


@plugins_app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an installed plugin.")],
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="Its kind, if several kinds have this name.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting to test with; repeatable."),
    ] = None,
) -> None:
    """Check a plugin against the contract of its hook; exit code 1 if it fails."""
    from scrframe.testing import find_subject, run_checks

    screen = Screen()
    chosen = kind.value if kind is not None else None
    found, subject = find_subject(name, chosen, settings=_settings(changes))
    outcomes = run_checks(found, subject)
    for line in outcome_lines(outcomes):
        screen.say(line)
    counts = {status: sum(o.status == status for o in outcomes) for status in ("passed", "failed")}
    rest = len(outcomes) - sum(counts.values())
    untested = f", {rest} not tested" if rest else ""
    screen.say(f"{found} {name}: {counts['passed']} passed, {counts['failed']} failed{untested}")
    if counts["failed"]:
        raise typer.Exit(FAILED)


@plugins_app.command("list")
def list_plugins() -> None:
    """Show what is installed, from where, and what is broken and why."""
    from scrframe.plugin import load_registry
    from scrframe.plugin.registry import HOOKS

    registry = load_registry()
    rows = [("KIND", "NAME", "VERSION", "FROM", "SUMMARY")]
    for hook, plugin, provider in registry.everything():
        source = f"{provider.distribution} ({provider.module})"
        rows.append((HOOKS[hook][1], plugin.name, plugin.version, source, plugin.summary))
    lines = aligned(rows)
    if registry.broken:
        lines += ["", "broken:"]
    for broken in registry.broken:
        where = broken.provider
        source = f"{where.plugin} from {where.distribution} ({where.module})"
        lines.append(f"  {source}: {broken.reason}")
    Screen().say("\n".join(lines))


@surveys_app.command("list")
def list_surveys() -> None:
    """Show the survey descriptions that ship, and whether their loader is installed."""
    from scrframe.config import shipped_surveys
    from scrframe.plugin import load_registry

    rows = [("NAME", "LOADER", "SUMMARY")]
    for survey in shipped_surveys(load_registry()):
        loader = survey.loader if survey.installed else f"{survey.loader} (not installed)"
        rows.append((survey.name, loader, survey.summary))
    Screen().say("\n".join(aligned(rows)))


@surveys_app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name as shown by `surveys list`.")],
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder, created if needed; default: surveys.")
    ] = Path("surveys"),
) -> None:
    """Copy a description that ships, to use or to change it."""
    from scrframe.config import copy_survey
    from scrframe.plugin import load_registry

    path = copy_survey(name, to, load_registry())
    Screen().say(f"{path}; run it with: scrframe calibrate {path}")


def column_lines(rows: Sequence[VocabularyRow]) -> list[str]:
    """Return lines on the columns that cuts can name."""
    table = [("NAME", "UNIT", "TYPE", "AFTER", "FROM", "MEANING")]
    for row in rows:
        origin = row.provider or ("derived" if row.derived else "")
        table.append((row.name, row.unit, row.kind, row.stage, origin, row.doc))
    return aligned(table)


def key_lines(schema: dict[str, Any], path: str) -> list[str]:
    """Return lines on the keys of descriptions at and below a path.

    Raises ConfigError if there is no such key.
    """
    from scrframe.config.keys import keys_in_words

    found = list(keys_in_words(schema, "" if path == "all" else path))
    if not found:
        near = did_you_mean(path, {key.path for key in keys_in_words(schema)})
        raise ConfigError(f"--keys {path}: descriptions have no such key{near}")
    lines = []
    for key in found:
        takes = f"{key.value}; by default {key.default}" if key.default else key.value
        of_kind = f" (kind: {key.kind})" if key.kind else ""
        lines.append(f"{key.path}{of_kind}: {takes}".replace("`", ""))
        lines += textwrap.wrap(key.about, 96, initial_indent="    ", subsequent_indent="    ")
    return lines


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns; the last column is free."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def outcome_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a table of outcomes; below a check that failed, what to change."""
    heads = aligned([("CHECK", "RESULT"), *((o.check, _result(o)) for o in outcomes)])
    lines = heads[:1]
    for head, outcome in zip(heads[1:], outcomes, strict=True):
        lines.append(head)
        if outcome.status == "failed":
            indent = "    "
            lines += textwrap.wrap(
                outcome.message, WIDTH, initial_indent=indent, subsequent_indent=indent
            )
    return lines


def _result(outcome: Outcome) -> str:
    if outcome.status == "not tested":
        return f"not tested: {outcome.message}"
    return outcome.status.upper() if outcome.status == "failed" else outcome.status


def _settings(changes: Sequence[str] | None) -> dict[str, Any] | None:
    """Return settings from texts such as ``trees=20``, values as in YAML; None for none."""
    import yaml

    if not changes:
        return None
    settings: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not (key and equals):
            raise ConfigError(f"--set {change}: expected KEY=VALUE, such as --set trees=20")
        try:
            settings[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {change}: the value is not valid YAML") from None
    return settings
