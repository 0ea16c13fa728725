"""Figures of merit that ship inside: the spread before and after (paper, Fig. 13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy.optimize import curve_fit

from scrframe.arrays import FloatArray
from scrframe.plugin import Diagnostic, PluginConfig, hookimpl
from scrframe.statistics.robust import robust_sd
from scrframe.units import InUnit

Magnitude = Annotated[float, InUnit("mag")]


class SpreadConfig(PluginConfig):
    """How the histogram is made to which a Gaussian is fitted."""

    bin_width: Magnitude = Field(
        "0.005 mag", validate_default=True, description="Width of a histogram bin."
    )
    half_range: Magnitude = Field(
        "0.3 mag",
        validate_default=True,
        description="Differences further from the median are not in the histogram.",
    )


def gaussian(x: FloatArray, height: float, mean: float, sigma: float) -> FloatArray:
    """Return a Gaussian of given height."""
    return np.asarray(height * np.exp(-0.5 * ((x - mean) / sigma) ** 2))


def fit_gaussian(values: FloatArray, config: SpreadConfig) -> tuple[float, float]:
    """Return mean and sigma of a Gaussian fitted to the histogram of values, shape (n,).

    Both are NaN where the fit does not converge (hardly any values).
    """
    if not len(values):
        return float("nan"), float("nan")
    centre = float(np.median(values))
    steps = max(round(config.half_range / config.bin_width), 1)
    edges = centre + config.bin_width * np.arange(-steps, steps + 1)
    counts, _ = np.histogram(values, edges)
    middle = 0.5 * (edges[1:] + edges[:-1])
    peak = float(np.max(counts, initial=1))
    start = (peak, centre, max(robust_sd(values), config.bin_width))
    try:
        (_, mean, sigma), _ = curve_fit(gaussian, middle, counts, p0=start)
    except (RuntimeError, TypeError, ValueError):
        return float("nan"), float("nan")
    return float(mean), float(abs(sigma))


def compute_spread(stars: pa.Table, config: SpreadConfig) -> Mapping[str, Any]:
    """Compare model and observed magnitudes before and after correction."""
    model = stars.column("mag_model").to_numpy()
    before = model - stars.column("mag_obs").to_numpy()
    after = model - stars.column("mag_cal").to_numpy()
    return {"before": _describe(before, config), "after": _describe(after, config)}


def _describe(difference: FloatArray, config: SpreadConfig) -> dict[str, float]:
    values = difference[np.isfinite(difference)]
    mean, sigma = fit_gaussian(values, config)
    return {
        "gaussian_mean_mag": mean,
        "gaussian_sigma_mag": sigma,
        "mad_sigma_mag": robust_sd(values),
        "count": len(values),
    }


@hookimpl
def scrframe_diagnostics() -> Iterable[Diagnostic]:
    """Yield the diagnostic `spread`."""
    yield Diagnostic(
        "spread",
        "spread of model less observed magnitudes before and after",
        "1",
        SpreadConfig,
        compute=compute_spread,
    )
