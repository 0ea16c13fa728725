"""Figure 3 of a run: predicted against observed colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.bins import (
    CELLS,
    TAIL,
    colour_label,
    count_plane,
    equal_bins,
    plain_colour,
)
from scrframe.report.style import COLOURS, MMAG, house_style, new_figure, note
from scrframe.statistics.groups import group_medians, group_spreads
from scrframe.statistics.robust import robust_sd

#: Fewest stars that judge predicted colours.
FEWEST = 20
#: Bins of residuals along predicted colour.
COLOUR_BINS = 15


def figure_predicted_colour(data: RunData) -> FigureProduct | None:
    """Draw predicted against observed intrinsic colour of the stars that judge (Fig. 3).

    These are the test stars; all control stars where a run of an earlier version does not tell
    them. None of hardly any.
    """
    told = data.has("in_test") and bool(data.star("in_test").any())
    stars = judged_stars(data, data.star("in_test") if told else data.star("in_control"))
    observed, predicted = stars.observed_mag, stars.predicted_mag
    if len(observed) < FEWEST:
        return None
    difference = predicted - observed
    r2 = 1 - float(np.sum(difference**2) / np.sum((observed - observed.mean()) ** 2))
    sd = MMAG * float(difference.std())
    mad = MMAG * robust_sd(difference)
    low, high = np.quantile(np.concatenate([observed, predicted]), [TAIL, 1 - TAIL])
    margin = 0.04 * (high - low)
    edges = np.linspace(low - margin, high + margin, CELLS + 1)
    code, _ = equal_bins(predicted, COLOUR_BINS)
    bins = int(code.max()) + 1
    middle = group_medians(difference, code, bins)
    spread = group_spreads(difference, code, middle)
    centre = group_medians(predicted, code, bins)
    colour = colour_label(data, "_0")
    who = "test stars" if told else "control stars"
    with house_style():
        figure = new_figure(4.3)
        plane, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
        count_plane(plane, predicted, observed, edges, edges, f"{who} in a cell")
        plane.plot(edges[[0, -1]], edges[[0, -1]], color=COLOURS[1], lw=0.9, ls="--")
        plane.set_ylabel(f"observed {colour} (mag)")
        note(
            plane,
            [
                f"$r^2$ = {r2:.4f}",
                f"sd {sd:.1f} mmag",
                f"MAD {mad:.1f} mmag",
                f"{len(observed):,} {who}",
            ],
        )
        below.axhline(0, color=COLOURS[1], lw=0.9, ls="--")
        below.errorbar(
            centre, MMAG * middle, MMAG * spread, fmt="o", ms=2.5, color=COLOURS[0], elinewidth=0.7
        )
        below.set_xlabel(f"predicted {colour} (mag)")
        below.set_ylabel("pred. \N{MINUS SIGN} obs. (mmag)")
    test = data.summary.get("colour_model", {}).get("test", {})
    own = ""
    if {"r2", "dispersion_mag"} <= set(test):
        own = (
            f" With magnitudes corrected for visits only, as while training, the run found r2"
            f" {test['r2']:.4f} and {MMAG * test['dispersion_mag']:.1f} mmag."
        )
    known = data.summary.get("colour_model", {}).get("training_stars") == 0
    said = (
        f"Colour {plain_colour(data)} of {who}, observed (calibrated magnitude) against predicted"
        " by the reference catalogue, both reddened; dashed: equality."
        if known
        else f"Intrinsic colour {plain_colour(data, '_0')} of {who}, observed (calibrated"
        " magnitude, dereddened) against predicted by a model that they did not train; dashed:"
        " equality."
    )
    return FigureProduct(
        "predicted_colour",
        "Predicted against observed colour",
        f"{said}"
        " Below: medians of predicted less observed in bins of equal numbers, bars of 1.4826 times"
        f" the median absolute deviation. MAD is the same for all.{own}",
        f"Observed against predicted intrinsic colour of {len(observed)} {who}: r2 {r2:.4f},"
        f" standard deviation of the difference {sd:.1f} mmag, robust {mad:.1f} mmag. The medians"
        f" in bins go from {MMAG * np.nanmin(middle):.1f} to {MMAG * np.nanmax(middle):.1f} mmag.",
        figure,
        _star_table(stars),
    )


@dataclass(frozen=True)
class JudgedStars:
    """Stars with observed and predicted intrinsic colours."""

    #: Shape (s,).
    source_id: IntArray
    #: Mean over detections of (calibrated less reference magnitude) less R E, weighted by the
    #: inverse square of the photometric errors. Shape (s,).
    observed_mag: FloatArray
    #: C0. Shape (s,).
    predicted_mag: FloatArray
    #: Shape (s,).
    detections: IntArray


def judged_stars(data: RunData, mask: BoolArray) -> JudgedStars:
    """Return observed and predicted colours of the stars of some control detections.

    Of the detections in `mask`, shape (n,), those of the Control Sample count that took part.
    """
    error = data.star("mag_err")
    kept = mask & data.star("in_control") & data.in_solve
    rows = np.flatnonzero(kept & np.isfinite(data.residual) & (error > 0))
    colour0 = data.star("colour0")[rows]
    # Calibrated magnitude less reference less R E is C0 less the residual (paper, Eq. 2).
    value = colour0 - data.residual[rows]
    source, first, star = np.unique(
        data.star("source_id")[rows], return_index=True, return_inverse=True
    )
    weight = error[rows] ** -2.0
    total = np.bincount(star, weight, len(source))
    observed = np.bincount(star, weight * value, len(source)) / total
    detections = np.bincount(star, minlength=len(source))
    return JudgedStars(source, observed, colour0[first], detections)


def _star_table(stars: JudgedStars) -> Table:
    return figure_data(
        {
            "source_id": stars.source_id,
            "predicted": stars.predicted_mag,
            "observed": stars.observed_mag,
            "n_detections": stars.detections,
        },
        {"mag": ("predicted", "observed")},
        {
            "predicted": "intrinsic colour as predicted",
            "observed": "intrinsic colour as observed, mean of the detections",
        },
    )
