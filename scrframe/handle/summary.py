"""A run in short, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


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
