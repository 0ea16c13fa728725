"""Figure 13 of a run: histograms of model less observed magnitude before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from matplotlib.axes import Axes

from scrframe.arrays import FloatArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct
from scrframe.report.panels import MARGIN_IN, note
from scrframe.report.style import COLOURS, INK, RULE, house_style, new_figure
from scrframe.statistics.histograms import BIN_MAG, REACH_MAG, fit_gaussian, gaussian
from scrframe.statistics.robust import robust_sd

#: Fewest detections of a sample whose histogram says anything.
FEWEST = 50
ROW_IN = 1.25
#: Height of axes over the highest bin, which leaves the corners to the notes.
HEADROOM = 1.12


@dataclass(frozen=True)
class Histogram:
    """Differences of one sample, before or after correction.

    Attributes
    ----------
    centre_mag : ndarray, shape (bins,)
    count : ndarray, shape (bins,)
        Detections in each bin.
    total : int
        All detections with a difference, also those beyond the bins.
    mean_mag, sigma_mag, height : float
        Of the Gaussian that fits the counts; NaN where the fit does not converge.
    mad_mag : float
        1.4826 times the median absolute deviation.
    """

    centre_mag: FloatArray
    count: npt.NDArray[np.int64]
    total: int
    mean_mag: float
    sigma_mag: float
    height: float
    mad_mag: float


def histogram(difference_mag: npt.ArrayLike) -> Histogram | None:
    """Return the histogram of differences with its Gaussian; None of fewer than 50 values.

    Parameters
    ----------
    difference_mag : array_like, shape (n,)
        Model less observed magnitude; what is not finite is left out.
    """
    values = np.asarray(difference_mag, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < FEWEST:
        return None
    fit = fit_gaussian(values)
    return Histogram(
        fit.centre, fit.count, len(values), fit.mean, fit.sigma, fit.height, robust_sd(values)
    )


def figure_histograms(data: RunData) -> FigureProduct | None:
    """Draw the differences before and after, a row for each sample; None of hardly any stars.

    Parameters
    ----------
    data : RunData

    Returns
    -------
    FigureProduct or None
        The paper's Fig. 13 for the Calibration Sample, and the same for the Control Sample
        and for the stars that were kept from training and solving.
    """
    samples = _samples(data)
    if not samples:
        return None
    with house_style():
        figure = new_figure(len(samples) * ROW_IN + MARGIN_IN)
        grid = figure.subplots(len(samples), 2, sharex=True, sharey="row", squeeze=False)
        for axes, (name, pair) in zip(grid, samples.items(), strict=True):
            for panel, (when, one) in zip(axes, pair.items(), strict=True):
                _draw(panel, one, f"{name}, {when}")
            axes[0].set_ylabel("per cent per bin")
            highest = max(float(one.count.max()) / one.total for one in pair.values())
            axes[0].set_ylim(0, 100 * HEADROOM * highest)
        figure.supxlabel("model less observed magnitude (mag)", fontsize=7.5)
    said = "; ".join(
        f"{name}: sigma {_mmag(pair['before'].sigma_mag)} mmag before and"
        f" {_mmag(pair['after'].sigma_mag)} mmag after"
        for name, pair in samples.items()
    )
    return FigureProduct(
        "histograms",
        "Differences before and after the correction",
        f"Model less observed magnitude before (left) and after the correction (right), in bins"
        f" of {1000 * BIN_MAG:.0f} mmag, by sample. Curves: Gaussians fitted to the histograms,"
        " with mean \N{GREEK SMALL LETTER MU} and standard deviation"
        " \N{GREEK SMALL LETTER SIGMA}; MAD is 1.4826 times the median absolute deviation and n"
        " the number of detections. What is left after the correction is the scatter of the stars"
        " about the model and photometric noise, not the error of the calibration.",
        f"Histograms of model less observed magnitude with Gaussian fits, before and after the"
        f" correction. {said}.",
        figure,
        _table(samples),
    )


def _samples(data: RunData) -> dict[str, dict[str, Histogram]]:
    """Return the histograms of every sample that has enough stars before and after."""
    model = data.star("mag_model")
    difference = {"before": model - data.star("mag_obs"), "after": model - data.star("mag_cal")}
    members = {
        "Calibration Sample": np.ones(len(model), dtype=bool),
        "Control Sample": data.star("in_control"),
    }
    if data.has("reserved"):
        members["reserved stars"] = data.star("reserved")
    found: dict[str, dict[str, Histogram]] = {}
    for name, rows in members.items():
        pair = {when: histogram(values[rows]) for when, values in difference.items()}
        whole = {when: one for when, one in pair.items() if one is not None}
        if len(whole) == len(pair):
            found[name] = whole
    return found


def _draw(axes: Axes, one: Histogram, title: str) -> None:
    scale = 100.0 / one.total
    axes.axvline(0, color=RULE, lw=0.6, zorder=0)
    edges = np.append(one.centre_mag - BIN_MAG / 2, one.centre_mag[-1] + BIN_MAG / 2)
    axes.stairs(scale * one.count, edges, fill=True, color=COLOURS[4], alpha=0.55, lw=0)
    if np.isfinite(one.sigma_mag):
        x = np.linspace(one.centre_mag[0], one.centre_mag[-1], 241)
        fit = gaussian(x, one.height, one.mean_mag, one.sigma_mag)
        axes.plot(x, scale * fit, color=COLOURS[1])
    axes.set_xlim(-REACH_MAG, REACH_MAG)
    axes.set_title(title, fontsize=7, color=INK)
    note(
        axes,
        [
            f"\N{GREEK SMALL LETTER MU} {_mmag(one.mean_mag, True)} mmag",
            f"\N{GREEK SMALL LETTER SIGMA} {_mmag(one.sigma_mag)}",
            f"MAD {_mmag(one.mad_mag)}",
        ],
    )
    note(axes, [f"n = {one.total:,}"], "upper right")


def _mmag(value: float, signed: bool = False) -> str:
    text = f"{1000 * value:+.1f}" if signed else f"{1000 * value:.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _table(samples: Mapping[str, Mapping[str, Histogram]]) -> Table:
    rows = [(name, when, one) for name, pair in samples.items() for when, one in pair.items()]
    table = Table(
        {
            "sample": np.repeat([name for name, _, _ in rows], [len(r[2].count) for r in rows]),
            "when": np.repeat([when for _, when, _ in rows], [len(r[2].count) for r in rows]),
            "difference_mag": np.concatenate([one.centre_mag for _, _, one in rows]),
            "detections": np.concatenate([one.count for _, _, one in rows]),
        },
    )
    table["difference_mag"].unit = "mag"
    table["difference_mag"].description = "model less observed magnitude, middle of the bin"
    table.meta["fits"] = [
        {
            "sample": name,
            "when": when,
            "mean_mag": one.mean_mag,
            "sigma_mag": one.sigma_mag,
            "mad_sigma_mag": one.mad_mag,
            "detections": one.total,
        }
        for name, when, one in rows
    ]
    return table
