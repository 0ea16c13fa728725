"""What explanations of visits, CCDs and stars share on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

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
