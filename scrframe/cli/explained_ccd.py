"""A CCD in all visits, explained on the screen."""

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
