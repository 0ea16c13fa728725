"""The page that sets the paper's numbers beside those of runs, and its drawings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from scrframe.report.figure import UNDATED
from scrframe.report.merit import (
    PAPER_LAW,
    PAPER_LEVEL_SD_MAG,
    PAPER_SPREAD_AFTER_MAG,
    PAPER_SPREAD_BEFORE_MAG,
    paper_ratio,
)
from scrframe.report.style import COLOURS, INK, MMAG, RULE, house_style, new_figure
from scrframe.statistics.robust import gaussian

NUMBERS = Path(__file__).with_name("paper_numbers.yaml")
MARKS = "<!-- by scripts/paper.py -->", "<!-- end -->"
MODES = {"joint": "joint (the default)", "sequential": "sequential (the paper's)"}
NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
#: Dots per inch of the figures of the page.
DPI = 150
#: Errors against the injected offsets, by what they are of.
ERRORS = {
    "total": "total offset of a detection",
    "visit": "visits",
    "ccd": "CCDs within visits",
    "pixel": "pixel bins within CCDs",
}


def page(figures: dict[str, Any], text: str) -> str:
    """Return a page with what stands between its marks made anew."""
    begin, end = MARKS
    made = f"{begin}\n\n" + "\n".join(lines(figures)) + f"\n\n{end}"
    return re.sub(f"{begin}.*?{end}", lambda _: made, text, flags=re.DOTALL)


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the tables and figures of the page."""
    numbers = yaml.safe_load(NUMBERS.read_text(encoding="utf-8"))
    yield from _survey(figures)
    yield from ("", "## Results", "")
    yield "| where | the paper says | paper | put in | " + " | ".join(MODES.values()) + " |"
    yield "|---|---|---|---|---|---|"
    facts = {**figures["survey"]["given"], **_injected()}
    modes = {name: _with_law(figures["modes"][name]) for name in MODES}
    for one in numbers["results"]:
        yield _result(one, facts, modes)
    yield from ("", "## Accuracy", "", numbers["accuracy"], "")
    yield from _accuracy(modes)
    yield from ("", "## Figures")
    for one in numbers["figures"]:
        yield from ("", f"![{one['alt']}](../figures/{one['name']}.png)", "", one["caption"])
    yield from ("", "## What was given", "", "| where | the paper says | here |", "|---|---|---|")
    for one in numbers["given"]:
        told = str(facts[one["ours"]])
        yield f"| {one['at']} | {_says(one)} | {told}{_remark(one)} |"
    yield from ("", "## Not compared", "", "| where | the paper says | why not |", "|---|---|---|")
    for one in numbers["elsewhere"]:
        yield f"| {one['at']} | {one['says']} | {one['why']} |"


def _survey(figures: dict[str, Any]) -> Iterator[str]:
    survey, modes = figures["survey"], figures["modes"]
    first = modes["joint"]["figures"]
    yield (
        f"Measured on {survey['fields']:,} of the paper's {survey['fields_of_paper']:,} fields"
        f" ({survey['layout']}): {first['visits']:,} visits and {first['rows']:,} rows of"
        f" catalogues, of which {first['calibration_detections']:,} detections of"
        f" {first['calibration_stars']:,} stars calibrate in mode joint. {survey['density']}"
    )
    yield ""
    costs = {"simulation": survey["cost"], **{f"run in mode {name}": modes[name] for name in MODES}}
    said = (
        f"{name} {cost['seconds'] / 60:.1f} min and {cost['peak_memory_mb'] / 1000:.2f} GB"
        for name, cost in costs.items()
    )
    yield f"What it took, with {survey['processors']} workers: {'; '.join(said)}."


def _injected() -> dict[str, Any]:
    """Return the law with which stars are reddened, which is the paper's."""
    return {f"law_{place}": value for place, value in enumerate(PAPER_LAW)}


def _with_law(mode: dict[str, Any]) -> dict[str, Any]:
    shown = {f"R_{place}": value for place, value in enumerate(mode["law"]["shown"])}
    return {**mode, "figures": {**mode["figures"], **shown}}


def _result(one: dict[str, Any], facts: dict[str, Any], modes: dict[str, Any]) -> str:
    if "colour0" in one:
        paper = f"{paper_ratio(one['colour0']):.2f}"
        facts = {**facts, one["ours"]: paper_ratio(one["colour0"])}
    else:
        paper = " ".join(re.findall(r"\*\*(.+?)\*\*", one["says"])) or NONE
    decimals = _decimals(paper) + 1 if "share" not in one else 0
    put_in = one.get("put_in", "")
    given = facts.get(put_in, modes["joint"]["figures"].get(put_in))
    ours = [_number(modes[name]["figures"].get(one["ours"]), decimals) for name in modes]
    cells = [one["at"], _says(one) + _remark(one), paper, _number(given, decimals), *ours]
    return f"| {' | '.join(cells)} |"


def _says(one: dict[str, Any]) -> str:
    return str(one["says"]).replace("**", "").replace("|", "\\|")


def _remark(one: dict[str, Any]) -> str:
    return f" ({one['why']})" if "why" in one else ""


def _decimals(text: str) -> int:
    found = re.findall(r"\d+\.(\d+)", text)
    return max(map(len, found)) if found else 3 if text == NONE else 0


def _number(value: Any, decimals: int) -> str:
    if value is None or not np.isfinite(value):
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:.{decimals}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", MINUS)


def _accuracy(modes: dict[str, Any]) -> Iterator[str]:
    yield "| in mmag | " + " | ".join(MODES.values()) + " |"
    yield "|---|---|---|"
    rows = {f"error, {words}": f"error_{name}_mag" for name, words in ERRORS.items()}
    rows["repeats, before"] = "repeats_before_mag"
    rows["repeats, after"] = "repeats_after_mag"
    for words, key in rows.items():
        told = (mode["figures"].get(key) for mode in modes.values())
        cells = (_number(None if one is None else MMAG * one, 1) for one in told)
        yield f"| {words} | {' | '.join(cells)} |"
    pairs = (f"{mode['figures']['repeats']:,}" for mode in modes.values())
    yield f"| pairs of repeats | {' | '.join(pairs)} |"


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Draw every figure of the page into a folder, as PNG."""
    drawings = {
        "paper_visits": _visits,
        "paper_levels": _levels,
        "paper_residuals": _residuals,
        "paper_law": _law,
        "paper_dependence": _dependence,
        "paper_errors": _errors,
    }
    for name, made in drawings.items():
        with house_style():
            figure = made(figures["modes"])
            figure.savefig(folder / f"{name}.png", dpi=DPI, metadata=UNDATED["png"])


def _steps(axes: Any, counted: dict[str, Any], **style: Any) -> None:
    """Draw a histogram as a density in 1 / mmag."""
    edges = np.linspace(-counted["reach"], counted["reach"], len(counted["counts"]) + 1)
    density = np.array(counted["counts"]) / (counted["count"] * counted["step"] * MMAG)
    axes.stairs(density, MMAG * edges, **style)


def _curve_of_paper(axes: Any, sd_mag: float, reach_mag: float, **style: Any) -> None:
    at = np.linspace(-reach_mag, reach_mag, 301)
    height = 1 / (np.sqrt(2 * np.pi) * sd_mag * MMAG)
    label = f"paper: sd {MMAG * sd_mag:.0f} mmag"
    options = {"color": INK, "linestyle": "--", "label": label, **style}
    axes.plot(MMAG * at, gaussian(at, height, 0.0, sd_mag), **options)


def _of_level(axes: Any, modes: dict[str, Any], name: str) -> None:
    for place, mode in enumerate(MODES):
        counted, sd = modes[mode]["histograms"][name], modes[mode]["figures"][f"{name}_sd_mag"]
        _steps(axes, counted, color=COLOURS[place], label=f"{mode}: sd {MMAG * sd:.1f} mmag")
    _curve_of_paper(axes, PAPER_LEVEL_SD_MAG[name], counted["reach"])
    axes.legend(loc="upper left")
    axes.set(ylabel="density (1 / mmag)", ylim=(0, 1.45 * axes.get_ylim()[1]))


def _visits(modes: dict[str, Any]) -> Any:
    figure = new_figure(4.4)
    above, below = figure.subplots(2, 1)
    _of_level(above, modes, "visit")
    above.set_xlabel("offset of a visit (mmag)")
    for place, mode in enumerate(MODES):
        season = modes[mode]["seasons"]
        month = np.array(season.get("month", [])) + 0.15 * place
        mean, sd = (MMAG * np.array(season.get(key, [])) for key in ("mean_mag", "sd_mag"))
        marker = "os"[place]
        below.errorbar(month, mean, sd, fmt=marker, color=COLOURS[place], label=mode)
    below.axhline(0, color=RULE, linewidth=0.6)
    below.legend(loc="upper right")
    below.set(xlabel="month of the season, from October on", ylabel="offset (mmag)")
    return figure


def _levels(modes: dict[str, Any]) -> Any:
    figure = new_figure(4.4)
    words = {"ccd": "offset of a CCD in a visit (mmag)", "pixel": "offset of a pixel bin (mmag)"}
    for axes, (name, label) in zip(figure.subplots(2, 1), words.items(), strict=True):
        _of_level(axes, modes, name)
        axes.set_xlabel(label)
    return figure


def _residuals(modes: dict[str, Any]) -> Any:
    figure = new_figure(4.4)
    for place, (axes, mode) in enumerate(
        zip(figure.subplots(2, 1, sharex=True), MODES, strict=True)
    ):
        found, told = modes[mode]["histograms"], modes[mode]["figures"]
        for when, style in (("before", {"alpha": 0.45}), ("after", {})):
            label = f"{when}: sd {MMAG * told[f'{when}_sigma_mag']:.1f} mmag"
            _steps(axes, found[when], color=COLOURS[place], label=label, **style)
        reach = found["after"]["reach"]
        _curve_of_paper(axes, PAPER_SPREAD_BEFORE_MAG, reach, color=RULE)
        _curve_of_paper(axes, PAPER_SPREAD_AFTER_MAG, reach)
        axes.legend(loc="upper left", title=mode)
        axes.set(ylabel="density (1 / mmag)", xlabel="model less observed magnitude (mmag)")
    return figure


def _law(modes: dict[str, Any]) -> Any:
    figure = new_figure(2.4)
    axes = figure.subplots()
    for place, mode in enumerate(MODES):
        law = modes[mode]["law"]
        axes.plot(law["colour0_mag"], law["R"], color=COLOURS[place], label=mode)
    at = np.array(modes["joint"]["law"]["colour0_mag"])
    axes.plot(at, paper_ratio(at), color=INK, linestyle="--", label="paper, Eq. 4, and put in")
    axes.legend(loc="upper left")
    axes.set(xlabel=f"(u {MINUS} G_BP)₀ (mag)", ylabel="R")
    return figure


def _dependence(modes: dict[str, Any]) -> Any:
    names = {"mag_obs": "u (mag)", "colour": f"u {MINUS} G_BP (mag)", "extinction": "E"}
    figure = new_figure(4.8)
    for axes, (name, label) in zip(figure.subplots(3, 1, sharey=True), names.items(), strict=True):
        for place, mode in enumerate(MODES):
            found = modes[mode]["residuals"][name]
            median = MMAG * np.array(found["median_mag"])
            axes.plot(found["at"], median, "-" + "os"[place], color=COLOURS[place], label=mode)
        axes.axhline(0, color=RULE, linewidth=0.6)
        axes.set(xlabel=label, ylabel="left (mmag)")
    figure.axes[0].legend(loc="best")
    return figure


def _errors(modes: dict[str, Any]) -> Any:
    names = {
        **{f"error_{name}_mag": name for name in ERRORS},
        "repeats_after_mag": "repeats\nafter",
    }
    names = {"repeats_before_mag": "repeats\nbefore", **dict(reversed(names.items()))}
    figure = new_figure(2.6)
    axes = figure.subplots()
    at = np.arange(len(names))
    for place, mode in enumerate(MODES):
        told = [MMAG * (modes[mode]["figures"].get(name) or np.nan) for name in names]
        bars = axes.barh(at - 0.2 + 0.4 * place, told, 0.38, color=COLOURS[place], label=mode)
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=6)
    axes.set_yticks(at, list(names.values()))
    axes.set(xlabel="rms error, or scatter (mmag)", xlim=(0, 1.15 * axes.get_xlim()[1]))
    axes.legend(loc="center right")
    return figure
