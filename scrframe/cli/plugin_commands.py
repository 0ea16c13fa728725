"""`scrframe plugins new` and `plugins check`: the authors' kit."""

# ruff: noqa: PLC0415 - see app.py
from __future__ import annotations

import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrframe.cli.listing import aligned
from scrframe.cli.screen import Screen
from scrframe.errors import ConfigError

if TYPE_CHECKING:
    from scrframe.testing import Outcome

#: Exit code where a check fails; the plugin is at fault, no file of the user's.
FAILED = 1
WIDTH = 100


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


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name in survey descriptions.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What the plugin shall be.")],
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


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an installed plugin.")],
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="Its kind, where several have the name.")
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
            raise ConfigError(f"--set {change}: the value is no YAML") from None
    return settings
