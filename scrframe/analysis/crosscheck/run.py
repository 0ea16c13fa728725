"""Two runs against each other: visits, CCDs, maps and totals (paper, Section 4 and Fig. 15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.table import Table

from scrframe.analysis.crosscheck.differences import (
    Agreement,
    ExposureRows,
    RunDifferences,
    VisitRows,
    compare_runs,
)
from scrframe.analysis.crosscheck.page import crosscheck_page
from scrframe.errors import ConfigError
from scrframe.observer import Observer
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import (
    CROSSCHECK,
    CROSSCHECK_VISITS,
    RUN_MARK,
    file_hash,
    write_ecsv,
    write_json,
)
from scrframe.products.finished_run import RunProducts, open_run
from scrframe.products.run_data import RunData
from scrframe.report.page import write_page
from scrframe.run.keys import versions
from scrframe.run.workspace import open_workspace

EXPOSURES = "crosscheck_exposures.ecsv"
#: The paper's scatter between visits with more than 20 stars.
PAPER_MAG = 0.036


@dataclass(frozen=True)
class CrossCheck:
    """A finished cross-check.

    Attributes
    ----------
    path : Path
        Its directory.
    summary : mapping
        The content of ``crosscheck.json``.
    """

    path: Path
    summary: Mapping[str, Any]


def default_out(run_a: Path, run_b: Path) -> Path:
    """Return where a cross-check goes if nothing else is said."""
    return Path("runs") / f"{run_a.resolve().name}_against_{run_b.resolve().name}"


def crosscheck(
    run_a: str | Path,
    run_b: str | Path,
    *,
    out: str | Path | None = None,
    min_stars: int = 20,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> CrossCheck:
    """Compare the offsets of two finished runs on the visits that both have.

    Parameters
    ----------
    run_a, run_b : path
        Directories of the runs, such as one from spectra and one from stellar parameters, of
        two colour models, or of two releases. Differences are B less A.
    out : path, optional
        By default ``runs/<A>_against_<B>``. An earlier cross-check is replaced.
    min_stars : int
        Stars that a visit needs in either run to be judged.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Raises
    ------
    ConfigError
        If the output may not be replaced, or `min_stars` is less than 2.
    DataError
        If a run cannot be opened, or the two have no visit in common. Nothing is written.
    """
    if min_stars < 2:
        raise ConfigError("a cross-check needs min_stars of 2 or more: one star has no scatter")
    observer, registry = observer or Observer(), registry or load_registry()
    paths = Path(run_a), Path(run_b)
    target = Path(out) if out is not None else default_out(*paths)
    with observer.step("Reading two runs", 2) as done:
        runs = []
        for path in paths:
            runs.append(open_run(path, registry))
            done(1)
        data = tuple(run.data() for run in runs)
    with observer.step("Cross-check"):
        found = compare_runs(data[0], data[1], min_stars)
        summary = _summary(runs, data, found, min_stars)
    key = "|".join([*(file_hash(path / RUN_MARK) for path in paths), str(min_stars)])
    with open_workspace(target, key, CROSSCHECK, resumes=False) as space:
        write_products(space.run, summary, found)
    return CrossCheck(space.out, summary)


def _summary(
    runs: list[RunProducts], data: tuple[RunData, ...], found: RunDifferences, min_stars: int
) -> dict[str, Any]:
    visits = found.visits
    known = [set(each.visit_table.visit) for each in data]
    shared = float(visits.errors.shared.sum() / max(visits.errors.stars_b.sum(), 1))
    return {
        "runs": {
            side: {
                "directory": run.path.resolve().name,
                "survey": run.survey.name,
                "mode": run.mode,
                "reference": run.survey.reference.kind,
                "colour_model": run.survey.colour_model.kind,
                "description_sha256": run.survey.digest(),
                "zero_point_mag": each.zero_point_mag,
                "visits": len(each.visit_table),
            }
            for side, run, each in zip("ab", runs, data, strict=True)
        },
        "band": data[0].band,
        "data_note": "; ".join(dict.fromkeys(run.note for run in runs if run.note)),
        "min_stars": min_stars,
        "common_visits": len(visits.visit),
        "only_in_a": sorted(known[0] - known[1]),
        "only_in_b": sorted(known[1] - known[0]),
        "shared_stars": shared,
        "visit": {**figures(visits.agreement), "paper_sd_mag": PAPER_MAG},
        "ccd": None if found.exposures is None else figures(found.exposures.ccd_term),
        "total": None if found.exposures is None else figures(found.exposures.total),
        "levels": {name: figures(each) for name, each in found.levels.items()},
        "disagree": list(_listed(visits, visits.agreement.disagrees)),
        "outlying": list(_listed(visits, visits.agreement.outlying)),
        "versions": versions(),
    }


def figures(agreement: Agreement) -> dict[str, Any]:
    """Return the figures of an agreement as plain JSON."""
    return {
        "judged": int(agreement.judged.sum()),
        "constant_mag": agreement.constant_mag,
        "constant_err_mag": agreement.constant_err_mag,
        "sd_mag": agreement.sd_mag,
        "mad_sigma_mag": agreement.mad_mag,
        "noise_mag": agreement.noise_mag,
        "excess_mag": agreement.excess_mag,
        "significance_limit": agreement.limit,
        "disagree": int(agreement.disagrees.sum()),
        "outlying": int(agreement.outlying.sum()),
    }


def _listed(visits: VisitRows, chosen: npt.NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    """Yield visits by the size of their difference, the largest first."""
    agreement = visits.agreement
    rows = np.flatnonzero(chosen)
    for row in rows[np.argsort(-np.abs(agreement.difference_mag[rows]), kind="stable")]:
        yield {
            "visit": str(visits.visit[row]),
            "field": str(visits.field[row]),
            "difference_mag": float(agreement.difference_mag[row]),
            "err_mag": float(agreement.err_mag[row]),
            "significance": float(agreement.significance[row]),
            "stars_a": int(visits.errors.stars_a[row]),
            "stars_b": int(visits.errors.stars_b[row]),
        }


def write_products(folder: Path, summary: Mapping[str, Any], found: RunDifferences) -> None:
    """Write crosscheck.json, crosscheck.ecsv, crosscheck_exposures.ecsv and the page."""
    visits = visit_table(found.visits, summary)
    write_ecsv(visits, folder / CROSSCHECK_VISITS)
    if found.exposures is not None:
        write_ecsv(exposure_table(found.exposures, summary), folder / EXPOSURES)
    write_page(crosscheck_page(summary, visits), folder)
    write_json(folder / CROSSCHECK, summary)


def visit_table(visits: VisitRows, summary: Mapping[str, Any]) -> Table:
    """Return a row for each visit that both runs have."""
    agreement, errors = visits.agreement, visits.errors
    mag, none = u.mag, None
    columns = (
        ("visit", visits.visit, none, "key of the visit"),
        ("field", visits.field, none, "name of the pointing"),
        ("mjd", visits.mjd, u.d, "modified Julian date"),
        ("stars_a", errors.stars_a, none, "stars of run A"),
        ("stars_b", errors.stars_b, none, "stars of run B"),
        ("stars_shared", errors.shared, none, "stars of both"),
        ("offset_a", visits.offset_a_mag, mag, "offset of the visit in run A"),
        ("offset_b", visits.offset_b_mag, mag, "offset of the visit in run B"),
        ("err_a", visits.err_a_mag, mag, "error that run A states"),
        ("err_b", visits.err_b_mag, mag, "error that run B states"),
        ("difference", agreement.difference_mag, mag, "B less A, the survey's constant removed"),
        ("err", agreement.err_mag, mag, "its error, from what the stars of the runs differ by"),
        ("significance", agreement.significance, none, "difference over err"),
        ("if_independent", visits.if_independent, none, "difference over err_a and err_b"),
        ("judged", agreement.judged, none, "whether both runs have stars enough"),
        ("disagrees", agreement.disagrees, none, "whether the difference is beyond noise"),
        ("outlying", agreement.outlying, none, "whether it is unlike those of other visits"),
    )
    return _table(columns, summary)


def exposure_table(exposures: ExposureRows, summary: Mapping[str, Any]) -> Table:
    """Return a row for each CCD in a visit that has stars of its own in both runs."""
    term, total, errors = exposures.ccd_term, exposures.total, exposures.errors
    mag, none = u.mag, None
    columns = (
        ("visit", exposures.visit, none, "key of the visit"),
        ("ccd", exposures.ccd, none, "number of the detector"),
        ("stars_a", errors.stars_a, none, "stars of run A"),
        ("stars_b", errors.stars_b, none, "stars of run B"),
        ("difference_ccd", term.difference_mag, mag, "B less A of what the CCD adds"),
        ("difference", total.difference_mag, mag, "B less A of visit and CCD together"),
        ("err", errors.err_mag, mag, "error of that, from what the stars differ by"),
        ("significance", total.significance, none, "difference over err"),
        ("judged", total.judged, none, "whether both runs have stars enough"),
        ("disagrees", total.disagrees, none, "whether the difference is beyond noise"),
    )
    return _table(columns, summary)


def _table(columns: Any, summary: Mapping[str, Any]) -> Table:
    table = Table()
    for name, values, unit, meaning in columns:
        table[name] = values
        table[name].unit, table[name].description = unit, meaning
    table.meta = {
        "run_a": summary["runs"]["a"]["directory"],
        "run_b": summary["runs"]["b"]["directory"],
        "min_stars": summary["min_stars"],
        "data_note": summary["data_note"],
    }
    return table
