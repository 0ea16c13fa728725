"""Variance components: the score and the steps against the dense restricted likelihood."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joint_cases import (
    TRUE,
    dense_design,
    dense_noise,
    dense_prior,
    draw_case,
    error_covariance,
    flat_columns,
    restricted_likelihood,
)
from scipy import sparse

from scrframe.builtin.offset_levels.sky import smooth_precision
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import normal_matrix
from scrframe.offsets.joint.stars import weighted
from scrframe.offsets.joint.variance_components import (
    LONGEST_STEP,
    LOWEST_SD_MAG,
    PRIOR_SPREAD,
    StepBounds,
    drawn_trace,
    exact_trace,
    prior_matrix,
    prior_roots,
    random_terms,
    update_components,
    working_variates,
)
from scrframe.offsets.linalg.factor import Factor
from scrframe.statistics.sky import chord, unit_vectors

KINDS = ("visit", "drift", "jitter", "pixel", "slope", "free")
#: Standard deviations that are no solution, so that the score is not nought.
OFF = {"visit": 0.03, "drift": 0.03, "jitter": 0.03, "pixel": 0.008, "slope": 0.1}
STEP = 1e-3


@pytest.fixture(scope="module")
def case():
    return draw_case(5, KINDS, stars=200)


@pytest.fixture(scope="module")
def weights(case):
    rng = np.random.default_rng(6)
    rows, stars = len(case.problem.star), case.model.stars
    # Some detections lie outside, some stars count little.
    detection = rng.uniform(0.5, 1, rows) * (rng.random(rows) > 0.05) / 0.02**2
    return Weights(detection, rng.uniform(0.3, 1, stars) / 0.05**2)


def step_from(case, weights, sd, *, held=frozenset(), longest=None, start=None):
    model = case.model
    normal = normal_matrix(model, weights)
    factor = Factor(sparse.csc_array(normal + prior_matrix(model, sd)))
    parameters = factor.solve(weighted(model, weights, case.problem.delta_mag))
    components = update_components(
        model,
        parameters,
        factor.solve,
        exact_trace(factor),
        normal @ working_variates(model, parameters),
        sd,
        start or sd,
        held,
        longest or dict.fromkeys(sd, 100.0),
    )
    return {each.name: each for each in components}


def log_variance_step(components, sd):
    return {name: 2 * np.log(each.sd_mag / sd[name]) for name, each in components.items()}


def penalised(case, weights, sd, start):
    prior = sum(np.log(sd[name] ** 2 / start[name] ** 2) ** 2 for name in sd)
    value = restricted_likelihood(case.model, weights, sd, case.problem.delta_mag)
    return value - 0.5 * prior / PRIOR_SPREAD**2


def moved(sd, name, step):
    return {**sd, name: sd[name] * np.exp(0.5 * step)}


def score(case, weights, sd, start):
    """Return derivatives of the penalised likelihood by log variance, by differences."""
    return {
        name: (
            penalised(case, weights, moved(sd, name, STEP), start)
            - penalised(case, weights, moved(sd, name, -STEP), start)
        )
        / (2 * STEP)
        for name in sd
    }


def test_a_step_is_the_score_over_the_average_information(case, weights):
    """With the others held, step times inverse squared error is the derivative."""
    expected = score(case, weights, OFF, TRUE)
    for name in OFF:
        held = frozenset(set(OFF) - {name})
        found = step_from(case, weights, OFF, held=held, start=TRUE)
        error = 2 * found[name].err_mag / found[name].sd_mag
        step = log_variance_step(found, OFF)[name]
        # Differences over 1e-3: their own error is of the order of its square.
        assert step / error**2 == pytest.approx(expected[name], rel=1e-4, abs=1e-4)


def test_all_together_the_step_solves_for_the_score(case, weights):
    """The information's inverse maps the score of all terms to the step of all."""
    names = list(OFF)
    found = step_from(case, weights, OFF, start=TRUE)
    step = np.array([log_variance_step(found, OFF)[name] for name in names])
    information = average_information(case, weights, OFF) + np.eye(len(names)) / PRIOR_SPREAD**2
    expected = score(case, weights, OFF, TRUE)
    np.testing.assert_allclose(
        information @ step, [expected[name] for name in names], rtol=1e-4, atol=1e-4
    )
    errors = [2 * found[name].err_mag / found[name].sd_mag for name in names]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-8)


def average_information(case, weights, sd):
    """Return q^T P q / 2, q = V_l P y by log variance (Johnson & Thompson 1995), dense."""
    model, delta = case.model, case.problem.delta_mag
    z = dense_design(model)
    noise, rows = dense_noise(model, weights)
    z, delta = z[rows], delta[rows]
    inverse = np.linalg.inv(noise + z @ dense_prior(model, sd) @ z.T)
    x = z[:, flat_columns(model)]
    projector = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    working = []
    for name in sd:
        alone = dense_prior(model, {**dict.fromkeys(sd, 0.0), name: sd[name]})
        working.append(z @ (alone @ (z.T @ (projector @ delta))))
    working = np.array(working)
    return 0.5 * working @ projector @ working.T


def test_steps_end_where_the_likelihood_is_largest(case, weights):
    sd, bounds = dict(OFF), StepBounds(OFF)
    for _ in range(40):
        components = step_from(case, weights, sd, start=TRUE, longest=bounds.longest)
        step = max(abs(value) for value in log_variance_step(components, sd).values())
        after = {name: each.sd_mag for name, each in components.items()}
        bounds.note(sd, after)
        sd = after
        if step < 1e-6:
            break
    assert step < 1e-6
    best = penalised(case, weights, sd, TRUE)
    for name in sd:
        for change in (-0.1, 0.1):
            assert penalised(case, weights, moved(sd, name, change), TRUE) < best
    assert max(map(abs, score(case, weights, sd, TRUE).values())) < 1e-3


def test_traces_are_those_of_the_inverse(case, weights):
    model = case.model
    normal = normal_matrix(model, weights)
    factor = Factor(sparse.csc_array(normal + prior_matrix(model, OFF)))
    inverse = error_covariance(model, weights, OFF)
    rng = np.random.default_rng(8)
    number = 4000
    draws = rng.multivariate_normal(np.zeros(model.width), inverse, size=number)
    for term in random_terms(model):
        block = inverse[term.columns, term.columns]
        product = term.precision.toarray() @ block
        assert exact_trace(factor)(term) == pytest.approx(np.trace(product), rel=1e-8)
        # Variance of a quadratic form of normal numbers: 2 tr((K C)^2).
        error = np.sqrt(2 * np.trace(product @ product) / number)
        assert abs(drawn_trace(list(draws))(term) - np.trace(product)) < 4 * error


def test_held_terms_stay_and_say_so(case, weights):
    found = step_from(case, weights, OFF, held=frozenset({"pixel"}))
    assert found["pixel"].sd_mag == pytest.approx(OFF["pixel"], rel=1e-12)
    assert np.isnan(found["pixel"].err_mag)
    assert found["pixel"].note == "held at 8 mmag"
    assert found["visit"].sd_mag != pytest.approx(OFF["visit"], rel=1e-3)
    every = step_from(case, weights, OFF, held=frozenset(OFF))
    assert all(each.sd_mag == pytest.approx(OFF[name]) for name, each in every.items())


def test_no_step_is_longer_than_its_bound_nor_ends_below_the_least(case, weights):
    found = step_from(case, weights, OFF, longest=dict.fromkeys(OFF, 0.01))
    steps = log_variance_step(found, OFF)
    assert max(map(abs, steps.values())) == pytest.approx(0.01)
    tiny = {**OFF, "pixel": LOWEST_SD_MAG}
    least = step_from(with_delta(case, 0.0), weights, tiny)
    assert least["pixel"].sd_mag == LOWEST_SD_MAG


def with_delta(case, value):
    rows = len(case.problem.star)
    return replace(case, problem=replace(case.problem, delta_mag=np.full(rows, value)))


def test_what_the_data_do_not_determine_is_said():
    """One visit: nothing tells its spread, and the start value stays."""
    case = draw_case(9, ("visit", "pixel"), stars=100)
    one = case.problem.table["visit"] == "v9"
    star = np.unique(case.problem.star[one], return_inverse=True)[1]
    problem = replace(
        case.problem,
        table=case.problem.table.filter(one),
        delta_mag=case.problem.delta_mag[one],
        star=star,
        error_mag=case.problem.error_mag[one],
        covariates=np.ones((star.max() + 1, 1)),
    )
    fit = fit_joint(problem)
    found = {each.name: each for each in fit.components}["visit"]
    assert found.note == "hardly determined by the data: the start value decides"
    assert np.log(found.sd_mag / TRUE["visit"]) == pytest.approx(0, abs=PRIOR_SPREAD)


@given(st.lists(st.floats(0.01, 3) | st.floats(-3, -0.01), min_size=1, max_size=10))
def test_bounds_shrink_with_each_turn_and_grow_only_after_it(steps):
    bounds = StepBounds(["a", "b"])
    last = 0.0
    for wanted in steps:
        before = bounds.longest["a"]
        step = float(np.clip(wanted, -before, before))
        bounds.note({"a": 1.0, "b": 1.0}, {"a": np.exp(0.5 * step), "b": 1.0})
        after = bounds.longest["a"]
        assert 0 < after <= LONGEST_STEP
        if step * last < 0:
            # Rounding of the standard deviations: steps are ten-thousandths at least.
            assert after == pytest.approx(0.5 * min(before, abs(last)), rel=1e-9)
        else:
            assert after == pytest.approx(min(1.5 * before, LONGEST_STEP), rel=1e-9)
        last = step
    assert bounds.longest["b"] == LONGEST_STEP


@given(st.integers(1, 40))
def test_an_endless_swing_is_damped(turns):
    bounds, sd = StepBounds(["a"]), 1.0
    for turn in range(turns):
        step = bounds.longest["a"] * (-1) ** turn
        after = sd * np.exp(0.5 * step)
        bounds.note({"a": sd}, {"a": after})
        sd = after
    assert bounds.longest["a"] == pytest.approx(LONGEST_STEP * 0.5 ** (turns - 1), rel=1e-6)


def test_the_root_of_a_large_precision_is_sparse_and_its_square_the_precision():
    rng = np.random.default_rng(4)
    place = unit_vectors(rng.uniform(10, 22, 700), rng.uniform(-3, 3, 700))
    precision = smooth_precision(place, chord(0.5))
    term = Term("field", "nuisance", 0, 700, precision)
    empty = sparse.csr_array((1, 700)), sparse.csr_array((1, 0))
    model = MixedModel((term,), *empty, np.zeros(1, int), np.zeros(1, int), 1)
    root = prior_roots(model)["field"]
    assert sparse.issparse(root)
    difference = (root @ root.T - precision).toarray()
    assert np.abs(difference).max() < 1e-10 * np.abs(precision.toarray()).max()
