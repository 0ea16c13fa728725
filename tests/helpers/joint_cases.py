"""A small survey drawn from the mixed model, and the same model as dense matrices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.builtin.offset_levels.maps import (
    BilinearConfig,
    BinConfig,
    prepare_bilinear,
    prepare_bin,
)
from scrframe.builtin.offset_levels.polynomial import PolynomialConfig, prepare_polynomial
from scrframe.builtin.offset_levels.slope import SlopeConfig, prepare_slope
from scrframe.builtin.offset_levels.time import RandomWalkConfig, prepare_random_walk
from scrframe.offsets.joint.mixed_model import MixedModel, Weights, build_design
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.tables import Detections, MatchedStars

VISITS, CCDS, NX, NY = 8, 4, 1024, 1000
ERROR, SCATTER = 0.02, 0.05
#: Standard deviations of the terms, in mag.
TRUE = {"visit": 0.06, "static": 0.02, "drift": 0.01, "jitter": 0.015, "pixel": 0.02, "slope": 0.05}


@dataclass(frozen=True)
class Case:
    """A problem with its truth."""

    problem: JointProblem
    truth: np.ndarray = field(repr=False)

    @property
    def model(self) -> MixedModel:
        return self.design.model

    @property
    def design(self):
        problem = self.problem
        return build_design(problem.levels, problem.table, problem.star, len(problem.covariates))

    def using(self, delta=None, **settings) -> JointProblem:
        """Return the problem with other differences or settings."""
        return replace(
            self.problem,
            delta_mag=self.problem.delta_mag if delta is None else delta,
            settings=replace(self.problem.settings, **settings),
        )


def drawn_table(rng, stars: int, per_visit: float) -> tuple[Detections, np.ndarray]:
    """Return detections and their stars: each visit sees a share of the stars on all CCDs."""
    seen = rng.random((VISITS, stars)) < per_visit
    visit, star = np.nonzero(seen)
    ccd = rng.integers(1, CCDS + 1, len(visit))
    star = np.unique(star, return_inverse=True)[1]
    extinction = rng.gamma(2, 0.3, stars)
    rows = np.arange(len(visit))
    columns = {
        "visit": [f"v{9 - number}" for number in visit],
        "band": ["u"] * len(rows),
        "ccd": ccd,
        "file": ["f"] * len(rows),
        "extension": ccd,
        "row": rows,
        "ra": np.ones(len(rows)),
        "dec": np.ones(len(rows)),
        "mjd": 55900.0 + 100 * visit,
        "x": rng.uniform(0.5, NX + 0.5, len(rows)),
        "y": rng.uniform(0.5, NY + 0.5, len(rows)),
        "mag": np.ones(len(rows)),
        "mag_err": np.ones(len(rows)),
        "field": [f"f{number % 2}" for number in visit],
        "extinction": extinction[star],
    }
    return Detections.from_columns(columns), star


def prepared(table: Detections, kinds: tuple[str, ...]):
    """Return levels by name, prepared on the table itself."""
    zero = np.zeros(len(table), dtype=np.int64)
    matched = MatchedStars(table, table, zero, np.zeros((1, 1), np.float32), zero == 1)
    extent = (f"{NX} pix", f"{NY} pix")
    makers = {
        "visit": (prepare_group, GroupConfig(by=("visit",))),
        "static": (prepare_group, GroupConfig(by=("ccd",))),
        "drift": (prepare_random_walk, RandomWalkConfig(step="250 d", by=("ccd",))),
        "jitter": (prepare_group, GroupConfig(by=("visit", "ccd"))),
        "pixel": (prepare_bin, BinConfig(size="512 pix", extent=extent)),
        "smooth": (prepare_bilinear, BilinearConfig(size="1024 pix", extent=extent)),
        "tilt": (prepare_polynomial, PolynomialConfig(order=1, by=("ccd",), extent=extent)),
        "slope": (prepare_slope, SlopeConfig(of=("extinction",), by=("field",))),
        "free": (prepare_slope, SlopeConfig(of=("extinction",), prior="flat")),
    }
    return tuple(makers[name][0](name, matched, makers[name][1]) for name in kinds)


def draw_case(
    seed: int,
    kinds: tuple[str, ...] = ("visit", "static", "drift", "jitter", "pixel", "slope"),
    stars: int = 450,
    per_visit: float = 0.4,
    **settings,
) -> Case:
    """Draw a survey from the model with the variances of `TRUE`, errors as catalogued."""
    rng = np.random.default_rng(seed)
    table, star = drawn_table(rng, stars, per_visit)
    levels = prepared(table, kinds)
    count = int(star.max()) + 1
    model = build_design(levels, table, star, count).model
    truth = np.zeros(model.width)
    for term in model.terms:
        if term.precision is not None:
            root = np.linalg.cholesky(np.linalg.inv(term.precision.toarray()))
            truth[term.columns] = TRUE.get(term.name, 0.02) * root @ rng.normal(size=term.width)
    error = ERROR * np.exp(rng.normal(0, 0.3, len(star)))
    delta = model.values(truth) + SCATTER * rng.normal(size=count)[star]
    delta += error * rng.normal(size=len(star))
    problem = JointProblem(
        levels,
        table,
        delta,
        star,
        error,
        np.ones((count, 1)),
        JointSolverSettings(start_mag={name: TRUE.get(name, 0.02) for name in kinds}, **settings),
    )
    return Case(problem, truth)


def dense_design(model: MixedModel) -> np.ndarray:
    """Return Z, shape (n, p)."""
    return np.hstack([model.by_exposure.toarray()[model.exposure], model.by_detection.toarray()])


def dense_noise(model: MixedModel, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return V, of noise and stars, of the detections with weight, and their rows."""
    rows = np.flatnonzero(weights.detection > 0)
    star = model.star[rows]
    same = star[:, None] == star
    return np.diag(1 / weights.detection[rows]) + same / weights.star[star], rows


def dense_prior(model: MixedModel, sd: dict[str, float]) -> np.ndarray:
    """Return the covariance of the random terms, 0 for flat ones, shape (p, p)."""
    covariance = np.zeros((model.width, model.width))
    for term in model.terms:
        if term.precision is not None:
            inverse = np.linalg.inv(term.precision.toarray())
            covariance[term.columns, term.columns] = sd[term.name] ** 2 * inverse
    return covariance


def flat_columns(model: MixedModel) -> np.ndarray:
    """Return the columns without a prior."""
    flat = [np.arange(t.first, t.last) for t in model.terms if t.precision is None]
    return np.concatenate(flat)


def blup(model: MixedModel, weights: Weights, sd, delta: np.ndarray) -> np.ndarray:
    """Return the best linear unbiased predictor by its definition (Robinson 1991), shape (p,)."""
    z = dense_design(model)
    noise, rows = dense_noise(model, weights)
    prior, flat = dense_prior(model, sd), flat_columns(model)
    z, delta = z[rows], delta[rows]
    total = linalg.cho_factor(noise + z @ prior @ z.T)
    x = z[:, flat]
    solved = linalg.cho_solve(total, np.column_stack([x, delta]))
    fixed = np.linalg.solve(x.T @ solved[:, :-1], x.T @ solved[:, -1])
    found = prior @ z.T @ (solved[:, -1] - solved[:, :-1] @ fixed)
    found[flat] = fixed
    return found


def error_covariance(model: MixedModel, weights: Weights, sd) -> np.ndarray:
    """Return the covariance of predicted less true parameters, shape (p, p)."""
    z = dense_design(model)
    noise, rows = dense_noise(model, weights)
    precision = np.zeros((model.width, model.width))
    for term in model.terms:
        if term.precision is not None:
            precision[term.columns, term.columns] = term.precision.toarray() / sd[term.name] ** 2
    return np.linalg.inv(z[rows].T @ np.linalg.solve(noise, z[rows]) + precision)


def restricted_likelihood(model: MixedModel, weights: Weights, sd, delta: np.ndarray) -> float:
    """Return the restricted log likelihood of the variances, less a constant."""
    z = dense_design(model)
    noise, rows = dense_noise(model, weights)
    z, delta = z[rows], delta[rows]
    factor = linalg.cho_factor(noise + z @ dense_prior(model, sd) @ z.T)
    x = z[:, flat_columns(model)]
    solved = linalg.cho_solve(factor, np.column_stack([x, delta]))
    fixed = x.T @ solved[:, :-1]
    left = delta @ solved[:, -1] - (x.T @ solved[:, -1]) @ np.linalg.solve(
        fixed, x.T @ solved[:, -1]
    )
    log_determinant = 2 * np.log(np.diag(factor[0])).sum() + np.linalg.slogdet(fixed)[1]
    return float(-0.5 * (log_determinant + left))
