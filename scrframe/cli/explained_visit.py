"""A visit, or a CCD in it, explained on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from scrframe.cli.explained_pieces import (
    MOST,
    NONE,
    Facts,
    add_row,
    detections,
    mmag,
    new_table,
    title,
)

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
