"""Variances found in a part of the visits first, against a fit of all from the beginning."""

from dataclasses import replace

import numpy as np
import pytest
from joint_cases import CCDS, ERROR, NX, NY, SCATTER, TRUE, prepared
from scipy import sparse

from scrframe.offsets.joint import fit
from scrframe.offsets.joint.fit import ENOUGH, fit_design, fit_joint
from scrframe.offsets.joint.mixed_model import MixedModel, Term, build_design
from scrframe.offsets.joint.problem import (
    ONE_IN,
    SUBSET_RUNS,
    JointProblem,
    JointSolverSettings,
    drop_empty_columns,
    in_subset,
    visit_subset,
)
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.tables import Detections

VISITS, PER_VISIT = 128, 160
KINDS = ("visit", "static", "drift", "jitter", "pixel", "slope", "free")


def strip(rng: np.random.Generator) -> tuple[Detections, np.ndarray]:
    """Return detections and their stars: a visit shares half its stars with each neighbour."""
    stars = (VISITS + 1) * PER_VISIT // 2
    visit = np.repeat(np.arange(VISITS), PER_VISIT)
    star = visit * PER_VISIT // 2 + np.tile(np.arange(PER_VISIT), VISITS)
    n = len(star)
    ccd = rng.integers(1, CCDS + 1, n)
    columns = {
        "visit": [f"v{number:03d}" for number in visit],
        "band": ["u"] * n,
        "ccd": ccd,
        "file": ["f"] * n,
        "extension": ccd,
        "row": np.arange(n),
        "ra": np.ones(n),
        "dec": np.ones(n),
        "mjd": 55900.0 + 10 * visit,
        "x": rng.uniform(0.5, NX + 0.5, n),
        "y": rng.uniform(0.5, NY + 0.5, n),
        "mag": np.ones(n),
        "mag_err": np.ones(n),
        "field": [f"f{number // 2:02d}" for number in visit],
        "extinction": rng.gamma(2, 0.3, stars)[star],
    }
    return Detections.from_columns(columns), star


@pytest.fixture(scope="module")
def problem() -> JointProblem:
    """Return a strip of visits drawn from the model; nothing starts from its truth."""
    rng = np.random.default_rng(1)
    table, star = strip(rng)
    levels, stars = prepared(table, KINDS), int(star.max()) + 1
    model = build_design(levels, table, star, stars).model
    truth = np.zeros(model.width)
    for term in model.terms:
        if term.precision is not None:
            root = np.linalg.cholesky(np.linalg.inv(term.precision.toarray()))
            truth[term.columns] = TRUE[term.name] * root @ rng.normal(size=term.width)
    error = ERROR * np.exp(rng.normal(0, 0.3, len(star)))
    delta = model.values(truth) + SCATTER * rng.normal(size=stars)[star]
    delta += error * rng.normal(size=len(star))
    return JointProblem(
        levels, table, delta, star, error, np.ones((stars, 1)), JointSolverSettings()
    )


@pytest.fixture(scope="module")
def normal(problem):
    return fit_joint(problem)


@pytest.fixture(scope="module")
def told_and_found(problem):
    """Return the rounds as told, and the fit, where so few detections count as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "MANY", len(problem.star) // 2)
        told = []
        return told, fit_joint(problem, report=told.append)


def test_most_rounds_are_those_of_the_part(normal, told_and_found):
    told, found = told_and_found
    of_part = told[: len(told) - len(found.rounds)]
    assert tuple(told[len(of_part) :]) == found.rounds
    assert len(of_part) >= 3
    assert len(found.rounds) < len(normal.rounds)
    assert found.converged


def test_variances_are_those_of_a_fit_of_all(normal, told_and_found):
    """The last step starts within ENOUGH, 0.1, and converges quadratically: to 1 per cent.

    The trace of the jitter is that of two draws of 512 columns, which scatters by 4 per
    cent. It is a third of the jitter's equation, so that its sd scatters by 1.5, thrice.
    """
    found = {each.name: each for each in told_and_found[1].components}
    assert not any(each.note for each in normal.components)
    for each in normal.components:
        assert found[each.name].sd_mag == pytest.approx(each.sd_mag, rel=0.055)
        assert found[each.name].err_mag == pytest.approx(each.err_mag, rel=0.1)
    one, other = told_and_found[1].estimate.noise, normal.estimate.noise
    assert one.scale == pytest.approx(other.scale, rel=0.01)
    assert one.floor_mag == pytest.approx(other.floor_mag, abs=0.1 * ERROR)
    assert one.scatter == pytest.approx(other.scatter, abs=0.01)


def test_offsets_are_those_of_a_fit_of_all(normal, told_and_found):
    """A prior's sd that is off by d moves a prediction by d of its error at most (rms).

    With k = sd^2 / (sd^2 + e^2) it is 2 d sqrt(k (1 - k)); d is ENOUGH at most. Added to
    the error in quadrature, that is half a per cent.
    """
    found = told_and_found[1]
    error = np.sqrt(normal.factor.diagonal())
    moved = (found.estimate.parameters - normal.estimate.parameters) / error
    assert np.any(moved != 0)
    for term in normal.design.model.terms:
        assert np.sqrt(np.mean(moved[term.columns] ** 2)) < ENOUGH


def test_a_fit_that_starts_from_another_takes_no_part(problem, normal, monkeypatch):
    monkeypatch.setattr(fit, "MANY", len(problem.star) // 2)
    told = []
    found = fit_joint(problem, normal.estimate, told.append)
    assert tuple(told) == found.rounds


def test_the_part_is_the_problem_of_its_visits(problem, normal):
    """Solved as it is, it gives what the same detections give when nothing else is known."""
    still = JointSolverSettings(
        outliers=OutlierSettings(False), move_variances=False, max_rounds=1, exact_rounds=0
    )
    design, some = visit_subset(normal.design, replace(problem, settings=still))
    part = fit_design(design, some)
    visit = normal.design.exposures.visit[normal.design.model.exposure]
    rows = np.flatnonzero(np.isin(visit // 2, np.arange(0, VISITS // 2, ONE_IN)))
    stars, star = np.unique(problem.star[rows], return_inverse=True)
    alone = fit_joint(
        JointProblem(
            problem.levels,
            problem.table.take(rows),
            problem.delta_mag[rows],
            star,
            problem.error_mag[rows],
            np.ones((len(stars), 1)),
            still,
        )
    )
    np.testing.assert_allclose(part.residual_mag, alone.residual_mag, atol=1e-12)
    wide = {term.name: term.width for term in alone.design.model.terms}
    width = {term.name: term.width for term in design.model.terms}
    assert wide["visit"] == 128 and width["visit"] == 16  # two neighbours of each 16
    assert wide["slope"] == 64 and width["slope"] == 8
    assert wide["jitter"] == 512 and width["jitter"] == 64
    # A random walk stays whole.
    assert wide["drift"] == width["drift"]
    names = np.array(design.exposures.visits)[design.exposures.visit]
    assert set(names) == {f"v{16 * run + each:03d}" for run in range(8) for each in (0, 1)}
    assert len(design.exposures) == design.model.by_exposure.shape[0] == 16 * CCDS


@pytest.mark.parametrize("visits", [1, 2, 15, 16, 40, 61, 130, 1544])
def test_runs_of_a_part_hold_neighbours_and_spread(visits):
    chosen = in_subset(np.arange(visits), visits)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    length = edges[1::2] - edges[::2]
    assert 1 <= len(length) <= SUBSET_RUNS
    if visits >= 2 * ONE_IN:
        assert length.min() >= 2
        # A run is a visit longer or shorter than its share.
        assert abs(chosen.sum() - visits / ONE_IN) <= len(length)
        apart = np.diff(edges[::2])
        assert len(apart) == 0 or np.ptp(apart) <= 1


def test_a_part_leaves_out_what_nobody_has():
    """Of a flat term too: a column without data would make the system singular."""
    walk = sparse.csr_array(np.diag([2.0, 2.0]) - np.diag([1.0], 1) - np.diag([1.0], -1))
    model = MixedModel(
        terms=(
            Term("constant", "nuisance", 0, 1, None),
            Term("walk", "correction", 1, 3, walk),
            Term("flat", "nuisance", 3, 6, None),
            Term("group", "correction", 6, 9, sparse.csr_array(np.diag([1.0, 2.0, 3.0]))),
        ),
        by_exposure=sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 0]])),
        by_detection=sparse.csr_array(
            np.array([[2.0, 0, 0, 0, 0, 1], [3, 0, 4, 0, 0, 1], [0, 0, 5, 0, 1, 0]])
        ),
        exposure=np.array([0, 1, 1]),
        star=np.array([0, 0, 1]),
        stars=2,
    )
    found = drop_empty_columns(model)
    spans = [(term.name, term.first, term.last) for term in found.terms]
    assert spans == [("constant", 0, 1), ("walk", 1, 3), ("flat", 3, 5), ("group", 5, 7)]
    np.testing.assert_array_equal(found.terms[1].precision.toarray(), walk.toarray())
    np.testing.assert_array_equal(found.terms[3].precision.toarray(), np.diag([2.0, 3.0]))
    kept = np.array([0, 1, 2, 3, 5, 7, 8])
    parameters = np.random.default_rng(3).normal(size=9)
    np.testing.assert_array_equal(found.values(parameters[kept]), model.values(parameters))
