"""The commands. Each turns its options into one call of the Python API and shows the answer."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrframe.cli.crosscheck import crosscheck
from scrframe.cli.exits import ExitCode, InputProblemsError
from scrframe.cli.explain import explain
from scrframe.cli.listing import copy, list_surveys
from scrframe.cli.montecarlo import montecarlo
from scrframe.cli.plugin_commands import check, new
from scrframe.cli.reporting import Strict, judge, report
from scrframe.cli.screen import Screen
from scrframe.cli.shared import (
    Changes,
    DataRoot,
    FewWorkers,
    Quiet,
    SurveyFile,
    Workers,
    resumable,
)
from scrframe.version import __version__

if TYPE_CHECKING:
    from scrframe.config import SurveyDescription

app = typer.Typer(
    name="scrframe",
    help="Put survey photometry on one scale with Stellar Colour Regression.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plugins_app = typer.Typer(help="What is installed.", rich_markup_mode=None)
plugins_app.command()(new)
plugins_app.command()(check)
app.add_typer(plugins_app, name="plugins")
surveys_app = typer.Typer(help="Survey descriptions that ship.", rich_markup_mode=None)
surveys_app.command("list")(list_surveys)
surveys_app.command()(copy)
app.add_typer(surveys_app, name="surveys")


class GaiaFormat(StrEnum):
    """Formats of simulated Gaia products."""

    parquet = "parquet"
    csv = "csv"


class UnknownVisit(StrEnum):
    """What becomes of a visit that a run did not see."""

    stop = "stop"
    flag = "flag"


def _version(asked: bool) -> None:
    if asked:
        Screen().say(f"scrframe {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Put survey photometry on one scale with Stellar Colour Regression."""
    _help_without_command(context)


@plugins_app.callback(invoke_without_command=True)
def plugins(context: typer.Context) -> None:
    """Show what is installed."""
    _help_without_command(context)


@surveys_app.callback(invoke_without_command=True)
def surveys(context: typer.Context) -> None:
    """Show or copy the survey descriptions that ship."""
    _help_without_command(context)


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        Screen().say(context.get_help())
        raise typer.Exit(ExitCode.INPUT)


@app.command()
def calibrate(
    survey: SurveyFile,
    data: DataRoot = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of results; default: runs/<survey>."),
    ] = None,
    workers: Workers = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave out null tests, figures and the page.")
    ] = False,
    strict: Strict = False,
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Calibrate a survey, or several together, and write all products."""
    from scrframe.cli.progress import observer_for
    from scrframe.config import is_combined, load_survey
    from scrframe.run.calibrate import calibrate as run_calibration

    screen = Screen(quiet)
    if is_combined(survey):
        from scrframe.cli.combined import calibrate_several

        report = False if no_report else None
        calibrate_several(
            screen,
            survey,
            data=data,
            out=out,
            workers=workers,
            report=report,
            strict=strict,
            changes=changes or (),
        )
        return
    description = load_survey(survey, overrides=changes or ())
    if strict and (no_report or not description.report.enabled):
        raise typer.BadParameter("--strict needs the report, which is turned off")
    target = out if out is not None else Path("runs") / description.name
    with resumable(target):
        run = run_calibration(
            description,
            data=data,
            out=target,
            workers=workers,
            report=False if no_report else None,
            observer=observer_for(screen),
        )
    from scrframe.cli.screen import closing_lines, closing_table, rendered

    screen.say(rendered(closing_table(run.summary), screen.is_terminal))
    for line in closing_lines(run.summary, target):
        screen.say(line)
    judge(screen, run.report, target / "report" / "index.html", strict)


@app.command()
def validate(
    survey: SurveyFile,
    data: DataRoot = None,
    workers: FewWorkers = 1,
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Check a description, its plugins and its data, before any work."""
    from scrframe.cli.progress import observer_for
    from scrframe.config import is_combined, load_combined, load_survey
    from scrframe.run.validate import validate as check_survey

    screen = Screen(quiet)
    if is_combined(survey):
        several = load_combined(survey, overrides=changes or ())
        members = (several if data is None else several.with_data_root(data)).members
        named = [(f"{survey}, {member.name}", member) for member in members]
    else:
        description = load_survey(survey, overrides=changes or ())
        named = [(str(survey), description if data is None else description.with_data_root(data))]
    for name, member in named:
        found = check_survey(member, workers=workers, observer=observer_for(screen))
        if found.problems:
            raise InputProblemsError("\n".join(found.problems))
        for reason in found.skipped.values():
            screen.complain(f"warning: left out: {reason}")
        counts = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
        made = "the built-in sample survey, made at its first use"
        screen.say(f"{name}: valid; data root {found.data_root}: {counts or made}")


@app.command()
def compare(
    survey: SurveyFile,
    data: DataRoot = None,
    backends: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Colour models besides the description's; default: all."
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of folds of the control stars.")
    ] = 5,
    seeds: Annotated[
        int, typer.Option(min=1, metavar="N", help="How often stars are dealt to folds.")
    ] = 2,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions", help="Rank control regions for the description's model, instead."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of results; default: runs/<survey>_comparison, or _regions.",
        ),
    ] = None,
    workers: Workers = None,
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Compare colour models: how well they predict, the offsets they lead to, their cost."""
    from scrframe.analysis.compare.run import compare_backends, default_out
    from scrframe.cli.progress import observer_for
    from scrframe.config import load_survey

    screen = Screen(quiet)
    if regions and backends is not None:
        raise typer.BadParameter("--regions compares no colour models: leave out --backends")
    description = load_survey(survey, overrides=changes or ())
    if regions:
        _rank_regions(screen, description, data, out, workers)
        return
    target = out if out is not None else default_out(description)
    names = None if backends is None else [name.strip() for name in backends.split(",")]
    with resumable(target):
        run = compare_backends(
            description,
            data=data,
            backends=names,
            folds=folds,
            seeds=seeds,
            out=target,
            workers=workers,
            observer=observer_for(screen),
        )
    from scrframe.cli.comparing import WIDE, comparison_lines, comparison_table
    from scrframe.cli.screen import rendered

    screen.say(rendered(comparison_table(run), screen.is_terminal, WIDE))
    for line in comparison_lines(run, target):
        screen.say(line)


def _rank_regions(
    screen: Screen,
    description: SurveyDescription,
    data: str | None,
    out: Path | None,
    workers: int | None,
) -> None:
    """Rank control regions and show the answer."""
    from scrframe.analysis.compare.control_regions import default_out, rank_control_regions
    from scrframe.cli.comparing import REGIONS_WIDTH, regions_lines, regions_table
    from scrframe.cli.progress import observer_for
    from scrframe.cli.screen import rendered

    target = out if out is not None else default_out(description)
    with resumable(target):
        run = rank_control_regions(
            description, data=data, out=target, workers=workers, observer=observer_for(screen)
        )
    screen.say(rendered(regions_table(run), screen.is_terminal, REGIONS_WIDTH))
    for line in regions_lines(run, target):
        screen.say(line)


app.command()(report)
app.command()(montecarlo)
app.command()(crosscheck)
app.command()(explain)


@app.command()
def schema(
    columns: Annotated[
        bool, typer.Option("--columns", help="The columns that cuts can name, instead.")
    ] = False,
) -> None:
    """Print the JSON schema of survey descriptions, for editors."""
    from scrframe.cli.listing import column_lines
    from scrframe.config import column_vocabulary, survey_schema
    from scrframe.plugin import load_registry

    registry = load_registry()
    if columns:
        Screen().say("\n".join(column_lines(column_vocabulary(registry))))
    else:
        Screen().say(json.dumps(survey_schema(registry), indent=2))


@plugins_app.command("list")
def list_plugins() -> None:
    """Show what is installed, from where, and what is broken and why."""
    from scrframe.cli.listing import plugin_lines
    from scrframe.plugin import load_registry

    Screen().say("\n".join(plugin_lines(load_registry())))


@app.command()
def simulate(
    survey: SurveyFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to be made.")],
    fields: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of fields, of two pointings each."),
    ] = None,
    density: Annotated[
        float | None, typer.Option(metavar="PER_DEG2", help="Stars per square degree.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="S", help="Seed.")] = None,
    gaia_format: Annotated[
        GaiaFormat, typer.Option(help="Format of the Gaia products.")
    ] = GaiaFormat.parquet,
    changes: Changes = None,
    quiet: Quiet = False,
) -> None:
    """Write a simulated survey in the real formats, and its truth."""
    from scrframe.cli.progress import observer_for
    from scrframe.cli.shared import simulation_settings
    from scrframe.config import load_survey
    from scrframe.run.sample_survey import simulate_survey as write_survey

    screen = Screen(quiet)
    description = load_survey(survey, overrides=changes or ())
    settings = simulation_settings(description.simulation, fields, density, seed)
    path = write_survey(
        description,
        out,
        settings=settings,
        gaia_format=gaia_format.value,
        observer=observer_for(screen),
    )
    screen.say(f"simulated survey in {path}; calibrate it with --data {path}")


@app.command()
def apply(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    catalogues: Annotated[
        list[Path], typer.Argument(metavar="CATALOGUE...", help="Catalogues, or folders of them.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: RUN_DIR/applied.")
    ] = None,
    unknown_visit: Annotated[
        UnknownVisit, typer.Option(help="A visit that the run did not see: an error, or flagged.")
    ] = UnknownVisit.stop,
    workers: FewWorkers = 1,
    quiet: Quiet = False,
) -> None:
    """Correct further catalogues with the solution of a finished run."""
    from scrframe.cli.progress import observer_for
    from scrframe.run.correct.apply import apply as correct

    screen = Screen(quiet)
    corrected = correct(
        run,
        catalogues,
        out=out,
        unknown_visit=unknown_visit.value,
        workers=workers,
        observer=observer_for(screen),
    )
    total, good = sum(c.detections for c in corrected), sum(c.corrected for c in corrected)
    screen.say(f"{len(corrected)} catalogues in {out or run / 'applied'}")
    screen.say(f"{good:,} of {total:,} detections corrected")
    for part in corrected:
        for visit in part.unknown_visits:
            screen.say(f"not corrected, the run did not see it: visit {visit} in {part.key}")
