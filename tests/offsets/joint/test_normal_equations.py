"""The normal equations against the same written out as dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.joint import normal_equations
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import StarOrder, normal_matrix
from scrframe.offsets.joint.stars import star_means, star_solve, weighted
from scrframe.offsets.joint.variance_components import prior_matrix

#: Rounding of sums of a few hundred products.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def small_model(
    seed: int, detections: int = 160, stars: int = 70, density: float = 0.3
) -> MixedModel:
    """Draw a model with overlaps: any star may be in any exposure, also twice."""
    rng = np.random.default_rng(seed)
    exposures, shared, own = 12, 15, 9
    precision = sparse.csr_array(sparse.diags_array(rng.uniform(0.5, 2.0, shared - 1)))
    return MixedModel(
        terms=(
            Term("constant", "nuisance", 0, 1, None),
            Term("visit", "correction", 1, shared, precision),
            Term("bin", "correction", shared, shared + own, sparse.csr_array(np.eye(own))),
        ),
        by_exposure=sparse.csr_array(rng.standard_normal((exposures, shared))),
        by_detection=sparse.random_array((detections, own), density=density, rng=rng).tocsr(),
        exposure=rng.integers(0, exposures, detections),
        star=rng.integers(0, stars, detections),
        stars=stars,
    )


def some_weights(model: MixedModel, seed: int, unused: float = 0.0, free: float = 0.0) -> Weights:
    rng = np.random.default_rng(seed)
    rows = len(model.star)
    detection = rng.uniform(0.1, 3.0, rows) * (rng.random(rows) >= unused)
    star = rng.uniform(0.1, 3.0, model.stars) * (rng.random(model.stars) >= free)
    return Weights(detection, star)


def design(model: MixedModel) -> np.ndarray:
    shared = model.by_exposure.toarray()[model.exposure]
    return np.hstack([shared, model.by_detection.toarray()])


def inverse_covariance(model: MixedModel, weights: Weights) -> np.ndarray:
    """Invert each star's covariance; a free mean is projected out."""
    out = np.zeros((len(model.star), len(model.star)))
    for star in range(model.stars):
        rows = np.flatnonzero((model.star == star) & (weights.detection > 0))
        if weights.star[star] > 0:
            covariance = np.diag(1 / weights.detection[rows]) + 1 / weights.star[star]
            out[np.ix_(rows, rows)] = np.linalg.inv(covariance)
        elif len(rows):
            root = np.sqrt(weights.detection[rows])
            away = np.eye(len(rows)) - np.outer(root, root) / (root @ root)
            out[np.ix_(rows, rows)] = root[:, None] * away * root
    return out


@pytest.mark.parametrize("density", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(("unused", "free"), [(0.0, 0.0), (0.3, 0.0), (0.0, 1.0), (0.3, 0.4)])
def test_the_normal_matrix_is_the_dense_one(density, unused, free):
    model = small_model(1, density=density)
    weights = some_weights(model, 2, unused, free)
    z, inverse = design(model), inverse_covariance(model, weights)
    np.testing.assert_allclose(normal_matrix(model, weights).toarray(), z.T @ inverse @ z, **EXACT)


def test_a_single_detection_of_a_star_with_a_free_mean_tells_nothing():
    model = small_model(1, detections=40, stars=4000)
    alone = np.bincount(model.star, minlength=model.stars)[model.star] == 1
    weights = Weights(alone.astype(float), np.zeros(model.stars))
    assert alone.sum() > 30
    assert np.all(normal_matrix(model, weights).toarray() == 0.0)
    assert np.all(star_solve(model, weights, np.arange(40.0)) == 0.0)


def test_the_work_in_chunks_gives_the_same_matrix(monkeypatch):
    model = small_model(3)
    weights = some_weights(model, 4, 0.2, 0.2)
    whole = normal_matrix(model, weights).toarray()
    monkeypatch.setattr(normal_equations, "CHUNK", 7)
    found = normal_matrix(model, weights).toarray()
    np.testing.assert_allclose(found, whole, **EXACT)
    np.testing.assert_array_equal(normal_matrix(model, weights, threads=1).toarray(), found)


def test_the_order_of_stars_and_detections_does_not_matter():
    model = small_model(5)
    weights = some_weights(model, 6, 0.2, 0.2)
    rng = np.random.default_rng(7)
    rows, names = rng.permutation(len(model.star)), rng.permutation(model.stars)
    star_weights = np.empty(model.stars)
    star_weights[names] = weights.star
    moved = MixedModel(
        model.terms,
        model.by_exposure,
        model.by_detection[rows],
        model.exposure[rows],
        names[model.star[rows]],
        model.stars,
    )
    np.testing.assert_allclose(
        normal_matrix(moved, Weights(weights.detection[rows], star_weights)).toarray(),
        normal_matrix(model, weights).toarray(),
        **EXACT,
    )


def test_the_order_holds_every_detection_once_star_by_star():
    model = small_model(8)
    order = StarOrder.of(model)
    assert order.detection is not None
    assert sorted(order.detection) == list(range(len(model.star)))
    of_row = np.repeat(order.star, np.diff(order.first))
    np.testing.assert_array_equal(model.star[order.detection], of_row)
    assert sorted(order.star) == list(range(model.stars))


def test_detections_in_the_order_of_their_stars_need_no_other():
    model = small_model(8)
    weights = some_weights(model, 9)
    rows = StarOrder.of(model).detection
    moved = MixedModel(
        model.terms,
        model.by_exposure,
        model.by_detection[rows],
        model.exposure[rows],
        model.star[rows],
        model.stars,
    )
    assert StarOrder.of(moved).detection is None
    np.testing.assert_allclose(
        normal_matrix(moved, Weights(weights.detection[rows], weights.star)).toarray(),
        normal_matrix(model, weights).toarray(),
        **EXACT,
    )


@pytest.mark.parametrize("free", [0.0, 0.5])
def test_right_hand_sides_are_the_dense_ones(free):
    model = small_model(9)
    weights = some_weights(model, 10, 0.2, free)
    values = np.random.default_rng(11).standard_normal(len(model.star))
    inverse = inverse_covariance(model, weights)
    np.testing.assert_allclose(star_solve(model, weights, values), inverse @ values, **EXACT)
    np.testing.assert_allclose(
        weighted(model, weights, values), design(model).T @ inverse @ values, **EXACT
    )


def test_star_means_are_the_posterior_ones():
    model = small_model(12)
    weights = some_weights(model, 13, 0.2)
    residual = np.random.default_rng(14).standard_normal(len(model.star))
    member = (model.star == np.arange(model.stars)[:, None]).astype(float)
    covariance = np.linalg.inv(
        np.diag(weights.star) + member @ (weights.detection[:, None] * member.T)
    )
    mean, variance = star_means(model, weights, residual)
    np.testing.assert_allclose(mean, covariance @ member @ (weights.detection * residual), **EXACT)
    np.testing.assert_allclose(variance, np.diag(covariance), **EXACT)


def test_a_star_without_any_weight_has_mean_zero_and_an_infinite_variance():
    model = small_model(15)
    weights = Weights(np.zeros(len(model.star)), np.zeros(model.stars))
    mean, variance = star_means(model, weights, np.ones(len(model.star)))
    assert np.all(mean == 0.0)
    assert np.all(np.isinf(variance))
    assert np.all(normal_matrix(model, weights).toarray() == 0.0)


def test_the_prior_is_the_precision_over_the_variance_and_nothing_for_flat_terms():
    model = small_model(16)
    prior = prior_matrix(model, {"visit": 0.5, "bin": 0.1}).toarray()
    visit = model.terms[1]
    expected = np.zeros((model.width, model.width))
    expected[visit.columns, visit.columns] = visit.precision.toarray() / 0.25
    expected[15:, 15:] = np.eye(9) / 0.01
    np.testing.assert_allclose(prior, expected, rtol=1e-12)


@pytest.mark.parametrize("sd", [{}, {"visit": 0.5, "bin": 0.0}, {"visit": np.nan, "bin": 1.0}])
def test_a_prior_without_a_positive_sd_is_refused_by_name(sd):
    with pytest.raises(CalibrationError, match=r"term '(visit|bin)': its standard deviation"):
        prior_matrix(small_model(17), sd)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_inverse_variances_are_refused(bad):
    model = small_model(18)
    weights = some_weights(model, 19)
    weights.detection[3] = bad
    with pytest.raises(CalibrationError, match=r"weights of detections: 1 are negative .* row 3"):
        normal_matrix(model, weights)


def test_a_model_without_detections_has_an_empty_normal_matrix():
    model = small_model(20)
    empty = MixedModel(
        model.terms,
        model.by_exposure,
        model.by_detection[:0],
        model.exposure[:0],
        model.star[:0],
        0,
    )
    matrix = normal_matrix(empty, Weights(np.zeros(0), np.zeros(0)))
    assert matrix.shape == (model.width, model.width)
    assert matrix.nnz == 0 or np.all(matrix.data == 0.0)
