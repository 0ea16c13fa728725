"""What commands share: their common options, and how an interruption is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from scrframe.cli.exits import InterruptedRunError

SurveyFile = Annotated[Path, typer.Argument(metavar="SURVEY.yaml", help="Survey description.")]
DataRoot = Annotated[
    str | None,
    typer.Option("--data", metavar="DIR", help="Data root; `sample` is the built-in survey."),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes; default: all processors."),
]
FewWorkers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Processes.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Change a key of the description; repeatable."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but problems.")]


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say after an interruption whether the work can go on."""
    try:
        yield
    except KeyboardInterrupt:
        from scrframe.pipeline.workspace import partial_run  # noqa: PLC0415 - see app.py

        kept = partial_run(out.absolute()).exists()
        how = "; the same command goes on from where it stopped" if kept else ""
        raise InterruptedRunError(how) from None
