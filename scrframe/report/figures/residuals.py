"""Figures 12 and 13 of a run: residuals before and after, against stars' properties and as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from astropy.table import Table, vstack
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import band_label, cell_counts
from scrframe.report.style import (
    AMOUNT_MAP,
    COLOURS,
    INK,
    MARGIN_IN,
    MMAG,
    RULE,
    bar_above,
    house_style,
    new_figure,
    note,
)
from scrframe.statistics.robust import (
    BIN_MAG,
    REACH_MAG,
    GaussianFit,
    fit_gaussian,
    gaussian,
    robust_sd,
)

#: Bins with medians, and the fewest stars in one.
BINS, LEAST_STARS = 16, 30
#: Share of detections beyond the axes at either end of a variable.
TAIL = 0.0005
#: Cells of the density along the variable and along the residual.
CELLS = (80, 60)
#: How far the axes of residuals reach, in robust standard deviations before the correction.
REACH = 4.0
#: Error of a median over that of a mean, for many values from a normal distribution.
MEDIAN_ERROR = float(np.sqrt(np.pi / 2))
#: Fewest detections of a sample whose histogram says anything.
FEWEST = 50
#: Height of histograms' axes over the highest bin, which leaves the corners to the notes.
HEADROOM = 1.12
#: Heights of a row of panels of either figure.
ROW_IN, HISTOGRAM_IN = 1.15, 1.25


@dataclass(frozen=True)
class Binned:
    """Residuals in bins of a variable, b of them."""

    #: Edges. Shape (b,).
    low: FloatArray
    high: FloatArray
    #: Shape (b,).
    detections: IntArray
    #: What the detections count for: a star's share of its detections, summed. Shape (b,).
    stars: FloatArray
    #: Median, its error from the number of stars, and 1.4826 times the median absolute deviation;
    #: NaN where there are fewer than `LEAST_STARS` stars. Shape (b,).
    median_mag: FloatArray
    err_mag: FloatArray
    spread_mag: FloatArray


def median_and_spread(values: FloatArray) -> tuple[float, float]:
    """Return the median of finite values and 1.4826 times their median distance from it."""
    if not len(values):
        return np.nan, np.nan
    return float(np.median(values)), robust_sd(values)


def binned(
    variable: FloatArray, residual_mag: FloatArray, share: FloatArray, edges: FloatArray
) -> Binned:
    """Return medians of residuals in bins of a variable.

    Parameters
    ----------
    variable, residual_mag : ndarray, shape (n,)
        Detections with either not finite are left out.
    share : ndarray, shape (n,)
        One over the number of detections of the star: they share the error of its model, so
        that the error of a median goes with stars.
    edges : ndarray, shape (b + 1,)
        Evenly spaced, at most 255 bins.
    """
    bins = len(edges) - 1
    inside = np.isfinite(residual_mag) & (variable >= edges[0]) & (variable <= edges[-1])
    step = (edges[-1] - edges[0]) / bins
    # Bins are few: bytes sort in one pass.
    code = np.clip((variable[inside] - edges[0]) / step, 0, bins - 1).astype(np.uint8)
    stars = np.bincount(code, share[inside], minlength=bins).astype(np.float64)
    count = np.bincount(code, minlength=bins)
    ordered = residual_mag[inside][np.argsort(code, kind="stable")]
    groups = np.split(ordered, np.cumsum(count)[:-1])
    median, spread = np.array([median_and_spread(one) for one in groups]).T
    few = stars < LEAST_STARS
    with np.errstate(invalid="ignore", divide="ignore"):
        error = MEDIAN_ERROR * spread / np.sqrt(stars)
    median, error, spread = (np.where(few, np.nan, one) for one in (median, error, spread))
    return Binned(edges[:-1], edges[1:], count, stars, median, error, spread)


def figure_residuals(data: RunData) -> FigureProduct | None:
    """Draw residuals before and after against three properties (paper, figure 12).

    Magnitude and colour are the model's. Against observed ones even perfect corrections show
    slopes: a star brighter than its kin has a smaller magnitude and a larger residual.
    """
    variables = _variables(data)
    # What the solution takes out on the whole is no trend: before, medians are about their own.
    before = np.asarray(data.star("delta"), dtype=np.float64)
    residuals = {"before": before - np.nanmedian(before), "after": data.residual}
    if np.isfinite(data.residual).sum() < LEAST_STARS:
        return None
    share = 1.0 / np.bincount(data.star_code)[data.star_code]
    scatter = {
        when: MMAG * median_and_spread(one[np.isfinite(one)])[1] for when, one in residuals.items()
    }
    reach = REACH * max(scatter["before"], 0.01) / MMAG
    parts: list[Table] = []
    told: list[str] = []
    with house_style():
        figure = new_figure(len(variables) * (ROW_IN + 0.28) + MARGIN_IN)
        panels = figure.subplots(len(variables), 2, sharey=True, sharex="row", squeeze=False)
        for row, (name, (label, variable)) in zip(panels, variables.items(), strict=True):
            edges = _edges(variable)
            for axes, (when, residual) in zip(row, residuals.items(), strict=True):
                mesh = _draw_density(axes, variable, residual, edges, reach)
                one = binned(variable, residual, share, edges)
                _draw_medians(axes, one)
                axes.set_xlabel(label)
                axes.set_title(f"{when}: medians {MMAG * _wander(one):.1f} mmag rms", fontsize=6.5)
                parts.append(_part(name, when, one))
                if when == "after":
                    told.append(f"{name} {MMAG * _wander(one):.1f}")
        figure.supylabel("model less magnitude (mmag)")
        label = "detections in a cell, relative to the fullest"
        bar_above(figure, mesh, panels, label, extend="neither")
    return FigureProduct(
        "residuals",
        "Residuals against magnitude, colour and extinction",
        "Model less observed magnitude before (less its median over all), and model less calibrated"
        f" magnitude after correction, of {np.isfinite(data.residual).sum():,} detections against"
        f" the model's magnitude and colour and the extinction E. Colours give the density,"
        " on a logarithmic scale. Points are medians in bins, the thick bars their errors from the"
        " number of stars (often smaller than the point), the thin ones 1.4826 times the median"
        f" absolute deviation; bins with fewer than {LEAST_STARS} stars have none. Above each"
        " panel stands the root mean square of its medians, bins counting by their stars. After"
        " correction points should lie on the line at zero.",
        "Densities of residuals before and after, with medians. Robust scatter"
        f" {scatter['before']:.0f} mmag before and {scatter['after']:.0f} after; root mean square"
        f" of the medians after, in mmag, against {', '.join(told)}.",
        figure,
        vstack(parts),
    )


def _variables(data: RunData) -> dict[str, tuple[str, FloatArray]]:
    """Return label and values by name of what residuals are drawn against."""
    model = np.asarray(data.star("mag_model"), dtype=np.float64)
    reference = f"${band_label(data.reference_band)}$"
    return {
        "magnitude": (f"model {data.band} (mag)", model),
        "colour": (
            f"model {data.band} \N{MINUS SIGN} {reference} (mag)",
            model - data.reference_mag(),
        ),
        "extinction": ("extinction E", np.asarray(data.star("extinction"), dtype=np.float64)),
    }


def _edges(variable: FloatArray) -> FloatArray:
    low, high = np.nanquantile(variable, [TAIL, 1 - TAIL])
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _wander(one: Binned) -> float:
    """Return the root mean square of the medians, bins counting by their stars."""
    good = np.isfinite(one.median_mag)
    if not good.any():
        return float("nan")
    return float(np.sqrt(np.average(one.median_mag[good] ** 2, weights=one.stars[good])))


def _draw_density(
    axes: Axes, variable: FloatArray, residual: FloatArray, edges: FloatArray, reach: float
) -> QuadMesh:
    across = np.linspace(edges[0], edges[-1], CELLS[0] + 1)
    up = np.linspace(-reach, reach, CELLS[1] + 1)
    density = cell_counts(variable, residual, across, up)
    density /= max(1.0, density.max())
    mesh = axes.pcolormesh(
        across,
        MMAG * up,
        np.where(density > 0, density, np.nan).T,
        cmap=AMOUNT_MAP,
        norm=LogNorm(1e-3, 1),
        rasterized=True,
    )
    axes.axhline(0, color=INK, lw=0.6)
    return mesh


def _draw_medians(axes: Axes, one: Binned) -> None:
    middle = (one.low + one.high) / 2
    value, colour = MMAG * one.median_mag, COLOURS[1]
    axes.errorbar(middle, value, MMAG * one.spread_mag, fmt="none", ecolor=colour, elinewidth=0.5)
    axes.errorbar(middle, value, MMAG * one.err_mag, fmt="o", color=colour, ms=2.2, elinewidth=1.8)


def _part(name: str, when: str, one: Binned) -> Table:
    bins = len(one.low)
    return figure_data(
        {
            "variable": np.repeat(name, bins),
            "residual": np.repeat(when, bins),
            "low": one.low,
            "high": one.high,
            "n_detections": one.detections,
            "n_stars": one.stars,
            "median": one.median_mag,
            "median_err": one.err_mag,
            "scatter": one.spread_mag,
        },
        {"mag": ("low", "high", "median", "median_err", "scatter")},
        {
            "n_stars": "detections, each as one over the number of its star's",
            "median": "of model less magnitude",
            "scatter": "1.4826 times the median absolute deviation",
        },
    )


@dataclass(frozen=True)
class Histogram:
    """Differences of one sample, before or after correction."""

    #: Counts in bins, and the Gaussian that fits them.
    fit: GaussianFit
    #: All detections with a difference, also those beyond the bins.
    total: int
    #: 1.4826 times the median absolute deviation.
    mad_mag: float

    @classmethod
    def of(cls, difference_mag: npt.ArrayLike) -> Histogram | None:
        """Return the histogram of finite differences, shape (n,); None of fewer than 50."""
        values = np.asarray(difference_mag, dtype=float)
        values = values[np.isfinite(values)]
        if len(values) < FEWEST:
            return None
        return cls(fit_gaussian(values), len(values), robust_sd(values))


def figure_histograms(data: RunData) -> FigureProduct | None:
    """Draw the differences before and after, a row for each sample; None of hardly any stars.

    It is the paper's Fig. 13 for the Calibration Sample, and the same for the Control Sample and
    for the stars that were kept from training and solving.
    """
    samples = _samples(data)
    if not samples:
        return None
    with house_style():
        figure = new_figure(len(samples) * HISTOGRAM_IN + MARGIN_IN)
        grid = figure.subplots(len(samples), 2, sharex=True, sharey="row", squeeze=False)
        for axes, (name, pair) in zip(grid, samples.items(), strict=True):
            for panel, (when, one) in zip(axes, pair.items(), strict=True):
                _draw_histogram(panel, one, f"{name}, {when}")
            axes[0].set_ylabel("per cent per bin")
            highest = max(float(one.fit.count.max()) / one.total for one in pair.values())
            axes[0].set_ylim(0, 100 * HEADROOM * highest)
        figure.supxlabel("model less observed magnitude (mag)")
    said = "; ".join(
        f"{name}: sigma {_mmag(pair['before'].fit.sigma)} mmag before and"
        f" {_mmag(pair['after'].fit.sigma)} mmag after"
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
        " about the model and photometric noise, not the error of the calibration. Means after it"
        " differ between samples, as the solve puts a part of the differences down to the model and"
        " not to the magnitudes: mostly a slope on the extinction, of which control stars have"
        " least.",
        f"Histograms of model less observed magnitude with Gaussian fits, before and after the"
        f" correction. {said}.",
        figure,
        _histogram_table(samples),
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
        pair = {when: Histogram.of(values[rows]) for when, values in difference.items()}
        whole = {when: one for when, one in pair.items() if one is not None}
        if len(whole) == len(pair):
            found[name] = whole
    return found


def _draw_histogram(axes: Axes, one: Histogram, title: str) -> None:
    fit, scale = one.fit, 100.0 / one.total
    axes.axvline(0, color=RULE, lw=0.6, zorder=0)
    edges = np.append(fit.centre - BIN_MAG / 2, fit.centre[-1] + BIN_MAG / 2)
    axes.stairs(scale * fit.count, edges, fill=True, color=COLOURS[4], alpha=0.55, lw=0)
    if np.isfinite(fit.sigma):
        x = np.linspace(fit.centre[0], fit.centre[-1], 241)
        curve = gaussian(x, fit.height, fit.mean, fit.sigma)
        axes.plot(x, scale * curve, color=COLOURS[1])
    axes.set_xlim(-REACH_MAG, REACH_MAG)
    axes.set_title(title, fontsize=7, color=INK)
    lines = (
        f"\N{GREEK SMALL LETTER MU} {_mmag(fit.mean, True)} mmag",
        f"\N{GREEK SMALL LETTER SIGMA} {_mmag(fit.sigma)}",
        f"MAD {_mmag(one.mad_mag)}",
    )
    note(axes, lines)
    note(axes, [f"n = {one.total:,}"], "upper right")


def _mmag(value: float, signed: bool = False) -> str:
    text = f"{1000 * value:+.1f}" if signed else f"{1000 * value:.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _histogram_table(samples: Mapping[str, Mapping[str, Histogram]]) -> Table:
    rows = [(name, when, one) for name, pair in samples.items() for when, one in pair.items()]
    bins = [len(one.fit.count) for _, _, one in rows]
    table = figure_data(
        {
            "sample": np.repeat([name for name, _, _ in rows], bins),
            "when": np.repeat([when for _, when, _ in rows], bins),
            "difference_mag": np.concatenate([one.fit.centre for _, _, one in rows]),
            "detections": np.concatenate([one.fit.count for _, _, one in rows]),
        },
        {"mag": ("difference_mag",)},
        {"difference_mag": "model less observed magnitude, middle of the bin"},
    )
    table.meta["fits"] = [
        {
            "sample": name,
            "when": when,
            "mean_mag": one.fit.mean,
            "sigma_mag": one.fit.sigma,
            "mad_sigma_mag": one.mad_mag,
            "detections": one.total,
        }
        for name, when, one in rows
    ]
    return table
