"""`scrframe surveys`: the descriptions that ship."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrframe.cli.screen import Screen


def list_surveys() -> None:
    """Show the survey descriptions that ship, and whether their loader is installed."""
    from scrframe.cli.listing import survey_lines
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
