"""Draw the picture of the README: a survey's true offsets, and what calibration leaves of them.

    python docs/figures/make_residuals.py RUN TREE/truth.parquet docs/figures/residuals.png

RUN is a run on the simulated survey in TREE. Above, each dot is one visit on the sky; below,
all visits lie on top of each other in the plane of the camera, each less its own mean. Needs
matplotlib and pandas.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = "RdBu_r"
#: Ends of the colour scales in mmag.
VISIT_RANGE, CAMERA_RANGE = 130, 40
KEYS = ["file", "ccd", "row"]
TITLES = {"before": "injected offsets", "after": "left after calibration"}
#: Detections that a cell of the camera needs to be drawn.
CELL_COUNT = 12


def residuals(run: Path, truth: Path) -> tuple[pd.DataFrame, str]:
    """Return the corrected stars with true and remaining offsets in mmag, and the data's note."""
    table = pq.read_table(run / "stars.parquet")
    stars = table.to_pandas().dropna(subset=["mag_cal"])
    columns = [*KEYS, "offset_total"]
    injected = pq.read_table(truth, columns=columns).to_pandas()
    stars = stars.merge(injected, on=KEYS, suffixes=("", "_true"))
    # The constant of the whole survey is free.
    for name, offset in (
        ("before", stars.offset_total_true),
        ("after", stars.offset_total_true - stars.offset_total),
    ):
        stars[name] = 1000 * (offset - offset.mean())
    visits = stars.groupby("visit", observed=True)
    for axis in ("ra_deg", "dec_deg"):
        middle = (visits[axis].transform("min") + visits[axis].transform("max")) / 2
        stars[f"d_{axis}"] = stars[axis] - middle
    stars["d_ra_deg"] *= np.cos(np.deg2rad(stars.dec_deg))
    return stars, (table.schema.metadata or {}).get(b"data_note", b"").decode()


def draw_visits(axes: Any, stars: pd.DataFrame, column: str) -> Any:
    """Draw the mean offset of each visit where it lies on the sky."""
    columns = ["ra_deg", "dec_deg", column]
    means = stars.groupby("visit", observed=True)[columns].mean()
    # The two pointings of a field would hide each other.
    shift = np.where(np.arange(len(means)) % 2, 1.2, -1.2)
    drawn = axes.scatter(
        means.ra_deg + 2 * shift,
        means.dec_deg + shift,
        c=means[column],
        cmap=COLOURS,
        vmin=-VISIT_RANGE,
        vmax=VISIT_RANGE,
        s=45,
        edgecolor="0.3",
        linewidth=0.4,
    )
    axes.set(xlabel="RA (deg)", xlim=(290, 95), ylim=(-72, 12))
    axes.set_title(f"{TITLES[column]}: sd of visits {means[column].std():.1f} mmag", fontsize=10)
    return drawn


def draw_camera(axes: Any, stars: pd.DataFrame, column: str) -> Any:
    """Draw the mean offset, less that of the visit, over the plane of the camera."""
    value = stars[column] - stars.groupby("visit", observed=True)[column].transform("mean")
    edges = np.arange(-0.55, 0.5501, 0.0155)
    where = [stars.d_ra_deg, stars.d_dec_deg]
    count, *_ = np.histogram2d(*where, bins=[edges, edges])
    total, *_ = np.histogram2d(*where, bins=[edges, edges], weights=value)
    mean = np.where(count >= CELL_COUNT, total / np.maximum(count, 1), np.nan)
    drawn = axes.pcolormesh(
        edges, edges, mean.T, cmap=COLOURS, vmin=-CAMERA_RANGE, vmax=CAMERA_RANGE
    )
    axes.set(xlabel="RA offset (deg)", aspect="equal")
    axes.invert_xaxis()
    axes.set_title(f"{TITLES[column]}: sd of cells {np.nanstd(mean):.1f} mmag", fontsize=10)
    return drawn


def main() -> None:
    """Read the arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    stars, note = residuals(arguments.run, arguments.truth)
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 7.4), layout="constrained")
    for row, draw, label in ((0, draw_visits, "Dec (deg)"), (1, draw_camera, "Dec offset (deg)")):
        drawn = [draw(axes[row, place], stars, name) for place, name in enumerate(TITLES)]
        axes[row, 0].set_ylabel(label)
        figure.colorbar(drawn[0], ax=axes[row], label="offset (mmag)")
    figure.suptitle(note, fontsize=10)
    figure.savefig(arguments.picture, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
