"""Products of a Monte Carlo: figures of each set of errors, the table of stars, the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from astropy import units as u
from astropy.table import Table, vstack

from scrframe.analysis.montecarlo.realisations import ErrorSummary, star_errors, summarise_errors
from scrframe.arrays import FloatArray
from scrframe.config import SurveyDescription
from scrframe.products import files
from scrframe.report.figure import FigureProduct
from scrframe.report.page import FIGURES, Cell, Page, PageTable, Section, number, write_page
from scrframe.report.style import COLOURS, INK, house_style, name_panel, note, panel_grid
from scrframe.statistics.robust import fit_gaussian
from scrframe.version import __version__

MMAG = 1000.0
#: What the sets of errors are called.
TITLES = {"median": "median errors", "high": "90th percentile", "own": "each star's own"}
#: The same within a sentence.
WORDS = {
    "median": "median errors",
    "high": "errors at the 90th percentile",
    "own": "each star's own errors",
}
TABLE = "montecarlo.parquet"
#: Bins of the histogram of differences, in mag.
EDGES = np.linspace(-0.3, 0.3, 121)


@dataclass(frozen=True)
class ErrorSetResult:
    """What one set of errors does."""

    #: Scatter of each star's model magnitude over the realisations. Shape (s,).
    error_mag: FloatArray
    summary: ErrorSummary
    #: Mean and sigma of a Gaussian fitted to all differences.
    gaussian_mag: tuple[float, float]
    #: Differences in the bins of `EDGES`. Shape (b,).
    counts: npt.NDArray[np.int64]
    #: Differences outside them.
    beyond: int
    #: The paper's sigma with these errors.
    paper_mag: float | None
    #: The errors, as plain JSON.
    errors: Mapping[str, float] | str

    @classmethod
    def of(
        cls, difference_mag: FloatArray, paper_mag: float | None, errors: Mapping[str, float] | str
    ) -> ErrorSetResult:
        """Judge differences of shape (k, s)."""
        every = difference_mag.ravel()
        error = star_errors(difference_mag)
        # A histogram that has all in one bin holds no width.
        gaussian = float(every[0]), 0.0
        if np.ptp(every) > 0:
            fit = fit_gaussian(every)
            gaussian = fit.mean, fit.sigma
        counts = np.histogram(every, EDGES)[0].astype(np.int64)
        beyond = len(every) - int(counts.sum())
        summary = summarise_errors(difference_mag, error)
        return cls(error, summary, gaussian, counts, beyond, paper_mag, errors)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON."""
        found = asdict(self.summary)
        of_stars = ("median_mag", "mad_mag", "percentile_90_mag")
        return {
            "errors": self.errors,
            "model_err": {key: found[key] for key in of_stars},
            "difference": {
                "gaussian_mean_mag": self.gaussian_mag[0],
                "gaussian_sigma_mag": self.gaussian_mag[1],
                **{key: found[key] for key in ("bias_mag", "sd_mag", "mad_sigma_mag")},
            },
            "paper_sigma_mag": self.paper_mag,
        }


def write_products(
    folder: Path,
    summary: Mapping[str, Any],
    table: pa.Table,
    results: Mapping[str, ErrorSetResult],
    survey: SurveyDescription,
) -> None:
    """Write montecarlo.parquet, montecarlo.json, the description and the page."""
    note = str(summary["data_note"])
    stamp = {"scrframe_version": __version__, "survey": survey.name, "data_note": note}
    files.write_parquet(folder / TABLE, table, stamp)
    files.write_text(folder / "description.yaml", survey.as_yaml())
    write_page(montecarlo_page(summary, histogram(results, note)), folder)
    files.write_json(folder / files.MONTECARLO, summary)


def star_table(
    source_id: npt.NDArray[np.int64], model_mag: FloatArray, results: Mapping[str, ErrorSetResult]
) -> pa.Table:
    """Return a row for each star: its model magnitude, and its error with each set."""
    columns: dict[str, Any] = {"source_id": source_id, "mag_model": model_mag}
    columns |= {f"model_err_{name}": each.error_mag for name, each in results.items()}
    table = pa.table(columns)
    first, *others = table.schema
    return table.cast(pa.schema([first, *(each.with_metadata({"unit": "mag"}) for each in others)]))


def histogram(results: Mapping[str, ErrorSetResult], note: str) -> Table:
    """Return the histogram of the differences, a row for each bin of each set."""
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    parts = [
        Table({"errors": [name] * len(middle), "difference": middle * u.mag, "count": each.counts})
        for name, each in results.items()
    ]
    table = vstack(parts)
    table["errors"].description = "set of errors"
    table["difference"].description = "middle of the bin: model magnitude less that without errors"
    table["count"].description = "differences in the bin, of all stars and realisations"
    fits = {
        name: {
            "mean_mag": each.gaussian_mag[0],
            "sigma_mag": each.gaussian_mag[1],
            "paper_mag": each.paper_mag,
            "beyond": each.beyond,
        }
        for name, each in results.items()
    }
    table.meta = {"bin_mag": float(EDGES[1] - EDGES[0]), "fits": fits, "data_note": note}
    return table


def figure_montecarlo(table: Table) -> FigureProduct:
    """Draw the differences of realisations from the model without errors, a panel a set.

    Parameters
    ----------
    table : Table
        Columns ``errors`` (set), ``difference`` (middle of the bin, mag) and ``count``; in its
        ``meta`` ``bin_mag``, ``data_note`` and ``fits``, by set ``mean_mag``, ``sigma_mag``,
        ``paper_mag`` (or None) and ``beyond`` (differences outside the bins).
    """
    fits: Mapping[str, Mapping[str, Any]] = table.meta["fits"]
    names, width = np.asarray(table["errors"]), float(table.meta["bin_mag"])
    with house_style():
        figure, panels = panel_grid(len(fits), 1.9, columns=len(fits))
        for axes, (name, fit), colour in zip(panels, fits.items(), COLOURS, strict=False):
            mine = table[names == name]
            middle = MMAG * np.asarray(mine["difference"], dtype=float)
            count = np.asarray(mine["count"], dtype=float)
            share = count / max(count.sum() + fit["beyond"], 1.0)
            edges = np.append(middle - MMAG * width / 2, middle[-1] + MMAG * width / 2)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.45)
            sigma = float(fit["sigma_mag"])
            if sigma > 0:
                grid = np.linspace(middle[0], middle[-1], 1201) / MMAG
                height = width / (sigma * np.sqrt(2 * np.pi))
                curve = height * np.exp(-0.5 * ((grid - float(fit["mean_mag"])) / sigma) ** 2)
                axes.plot(MMAG * grid, curve, color=INK, lw=0.8)
            name_panel(axes, TITLES.get(name, name))
            reach = max(4.5 * max(float(f["sigma_mag"]) for f in fits.values()), 2 * width)
            axes.set_xlim(-MMAG * reach, MMAG * reach)
            lines = [f"$\\sigma$ {MMAG * fit['sigma_mag']:.1f}"]
            if fit["paper_mag"] is not None:
                lines.append(f"paper {MMAG * fit['paper_mag']:.0f}")
            note(axes, lines)
        panels[0].set_ylim(bottom=0)
        figure.supxlabel("change of the model magnitude (mmag)", fontsize=7.5)
        panels[0].set_ylabel("share of the differences in a bin")
    widths = "; ".join(_describe(name, fit) for name, fit in fits.items())
    return FigureProduct(
        "montecarlo",
        "Error of model magnitudes",
        "Model magnitudes of realisations with drawn errors less those without, of all stars and"
        f" realisations, in bins of {MMAG * width:.0f} mmag. Curves are fitted Gaussians, with"
        " their standard deviations in mmag and the paper's (its Fig. 14).",
        f"Histograms of the changes of model magnitudes by set of errors: {widths}.",
        figure,
        table,
    )


def saved_figure(folder: Path) -> FigureProduct:
    """Draw the figure of a directory that `scrframe montecarlo` has written.

    Raises DataError if the directory holds no such results, or damaged ones.
    """
    files.read_summary(folder, files.MONTECARLO, "a Monte Carlo")
    path = folder / FIGURES / "montecarlo.ecsv"
    try:
        return figure_montecarlo(files.read_ecsv(path))
    except (KeyError, TypeError, ValueError) as error:
        raise files.damaged(path, error) from None


def _describe(name: str, fit: Mapping[str, Any]) -> str:
    paper = "" if fit["paper_mag"] is None else f" (paper {MMAG * fit['paper_mag']:.0f})"
    return f"{TITLES.get(name, name)}, sigma {MMAG * fit['sigma_mag']:.1f} mmag{paper}"


def montecarlo_page(summary: Mapping[str, Any], table: Table) -> Page:
    """Return the page: the answer, a table of the sets, and the figure."""
    sets: Mapping[str, Any] = summary["sets"]
    answer = tuple(
        f"With {WORDS[name]}: a star's model magnitude has an error of"
        f" {MMAG * each['model_err']['median_mag']:.1f} mmag (median; one star in ten has more than"
        f" {MMAG * each['model_err']['percentile_90_mag']:.1f} mmag)."
        for name, each in sets.items()
    )
    what = str(summary.get("perturbed", "spectra"))
    again = ", spectra are dereddened again" if what == "spectra" else ""
    how = (
        f"In each realisation observed and reference magnitudes, extinctions and {what} get errors"
        f"{again}, and the colour model is trained anew on them."
        if summary["retrained"]
        else f"In each realisation reference magnitudes, extinctions and {what} get errors{again};"
        " the colour model is trained once, without errors, so that errors of observed magnitudes"
        " do not count."
    )
    held = (
        "The reddening law, the offsets of visits and the selection of stars stand. The error of a"
        f" single star, from {summary['realisations']} realisations, is itself uncertain by"
        f" {100 / np.sqrt(2 * (summary['realisations'] - 1)):.0f} per cent. Not in it: what"
        f" {what} do not tell of a star's colour, which is the scatter about the model."
    )
    section = Section("Result", (how, held), (_set_table(sets),), (figure_montecarlo(table),))
    facts = {
        "stars": f"{summary['stars']:,}",
        "stars that train": f"{summary['training_stars']:,}",
        "realisations of each set": str(summary["realisations"]),
        "seed": str(summary["seed"]),
    }
    return Page(
        f"{summary['survey']}, {summary['band']} band: error of model magnitudes",
        "By how much model magnitudes change when their input changes within its errors.",
        answer,
        (section,),
        warning=str(summary["data_note"]),
        facts=facts,
    )


def _set_table(sets: Mapping[str, Any]) -> PageTable:
    rows: list[dict[str, Cell | str]] = []
    for name, each in sets.items():
        star, change, paper = each["model_err"], each["difference"], each["paper_sigma_mag"]
        rows.append(
            {
                "errors": TITLES[name],
                "star: median": number(MMAG * star["median_mag"], 1),
                "MAD": number(MMAG * star["mad_mag"], 1),
                "90th percentile": number(MMAG * star["percentile_90_mag"], 1),
                "all changes: Gaussian sigma": number(MMAG * change["gaussian_sigma_mag"], 1),
                "MAD sigma": number(MMAG * change["mad_sigma_mag"], 1),
                "median": number(MMAG * change["bias_mag"], 1, signed=True),
                "paper's sigma": number(None if paper is None else MMAG * paper, 0),
            }
        )
    return PageTable.from_rows("Errors of model magnitudes in mmag, by set of errors.", rows)
