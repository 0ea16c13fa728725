"""Stars of several surveys that are one source: V^-1 against the same as a dense matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from scrframe.offsets.joint import normal_equations
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import StarOrder, normal_matrix
from scrframe.offsets.joint.stars import noise_draw, star_means, star_solve, weighted
from scrframe.offsets.joint.variance_components import prior_matrix
from scrframe.offsets.linalg.factor import Factor

#: Rounding of sums of a few hundred products.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def drawn_model(seed: int, detections: int = 180, stars: int = 60, sources: int = 35) -> MixedModel:
    rng = np.random.default_rng(seed)
    exposures, shared, own = 12, 15, 9
    return MixedModel(
        terms=(
            Term("constant", "nuisance", 0, 1, None),
            Term("visit", "correction", 1, shared, sparse.eye_array(shared - 1, format="csr")),
            Term("bin", "correction", shared, shared + own, sparse.csr_array(np.eye(own))),
        ),
        by_exposure=sparse.csr_array(rng.standard_normal((exposures, shared))),
        by_detection=sparse.random_array((detections, own), density=0.3, rng=rng).tocsr(),
        exposure=rng.integers(0, exposures, detections),
        star=rng.integers(0, stars, detections),
        stars=stars,
        source=rng.permutation(np.concatenate([np.arange(sources), rng.integers(0, sources, 25)])),
    )


def drawn_weights(model: MixedModel, seed: int, unused: float = 0.0, free: float = 0.0) -> Weights:
    """Return weights with some detections left out, stars left free and loadings of nought."""
    rng = np.random.default_rng(seed)
    detection = rng.uniform(0.1, 3.0, len(model.star)) * (rng.random(len(model.star)) >= unused)
    star = rng.uniform(0.1, 3.0, model.stars) * (rng.random(model.stars) >= free)
    loading = rng.normal(0, 1, model.stars) * (rng.random(model.stars) >= 0.2)
    return Weights(detection, star, loading)


def dense(model: MixedModel, weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return V^-1 by detection, and the covariances of deviations with residuals, among each."""
    # A detection without weight is one of next to no information.
    noise = np.diag(1 / np.maximum(weights.detection, 1e-9))
    own = np.diag(1 / weights.star)
    same = model.source[:, None] == model.source
    deviations = own + same * np.outer(weights.loading, weights.loading)
    of = (model.star[:, None] == np.arange(model.stars)).astype(float)
    return np.linalg.inv(noise + of @ deviations @ of.T), of @ deviations, deviations


@pytest.mark.parametrize("chunk", [50_000, 9])
@pytest.mark.parametrize("unused", [0.0, 0.3])
def test_the_normal_matrix_is_the_dense_one(unused, chunk, monkeypatch):
    monkeypatch.setattr(normal_equations, "CHUNK", chunk)
    model = drawn_model(1)
    weights = drawn_weights(model, 2, unused)
    z = np.hstack([model.by_exposure.toarray()[model.exposure], model.by_detection.toarray()])
    inverse = dense(model, weights)[0]
    found = normal_matrix(model, weights).toarray()
    scale = 1e-10 if not unused else 1e-7  # as far as next to no information is none
    np.testing.assert_allclose(found, z.T @ inverse @ z, rtol=scale, atol=scale)
    np.testing.assert_array_equal(normal_matrix(model, weights, threads=1).toarray(), found)


def test_columns_that_all_detections_have_are_the_dense_ones_too():
    model = drawn_model(3)
    rng = np.random.default_rng(4)
    model = replace(model, by_detection=sparse.csr_array(rng.standard_normal((180, 9))))
    weights = drawn_weights(model, 5)
    z = np.hstack([model.by_exposure.toarray()[model.exposure], model.by_detection.toarray()])
    np.testing.assert_allclose(
        normal_matrix(model, weights).toarray(), z.T @ dense(model, weights)[0] @ z, **EXACT
    )


def test_right_hand_sides_are_the_dense_ones():
    model = drawn_model(6)
    weights = drawn_weights(model, 7)
    values = np.random.default_rng(8).standard_normal(len(model.star))
    z = np.hstack([model.by_exposure.toarray()[model.exposure], model.by_detection.toarray()])
    solved = dense(model, weights)[0] @ values
    np.testing.assert_allclose(star_solve(model, weights, values), solved, **EXACT)
    np.testing.assert_allclose(weighted(model, weights, values), z.T @ solved, **EXACT)


def test_star_means_are_the_posterior_ones():
    model = drawn_model(9)
    weights = drawn_weights(model, 10)
    residual = np.random.default_rng(11).standard_normal(len(model.star))
    inverse, cross, prior = dense(model, weights)
    mean, variance = star_means(model, weights, residual)
    np.testing.assert_allclose(mean, cross.T @ inverse @ residual, **EXACT)
    np.testing.assert_allclose(variance, np.diag(prior - cross.T @ inverse @ cross), **EXACT)


def test_variances_of_parameters_are_the_dense_ones():
    model = drawn_model(12)
    weights = drawn_weights(model, 13)
    prior = prior_matrix(model, {"visit": 0.5, "bin": 0.1})
    z = np.hstack([model.by_exposure.toarray()[model.exposure], model.by_detection.toarray()])
    covariance = np.linalg.inv(z.T @ dense(model, weights)[0] @ z + prior.toarray())
    outside = np.arange(model.width) >= 15
    factor = Factor(sparse.csc_array(normal_matrix(model, weights) + prior), outside)
    np.testing.assert_allclose(factor.diagonal(), np.diag(covariance), **EXACT)


@pytest.mark.parametrize("free", [0.0, 0.4])
def test_without_loadings_sources_change_nothing(free):
    model = drawn_model(14)
    weights = replace(drawn_weights(model, 15, 0.2, free), loading=np.zeros(model.stars))
    alone = replace(model, source=None)
    values = np.random.default_rng(16).standard_normal(len(model.star))
    np.testing.assert_allclose(
        normal_matrix(model, weights).toarray(), normal_matrix(alone, weights).toarray(), **EXACT
    )
    np.testing.assert_array_equal(
        star_solve(model, weights, values), star_solve(alone, weights, values)
    )


def test_a_star_that_is_left_free_has_nothing_in_common():
    model = drawn_model(17)
    weights = drawn_weights(model, 18, free=0.5)
    none = replace(weights, loading=np.where(weights.star > 0, weights.loading, 0.0))
    np.testing.assert_allclose(
        normal_matrix(model, weights).toarray(), normal_matrix(model, none).toarray(), **EXACT
    )


def test_the_order_keeps_sources_together_and_chunks_whole(monkeypatch):
    model = drawn_model(19)
    order = StarOrder.of(model)
    assert sorted(order.star) == list(range(model.stars))
    of_star = model.source[order.star]
    assert np.count_nonzero(np.diff(of_star)) == len(np.unique(of_star)) - 1
    monkeypatch.setattr(normal_equations, "CHUNK", 9)
    bounds = [low for low, _ in order.chunks()][1:]
    assert len(bounds) > 5
    assert np.all(of_star[bounds] != of_star[np.array(bounds) - 1])


def test_draws_of_the_right_hand_side_have_the_covariance_of_v_inverse():
    model = drawn_model(20, detections=12, stars=30, sources=5)
    weights = drawn_weights(model, 21)
    rng = np.random.default_rng(22)
    draws = np.stack([noise_draw(model, weights, rng) for _ in range(20_000)])
    inverse = dense(model, weights)[0]
    size = np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    # An entry of a sample covariance has a standard error of at most sqrt(2 / draws).
    assert np.abs((draws.T @ draws / len(draws) - inverse) / size).max() < 5 * np.sqrt(2 / 20_000)
