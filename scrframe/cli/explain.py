"""What `scrframe explain` prints: why a visit, a CCD or a star has its offset."""

# ruff: noqa: PLC0415 - each command imports what it needs: `scrframe --help` must not wait.
from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scrframe.cli.screen import Screen

if TYPE_CHECKING:
    from scrframe.analysis.explain.explain import Explanation

Facts = Mapping[str, Any]
NONE = "-"
#: Rows of tables that go on in the JSON.
MOST = 12


def mmag(value: float | None, error: float | None = None, *, sign: bool = True) -> str:
    """Return a magnitude in mmag, with its error."""
    if value is None:
        return NONE
    text = f"{1000 * value:+.1f}" if sign else f"{1000 * value:.1f}"
    text = text[1:] if text in ("-0.0", "+0.0") else text
    return text if error is None else f"{text} +- {1000 * error:.1f}"


def title(facts: Facts, what: str) -> str:
    """Return what is explained, of which run, and in which unit."""
    note = f" - {facts['data_note']}" if facts["data_note"] else ""
    return (
        f"{facts['survey']}, {facts['band']} band, mode {facts['mode']}: {what}{note}\n"
        "Offsets are corrections, to be added to observed magnitudes; all in mmag."
    )


def detections(facts: Facts) -> Iterator[str]:
    """Say how many detections there are, used and left out, and what they are worth."""
    of = facts["detections"]
    yield (
        f"\n{of['in_sample']:,} detections in the Calibration Sample, {of['used']:,} used"
        f" ({of['stars_used']:,} stars)"
    )
    left = of.get("left_out", {})
    if left:
        yield "  left out: " + ", ".join(f"{count:,} {why}" for why, count in left.items())
    if of.get("low_weight"):
        yield f"  used with less than half their weight, as outliers: {of['low_weight']:,}"
    if of["flags"]:
        yield "  flags: " + ", ".join(f"{name} {count:,}" for name, count in of["flags"].items())
    if "weights" in facts and of["used"]:
        effective = facts["weights"]["effective_stars"]
        error = facts["weights"]["statistical_err_mag"]
        alone = "" if error is None else f"; by themselves they give {mmag(error, sign=False)} mmag"
        yield f"  worth {effective:,.0f} stars of equal weight{alone}"


def new_table(title: str, heads: Sequence[str]) -> Table:
    """Return an empty table with columns of text."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", pad_edge=False)
    for head in heads:
        table.add_column(head)
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row, whose cells are shown as they are."""
    table.add_row(*(Text(str(cell)) for cell in cells))


#: Columns of the grid of CCDs.
GRID = 8


def visit_pieces(facts: Facts) -> Iterator[str | Table]:
    """Say why a visit, or a CCD in it, has its offset."""
    yield from _head(facts)
    yield from detections(facts)
    if not facts["detections"]["in_sample"]:
        yield "No calibration star: the offset is what its kin say."
    yield from _offset(facts)
    yield _levels(facts["levels"])
    yield from _shrinkage(facts)
    if facts["ccds"]:
        yield from _focal_plane(facts["ccds"])
    yield from _neighbours(facts)
    yield from _kin(facts["kin"])
    if "without" in facts:
        yield from _without(facts)


def _head(facts: Facts) -> Iterator[str]:
    what = f"visit {facts['visit']}"
    if facts["ccd"] is not None:
        what = f"CCD {facts['ccd']} in {what}"
    yield title(facts, what)
    parts = [
        f"field {facts['field']}" if facts["field"] else "field not recorded",
        f"MJD {facts['mjd']:.5f}" if facts["mjd"] is not None else "no date",
        f"season {facts['season']}" if facts["season"] >= 0 else "no season",
    ]
    if facts["airmass"] is not None:
        parts.append(f"airmass {facts['airmass']:.2f}")
    yield ", ".join(parts)


def _offset(facts: Facts) -> Iterator[str]:
    of = facts["offset"]
    yield (
        f"\nOffset of the visit {mmag(of['visit_mag'], of['visit_err_mag'])},"
        f" constant u_ZP {mmag(of['zero_point_mag'])}, whole correction {mmag(of['total_mag'])}"
    )
    if of.get("sys_mag") is not None:
        yield f"  systematic effects can shift it by {mmag(of['sys_mag'], sign=False)}"
    if of.get("from_level"):
        yield "  where it comes from: " + ", ".join(
            f"{level} on {count} CCD(s)" for level, count in of["from_level"].items()
        )


def _levels(levels: Sequence[Facts]) -> Table:
    table = new_table("Levels, mean over the detections", ["level", "what"])
    for name in ("mean", "spread", "prior sd", "columns"):
        table.add_column(name, justify="right")
    for each in levels:
        add_row(
            table,
            each["level"],
            each["what"],
            mmag(each["mean_mag"], each["err_mag"]),
            mmag(each["rms_mag"], sign=False),
            mmag(each["sd_mag"], sign=False),
            f"{each['columns']:,}",
        )
    return table


def _shrinkage(facts: Facts) -> Iterator[str]:
    of = facts["shrinkage"]
    if of["plain_mean_mag"] is None:
        return
    yield (
        f"Plain mean of its stars {mmag(of['plain_mean_mag'], of['plain_err_mag'])}, fitted"
        f" {mmag(of['fitted_mag'])}: the solution moved it by {mmag(of['difference_mag'])}"
    )
    if facts["mode"] == "joint":
        yield (
            "  by weights, by what nuisance terms take (the law, patches of sky), by overlaps, and"
            " by the prior"
            + (f" of sd {mmag(of['prior_sd_mag'], sign=False)}" if of["prior_sd_mag"] else "")
        )


def _focal_plane(ccds: Sequence[Facts]) -> Iterator[str | Table]:
    yield from _grid("\nOffset of each CCD less that of the visit (CCD: mmag)", ccds, "ccd_mag")
    parts = list(ccds[0]["parts_mag"])
    if parts:
        table = new_table("CCDs that differ most in this visit alone", ["CCD"])
        for name in ("whole", *parts, "this visit alone", "residual", "stars"):
            table.add_column(name, justify="right")
        order = sorted(ccds, key=lambda each: -abs(each["jitter_mag"] or 0.0))
        for each in order[:5]:
            add_row(
                table,
                each["ccd"],
                mmag(each["ccd_mag"], each["ccd_err_mag"]),
                *(mmag(each["parts_mag"][name]) for name in parts),
                mmag(each["jitter_mag"]),
                mmag(each["residual_mag"], each["residual_err_mag"]),
                each["used"],
            )
        yield table
    yield from _grid("Mean residual, model less calibrated (CCD: mmag)", ccds, "residual_mag")


def _grid(title: str, ccds: Sequence[Facts], name: str) -> Iterator[str]:
    yield title
    cells = [f"{each['ccd']:>3}:{mmag(each[name]):>7}" for each in ccds]
    for low in range(0, len(cells), GRID):
        yield "  " + "  ".join(cells[low : low + GRID])


def _neighbours(facts: Facts) -> Iterator[str | Table]:
    found = facts["neighbours"]
    if not found:
        yield "\nNo other visit shares a star with it: only the model ties it to the others."
        return
    table = new_table("\nNeighbours: visits that share stars with it", ["visit", "field"])
    for name in ("stars", "this less the other, calibrated", "error to expect"):
        table.add_column(name, justify="right")
    for each in found[:MOST]:
        add_row(
            table,
            each["visit"],
            each["field"] or NONE,
            f"{each['shared']:,}",
            mmag(each["difference_mag"], each["err_mag"]),
            mmag(each["expected_err_mag"], sign=False),
        )
    yield table
    if len(found) > MOST:
        yield f"  and {len(found) - MOST} more"


def _kin(kin: Facts) -> Iterator[str]:
    yield "Kin, without it:"
    for name, of in kin.items():
        spread = "" if of["sd_mag"] is None else f", sd {mmag(of['sd_mag'], sign=False)}"
        mean = "" if of["mean_mag"] is None else f", mean offset {mmag(of['mean_mag'])}{spread}"
        yield f"  {name}: {of['visits']} visit(s){mean}"


def _without(facts: Facts) -> Iterator[str | Table]:
    of = facts["without"]
    yield "\nWithout its stars"
    if of["fallback"]:
        back = of["fallback"]
        yield (
            f"  its own offset would be {mmag(back['offset_mag'], back['err_mag'])}, from its"
            f" {back['level']}, instead of {mmag(facts['offset']['visit_mag'])}"
        )
    elif facts["mode"] == "sequential":
        yield "  it would have no offset, and its detections no correction"
    if of["how"] == "means":
        yield "  other visits and their CCDs would keep their offsets: each is a mean of its own"
        for each in of["maps"]:
            yield (
                f"  {each['columns']:,} columns of {each['level']} would move by"
                f" {mmag(each['rms_mag'], sign=False)} (rms), at most"
                f" {mmag(each['largest_mag'], sign=False)}"
            )
        return
    if not of["moved"]:
        yield "  no other visit shares its stars; none would move by them"
        return
    table = new_table("  Neighbours would move by", ["visit"])
    table.add_column("move", justify="right")
    table.add_column("its error", justify="right")
    for each in of["moved"][:MOST]:
        add_row(table, each["visit"], mmag(each["move_mag"]), mmag(each["err_mag"], sign=False))
    yield table
    yield (
        f"  (solved anew: {', '.join(of['levels'])} of these visits, from the detections; weights,"
        " variances, the model and all other terms held)"
    )


def star_pieces(facts: Facts) -> Iterator[str | Table]:
    """Say how a star's magnitudes came about."""
    yield title(facts, f"star {facts['star']}")
    of, model = facts["mean"], facts["model"]
    if of:
        yield f"RA {of['ra_deg']:.6f}, Dec {of['dec_deg']:.6f} deg"
    yield (
        f"\nModel: {model['reference_band']} {model['reference_mag']:.4f} + colour"
        f" {model['colour0_mag']:.4f} + R {model['R']:.3f} x E {model['extinction_mag']:.4f}"
        f" = {model['predicted_mag']:.4f} mag"
    )
    if of and of["mag_cal"] is not None:
        yield from _star_mean(of)
    if facts["flags"]:
        for word in facts["flags"].values():
            yield f"  {word}"
    else:
        like = "like the stars of the training set; " if facts["trained"] else ""
        yield f"  {like}no flag"
    table = new_table("\nDetections; magnitudes in mag, the rest in mmag", ["visit", "CCD"])
    names = list(facts["detections"][0]["offsets_mag"])
    for name in ("observed", *names, "whole", "calibrated", "error", "weight", "model less cal."):
        table.add_column(name, justify="right")
    for each in facts["detections"]:
        add_row(table, each["visit"], each["ccd"], *_star_row(each, names))
    yield table
    marked = [each for each in facts["detections"] if each["flags"]]
    for each in marked:
        yield f"  {each['visit']}: {', '.join(each['flags'])}"


def _star_mean(of: Facts) -> Iterator[str]:
    error = of["mag_cal_err"] if of["mag_cal_err"] is not None else of["photometric_err"]
    yield (
        f"Mean {of['mag_cal']:.4f} mag, error {mmag(error, sign=False)} (photometry"
        f" {mmag(of['photometric_err'], sign=False)}, corrections"
        f" {mmag(of['offset_err'], sign=False)}), systematic {mmag(of['mag_cal_sys'], sign=False)},"
        f" of {of['n_detections']} detection(s) in {of['n_visits']} visit(s)"
    )
    if of["chi2"] is not None:
        verdict = "varies" if of["variable"] else "constant within the errors"
        verdict = "one detection is off" if of["one_outlier"] else verdict
        yield (
            f"chi2 {of['chi2']:.2f} for {of['dof']} degree(s) of freedom, probability"
            f" {of['chi2_probability']:.2g}: {verdict}"
        )
    yield f"Model less mean {mmag(of['residual'])}" + (
        ""
        if of["star_dev"] is None
        else f"; the star's own deviation {mmag(of['star_dev'], of['star_dev_err'])}"
    )
    if of["reserved"]:
        yield "  reserved: it took part in neither training nor solution"


def _star_row(each: Facts, names: Sequence[str]) -> list[str]:
    error = each.get("calibrated_err_mag", each["catalogued_err_mag"])
    weight = each.get("weight")
    cal = each["calibrated_mag"]
    return [
        f"{each['observed_mag']:.4f}",
        *(mmag(each["offsets_mag"][name]) for name in names),
        mmag(each["total_mag"]),
        NONE if cal is None else f"{cal:.4f}",
        mmag(error, sign=False),
        NONE if weight is None else f"{weight:.2f}",
        mmag(each["residual_mag"]),
    ]


def ccd_pieces(facts: Facts) -> Iterator[str | Table]:
    """Say how a CCD differs from others, in time and over its pixels."""
    yield title(facts, f"CCD {facts['ccd']}")
    yield from detections(facts)
    yield f"Mean residual of the used {mmag(facts['residual_mag'], facts['residual_err_mag'])}"
    yield _ccd_levels(facts["levels"])
    of = facts["summary"]
    if of["worst"]:
        yield (
            f"In {of['visits']} visits: median {mmag(of['median_mag'])}, scatter"
            f" {mmag(of['mad_sigma_mag'], sign=False)}, typical error"
            f" {mmag(of['typical_err_mag'], sign=False)}, trend"
            f" {mmag(of['slope_mag_per_year'], of['slope_err_mag_per_year'])} a year"
        )
        table = new_table("Visits in which it is farthest from its median", ["visit"])
        for name in ("offset less the visit's", "in scatters"):
            table.add_column(name, justify="right")
        for each in of["worst"]:
            offset = mmag(each["ccd_mag"], each["err_mag"])
            add_row(table, each["visit"], offset, f"{each['away']:.1f}")
        yield table
    yield _in_time(facts["visits"])
    yield from _maps(facts["maps"])
    yield from _strips(facts["strips"])


def _ccd_levels(levels: Sequence[Facts]) -> Table:
    table = new_table("Levels", ["level", "what"])
    for name in ("mean", "spread", "typical error", "prior sd", "columns"):
        table.add_column(name, justify="right")
    for each in levels:
        add_row(
            table,
            each["level"],
            each["what"],
            mmag(each["mean_mag"]),
            mmag(each["rms_mag"], sign=False),
            mmag(each["err_mag"], sign=False),
            mmag(each["sd_mag"], sign=False),
            f"{each['with_offset']:,}",
        )
    return table


def _in_time(visits: Sequence[Facts]) -> Table:
    parts = list(visits[0]["parts_mag"]) if visits else []
    table = new_table("Offsets in time, less those of the visits", ["visit"])
    for name in ("MJD", "stars", "whole", *parts, *(["rest"] if parts else [])):
        table.add_column(name, justify="right")
    for each in visits[:: max(1, -(-len(visits) // (2 * MOST)))]:
        rest = [mmag(each["parts_mag"][name]) for name in parts]
        rest += [mmag(each["rest_mag"])] if parts else []
        date = NONE if each["mjd"] is None else f"{each['mjd']:.2f}"
        whole = mmag(each["ccd_mag"], each["ccd_err_mag"])
        add_row(table, each["visit"], date, each["used"], whole, *rest)
    return table


def _maps(maps: Sequence[Facts]) -> Iterator[str]:
    for each in maps:
        yield (
            f"Map {each['level']}: {each['columns']} columns, rms"
            f" {mmag(each['rms_mag'], sign=False)}, from {mmag(each['low_mag'])} to"
            f" {mmag(each['high_mag'])}, typical error {mmag(each['err_mag'], sign=False)}"
        )
        for place in each["largest"]:
            where = ", ".join(
                f"{name.removesuffix('_pix')} {value:.0f}"
                for name, value in place.items()
                if name.endswith("_pix")
            )
            yield f"  {where}: {mmag(place['offset_mag'], place['err_mag'])}"


def _strips(strips: Sequence[Facts]) -> Iterator[str]:
    if not strips:
        yield "No strip of columns or rows stands out in the residuals."
        return
    yield "Strips that stand out in the residuals, perhaps defective:"
    for each in strips[:MOST]:
        yield (
            f"  {each['along']} {each['low_pix']:.0f} to {each['high_pix']:.0f}:"
            f" {mmag(each['residual_mag'], each['err_mag'])}, {each['detections']} detections"
        )


#: Width of the text in a file or pipe, in characters.
WIDE = 130
#: What each kind of explanation consists of.
PIECES = {
    "visit": visit_pieces,
    "exposure": visit_pieces,
    "ccd": ccd_pieces,
    "star": star_pieces,
}


def explanation_text(found: Explanation, terminal: bool) -> str:
    """Return an explanation as text, with colours if it is for a terminal."""
    pieces = PIECES[found.kind](found.facts)
    page = io.StringIO()
    console = Console(
        file=page,
        force_terminal=terminal,
        width=None if terminal else WIDE,
        markup=False,
        highlight=False,
    )
    for piece in pieces:
        console.print(Text(piece) if isinstance(piece, str) else piece)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def explanation_json(found: Explanation) -> str:
    """Return the same as JSON."""
    return json.dumps(found.facts, indent=2, ensure_ascii=False, allow_nan=False)


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
    from scrframe.analysis.explain.explain import explain as explain_offset

    screen = Screen()
    found = explain_offset(run, visit=visit, ccd=ccd, star=star)
    screen.say(explanation_json(found) if as_json else explanation_text(found, screen.is_terminal))
