"""The commands. Each turns its options into one call of the Python API and shows the answer."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrframe.cli.common import (
    Changes,
    DataRoot,
    FewWorkers,
    InputProblemsError,
    LogFile,
    Quiet,
    Scheduler,
    Screen,
    Strict,
    SurveyFile,
    Verbose,
    Workers,
    help_without_command,
    resumable,
)
from scrframe.cli.comparing import compare
from scrframe.cli.explain import explain
from scrframe.cli.export import export
from scrframe.cli.fetching import fetch, missing_lines
from scrframe.cli.plugins import column_lines, key_lines, plugins_app, surveys_app
from scrframe.cli.rendering import (
    WIDE,
    check_table,
    closing_lines,
    closing_table,
    combined_lines,
    combined_table,
    judge,
    observer_for,
    rendered,
    show,
)
from scrframe.cli.uncertainty import crosscheck, montecarlo
from scrframe.errors import ConfigError, number_of, told_once
from scrframe.version import __version__

if TYPE_CHECKING:
    from scrframe.config import SimulationSettings

app = typer.Typer(
    name="scrframe",
    help="Put survey photometry on one scale with Stellar Colour Regression.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(plugins_app, name="plugins")
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Put survey photometry on one scale with Stellar Colour Regression."""
    help_without_command(context)


@app.command()
def calibrate(
    survey: SurveyFile,
    data: DataRoot = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory of results; default: runs/<survey>."),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave out null tests, figures and the page.")
    ] = False,
    strict: Strict = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be read, made and replaced; do nothing."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the run of another survey in --out.")
    ] = False,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Calibrate a survey, or several together, and write all products."""
    from scrframe.config import is_combined, load_combined, load_survey

    screen, report = Screen(quiet, verbose, log), False if no_report else None
    how: dict[str, Any] = {"data": data, "workers": workers, "observer": observer_for(screen)}
    how |= {"executor": scheduler}
    if dry_run:
        _say_plan(screen, survey, changes, data=data, out=out, force=force)
        return
    from scrframe.run.calibrate import calibrate as run_calibration

    if is_combined(survey):
        from scrframe.analysis.combined import calibrate_combined

        several = load_combined(survey, overrides=changes or ())
        if strict and (no_report or not all(each.report.enabled for each in several.members)):
            raise typer.BadParameter("--strict needs the reports, which are turned off")
        target = out or Path("runs") / several.name
        with resumable():
            whole = calibrate_combined(several, out=target, report=report, **how)
        show(screen, combined_table(whole.summary), combined_lines(whole.summary, target))
        if whole.page is not None:
            screen.say(f"report of all bands in {whole.page}")
        for name, member in whole.runs.items():
            judge(screen, member.report, whole.path / name / "report" / "index.html", strict)
        return
    description = load_survey(survey, overrides=changes or ())
    if strict and (no_report or not description.report.enabled):
        raise typer.BadParameter("--strict needs the report, which is turned off")
    target = out or Path("runs") / description.name
    with resumable():
        run = run_calibration(description, out=target, report=report, force=force, **how)
    show(screen, closing_table(run.summary), closing_lines(run.summary, target))
    judge(screen, run.report, target / "report" / "index.html", strict)


def _say_plan(
    screen: Screen, survey: Path, changes: list[str] | None, *, out: Path | None, **how: Any
) -> None:
    """Say what a calibration would read, make and replace."""
    from scrframe.config import is_combined, load_combined, load_survey
    from scrframe.run.plan import plan_run

    if is_combined(survey):
        several = load_combined(survey, overrides=changes or ())
        base = out or Path("runs") / several.name
        plans = [plan_run(each, out=base / each.name, **how) for each in several.members]
    else:
        plans = [plan_run(load_survey(survey, overrides=changes or ()), out=out, **how)]
    for plan in plans:
        for line in plan.lines():
            screen.say(line)
    screen.say("nothing was read or made (--dry-run)")


@app.command()
def validate(
    survey: SurveyFile,
    data: DataRoot = None,
    workers: FewWorkers = 1,
    scheduler: Scheduler = None,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Check a description, its plugins and its data, before any work."""
    from scrframe.config import is_combined, load_combined, load_survey
    from scrframe.run.data import validate as check_survey

    screen = Screen(quiet, verbose, log)
    if is_combined(survey):
        several = load_combined(survey, overrides=changes or ())
        members = (several if data is None else several.with_data_root(data)).members
        named = [(f"{survey}, {member.name}", member) for member in members]
    else:
        description = load_survey(survey, overrides=changes or ())
        named = [(str(survey), description if data is None else description.with_data_root(data))]
    for name, member in named:
        found = check_survey(
            member, workers=workers, observer=observer_for(screen), executor=scheduler
        )
        lacking = missing_lines(found, survey, data, changes)
        if found.problems:
            for line in lacking:
                screen.say(line)
            raise InputProblemsError("\n".join(told_once(found.problems)))
        for line in told_once(found.skipped.values()):
            screen.complain(f"warning: left out: {line}")
        counts = ", ".join(
            number_of(count, "catalogue")
            if kind == "catalogues"
            else f"{number_of(count, 'file')} of {kind}"
            for kind, count in found.counts.items()
        )
        made = "the built-in sample survey, simulated at its first use"
        screen.say(f"{name}: valid; data root {found.data_root}: {counts or made}")
        for line in lacking:
            screen.say(line)


app.command()(fetch)
app.command()(compare)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    montecarlo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of `scrframe montecarlo`, to be shown as well."),
    ] = None,
    crosscheck: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of `scrframe crosscheck`, to be shown as well."),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    strict: Strict = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Judge a finished run: null tests, anomalies, figures and a page, in RUN_DIR/report."""
    from scrframe.report.write import write_report
    from scrframe.run.workers import default_workers, open_executor

    screen = Screen(quiet, verbose, log)
    further = {}
    if montecarlo is not None:
        from scrframe.analysis.montecarlo import products

        further[14] = products.saved_figure(montecarlo)
    if crosscheck is not None:
        from scrframe.analysis.crosscheck import page

        further[15] = page.saved_figure(crosscheck)
    observer = observer_for(screen)
    seen: dict[str, Any] = {"needs": [run.absolute()], "say": observer.message}
    with open_executor(workers or default_workers(), scheduler, **seen) as executor:
        made = write_report(run, further=further, observer=observer, executor=executor)
    if made.checks:
        screen.say(rendered([check_table(made)], screen.is_terminal, WIDE))
    judge(screen, made, made.path, strict)


app.command()(montecarlo)
app.command()(crosscheck)
app.command()(explain)
app.command()(export)


@app.command()
def schema(
    columns: Annotated[
        bool, typer.Option("--columns", help="The columns that cuts can name, instead.")
    ] = False,
    keys: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The keys at and below a path such as offsets.joint, in words; all: every key.",
        ),
    ] = None,
) -> None:
    """Print the JSON schema of survey descriptions, for editors."""
    from scrframe.config import column_vocabulary, survey_schema
    from scrframe.plugin import load_registry

    registry = load_registry()
    if columns:
        Screen().say("\n".join(column_lines(column_vocabulary(registry))))
    elif keys is not None:
        Screen().say("\n".join(key_lines(survey_schema(registry), keys)))
    else:
        Screen().say(json.dumps(survey_schema(registry), indent=2))


@app.command()
def simulate(
    survey: SurveyFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to create.")],
    fields: Annotated[
        int | None, typer.Option(metavar="N", help="Number of fields, of two pointings each.")
    ] = None,
    density: Annotated[
        float | None, typer.Option(metavar="PER_DEG2", help="Stars per square degree.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="S", help="Seed.")] = None,
    centres: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Fields: their centres, in columns ra and dec, in deg."),
    ] = None,
    gaia_format: Annotated[
        GaiaFormat, typer.Option(help="Format of the Gaia products.")
    ] = GaiaFormat.parquet,
    changes: Changes = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Write a simulated survey in the real formats, and its truth."""
    from scrframe.config import load_survey
    from scrframe.run.data import read_centres
    from scrframe.run.data import simulate_survey as write_survey

    screen = Screen(quiet, verbose, log)
    description = load_survey(survey, overrides=changes or ())
    given = None if centres is None else read_centres(centres, fields)
    settings = _simulation_settings(description.simulation, fields, density, seed, given)
    how: dict[str, Any] = {"gaia_format": gaia_format.value, "observer": observer_for(screen)}
    path = write_survey(description, out, settings=settings, **how)
    screen.say(f"simulated survey in {path}; calibrate it with --data {path}")


def _simulation_settings(
    base: SimulationSettings,
    fields: int | None,
    density: float | None,
    seed: int | None,
    centres: list[tuple[str, str]] | None,
) -> SimulationSettings:
    """Return the settings with the options that are given."""
    from pydantic import ValidationError

    options: dict[str, Any] = {"fields": fields, "density": density, "seed": seed}
    options["centres"] = centres
    changes = {name: value for name, value in options.items() if value is not None}
    try:
        return type(base).model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: " if first["loc"] else ""
        raise ConfigError(f"{option}{first['msg']}") from None


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
        UnknownVisit, typer.Option(help="Visit that is not in the run: stop, or write it flagged.")
    ] = UnknownVisit.stop,
    colours: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Stars with ra_deg, dec_deg and colour, for colour terms: such as the run's"
            " star_catalogue.parquet.",
        ),
    ] = None,
    workers: FewWorkers = 1,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log: LogFile = None,
) -> None:
    """Correct further catalogues with the solution of a finished run."""
    from scrframe.run.correct import apply as correct

    screen = Screen(quiet, verbose, log)
    how: dict[str, Any] = {"workers": workers, "observer": observer_for(screen)}
    how |= {"executor": scheduler, "colours": colours}
    corrected = correct(run, catalogues, out=out, unknown_visit=unknown_visit.value, **how)
    total, good = sum(c.detections for c in corrected), sum(c.corrected for c in corrected)
    screen.say(f"{len(corrected)} catalogues in {out or run / 'applied'}")
    screen.say(f"{good:,} of {total:,} detections corrected")
    for part in corrected:
        for visit in part.unknown_visits:
            screen.say(f"not corrected, not in the run: visit {visit} in {part.key}")
