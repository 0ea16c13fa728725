"""A run in short, for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from scrframe.handle.tables import ProductTable, declared_table
from scrframe.products.columns import ProductColumn


class RunSummary(dict[str, Any]):
    """The content of ``summary.json``; `to_table` gives its figures one a row."""

    def to_table(self) -> ProductTable:
        """Return every figure with its key, ``offsets.u_ZP_mag`` say, its value and its unit."""
        rows = list(_figures(self, ()))
        values = {name: [row[place] for row in rows] for place, name in enumerate(_NAMES)}
        return declared_table(_FIGURES, values, {})


_FIGURES = (
    ProductColumn("key", "", "string", "where it stands in summary.json"),
    ProductColumn("value", "", "float64", "the figure"),
    ProductColumn("unit", "", "string", "its unit; empty for a plain number"),
)
_NAMES = tuple(column.name for column in _FIGURES)
#: Units by how keys end.
_UNITS = {"mag": "mag", "mb": "MB", "seconds": "s", "deg": "deg"}


def _figures(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float, str]]:
    """Yield key, value and unit of the numbers of a document."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _figures(inner, (*path, str(name)))
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from _figures(inner, (*path, str(number)))
    elif isinstance(value, (int, float)):
        ends = [name.rpartition("_")[2].lower() for name in path if not name.isdecimal()]
        yield ".".join(path), float(value), _UNITS.get(ends[-1], "")


def short_facts(
    summary: Mapping[str, Any], system: str, verdicts: Sequence[str] | None
) -> dict[str, str]:
    """Return what a run is, in few words each; verdicts are those of its null tests, if made."""
    counts, offsets = summary["counts"], summary["offsets"]
    spread = summary["diagnostics"].get("spread", {})
    widths = [spread.get(when, {}).get("gaussian_sigma_mag") for when in ("before", "after")]
    facts = {
        "Visits": f"{counts['visits']:,}",
        "Stars": f"{counts['calibration']['stars']:,}",
        "Detections": f"{counts['calibration']['detections']:,}",
        "Mode": str(offsets["mode"]),
        "System": system,
        "u_ZP": f"{1000 * offsets['u_ZP_mag']:.1f} mmag",
    }
    if None not in widths:
        before, after = (1000 * float(width) for width in widths)
        facts["Scatter about the model"] = f"{before:.1f} mmag before, {after:.1f} mmag after"
    if verdicts is not None:
        facts["Null tests"] = ", ".join(
            f"{verdicts.count(each)} {each}" for each in ("failed", "passed", "not testable")
        )
    return facts


def summary_html(title: str, place: str, note: str, facts: Mapping[str, str]) -> str:
    """Return facts as a small table of HTML."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    warning = f"<p><em>{escape(note)}</em></p>" if note else ""
    return (
        f"<p><b>{escape(title)}</b> <code>{escape(place)}</code></p>{warning}<table>{rows}</table>"
    )
