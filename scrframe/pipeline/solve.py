"""From a matched sample to a solution: colour model, law, offsets, zero point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scrframe.errors import CalibrationError
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.pipeline.chosen import Chosen
from scrframe.pipeline.model import Trainer, run_model
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.sample import derive_for
from scrframe.scr.iteration import IterationSettings, ModelMagnitudes
from scrframe.scr.reddening_law import LawSettings
from scrframe.scr.training import TrainingPlan, plan_training
from scrframe.scr.trend import TrendSettings
from scrframe.tables import MatchedStars, Solution, SolvedLevel
from scrframe.tables.cuts import Cut

#: Solvers by mode; all take an `OffsetProblem` and return an `OffsetSolution`.
SOLVERS = {"sequential": solve_sequential}


@dataclass(frozen=True)
class Solved:
    """A solution with the model magnitudes that it rests on."""

    solution: Solution
    model: ModelMagnitudes
    plan: TrainingPlan


def law_settings(chosen: Chosen) -> LawSettings:
    """Return the description's `reddening` block as the fit's settings."""
    block = chosen.survey.reddening
    return LawSettings(
        order=block.order,
        extinction_order=block.extinction_order,
        field_slopes=block.field_slopes,
        start=block.start,
        max_rounds=block.max_rounds,
        visit_constants=block.visit_constants,
        tolerance=block.tolerance,
        clip_sigma=block.clip_sigma,
        clip_rounds=block.clip_rounds,
        colour_percentiles=block.colour_percentiles,
    )


def fit_model(
    chosen: Chosen, sample: MatchedStars, workers: int, observer: Observer
) -> tuple[ModelMagnitudes, TrainingPlan]:
    """Train and iterate (steps i to iii)."""
    block = chosen.survey.colour_model
    control = np.unique(sample.star[sample.in_control])
    plan = plan_training(control, block.test_fraction, block.folds, block.cross_fit, block.seed)
    trainer = Trainer(chosen.backend, block.settings, block.seed, workers)
    settings = IterationSettings(
        law_settings(chosen),
        chosen.survey.offsets.max_rounds,
        chosen.survey.offsets.tolerance,
        block.regrow_rounds,
    )
    trend = TrendSettings(block.trend, block.trend_ridge, block.trend_components)
    return run_model(sample, plan, trainer, settings, trend, observer), plan


def solve(
    chosen: Chosen,
    sample: MatchedStars,
    model: ModelMagnitudes,
    visits: tuple[str, ...],
    provenance: Mapping[str, Any],
) -> Solution:
    """Solve the offsets of all levels and the zero point u_ZP.

    Raises
    ------
    CalibrationError
        If the mode cannot solve the levels, or no star is left for the zero point.
    """
    offsets = chosen.survey.offsets
    delta = model.model_mag - sample.detections["mag"]
    fitted = tuple(
        descriptor.prepare(block.name, sample, block.settings)
        for descriptor, block in zip(chosen.levels, offsets.active_levels(), strict=True)
    )
    for level, block in zip(fitted, offsets.active_levels(), strict=True):
        level.parent = block.parent
    problem = OffsetProblem(fitted, sample.detections, delta, offsets.min_stars)
    solved = SOLVERS[offsets.mode](problem)
    zero_point = mean_zero_point(sample, delta - solved.total_mag, chosen.survey.zero_point)
    levels = tuple(
        SolvedLevel(level, block.kind, table)
        for level, block, table in zip(fitted, offsets.active_levels(), solved.tables, strict=True)
    )
    return Solution(levels, zero_point, model.law, visits, provenance)


def mean_zero_point(
    sample: MatchedStars, residual_mag: np.ndarray[Any, np.dtype[np.float64]], cuts: tuple[Cut, ...]
) -> float:
    """Return u_ZP, the mean of model less corrected magnitude over a reference range.

    Raises
    ------
    CalibrationError
        If no detection with all its offsets passes the cuts.
    """
    table = derive_for(cuts, sample.detections)
    used = np.isfinite(residual_mag)
    for cut in cuts:
        used &= cut.evaluate(table)
    if not used.any():
        raise CalibrationError(
            "zero_point: no detection passes the cuts and has an offset at every level;"
            " widen zero_point, or lower offsets.min_stars"
        )
    return float(residual_mag[used].mean())
