"""Plain lists: installed plugins, descriptions that ship, and the vocabulary of cuts."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrframe.cli.screen import Screen

if TYPE_CHECKING:
    from scrframe.config import ShippedSurvey, VocabularyRow
    from scrframe.plugin import Registry


def plugin_lines(registry: Registry) -> list[str]:
    """Return lines on what is installed, from where, and what is broken and why."""
    from scrframe.plugin.registry import HOOKS

    rows = [("KIND", "NAME", "VERSION", "FROM", "SUMMARY")]
    for hook, descriptor, provider in registry.everything():
        source = f"{provider.distribution} ({provider.module})"
        rows.append(
            (HOOKS[hook][1], descriptor.name, descriptor.version, source, descriptor.summary)
        )
    lines = aligned(rows)
    if registry.broken:
        lines += ["", "broken:"]
        for broken in registry.broken:
            where = broken.provider
            lines.append(
                f"  {where.plugin} from {where.distribution} ({where.module}): {broken.reason}"
            )
    return lines


def survey_lines(surveys: Sequence[ShippedSurvey]) -> list[str]:
    """Return lines on the descriptions that ship, and whether their loader is installed."""
    rows = [("NAME", "LOADER", "SUMMARY")]
    for survey in surveys:
        loader = survey.loader if survey.installed else f"{survey.loader} (not installed)"
        rows.append((survey.name, loader, survey.summary))
    return aligned(rows)


def column_lines(rows: Sequence[VocabularyRow]) -> list[str]:
    """Return lines on the columns that cuts can name."""
    table = [("NAME", "UNIT", "TYPE", "AFTER", "FROM", "MEANING")]
    for row in rows:
        origin = row.provider or ("derived" if row.derived else "")
        table.append((row.name, row.unit, row.kind, row.stage, origin, row.doc))
    return aligned(table)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns; the last column is free."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def list_surveys() -> None:
    """Show the survey descriptions that ship, and whether their loader is installed."""
    from scrframe.config import shipped_surveys
    from scrframe.plugin import load_registry

    Screen().say("\n".join(survey_lines(shipped_surveys(load_registry()))))


def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `surveys list` shows it.")],
    to: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder, made if need be; default: surveys.")
    ] = Path("surveys"),
) -> None:
    """Copy a description that ships, to use or to change it."""
    from scrframe.config import copy_survey
    from scrframe.plugin import load_registry

    path = copy_survey(name, to, load_registry())
    Screen().say(f"{path}; run it with: scrframe calibrate {path}")
