"""`scrframe explain`: why a visit, a CCD or a star has its offset."""

# ruff: noqa: PLC0415 - as in app.py: `scrframe --help` must not wait.
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scrframe.cli.screen import Screen


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    visit: Annotated[
        str | None, typer.Option(metavar="KEY", help="Why this visit has its offset.")
    ] = None,
    ccd: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Why this CCD has its offsets; with --visit, that in the visit."
        ),
    ] = None,
    star: Annotated[
        int | None,
        typer.Option(metavar="SOURCE_ID", help="What makes up this star's magnitudes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Say why a visit, a CCD or a star has its offset, and what would change without it."""
    from scrframe.cli.explained import explanation_json, explanation_text
    from scrframe.pipeline.explain import explain as explain_offset

    screen = Screen()
    found = explain_offset(run, visit=visit, ccd=ccd, star=star)
    screen.say(explanation_json(found) if as_json else explanation_text(found, screen.is_terminal))
