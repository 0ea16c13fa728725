"""Stated errors of differences beside what repeats and overlaps scatter by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scrframe.checks.verdict import NullTestResult
from scrframe.report.page import Cell, PageTable, number
from scrframe.report.run_tables import MMAG, Row, table_of

#: What differences are of, by the null test that compares them with their errors.
COMPARED: Mapping[str, str] = {
    "repeats_pull": "two detections of a star, for their photometry",
    "repeats_visits": "two visits of a field, by stars in both",
    "overlaps": "two fields, by stars in both",
    "model_overlaps": "two fields, by the model less by stars in both",
}
#: How far from 1 a ratio may be that is as stated, and how many of its standard errors.
NEAR, CHANCE = 0.15, 3.0


def stated_table(checks: Sequence[NullTestResult]) -> tuple[PageTable, ...]:
    """Return stated errors of differences beside what repeats and overlaps scatter by."""
    found = {one.name: one.detail for one in checks if one.verdict != "not testable"}
    rows: list[Row] = []
    for name, what in COMPARED.items():
        detail = found.get(name)
        if detail is None:
            continue
        seen, stated, ratio = None, None, detail.get("pull_sd", float("nan"))
        if "error_mag" in detail:
            seen, stated = _rms(detail["difference_mag"]), _rms(detail["error_mag"])
            ratio = (detail["chi2"] / detail["pairs"]) ** 0.5
        rows.append(
            {
                "differences of": what,
                "compared": number(float(detail["pairs"]), 0),
                "seen, rms (mmag)": _mmag(seen),
                "stated, rms (mmag)": _mmag(stated),
                "seen over stated": number(ratio, 2),
                "which says": _said(ratio, detail["pairs"]),
            }
        )
    return table_of("Stated errors beside what repeats and overlaps show", rows, stack=True)


def _said(ratio: float, number_of: int) -> str:
    """Return what a ratio of scatter to stated error says, about 1 within chance."""
    near = max(NEAR, CHANCE / np.sqrt(2 * number_of))
    if ratio > 1 + near:
        return "stated errors are too small"
    if ratio < 1 - near:
        return "less than stated, as where the solution itself made these differences small"
    return "as stated"


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _mmag(value: float | None) -> Cell:
    return number(None if value is None else MMAG * value, 1)
