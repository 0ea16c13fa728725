"""What other visits would be without one of them: told from products, and truly solved anew."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from scrframe.analysis.explain.opened_run import OpenedRun
from scrframe.analysis.explain.other_visits import visit_shifts
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.joint.stars import star_means
from scrframe.products.run_data import LevelData, RunData, VisitTable
from scrframe.tables import PhotometricError, ReddeningLaw, SolvedLevel

from .drawn import Drawn, Sample, Spread, draw, pointings
from .joint_fit import Answer, solve, table_of

#: What neighbours share: patches of sky and slopes of fields, besides the corrections.
SPREAD = Spread(slope=0.02, cell=0.01)
#: Detectors that are used: a quarter of the camera has levels of all kinds, and solves in seconds.
CCDS = 8
#: Columns that levels of a sample read.
NEEDS = {
    "visit": ("visit",),
    "static": ("ccd",),
    "drift": ("ccd", "mjd"),
    "jitter": ("visit", "ccd"),
    "pixel": ("ccd", "x", "y"),
    "slope": ("field", "extinction"),
    "cell": ("star_ra", "star_dec"),
}


def products(answer: Answer, sample: Sample, drawn: Drawn) -> OpenedRun:
    """Return what a run would tell of a fit by its products."""
    fit, results = answer.fit, answer._results
    model = fit.design.model
    deviation, variance = star_means(model, fit.weights, fit.residual_mag)
    total = answer.own.total
    constant = float(np.mean(drawn.delta - total))
    mag = sample.mag[sample.star]
    stars = {
        "visit_code": sample.visit.astype(np.int32),
        "ccd": (sample.ccd + 1).astype(np.int16),
        "source_id": sample.star,
        "mjd": sample.mjd[sample.visit],
        "x_pix": sample.x,
        "y_pix": sample.y,
        "ra_deg": sample.ra_deg[sample.star],
        "dec_deg": sample.dec_deg[sample.star],
        "mag_model": mag,
        "mag_obs": mag - drawn.delta,
        "mag_err": sample.error_mag,
        "delta": drawn.delta,
        "offset_total": total + constant,
        "mag_cal": mag - drawn.delta + total + constant,
        "extinction": sample.extinction[sample.star],
        "colour0": sample.colour0[sample.star],
        "in_solve": np.ones(len(sample), dtype=np.bool_),
        "weight": fit.robust.detection * np.maximum(fit.robust.star, 1e-6)[model.star],
        "star_dev": deviation[model.star],
        "star_dev_err": np.sqrt(variance)[model.star],
    }
    levels = tuple(
        SolvedLevel(level, "any", results.table(level.name)) for level in answer._problem.levels
    )
    noise = fit.estimate.noise
    data = RunData(
        survey="drawn",
        band="u",
        reference_band="G",
        mode="joint",
        note="",
        stars=stars,
        visit_table=visit_table(answer, sample),
        levels={level.fitted.name: LevelData.of(level) for level in levels},
        zero_point_mag=constant,
        law=ReddeningLaw(np.zeros(1), np.eye(1), 0.0, ((0, 0),), ()),
        photometry=PhotometricError(noise.scale, noise.floor_mag),
        summary={
            "offsets": {
                "joint": {
                    "components": {part.name: {"sd_mag": part.sd_mag} for part in fit.components}
                }
            }
        },
    )
    opened = SimpleNamespace(solution=SimpleNamespace(levels=levels), path=None)
    run = OpenedRun(opened, data, None)
    run.__dict__["needs"] = NEEDS
    # The sample was solved with its errors as they are, not with those of predicted magnitudes.
    run.__dict__["photometric_variance"] = noise.variance(sample.error_mag)
    return run


def visit_table(answer: Answer, sample: Sample) -> VisitTable:
    offset, error = (np.full(sample.visits, np.nan) for _ in range(2))
    offset[numbers(answer.fit)] = answer._results.exposures.visit_mag
    error[numbers(answer.fit)] = answer._results.exposures.visit_err_mag
    none = np.full(sample.visits, np.nan)
    return VisitTable(
        visit=tuple(f"visit_{number:04d}" for number in range(sample.visits)),
        field=np.array([f"field_{number:04d}" for number in sample.field]),
        mjd=sample.mjd,
        season=np.zeros(sample.visits, dtype=np.int64),
        airmass=none,
        ra_deg=none,
        dec_deg=none,
        offset_mag=offset,
        err_mag=error,
        scatter_mag=none,
        count=np.bincount(sample.visit, minlength=sample.visits),
    )


def numbers(fit: JointFit) -> np.ndarray:
    return np.array([int(key.split("_")[1]) for key in fit.design.exposures.visits])


def moves(answer: Answer, sample: Sample, drawn: Drawn, visit: int) -> np.ndarray:
    """Return by how much visits move in a solution without one, less the survey's mean."""
    kept = sample.visit != visit
    rest = sample.take(kept)
    settings = replace(answer._problem.settings, move_variances=False, exact_rounds=0)
    start = replace(answer.fit.estimate, parameters=np.zeros(0))
    seen = np.unique(sample.star[kept])
    problem = replace(
        answer._problem,
        table=table_of(rest),
        delta_mag=drawn.delta[kept],
        star=rest.star,
        error_mag=rest.error_mag,
        covariates=answer._problem.covariates[seen],
        settings=settings,
    )
    fit = fit_joint(problem, start)
    after = np.full(sample.visits, np.nan)
    after[numbers(fit)] = JointResults(fit).exposures.visit_mag
    before = np.full(sample.visits, np.nan)
    before[numbers(answer.fit)] = answer._results.exposures.visit_mag
    move = after - before
    each = np.bincount(sample.visit[kept], minlength=sample.visits)
    others = np.arange(sample.visits) != visit
    move -= each[others] @ move[others] / each.sum()
    move[visit] = np.nan
    return move


def test_moves_are_those_of_a_solution_without_the_visit():
    """Of two fields that overlap and one apart, variances and all that they hold the same."""
    whole = pointings(pairs=1, singles=1, density=500, seed=2)
    sample = whole.take(np.flatnonzero(whole.ccd < CCDS))
    drawn = draw(sample, SPREAD, 2)
    answer = solve(sample, drawn, SPREAD)
    run = products(answer, sample, drawn)
    visit = 0
    told, levels, ring = visit_shifts(run, visit)
    true = moves(answer, sample, drawn, visit)
    assert {"visit", "jitter", "cell"} <= set(levels) and 1 in ring
    others = np.isfinite(true)
    size, wrong = (np.sqrt(np.mean(x[others] ** 2)) for x in (true, told - true))
    # Static parts and maps are held, and robust weights: what they would take up of a move is
    # a fraction of it, while a wrong sign or a forgotten level costs the whole.
    assert size > 0.2e-3
    assert wrong < 0.4 * size
