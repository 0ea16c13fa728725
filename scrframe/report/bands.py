"""The report of a run of many bands: a page that compares them, and a page for each."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.checks.verdict import NullTestResult
from scrframe.report import merit
from scrframe.report.page import Cell, Page, PageTable, Section, number, write_page

#: Folder of the report below a run.
REPORT = "report"
_MMAG = 1000.0


@dataclass(frozen=True)
class BandPart:
    """A band of a run, as the page of all shows it.

    Attributes
    ----------
    band : str
    folder : Path
        Of its own run; its report there becomes a page of this one.
    summary : mapping
        The content of its ``summary.json``.
    checks : tuple of NullTestResult
        Empty where it has no report.
    """

    band: str
    folder: Path
    summary: Mapping[str, Any]
    checks: tuple[NullTestResult, ...] = ()

    @property
    def has_page(self) -> bool:
        """Whether it has a report of its own."""
        return (self.folder / REPORT / "index.html").is_file()


def write_bands_report(
    folder: Path, parts: Sequence[BandPart], shared: Mapping[str, Any], n_bands: npt.NDArray[Any]
) -> Path:
    """Write ``report/`` of a run of many bands; return the path of its first page.

    Parameters
    ----------
    folder : Path
        Directory of the run.
    parts : sequence of BandPart
        The bands. Their pages lie in folders of their names beside the first.
    shared : mapping
        The content of ``shared/summary.json``.
    n_bands : ndarray of int, shape (s,)
        In how many bands each star has a magnitude.
    """
    report = folder / REPORT
    report.mkdir(exist_ok=True)
    for part in parts:
        if part.has_page:
            shutil.copytree(part.folder / REPORT, report / part.band, dirs_exist_ok=True)
    return write_page(bands_page(parts, shared, n_bands), report)


def bands_page(
    parts: Sequence[BandPart], shared: Mapping[str, Any], n_bands: npt.NDArray[Any]
) -> Page:
    """Return the page that compares the bands."""
    names = ", ".join(part.band for part in parts)
    notes = {str(part.summary["data_note"]) for part in parts} - {""}
    return Page(
        title=f"{shared['name']}: calibration report of {len(parts)} bands",
        lead=f"The bands {names} of one survey, calibrated in one run; each has a page of its own.",
        answer=tuple(_answer(parts)),
        sections=(
            Section("Bands", tables=tuple(_overview(parts))),
            Section("What they share", tables=tuple(_shared(parts, shared))),
            Section("Stars", tables=(_counts(n_bands),)),
        ),
        warning="; ".join(sorted(notes)),
        facts={
            "Bands": names,
            "Stars": f"{len(n_bands):,}",
            "scrframe": str(shared["scrframe_version"]),
        },
        links={
            f"Report of {part.band}": f"{part.band}/index.html" for part in parts if part.has_page
        },
    )


def _answer(parts: Sequence[BandPart]) -> Iterator[str]:
    for part in parts:
        if part.checks:
            yield f"{part.band}: {merit.verdict(part.checks)}"
        else:
            yield f"{part.band}: no null test was made."


def _overview(parts: Sequence[BandPart]) -> Iterator[PageTable]:
    rows: list[dict[str, Cell | str]] = []
    for part in parts:
        counts, spread = part.summary["counts"], part.summary["diagnostics"].get("spread", {})
        widths = [spread.get(when, {}).get("gaussian_sigma_mag") for when in ("before", "after")]
        before, after = (None if width is None else _MMAG * width for width in widths)
        verdicts = Counter(each.verdict for each in part.checks)
        rows.append(
            {
                "band": part.band,
                "visits": number(counts["visits"], 0),
                "detections": number(counts["calibration"]["detections"], 0),
                "stars": number(counts["calibration"]["stars"], 0),
                "scatter before (mmag)": number(before, 1),
                "after (mmag)": number(after, 1),
                "u_ZP (mmag)": number(_MMAG * part.summary["offsets"]["u_ZP_mag"], 1, signed=True),
                "tests failed": number(verdicts["failed"], 0),
                "passed": number(verdicts["passed"], 0),
                "not testable": number(verdicts["not testable"], 0),
            }
        )
    yield PageTable.from_rows("Each band; magnitudes about the model", rows)


def _shared(parts: Sequence[BandPart], shared: Mapping[str, Any]) -> Iterator[PageTable]:
    band_of = {str(part.summary["survey"]): part.band for part in parts}
    errors: list[dict[str, Cell | str]] = [
        {
            "band": band_of[name],
            "exposures": number(each["exposures"], 0),
            "error alone (mmag)": number(_MMAG * each["err_alone_mag"], 2),
            "together (mmag)": number(_MMAG * each["err_together_mag"], 2),
            "offsets differ by (mmag)": number(_MMAG * each["difference_mag"], 2),
            "expected (mmag)": number(_MMAG * each["difference_expected_mag"], 2),
        }
        for name, each in shared["members"].items()
    ]
    yield PageTable.from_rows("Offsets of exposures, each band alone and all together", errors)
    stars: list[dict[str, Cell | str]] = [
        {
            "bands": " and ".join(band_of[name] for name in each["members"]),
            "stars in common": number(each["common"], 0),
            "correlation": number(each["correlation"], 3, signed=True),
            "error": number(each["error"], 3),
            "shared": "yes" if each["shared"] else "no",
        }
        for each in shared["stars"]
    ]
    if stars:
        yield PageTable.from_rows("Deviations of stars from the models, by pairs of bands", stars)
    terms: list[dict[str, Cell | str]] = [
        {"term": each["name"], "what the data say": each["said"]} for each in shared["terms"]
    ]
    if terms:
        yield PageTable.from_rows("Terms", terms, stack=True)


def _counts(n_bands: npt.NDArray[Any]) -> PageTable:
    rows: list[dict[str, Cell | str]] = [
        {"bands with a magnitude": str(many), "stars": number(int(np.sum(n_bands == many)), 0)}
        for many in sorted(set(n_bands.tolist()), reverse=True)
    ]
    return PageTable.from_rows("Stars of the catalogue", rows)
