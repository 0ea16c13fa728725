"""Figures of merit that ship inside: the spread before and after (paper, Fig. 13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from scrframe.arrays import FloatArray
from scrframe.plugin import Diagnostic, PluginConfig, hookimpl
from scrframe.statistics.robust import fit_gaussian, robust_sd
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


def compute_spread(stars: pa.Table, config: SpreadConfig) -> Mapping[str, Any]:
    """Compare model and observed magnitudes before and after correction."""
    model = stars.column("mag_model").to_numpy()
    before = model - stars.column("mag_obs").to_numpy()
    after = model - stars.column("mag_cal").to_numpy()
    return {"before": _describe(before, config), "after": _describe(after, config)}


def _describe(difference: FloatArray, config: SpreadConfig) -> dict[str, float]:
    values = difference[np.isfinite(difference)]
    fit = fit_gaussian(values, config.bin_width, config.half_range)
    return {
        "gaussian_mean_mag": fit.mean,
        "gaussian_sigma_mag": fit.sigma,
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
