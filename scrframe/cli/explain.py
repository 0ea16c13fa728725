"""What `scrframe explain` prints: why a visit, a CCD or a star has its offset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from scrframe.cli.common import Screen
from scrframe.cli.explain_visit import MOST, detections, title, visit_pieces
from scrframe.cli.rendering import NONE, known, mmag, rendered, table_of, unsigned
from scrframe.errors import number_of

if TYPE_CHECKING:
    from scrframe.analysis.explain.ccd import CcdExplanation, CcdInVisit, CcdMap, Strip
    from scrframe.analysis.explain.opened_run import Explanation
    from scrframe.analysis.explain.star import StarDetection, StarExplanation, StarMean

#: Width of the text in a file or pipe, in characters.
WIDE = 130


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
        int | None, typer.Option(metavar="SOURCE_ID", help="What makes up this star's magnitudes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Say why a visit, a CCD or a star has its offset, and what would change without it."""
    from scrframe.analysis.explain import explain as explain_offset

    screen = Screen()
    explanation = explain_offset(run, visit=visit, ccd=ccd, star=star)
    if as_json:
        plain = explanation.to_json()
        screen.say(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        screen.say(explanation_text(explanation, screen.is_terminal))


def explanation_text(explanation: Explanation, terminal: bool) -> str:
    """Return an explanation as text, with colours if it is for a terminal."""
    return rendered(_pieces(explanation), terminal, WIDE)


def _pieces(explanation: Explanation) -> Iterator[str | Table]:
    """Yield the lines and tables of an explanation of any kind."""
    from scrframe.analysis.explain.ccd import CcdExplanation
    from scrframe.analysis.explain.star import StarExplanation
    from scrframe.analysis.explain.visit import VisitExplanation

    if isinstance(explanation, VisitExplanation):
        return visit_pieces(explanation)
    if isinstance(explanation, CcdExplanation):
        return _ccd(explanation)
    assert isinstance(explanation, StarExplanation)
    return _star(explanation)


def _star(star: StarExplanation) -> Iterator[str | Table]:
    """Say how a star's magnitudes came about."""
    yield title(star, f"star {star.star}")
    mean, model = star.mean, star.model
    if mean.ra_deg is not None:
        yield f"RA {mean.ra_deg:.6f}, Dec {mean.dec_deg:.6f} deg"
    yield (
        f"\nModel: {model.reference_band} {model.reference_mag:.4f} + colour"
        f" {model.colour0_mag:.4f} + R {model.ratio:.3f} x E {model.extinction_mag:.4f}"
        f" = {model.predicted_mag:.4f} mag"
    )
    if known(mean.mag_cal):
        yield from _star_mean(mean)
    for words in star.flags.values():
        yield f"  {words}"
    if not star.flags:
        like = "like the stars of the training set; " if star.trained else ""
        yield f"  {like}no flag"
    names = list(star.detections[0].offsets_mag)
    yield table_of(
        "\nDetections; magnitudes in mag, the rest in mmag",
        ("visit", "CCD"),
        ("observed", *names, "whole", "calibrated", "error", "weight", "model less cal."),
        (_star_row(each, names) for each in star.detections),
    )
    for each in star.detections:
        if each.flags:
            yield f"  {each.visit}: {', '.join(each.flags)}"


def _star_mean(mean: StarMean) -> Iterator[str]:
    error = mean.mag_cal_err if known(mean.mag_cal_err) else mean.photometric_err
    yield (
        f"Mean {mean.mag_cal:.4f} mag, error {unsigned(error)} (photometry"
        f" {unsigned(mean.photometric_err)}, corrections"
        f" {unsigned(mean.offset_err)}), systematic {unsigned(mean.mag_cal_sys)},"
        f" of {number_of(mean.n_detections or 0, 'detection')}"
        f" in {number_of(mean.n_visits or 0, 'visit')}"
    )
    if known(mean.chi2):
        verdict = "varies" if mean.variable else "constant within the errors"
        verdict = "one detection is off" if mean.one_outlier else verdict
        yield (
            f"chi2 {mean.chi2:.2f} for {number_of(mean.dof or 0, 'degree')} of freedom, probability"
            f" {mean.chi2_probability:.2g}: {verdict}"
        )
    yield f"Model less mean {mmag(mean.residual)}" + (
        f"; the star's own deviation {mmag(mean.star_dev, mean.star_dev_err)}"
        if known(mean.star_dev)
        else ""
    )
    if mean.reserved:
        yield "  reserved: it took part in neither training nor solution"


def _star_row(each: StarDetection, names: Sequence[str]) -> list[object]:
    error = each.calibrated_err_mag
    return [
        each.visit,
        each.ccd,
        f"{each.observed_mag:.4f}",
        *(mmag(each.offsets_mag[name]) for name in names),
        mmag(each.total_mag),
        f"{each.calibrated_mag:.4f}" if known(each.calibrated_mag) else NONE,
        unsigned(each.catalogued_err_mag if error is None else error),
        f"{each.weight:.2f}" if known(each.weight) else NONE,
        mmag(each.residual_mag),
    ]


def _ccd(ccd: CcdExplanation) -> Iterator[str | Table]:
    """Say how a CCD differs from others, in time and over its pixels."""
    yield title(ccd, f"CCD {ccd.ccd}")
    yield from detections(ccd.detections)
    yield f"Mean residual of the used {mmag(ccd.residual_mag, ccd.residual_err_mag)}"
    yield table_of(
        "Levels",
        ("level", "what"),
        ("mean", "spread", "typical error", "prior sd", "columns"),
        (
            (
                level.level,
                level.what,
                mmag(level.mean_mag),
                unsigned(level.rms_mag),
                unsigned(level.err_mag),
                unsigned(level.sd_mag),
                f"{level.with_offset:,}",
            )
            for level in ccd.levels
        ),
    )
    summary = ccd.summary
    if summary.worst:
        yield (
            f"In {summary.visits} visits: median {mmag(summary.median_mag)}, scatter"
            f" {unsigned(summary.mad_sigma_mag)}, typical error"
            f" {unsigned(summary.typical_err_mag)}, trend"
            f" {mmag(summary.slope_mag_per_year, summary.slope_err_mag_per_year)} a year"
        )
        yield table_of(
            "Visits in which it is farthest from its median",
            ("visit",),
            ("offset less the visit's", "in scatters"),
            (
                (each.visit, mmag(each.ccd_mag, each.err_mag), f"{each.away:.1f}")
                for each in summary.worst
            ),
        )
    yield _in_time(ccd.visits)
    yield from _maps(ccd.maps)
    yield from _strips(ccd.strips)


def _in_time(visits: Sequence[CcdInVisit]) -> Table:
    names = list(visits[0].parts_mag) if visits else []
    return table_of(
        "Offsets in time, less those of the visits",
        ("visit",),
        ("MJD", "stars", "whole", *names, *(["rest"] if names else [])),
        (
            (
                each.visit,
                f"{each.mjd:.2f}" if known(each.mjd) else NONE,
                each.used,
                mmag(each.ccd_mag, each.ccd_err_mag),
                *(mmag(each.parts_mag[name]) for name in names),
                *([mmag(each.rest_mag)] if names else []),
            )
            for each in visits[:: max(1, -(-len(visits) // (2 * MOST)))]
        ),
    )


def _maps(maps: Sequence[CcdMap]) -> Iterator[str]:
    for each in maps:
        yield (
            f"Map {each.level}: {each.columns} columns, rms"
            f" {unsigned(each.rms_mag)}, from {mmag(each.low_mag)} to"
            f" {mmag(each.high_mag)}, typical error {unsigned(each.err_mag)}"
        )
        for column in each.largest:
            where = ", ".join(
                f"{name.removesuffix('_pix')} {value:.0f}"
                for name, value in column.position_pix.items()
            )
            yield f"  {where}: {mmag(column.offset_mag, column.err_mag)}"


def _strips(strips: Sequence[Strip]) -> Iterator[str]:
    if not strips:
        yield "No strip of columns or rows stands out in the residuals."
        return
    yield "Strips that stand out in the residuals, perhaps defective:"
    for each in strips[:MOST]:
        yield (
            f"  {each.along} {each.low_pix:.0f} to {each.high_pix:.0f}:"
            f" {mmag(each.residual_mag, each.err_mag)}, {each.detections} detections"
        )
