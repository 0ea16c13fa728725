"""Tables of a run's page, from summary.json, null tests and anomalies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scrframe.checks.remedies import remedy
from scrframe.checks.verdict import Anomaly, NullTestResult
from scrframe.report.merit import (
    NONE,
    PAPER,
    PAPER_LEVEL_SD_MAG,
    PAPER_SURVEY,
    by_verdict,
    merit_rows,
    paper_ratio,
    quantity,
    term_name,
    words,
)
from scrframe.report.page import Cell, Kind, PageTable, number

MMAG = 1000.0
#: How verdicts are marked.
MARKS: Mapping[str, Kind] = {"passed": "good", "failed": "bad", "not testable": "neutral"}
#: Most anomalies of one kind that a page lists.
SHOWN_ANOMALIES = 12
#: Heading of the scatter of the paper's levels.
PAPERS_SD = "sd of the paper (mmag)"
#: Fields that a page lists.
SHOWN_FIELDS = 12
#: Figures of merit that stand at the head of the page.
HEADLINES = (
    "spread before, Gaussian fit (mag)",
    "spread after, Gaussian fit (mag)",
    "sd of visit offsets (mag)",
    "sd of ccd offsets (mag)",
    "sd of pixel offsets (mag)",
    "r2 on the test stars",
    "dispersion on the test stars (mag)",
    "left uncorrected (per cent)",
)
Row = Mapping[str, Cell | str]


def table_of(caption: str, rows: Sequence[Row], stack: bool = False) -> tuple[PageTable, ...]:
    """Return a table, none of no rows."""
    return (PageTable.from_rows(caption, rows, stack),) if rows else ()


def merit_table(summary: Mapping[str, Any], headlines: bool = False) -> tuple[PageTable, ...]:
    """Return figures of merit, all or those of the head of the page.

    They stand beside the paper's if the survey is the paper's.
    """
    papers = summary["survey"] == PAPER_SURVEY
    rows: list[Row] = [
        {
            "figure of merit": figure,
            "this run": _figure(ours),
            **({PAPER: _figure(of_paper)} if papers else {}),
        }
        for figure, ours, of_paper in merit_rows(summary)
        if figure in HEADLINES or not headlines
    ]
    caption = "Figures of merit of this run"
    if papers:
        caption += " and of the paper whose method it follows"
    return table_of(caption, rows)


def _figure(text: str) -> Cell:
    shown = "\N{EN DASH}" if text == NONE else text.replace("-", "\N{MINUS SIGN}")
    return Cell(shown, "number")


def check_table(
    checks: Sequence[NullTestResult], caption: str, remedies: bool = False
) -> tuple[PageTable, ...]:
    """Return null tests with number, limit, verdict and reason; failed ones first.

    With `remedies` also what may be behind a failure.
    """
    rows: list[Row] = [
        {
            "null test": Cell(one.title),
            "verdict": Cell(one.verdict, MARKS[one.verdict]),
            "number": Cell(quantity(one.value, one.unit), "number"),
            "limit": Cell(quantity(one.limit, one.unit), "number"),
            "why": one.reason + (_behind(one) if remedies else ""),
        }
        for one in by_verdict(checks)
    ]
    return table_of(caption, rows, stack=True)


def _behind(failed: NullTestResult) -> str:
    """Return what may be behind a failure, as a sentence that follows the reason."""
    known = remedy(failed.name).replace("`", "")
    return f". Behind it may be {known}." if known else ""


def anomaly_tables(anomalies: Sequence[Anomaly]) -> tuple[PageTable, ...]:
    """Return the most significant anomalies, a table for each kind."""
    found = []
    # the most significant first; those without significance last
    order = sorted(anomalies, key=lambda one: -abs(np.nan_to_num(one.significance, nan=0.0)))
    for kind in dict.fromkeys(one.kind for one in order):
        mine = [one for one in order if one.kind == kind]
        shown: list[Row] = [
            {
                "where": Cell(_where(one) or "the whole run"),
                "size (mmag)": number(MMAG * one.size_mag, 1, signed=True),
                "significance": number(one.significance, 1),
                "what": one.text,
            }
            for one in mine[:SHOWN_ANOMALIES]
        ]
        caption = f"{words(kind)}: {len(mine):,} found"
        if len(mine) > len(shown):
            caption += f", the {len(shown)} most significant"
        found.append(PageTable.from_rows(caption, shown, stack=True))
    return tuple(found)


def _where(one: Anomaly) -> str:
    def plain(value: Any) -> str:
        isreal = isinstance(value, (float, np.floating))
        return f"{value:.5f}".rstrip("0").rstrip(".") if isreal else str(value)

    return ", ".join(f"{key} {plain(value)}" for key, value in one.where.items())


def cut_tables(counts: Mapping[str, Any]) -> tuple[PageTable, ...]:
    """Return what each cut has left of the Calibration and the Control Sample."""
    tables: tuple[PageTable, ...] = ()
    for name in ("calibration", "control"):
        rows = [
            {
                "cut": row["cut"],
                "detections": _count(row["detections"]),
                "stars": _count(row["stars"]),
                **(
                    {"margin (mag)": number(row["margin_mag"] or None, 2)}
                    if "margin_mag" in row
                    else {}
                ),
            }
            for row in counts[f"{name}_cuts"]
        ]
        tables += table_of(f"{name.capitalize()} Sample: what is left after each cut", rows)
    return tables


def _count(value: int | None) -> Cell:
    return number(None if value is None else float(value), 0)


def model_table(model: Mapping[str, Any]) -> tuple[PageTable, ...]:
    """Return what the colour model is and how well it predicts."""
    test = model["test"]
    rounds = max((each["visit_round"] for each in model["rounds"]), default=0)
    settled = "yes" if model["converged"] else "no"
    rows: list[Row] = [
        {"property": "kind", "value": Cell(str(model["kind"]), "number")},
        {"property": "training stars", "value": _count(model["training_stars"])},
        {"property": "test stars", "value": _count(test["count"])},
        {"property": "r2 on the test stars", "value": number(test["r2"], 4)},
        {"property": "dispersion on the test stars (mmag)", "value": _mmag(test["dispersion_mag"])},
        {"property": "rounds of visit offsets", "value": _count(rounds)},
        {"property": "converged", "value": Cell(settled, "number")},
    ]
    return table_of("Colour model", rows)


def _mmag(value: float | None, decimals: int = 1) -> Cell:
    return number(None if value is None else MMAG * value, decimals)


def law_tables(law: Mapping[str, Any], papers: bool) -> tuple[PageTable, ...]:
    """Return the coefficients of the law, its values, and how other orders fared.

    The values stand beside those of the paper if the survey is the paper's.
    """
    names = [key for key in law if key[:1] in "ab" and key[1:].isdigit()]
    errors, powers = law.get("errors") or [], law.get("powers") or []
    coefficients: list[Row] = [
        {
            "coefficient": name,
            "of": _term(*powers[place]) if place < len(powers) else "",
            "value": number(law[name], 4),
            "error": number(errors[place] if place < len(errors) else None, 4),
        }
        for place, name in enumerate(names)
    ]
    points: list[Row] = [
        {
            "C0 (mag)": number(point["colour0_mag"], 3),
            "R of this run": number(point["R"], 4),
            **({"R of the paper": number(paper_ratio(point["colour0_mag"]), 4)} if papers else {}),
        }
        for point in law["R"]
    ]
    scores: list[Row] = [
        {
            "order in C0, E": f"{one['order']}, {one['extinction_order']}",
            "rms held out (mmag)": _mmag(one["rms_mag"], 3),
            "excess over its error": number(_ratio(one["excess"], one["excess_err"]), 1),
            "chosen": Cell("chosen", "good") if one["chosen"] else Cell("", "neutral"),
        }
        for one in law.get("scores") or []
    ]
    return (
        *table_of("Coefficients of R(C0, E) and their standard errors", coefficients),
        *table_of("R at the 5, 25, 50, 75 and 95 percentiles of C0", points),
        *table_of("Orders of the law that were tried, on fields held out", scores),
    )


def _term(power: int, extinction_power: int) -> str:
    parts = [
        name if n == 1 else f"{name}^{n}"
        for name, n in (("C0", power), ("E", extinction_power))
        if n
    ]
    return " ".join(parts) or "1"


def _ratio(value: float | None, err: float | None) -> float | None:
    return value / err if value is not None and err else None


def level_table(offsets: Mapping[str, Any], papers: bool) -> tuple[PageTable, ...]:
    """Return mean, scatter and error of the offsets of each level, with the paper's if asked."""
    rows: list[Row] = [
        {
            "level": name,
            "groups": _count(one["groups"]),
            "with offset": _count(one["with_offset"]),
            "mean (mmag)": _mmag(one["mean_mag"], 2),
            "sd (mmag)": _mmag(one["sd_mag"], 2),
            **({PAPERS_SD: _mmag(PAPER_LEVEL_SD_MAG.get(name), 0)} if papers else {}),
            "median error (mmag)": _mmag(one["median_err_mag"], 2),
        }
        for name, one in offsets["levels"].items()
    ]
    return table_of("Offsets by level; corrections, to be added to observed magnitudes", rows)


def field_table(fields: Sequence[Mapping[str, Any]]) -> tuple[PageTable, ...]:
    """Return what ties fields to each other, those least tied first."""
    least = sorted(fields, key=lambda one: (one["overlapping_fields"], one["repeated_stars"]))
    rows: list[Row] = [
        {
            "field": Cell(one["field"]),
            "visits": _count(one["visits"]),
            "stars in several visits": _count(one["repeated_stars"]),
            "dither (deg)": number(one["dither_deg"], 3),
            "overlapping fields": _count(one["overlapping_fields"]),
            "stars shared with them": _count(one["shared_stars"]),
            "what that allows": one["message"],
        }
        for one in least[:SHOWN_FIELDS]
    ]
    more = f"; {SHOWN_FIELDS} of {len(fields):,}, all in solution/design_report.json"
    caption = "What ties fields to each other, the least tied first"
    return table_of(caption + (more if len(fields) > SHOWN_FIELDS else ""), rows, stack=True)


def error_tables(joint: Mapping[str, Any]) -> tuple[PageTable, ...]:
    """Return the variances as estimated, systematics, and what reserved stars say."""
    components: list[Row] = [
        {
            "level": name,
            "standard deviation (mmag)": _mmag(one["sd_mag"], 2),
            "its error (mmag)": _mmag(one["err_mag"], 2),
            "remark": one["note"],
        }
        for name, one in joint["components"].items()
    ]
    systematics: list[Row] = [
        {"cause": words(name), "rms shift of an exposure (mmag)": _mmag(value, 2)}
        for name, value in (joint.get("systematics_rms_mag") or {}).items()
    ]
    judged: list[Row] = [
        {
            "stars": {"reserved": "reserved", "solved": "in the solve"}.get(name, name),
            "detections": _count(one["detections"]),
            "median residual (mmag)": _mmag(one["median_mag"], 2),
            "spread (mmag)": _mmag(one["mad_sigma_mag"], 1),
            "pairs": _count(one["pairs"]),
            "repeats (mmag)": _mmag(one["repeats_mag"], 1),
            "repeats over stated error": number(one["repeats_pull"], 2),
        }
        for name, one in (joint.get("judged_by") or {}).items()
    ]
    return (
        *table_of("Scatter that each level really has, as estimated with the offsets", components),
        *table_of("Photometry and stars", list(_photometry(joint))),
        *table_of("Systematic effects that do not average down", systematics),
        *table_of("Stars kept from training and solving, beside those that took part", judged),
    )


def term_table(joint: Mapping[str, Any]) -> tuple[PageTable, ...]:
    """Return which terms the data were asked for, what each gained, and what became of it."""
    terms = joint.get("terms") or {"tried": [], "skipped": {}}
    rows: list[Row] = []
    for one in terms["tried"]:
        seen, out = one["verdict"] or {}, Cell("left out", "neutral")
        rows.append(
            {
                "term": Cell(term_name(one)),
                "what became of it": Cell("kept", "good") if one["kept"] else out,
                "gain": number(one["gain"], 1),
                "asked": number(one["threshold"], 1),
                "its sd (mmag)": _mmag(one["sd_mag"] if one["kept"] else None, 2),
                "overlaps without (mmag)": _mmag(seen.get("before_mag"), 2),
                "with it (mmag)": _mmag(seen.get("after_mag"), 2),
                "why": "" if one["reason"] == "kept" else one["reason"],
            }
        )
    for name, why in terms["skipped"].items():
        blank = dict.fromkeys(("gain", "asked", "its sd (mmag)"), number(None, 1))
        blank |= dict.fromkeys(("overlaps without (mmag)", "with it (mmag)"), number(None, 1))
        became = Cell("not tried", "neutral")
        rows.append({"term": Cell(name), "what became of it": became, **blank, "why": why})
    caption = (
        "Terms beside the levels, in the order of their trial: twice the gain in restricted log"
        " likelihood, and the rms of held-out overlaps as predicted without and with the term"
    )
    return table_of(caption, rows, stack=True)


def _photometry(joint: Mapping[str, Any]) -> Iterator[Row]:
    one = joint["photometry"]
    for name, value, err in (
        ("true over catalogued photometric error", one["scale"], one["scale_err"]),
        ("error that every magnitude has besides (mmag)", one["floor_mag"], one["floor_err_mag"]),
        ("scatter of stars about the model (mmag)", joint["star_scatter_mag"], None),
    ):
        scale = MMAG if "mmag" in name else 1.0
        yield {
            "quantity": name,
            "value": number(None if value is None else scale * value, 2),
            "error": number(None if err is None else scale * err, 2),
        }


def provenance_tables(summary: Mapping[str, Any]) -> tuple[PageTable, ...]:
    """Return where the run came from, what was left out, and all versions."""
    rows = [
        ("survey", summary["survey"]),
        ("band", summary["band"]),
        ("magnitude system", summary.get("magnitude_system", "survey's own")),
        ("data root", summary["data_root"]),
        ("note on the data", summary["data_note"] or "\N{EN DASH}"),
        ("mode of solving", summary["offsets"]["mode"]),
        ("input files", f"{len(summary['input_sha256']):,}, their SHA-256 in summary.json"),
        ("SHA-256 of the description", summary["description_sha256"]),
        *((f"seed, {words(name).lower()}", str(seed)) for name, seed in summary["seeds"].items()),
    ]
    skipped = [
        {"catalogue": name, "left out because": why}
        for name, why in summary["skipped_catalogues"].items()
    ]
    versions = [{"distribution": n, "version": v} for n, v in summary["versions"].items()]
    return (
        *table_of("The run", [{"property": name, "value": str(value)} for name, value in rows]),
        *table_of("Catalogues left out", skipped),
        *table_of("Versions", versions),
    )
