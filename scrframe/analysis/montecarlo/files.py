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

from scrframe.analysis.montecarlo.page import write_montecarlo_page
from scrframe.analysis.montecarlo.realisations import ErrorSummary, star_errors, summarise_errors
from scrframe.arrays import FloatArray
from scrframe.config import SurveyDescription
from scrframe.products.files import MONTECARLO, write_json, write_parquet, write_text
from scrframe.statistics.histograms import fit_gaussian
from scrframe.version import __version__

TABLE = "montecarlo.parquet"
#: Bins of the histogram of differences, in mag.
EDGES = np.linspace(-0.3, 0.3, 121)


@dataclass(frozen=True)
class SetFound:
    """What one set of errors does.

    Attributes
    ----------
    error_mag : ndarray, shape (s,)
        Scatter of each star's model magnitude over the realisations.
    summary : ErrorSummary
    gaussian_mag : tuple of float
        Mean and sigma of a Gaussian fitted to all differences.
    counts : ndarray of int, shape (b,)
        Differences in the bins of `EDGES`.
    beyond : int
        Differences outside them.
    paper_mag : float or None
        The paper's sigma with these errors.
    errors : mapping or str
        The errors, as plain JSON.
    """

    error_mag: FloatArray
    summary: ErrorSummary
    gaussian_mag: tuple[float, float]
    counts: npt.NDArray[np.int64]
    beyond: int
    paper_mag: float | None
    errors: Mapping[str, float] | str

    @classmethod
    def of(
        cls, difference_mag: FloatArray, paper_mag: float | None, errors: Mapping[str, float] | str
    ) -> SetFound:
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
        return {
            "errors": self.errors,
            "model_err": {
                key: found[key] for key in ("median_mag", "mad_mag", "percentile_90_mag")
            },
            "difference": {
                "gaussian_mean_mag": self.gaussian_mag[0],
                "gaussian_sigma_mag": self.gaussian_mag[1],
                **{key: found[key] for key in ("bias_mag", "sd_mag", "mad_sigma_mag")},
            },
            "paper_sigma_mag": self.paper_mag,
        }


def star_table(
    source_id: npt.NDArray[np.int64], model_mag: FloatArray, found: Mapping[str, SetFound]
) -> pa.Table:
    """Return a row for each star: its model magnitude, and its error with each set."""
    columns: dict[str, Any] = {"source_id": source_id, "mag_model": model_mag}
    columns |= {f"model_err_{name}": each.error_mag for name, each in found.items()}
    table = pa.table(columns)
    fields = [
        field if field.name == "source_id" else field.with_metadata({"unit": "mag"})
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def histogram(found: Mapping[str, SetFound], note: str) -> Table:
    """Return the histogram of the differences, a row for each bin of each set."""
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    parts = [
        Table({"errors": [name] * len(middle), "difference": middle * u.mag, "count": each.counts})
        for name, each in found.items()
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
        for name, each in found.items()
    }
    table.meta = {"bin_mag": float(EDGES[1] - EDGES[0]), "fits": fits, "data_note": note}
    return table


def write_products(
    folder: Path,
    summary: Mapping[str, Any],
    table: pa.Table,
    found: Mapping[str, SetFound],
    survey: SurveyDescription,
) -> None:
    """Write montecarlo.parquet, montecarlo.json, the description and the page."""
    note = str(summary["data_note"])
    stamp = {"scrframe_version": __version__, "survey": survey.name, "data_note": note}
    write_parquet(folder / TABLE, table, stamp)
    write_text(folder / "description.yaml", survey.as_yaml())
    write_montecarlo_page(folder, summary, histogram(found, note))
    write_json(folder / MONTECARLO, summary)
