"""What commands share: their common options, and how an interruption is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from scrframe.cli.exits import InterruptedRunError
from scrframe.config import SimulationSettings
from scrframe.errors import ConfigError

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
        from scrframe.run.workspace import partial_run  # noqa: PLC0415 - see app.py

        kept = partial_run(out.absolute()).exists()
        how = "; the same command goes on from where it stopped" if kept else ""
        raise InterruptedRunError(how) from None


def simulation_settings(
    base: SimulationSettings, fields: int | None, density: float | None, seed: int | None
) -> SimulationSettings:
    """Return the settings with the options that are given.

    Raises
    ------
    ConfigError
        If an option's value is refused.
    """
    options: dict[str, Any] = {"fields": fields, "density": density, "seed": seed}
    changes = {name: value for name, value in options.items() if value is not None}
    try:
        return SimulationSettings.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: " if first["loc"] else ""
        raise ConfigError(f"{option}{first['msg']}") from None
