"""Planes of counts, and what colours are called: shared by figures of colours and reddening."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from scrframe.report.run_bins import cell_counts
from scrframe.report.run_data import FloatArray, RunData

#: Cells along each axis of a plane of counts, and the share of values left out at its ends.
CELLS, TAIL = 90, 0.0005


def count_plane(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    x_edges: FloatArray,
    y_edges: FloatArray,
    label: str,
    cmap: str | None = None,
) -> None:
    """Draw how many points (n,) lie in the cells between evenly spaced edges, with a scale."""
    count = cell_counts(x, y, x_edges, y_edges)
    mesh = axes.pcolormesh(
        x_edges,
        y_edges,
        np.where(count > 0, count, np.nan).T,
        cmap=cmap,
        norm=LogNorm(1, max(2.0, float(count.max()))),
        rasterized=True,
    )
    axes.figure.colorbar(mesh, ax=axes, label=label, pad=0.02)


def band_label(name: str) -> str:
    """Return a band for mathematical text, what follows "_" as a subscript: G_BP, u."""
    letter, _, below = name.partition("_")
    return rf"{letter}_{{\rm {below}}}" if below else rf"{{\rm {letter}}}"


def colour_label(data: RunData, index: str = "") -> str:
    """Return the colour for an axis, such as $(u - G_BP)_0$."""
    colour = rf"{{\rm {data.band}}} - {band_label(data.reference_band)}"
    return f"$({colour}){index}$" if index else f"${colour}$"


def plain_colour(data: RunData, index: str = "") -> str:
    """Return the colour for captions, such as (u - G_BP)_0."""
    colour = f"{data.band} - {data.reference_band}"
    return f"({colour}){index}" if index else colour
