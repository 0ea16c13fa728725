"""Figure 15: visit offsets of two runs against each other, and the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes

from scrframe.products import files
from scrframe.report.figure import FigureProduct
from scrframe.report.page import Cell, Page, PageTable, Section, number
from scrframe.report.style import COLOURS, FAINT, INK, RULE, house_style, new_figure, note

MMAG = 1000.0
#: Visits that the page lists.
LISTED = 30


def figure_crosscheck(table: Table, figures: Mapping[str, Any]) -> FigureProduct:
    """Draw the visit offsets of run B against those of run A, and the differences in time.

    Parameters
    ----------
    table : Table
        A row a visit: ``offset_a``, ``offset_b``, ``difference``, ``err`` (mag), ``mjd`` (d),
        ``judged`` and ``disagrees``; ``run_a``, ``run_b`` and ``min_stars`` in its ``meta``.
    figures : mapping
        ``judged``, ``sd_mag``, ``mad_sigma_mag`` and ``noise_mag`` of the judged visits.
    """
    judged = np.asarray(table["judged"], dtype=bool)
    apart = np.asarray(table["disagrees"], dtype=bool)
    names = ("offset_a", "difference", "err", "mjd")
    a, gap, error, mjd = (np.asarray(table[name], dtype=float) for name in names)
    known = a[judged & np.isfinite(a)]
    a = MMAG * (a - (float(np.median(known)) if len(known) else 0.0))
    gap, error = MMAG * gap, MMAG * error
    with house_style():
        figure = new_figure(4.6)
        top, below = figure.subplots(2, 1, height_ratios=(2.4, 1))
        ends = np.abs(np.concatenate([a, a + gap]))
        reach = 1.08 * float(np.max(ends, initial=1.0, where=np.isfinite(ends)))
        top.plot([-reach, reach], [-reach, reach], color=INK, lw=0.7, ls="--", zorder=1)
        _points(top, a, a + gap, judged, apart)
        top.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        top.set_xlabel("visit offset, run A (mmag)")
        top.set_ylabel("run B (mmag)")
        lines = [f"{figures['judged']} visits", f"sd {_mmag(figures['sd_mag'])}"]
        note(top, [*lines, f"MAD {_mmag(figures['mad_sigma_mag'])}", "paper, sd 36"])
        below.axhline(0, color=RULE, lw=0.6)
        shown = judged & np.isfinite(mjd + gap + error)
        look = {"fmt": "none", "ecolor": FAINT, "elinewidth": 0.5}
        below.errorbar(mjd[shown], gap[shown], error[shown], **look)
        _points(below, mjd, gap, judged, apart)
        below.set_xlabel("modified Julian date (d)")
        below.set_ylabel("B less A (mmag)")
        handles, labels = top.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper center", ncols=3)
    least = table.meta["min_stars"]
    return FigureProduct(
        "crosscheck",
        "Visit offsets of two runs",
        f"Visit offsets of {table.meta['run_b']} (B) against those of {table.meta['run_a']} (A),"
        " each less the survey's constant, with the line of equality; below, their differences in"
        " time with the errors that the stars give. Visits with fewer than"
        f" {least} stars in either run are pale and not judged; in the paper (its Fig. 15) the"
        " standard deviation is 36 mmag.",
        f"Scatter plot of two runs' visit offsets: {figures['judged']} judged visits differ with a"
        f" standard deviation of {_mmag(figures['sd_mag'])} mmag, of which noise is"
        f" {_mmag(figures['noise_mag'])}; {int(apart.sum())} differ by more than noise.",
        figure,
        table,
    )


def saved_figure(folder: Path) -> FigureProduct:
    """Draw the figure of a directory that `scrframe crosscheck` has written.

    Raises DataError if the directory holds no such results, or damaged ones.
    """
    summary = files.read_summary(folder, files.CROSSCHECK, "a cross-check")
    table = files.read_ecsv(folder / files.CROSSCHECK_VISITS)
    try:
        return figure_crosscheck(table, summary["visit"])
    except (KeyError, TypeError, ValueError) as error:
        raise files.damaged(folder / files.CROSSCHECK_VISITS, error) from None


def _points(axes: Axes, x: Any, y: Any, judged: Any, apart: Any) -> None:
    kinds = (
        (~judged, FAINT, "o", "few stars"),
        (judged & ~apart, COLOURS[0], "o", "agree"),
        (judged & apart, COLOURS[1], "D", "disagree"),
    )
    for chosen, colour, marker, label in kinds:
        if chosen.any():
            look: dict[str, Any] = {"color": colour, "ms": 2.2, "mew": 0, "rasterized": True}
            axes.plot(x[chosen], y[chosen], marker, label=label, **look)


def _mmag(value: float) -> str:
    return f"{MMAG * value:.2f}" if np.isfinite(value) and value < 0.001 else f"{MMAG * value:.1f}"


def crosscheck_page(summary: Mapping[str, Any], table: Table) -> Page:
    """Return the page: the answer, the levels, the visits that disagree, the figure."""
    visit = summary["visit"]
    apart, judged = visit["disagree"], visit["judged"]
    answer = (
        f"{judged} of {summary['common_visits']} common visits have {summary['min_stars']} stars or"
        f" more in both runs. Their offsets differ with a standard deviation of"
        f" {_mmag(visit['sd_mag'])} mmag (the paper's, from stellar parameters: 36), of which"
        f" {_mmag(visit['noise_mag'])} mmag is noise of the stars.",
        f"{apart} visits differ by more than noise, {visit['outlying']} by more than the others do."
        if judged
        else "No visit has stars enough to be judged.",
    )
    errors = (
        f"{100 * summary['shared_stars']:.0f} per cent of run B's stars are in run A as well."
        " The errors that the runs state are then not independent: photometry, spectra and the"
        " stars themselves are shared and drop out of a difference. The error of a difference is"
        " found from what is left, the scatter of the stars' own differences; a star in one run"
        " only counts in full. What shifts all stars of a visit alike is no part of it, and is"
        " what a disagreement shows. Stars seen in several visits tie those visits' errors.",
        f"A visit disagrees beyond {visit['significance_limit']:.1f} sigma, the limit for"
        f" {judged} visits of which none should by chance, at a risk of 1 per cent.",
    )
    sections = [
        Section("Result", (), (_level_table(summary),), (figure_crosscheck(table, visit),)),
        Section("What is noise", errors),
    ]
    listed = summary["disagree"][:LISTED]
    if listed:
        more = len(summary["disagree"]) - len(listed)
        text = (f"{more} more are in crosscheck.json.",) if more > 0 else ()
        sections.append(Section("Visits that disagree", text, (_visit_rows(listed),)))
    runs = summary["runs"]
    return Page(
        f"{runs['a']['directory']} against {runs['b']['directory']}: {summary['band']} band",
        "Offsets of two runs on the visits that both have; differences are B less A, with the"
        " survey's constant removed.",
        answer,
        tuple(sections),
        warning=str(summary["data_note"]),
        facts={
            f"run {side.upper()}": f"{run['directory']} ({run['survey']}: {run['reference']},"
            f" {run['colour_model']}, {run['mode']})"
            for side, run in runs.items()
        },
    )


def _level_table(summary: Mapping[str, Any]) -> PageTable:
    named = {
        "visit": summary["visit"],
        "CCD in a visit": summary["ccd"],
        "total of both": summary["total"],
        **{f"level {name}": each for name, each in summary["levels"].items()},
    }
    rows: list[dict[str, Cell | str]] = [
        {
            "offset": name,
            "judged": number(each["judged"], 0),
            "constant": number(MMAG * each["constant_mag"], 2, signed=True),
            "sd": number(MMAG * each["sd_mag"], 2),
            "MAD sigma": number(MMAG * each["mad_sigma_mag"], 2),
            "noise": number(MMAG * each["noise_mag"], 2),
            "disagree": number(each["disagree"], 0),
        }
        for name, each in named.items()
        if each is not None
    ]
    caption = (
        "Differences of the offsets in mmag. Noise of visits, CCDs and totals is from the stars, of"
        " other levels the two stated errors together, which is too much where stars are shared."
    )
    return PageTable.from_rows(caption, rows)


def _visit_rows(listed: Any) -> PageTable:
    rows: list[dict[str, Cell | str]] = [
        {
            "visit": each["visit"],
            "field": each["field"],
            "difference": number(MMAG * each["difference_mag"], 2, signed=True),
            "error": number(MMAG * each["err_mag"], 2),
            "sigma": number(each["significance"], 1, signed=True),
            "stars A": number(each["stars_a"], 0),
            "stars B": number(each["stars_b"], 0),
        }
        for each in listed
    ]
    return PageTable.from_rows("Largest differences first, in mmag.", rows)
