"""The ridge regression: scikit-learn's, explicit refits, the identities of its smoother."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import Ridge, RidgeCV

from scrframe.builtin.colour_models.ridge import RidgeConfig, fit
from scrframe.errors import CalibrationError

NOISE_MAG = 0.05
FIXED = RidgeConfig(penalties=(5.0,))


def stars(n: int, seed: int, noise: float = NOISE_MAG) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(1, [0.5, 1, 2, 3, 1, 1, 1, 1], (n, 8)).astype(np.float32)
    return features, features @ np.linspace(-0.2, 0.3, 8) + 2 + rng.normal(0, noise, n)


def standardised(features: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (features - by.mean(axis=0, dtype=float)) / by.std(axis=0, dtype=float)


@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(weighted):
    features, colour = stars(300, 1)
    weights = np.random.default_rng(2).uniform(0.1, 4, 300) if weighted else None
    query, _ = stars(100, 3)
    library = Ridge(alpha=5.0).fit(standardised(features, features), colour, weights)
    expected = library.predict(standardised(query, features))
    ours = fit(features, colour, weights, FIXED, 1, 1).predict(query).colour_mag
    assert np.abs(ours - expected).max() < 1e-9


def test_takes_the_penalty_that_scikit_learn_takes():
    # Noise and few stars, so that a large penalty is best; both ends of the list lose.
    features, colour = stars(60, 4, noise=3.0)
    config = RidgeConfig()
    library = RidgeCV(config.penalties).fit(standardised(features, features), colour)
    assert min(config.penalties) < library.alpha_ < max(config.penalties)
    assert fit(features, colour, None, config, 1, 1).chosen == {"penalty": library.alpha_}


def test_held_out_is_a_refit_without_the_star():
    features, colour = stars(40, 5)
    weights = np.random.default_rng(6).uniform(0.1, 4, 40)
    weights[7] = 0
    held_out = fit(features, colour, weights, FIXED, 1, 1).smoother(features).held_out(colour)
    # The functions know the features of all weighted stars, as does the refit.
    known = weights > 0
    values = standardised(features, features[known])
    for row in (0, 7, 39):
        rest = np.arange(40) != row
        library = Ridge(alpha=5.0).fit(values[rest], colour[rest], weights[rest])
        assert held_out[row] == pytest.approx(library.predict(values[[row]])[0], abs=1e-9)


def test_smoother_is_the_model_and_linear():
    features, colour = stars(300, 7)
    query, _ = stars(3000, 8)
    model = fit(features, colour, None, FIXED, 1, 2)
    smoother = model.smoother(query)
    assert np.array_equal(smoother.predict(colour), model.predict(query).colour_mag)
    other = np.random.default_rng(9).normal(size=300)
    moved = fit(features, 2 * colour - 3 * other, None, FIXED, 1, 1)
    mixed = 2 * smoother.predict(colour) - 3 * smoother.predict(other)
    assert np.abs(moved.predict(query).colour_mag - mixed).max() < 1e-10
    assert np.abs(smoother.predict(np.full(300, 1.25)) - 1.25).max() < 1e-12


def test_error_is_that_of_least_squares():
    """Textbook: s^2 (1 + x (X'X)^-1 x') with the unbiased estimate of s^2."""
    features, colour = stars(60, 10)
    query, _ = stars(50, 11)
    config = RidgeConfig(penalties=(1e-9,), errors=True)
    found = fit(features, colour, None, config, 1, 1).predict(query).err_mag
    design, at = (np.c_[np.ones(len(rows)), rows] for rows in (features, query))
    coefficients, square, _, _ = np.linalg.lstsq(design, colour, rcond=None)
    del coefficients
    inverse = np.linalg.inv(design.T @ design)
    expected = np.sqrt(square[0] / (60 - 9) * (1 + np.einsum("ij,jk,ik->i", at, inverse, at)))
    # The noise is judged by each star's own leverage rather than by their mean: the two
    # differ by chance in the residuals, by far less than their own 10 per cent.
    assert found / expected == pytest.approx(np.full(50, np.mean(found / expected)), rel=1e-6)
    assert np.mean(found / expected) == pytest.approx(1, abs=0.05)
    assert fit(features, colour, None, FIXED, 1, 1).predict(query).err_mag is None


def test_same_bits_for_any_number_of_threads_and_after_pickling():
    features, colour = stars(700, 12)
    query, _ = stars(20_001, 13)
    config = RidgeConfig(errors=True)
    one, two = (fit(features, colour, None, config, 1, threads) for threads in (1, 2))
    again = pickle.loads(pickle.dumps(two))
    for model in (two, again):
        for name in ("colour_mag", "err_mag"):
            first, second = (getattr(each.predict(query), name) for each in (one, model))
            assert first.tobytes() == second.tobytes()
        smooth = model.smoother(query).held_out(colour)
        assert smooth.tobytes() == one.smoother(query).held_out(colour).tobytes()
    assert one.predict(query[:0]).colour_mag.shape == (0,)


def test_a_constant_feature_does_no_harm():
    features, colour = stars(200, 14)
    features[:, 3] = 1.5
    model = fit(features, colour, None, RidgeConfig(), 1, 1)
    assert np.isfinite(model.predict(features).colour_mag).all()


def test_bad_input_gets_one_clear_line():
    features, colour = stars(100, 15)
    model = fit(features, colour, None, FIXED, 1, 1)
    broken = features.copy()
    broken[3, 2] = np.nan
    for call in (model.predict, model.smoother):
        with pytest.raises(CalibrationError, match="ridge regression was trained on 8 features"):
            call(features[:, :5])
        with pytest.raises(CalibrationError, match="1 of 100 stars have features that are not"):
            call(broken)
    with pytest.raises(CalibrationError, match="1 of 100 stars"):
        fit(broken, colour, None, FIXED, 1, 1)
    with pytest.raises(CalibrationError, match=r"only 9 stars .* at least 10"):
        fit(features[:9], colour[:9], None, FIXED, 1, 1)
    smoother = model.smoother(features)
    with pytest.raises(CalibrationError, match="trained on colours of shape"):
        smoother.predict(colour[:-1])
    with pytest.raises(CalibrationError, match="not finite"):
        smoother.held_out(np.full(100, np.nan))
    for wrong in ({"penalties": ()}, {"penalties": (0.0,)}, {"penalty": 1.0}):
        with pytest.raises(ValidationError):
            RidgeConfig(**wrong)
