"""The joint fit against dense linear algebra, its draws, its rounds, and gross outliers."""

from dataclasses import replace

import numpy as np
import pytest
from joint_cases import (
    ERROR,
    SCATTER,
    TRUE,
    blup,
    dense_noise,
    draw_case,
    error_covariance,
    restricted_likelihood,
)
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.joint.fit import fit_design, fit_joint
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import normal_matrix, normal_system
from scrframe.offsets.joint.stars import noise_draw, star_solve, weighted
from scrframe.offsets.joint.variance_components import (
    PRIOR_SPREAD,
    prior_draw,
    prior_matrix,
    prior_roots,
)
from scrframe.offsets.outliers.weights import OutlierSettings

KINDS = ("visit", "static", "drift", "jitter", "pixel", "slope", "free")
#: A solve of some hundred equations whose condition number is 1e5 or so, in mag.
SOLVED_MAG = 1e-12


@pytest.fixture(scope="module")
def case():
    return draw_case(1, KINDS)


@pytest.fixture(scope="module")
def fit(case):
    return fit_joint(case.problem)


@pytest.fixture(scope="module")
def settled(case):
    """Return a fit without robust weights, gone round until nothing moves at all."""
    return fit_joint(case.using(outliers=OutlierSettings(False), max_rounds=0, exact_rounds=60))


def determined(fit):
    """Return the components that the data determine: others go with the draws."""
    found = [each for each in fit.components if not each.note]
    assert {each.name for each in found} >= {"visit", "jitter", "pixel"}
    return found


def test_parameters_are_the_best_linear_unbiased_predictor(case, fit):
    expected = blup(case.model, fit.weights, fit.estimate.sd_mag, case.problem.delta_mag)
    np.testing.assert_allclose(fit.estimate.parameters, expected, atol=SOLVED_MAG)
    residual = case.problem.delta_mag - case.model.values(expected)
    np.testing.assert_allclose(fit.residual_mag, residual, atol=SOLVED_MAG)


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_rounds": 3, "exact_rounds": 0}, {"max_rounds": 0, "exact_rounds": 0}],
    ids=["with a last solve", "without", "no round at all"],
)
def test_factor_weights_prior_and_parameters_are_of_one_solve(case, spoilt, settings):
    """Variances and rates are far from settled after three rounds, and outliers lose weight."""
    problem, model = case.using(spoilt[0], **settings), case.model
    fit = fit_joint(problem)
    again = fit.factor.solve(weighted(model, fit.weights, problem.delta_mag))
    np.testing.assert_allclose(fit.estimate.parameters, again, atol=SOLVED_MAG)
    residual = problem.delta_mag - model.values(again)
    np.testing.assert_allclose(fit.residual_mag, residual, atol=SOLVED_MAG)
    system = normal_matrix(model, fit.weights) + prior_matrix(model, fit.prior_sd_mag)
    unit = np.eye(model.width)
    np.testing.assert_allclose(system @ fit.factor.solve(unit), unit, atol=1e-9)
    used = fit.robust.detection > 0
    variance = fit.robust.detection[used] / fit.weights.detection[used]
    # scale^2 error^2 + floor^2, of whatever scale and floor the solve had.
    line = np.column_stack([problem.error_mag[used] ** 2, np.ones(used.sum())])
    found = line @ np.linalg.lstsq(line, variance, rcond=None)[0]
    np.testing.assert_allclose(variance, found, rtol=1e-9)


def test_the_factor_is_that_of_the_error_covariance(case, fit):
    expected = error_covariance(case.model, fit.weights, fit.estimate.sd_mag)
    found = fit.factor.solve(np.eye(case.model.width))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7 * expected.max())


def test_weights_are_those_of_the_noise_and_the_robust_ones(case, fit):
    noise, problem = fit.estimate.noise, case.problem
    variance = (noise.scale * problem.error_mag) ** 2 + noise.floor_mag**2
    np.testing.assert_allclose(fit.weights.detection, fit.robust.detection / variance)
    scatter = np.exp(2 * (problem.covariates @ noise.scatter))
    np.testing.assert_allclose(fit.weights.star, fit.robust.star / scatter)
    assert fit.robust.kept > 0.99


def test_the_estimates_lie_within_their_errors_of_the_truth(case, fit):
    """Those that the data determine; all are drawn once, so four errors are rare."""
    assert fit.converged
    assert {each.name for each in fit.components} == set(KINDS) - {"free"}
    for each in fit.components:
        pull = np.log(each.sd_mag / TRUE[each.name]) / (each.err_mag / each.sd_mag)
        assert abs(pull) < 4
        assert each.sd_mag == fit.estimate.sd_mag[each.name]
    noise, errors = fit.estimate.noise, fit.noise_errors
    typical = np.sqrt(noise.variance(np.array([ERROR])))[0]
    # About 1000 differences of repeats tell the noise to some 3 per cent.
    assert typical == pytest.approx(ERROR, rel=0.12)
    assert abs(noise.scatter[0] - np.log(SCATTER)) < 4 * errors[2]


def test_settled_variances_are_the_likeliest(case, settled):
    """No move of one variance, by a tenth of its error, is better by dense algebra."""
    sd, start = settled.estimate.sd_mag, case.problem.settings.start_mag

    def penalised(values):
        prior = sum(np.log(values[name] ** 2 / start[name] ** 2) ** 2 for name in values)
        likelihood = restricted_likelihood(
            case.model, settled.weights, values, case.problem.delta_mag
        )
        return likelihood - 0.5 * prior / PRIOR_SPREAD**2

    best = penalised(sd)
    for each in settled.components:
        for sign in (-1, 1):
            other = sd[each.name] * np.exp(sign * 0.1 * each.err_mag / each.sd_mag)
            assert penalised({**sd, each.name: other}) < best


def test_a_fit_that_is_left_to_itself_ends_near_the_settled_one(case, settled):
    """Of drawn traces and the tolerance of a hundredth: within a fifth of the error."""
    found = {
        each.name: each
        for each in fit_joint(case.using(outliers=OutlierSettings(False))).components
    }
    for each in determined(settled):
        assert abs(found[each.name].sd_mag - each.sd_mag) < 0.2 * each.err_mag


def test_a_warm_start_gives_the_same_answer(case, fit):
    again = fit_joint(case.problem, fit.estimate)
    assert len(again.rounds) <= len(fit.rounds)
    for each in fit.components:
        assert abs(again.estimate.sd_mag[each.name] - each.sd_mag) < 0.2 * each.err_mag
    error = np.sqrt(np.diag(error_covariance(case.model, fit.weights, fit.estimate.sd_mag)))
    moved = np.abs(again.estimate.parameters - fit.estimate.parameters)
    assert np.max(moved / error) < 0.2


def test_the_same_seed_gives_the_same_bits_and_another_nearly_the_same(case, fit):
    again, other = fit_joint(case.problem), fit_joint(case.using(seed=99))
    np.testing.assert_array_equal(again.estimate.parameters, fit.estimate.parameters)
    assert again.components == fit.components
    assert other.estimate.sd_mag != fit.estimate.sd_mag
    for each in determined(fit):
        assert abs(other.estimate.sd_mag[each.name] - each.sd_mag) < 0.2 * each.err_mag


def test_any_number_of_threads_gives_the_same_bits(case, monkeypatch):
    """The normal equations are summed in many pieces, by the number of threads asked for."""
    monkeypatch.setattr("scrframe.offsets.joint.normal_equations.CHUNK", 100)
    asked = []

    def noted(*given, threads):
        asked.append(threads)
        return normal_system(*given, threads=threads)

    monkeypatch.setattr("scrframe.offsets.joint.fit.normal_system", noted)
    one, three = (fit_joint(case.using(threads=number)) for number in (1, 3))
    assert set(asked) == {1, 3}
    np.testing.assert_array_equal(one.estimate.parameters, three.estimate.parameters)
    assert one.components == three.components


def test_rounds_are_told_as_they_come(case):
    told = []
    fit = fit_joint(case.problem, report=told.append)
    assert tuple(told) == fit.rounds
    assert told[-1].moved_mag < 1e-3 < told[0].moved_mag


def test_a_design_that_is_laid_out_gives_the_same_fit(case, fit):
    found = fit_design(case.design, replace(case.problem, levels=()))
    np.testing.assert_array_equal(found.estimate.parameters, fit.estimate.parameters)


@pytest.mark.parametrize(("name", "what"), [("delta_mag", "difference"), ("error_mag", "error")])
def test_what_is_not_finite_is_refused(case, name, what):
    values = getattr(case.problem, name).copy()
    values[[3, 8]] = np.nan, np.inf
    problem = replace(case.problem, **{name: values})
    for fit in (lambda: fit_joint(problem), lambda: fit_design(case.design, problem)):
        with pytest.raises(CalibrationError, match=f"2 detections .* magnitude {what} that is not"):
            fit()


def test_held_variances_stay(case):
    found = fit_joint(case.using(held=frozenset({"jitter"})))
    assert found.estimate.sd_mag["jitter"] == pytest.approx(TRUE["jitter"], rel=1e-12)
    still = fit_joint(case.using(move_variances=False, max_rounds=3, exact_rounds=0))
    assert still.estimate.sd_mag == {name: TRUE[name] for name in KINDS if name != "free"}
    assert still.components == ()


def test_without_robust_weights_all_count_alike(settled):
    assert np.all(settled.robust.detection == 1) and np.all(settled.robust.star == 1)


def small_model():
    """Return six stars in twelve detections, and weights of which some are nought."""
    random_walk = np.diag([2.0, 3.0, 2.0]) - np.diag([1.0, 1.0], 1) - np.diag([1.0, 1.0], -1)
    model = MixedModel(
        terms=(
            Term("constant", "nuisance", 0, 1, None),
            Term("group", "correction", 1, 3, sparse.csr_array(np.diag([1.0, 4.0]))),
            Term("walk", "correction", 3, 6, sparse.csr_array(random_walk)),
        ),
        by_exposure=sparse.csr_array(np.ones((2, 6))),
        by_detection=sparse.csr_array((12, 0)),
        exposure=np.arange(12) % 2,
        star=np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5]),
        stars=6,
    )
    detection = np.array([1.0, 2.0, 3.0, 1.0, 0.0, 0.0, 0.0, 2.0, 1e-9, 4.0, 1.0, 1.5])
    return model, Weights(detection, np.array([1.0, 0.5, 2.0, 1.0, 1.0, 0.0]))


def assert_covariance(draws, expected):
    """Compare with the covariance of draws, shape (k, n), by its standard errors."""
    number = len(draws)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / number)
    assert np.all(np.abs(draws.T @ draws / number - expected) <= 5 * error + 1e-12)


def test_noise_draws_have_the_covariance_of_weighted_noise():
    """V^-1 (s + e) has the covariance V^-1; a free star mean takes its part out of it."""
    model, weights = small_model()
    random = np.random.default_rng(3)
    draws = np.array([noise_draw(model, weights, random) for _ in range(20_000)])
    inverse = star_solve_matrix(model, weights)
    assert_covariance(draws, inverse)
    rest = Weights(weights.detection, np.where(weights.star > 0, weights.star, 1.0))
    noise, rows = dense_noise(model, rest)
    seen = rows[model.star[rows] != 5]
    place = np.isin(rows, seen)
    np.testing.assert_allclose(
        inverse[np.ix_(seen, seen)], np.linalg.inv(noise[np.ix_(place, place)]), rtol=1e-6
    )
    assert np.all(draws[:, weights.detection == 0] == 0)


def star_solve_matrix(model, weights):
    return np.array([star_solve(model, weights, unit) for unit in np.eye(len(model.star))])


def test_prior_draws_have_the_covariance_of_the_precision():
    model, _ = small_model()
    sd, random = {"group": 0.5, "walk": 2.0}, np.random.default_rng(4)
    roots = prior_roots(model)
    draws = np.array([prior_draw(model, sd, roots, random) for _ in range(20_000)])
    expected = np.zeros((6, 6))
    for term in model.terms[1:]:
        expected[term.columns, term.columns] = term.precision.toarray() / sd[term.name] ** 2
    assert_covariance(draws, expected)
    assert np.all(draws[:, 0] == 0)


@pytest.fixture(scope="module")
def spoilt(case):
    """Return the case with a twentieth of the stars 5 mag off, and those stars' detections."""
    stars = np.random.default_rng(5).random(case.model.stars) < 0.05
    bad = stars[case.problem.star]
    return case.problem.delta_mag + 5.0 * bad, bad


def test_stars_that_are_far_off_have_no_influence(case, fit, spoilt):
    delta, bad = spoilt
    found = fit_joint(case.using(delta))
    count = np.bincount(case.problem.star)[case.problem.star]
    assert np.all(found.weights.star[case.problem.star[bad]] < 1e-6 / SCATTER**2)
    # Of stars seen once nobody can tell whether they or their detection are wrong.
    assert np.all(found.robust.detection[bad & (count == 1)] < 1e-6)
    # How far off they are does not matter, for what they say of differences stays.
    other = fit_joint(case.using(delta - 8.0 * bad))
    for each, same in zip(found.components, other.components, strict=True):
        assert same.sd_mag == pytest.approx(each.sd_mag, rel=1e-3)
    error = np.sqrt(np.diag(error_covariance(case.model, fit.weights, fit.estimate.sd_mag)))
    moved = np.abs(other.estimate.parameters - found.estimate.parameters)
    assert np.max(moved / error) < 0.01
    moved = np.abs(found.estimate.parameters - fit.estimate.parameters)
    assert np.max(moved / error) < 2
    for each in determined(fit):
        assert abs(found.estimate.sd_mag[each.name] - each.sd_mag) < each.err_mag
    assert found.converged


def test_single_detections_that_are_far_off_have_no_influence(case, fit):
    bad = np.random.default_rng(6).random(len(case.problem.star)) < 0.03
    found = fit_joint(case.using(case.problem.delta_mag - 5.0 * bad))
    assert np.all(found.robust.detection[bad] < 1e-6)
    error = np.sqrt(np.diag(error_covariance(case.model, fit.weights, fit.estimate.sd_mag)))
    assert np.max(np.abs(found.estimate.parameters - fit.estimate.parameters) / error) < 2
    for each in fit.components:
        assert abs(found.estimate.sd_mag[each.name] - each.sd_mag) < each.err_mag


def test_where_hardly_anything_is_kept_the_fit_is_refused(case):
    rng = np.random.default_rng(7)
    delta = np.where(rng.random(len(case.problem.star)) < 0.5, 5.0, case.problem.delta_mag)
    delta = delta * rng.choice([-1, 1], len(delta))
    with pytest.raises(CalibrationError, match="the joint solve would keep"):
        fit_joint(case.using(delta))


def test_terms_that_cannot_be_told_apart_are_refused():
    same = draw_case(8, ("visit", "free", "free"), stars=50)
    with pytest.raises(CalibrationError, match="not positive definite"):
        fit_joint(same.problem)
