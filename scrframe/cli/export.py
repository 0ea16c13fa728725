"""`scrframe export`: star flats, headers and zero points of a finished run, for images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scrframe.cli.common import Quiet, Screen
from scrframe.cli.rendering import observer_for
from scrframe.errors import number_of


class FlatKind(StrEnum):
    """What a star flat holds."""

    factor = "factor"
    mag = "mag"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    star_flats: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of star flats: FITS, an extension a CCD."),
    ] = None,
    headers: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of .head files, one a visit, and their table."),
    ] = None,
    zero_points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table of zero points: .ecsv, .fits, .csv, .vot or .parquet."
        ),
    ] = None,
    hats: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="HATS catalogues: stars, and corrected detections; scrframe[hats]."
        ),
    ] = None,
    kind: Annotated[
        FlatKind, typer.Option(help="Star flats: factor of pixel values, or magnitudes to add.")
    ] = FlatKind.factor,
    binning: Annotated[
        int, typer.Option(min=1, metavar="N", help="Side of a star flat's squares in pixels.")
    ] = 16,
    image_zero_point: Annotated[
        float,
        typer.Option(metavar="MAG", help="Magnitude of one count with which catalogues were made."),
    ] = 0.0,
    quiet: Quiet = False,
) -> None:
    """Write what images need of a finished run: star flats, headers, zero points."""
    from scrframe.handle.opening import open_run

    screen = Screen(quiet)
    if hats is not None:
        _write_hats(run, hats, screen)
        if star_flats is headers is zero_points is None:
            return
    made = open_run(run).export(
        star_flats=star_flats,
        headers=headers,
        zero_points=zero_points,
        kind=kind.value,
        binning=binning,
        image_zero_point=image_zero_point,
        observer=observer_for(screen),
    )
    if made.star_flats:
        screen.say(f"{number_of(len(made.star_flats), 'file')} of star flats in {star_flats}")
    if made.headers:
        files = number_of(len(made.headers) - 1, "header")
        screen.say(f"{files} in {headers}, and {made.headers[-1].name}")
    if made.zero_points is not None:
        screen.say(f"zero points in {made.zero_points}")


def _write_hats(run: Path, out: Path, screen: Screen) -> None:
    """Write a run's star catalogue, and its corrected detections if it has any, as HATS."""
    from scrframe.errors import DataError
    from scrframe.export.hats import write_hats
    from scrframe.io import matching_files

    stars = run / "star_catalogue.parquet"
    if not stars.is_file():
        raise DataError(f"{run}: is no finished run; it has no {stars.name}")
    count = write_hats([stars], out / "stars", f"{run.name}_stars")
    screen.say(f"{number_of(count, 'partition')} of stars in {out / 'stars'}")
    corrected = matching_files("catalogues/**/*", run)
    if corrected:
        count = write_hats(corrected, out / "detections", f"{run.name}_detections")
        screen.say(f"{number_of(count, 'partition')} of detections in {out / 'detections'}")
