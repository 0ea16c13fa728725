"""The bound itself: it is what theory says, whatever the solver does."""

from __future__ import annotations

import numpy as np
import pytest

from . import drawn
from .blup import CORRECTIONS, Predictor, groups
from .drawn import Spread
from .truth import rms

SPREAD = Spread(slope=0.03, cell=0.01)


@pytest.fixture(scope="module")
def small():
    """Return a pair of overlapping fields, four visits."""
    return drawn.pointings(1, 0, 300, seed=1)


def test_the_predictor_is_the_conditional_mean_given_the_covariance_of_all_detections(small):
    """Best linear unbiased prediction without a design: from covariances of detections."""
    sample = small
    draw = drawn.draw(sample, SPREAD, 1)
    same = {name: group[:, None] == group for name, group in groups(sample).items()}
    apart = np.abs(sample.mjd[:, None] - sample.mjd)[sample.visit][:, sample.visit]
    one_ccd = sample.ccd[:, None] == sample.ccd
    drift = SPREAD.drift**2 * np.exp(-apart / SPREAD.drift_days)
    covariance = {
        "visit": SPREAD.visit**2 * same["visit"],
        "ccd": one_ccd * (SPREAD.static**2 + drift) + SPREAD.jitter**2 * same["ccd"],
        "pixel": SPREAD.pixel**2 * same["pixel"],
    }
    extinction, field = sample.extinction[sample.star], sample.field[sample.visit]
    cell = sample.cell[sample.star]
    whole = sum(covariance.values()) + np.diag(SPREAD.noise_mag(sample) ** 2)
    star = SPREAD.star_mag(sample)[sample.star]
    whole += star**2 * (sample.star[:, None] == sample.star)
    whole += SPREAD.slope**2 * np.outer(extinction, extinction) * (field[:, None] == field)
    whole += SPREAD.cell**2 * (cell[:, None] == cell)
    constant, weighted = np.linalg.solve(
        whole, np.stack([np.ones(len(sample)), draw.delta], axis=1)
    ).T
    residual = weighted - constant * (weighted.sum() / constant.sum())
    predictor = Predictor(sample, SPREAD)
    predicted = predictor.offsets(draw.delta)
    for name in CORRECTIONS:
        np.testing.assert_allclose(predicted[name], covariance[name] @ residual, atol=1e-10)


def test_its_errors_are_as_large_as_it_predicts(small):
    predictor = Predictor(small, SPREAD)
    expected, draws = predictor.expected(), 150
    found = {name: [] for name in expected}
    for seed in range(draws):
        errors = predictor.errors(drawn.draw(small, SPREAD, seed))
        for name, each in found.items():
            values = errors.total if name == "total" else errors.by_group(name)
            each.append(np.mean(values**2))
    for name, squares in found.items():
        uncertain = np.std(squares) / np.sqrt(draws)
        assert np.mean(squares) == pytest.approx(expected[name] ** 2, abs=3 * uncertain), name


def test_the_draws_have_the_standard_deviations_asked_for():
    sample = drawn.pointings(10, 20, 300, seed=2)
    spread = Spread(slope=0.03, cell=0.01)
    many = [drawn.draw(sample, spread, seed) for seed in range(10)]
    _, stars = np.unique(sample.star, return_index=True)
    by_ccd = np.hypot(np.hypot(spread.static, spread.drift), spread.jitter)
    wanted = {"visit": spread.visit, "ccd": by_ccd, "pixel": spread.pixel}
    for name, group in groups(sample).items():
        _, first = np.unique(group, return_index=True)
        values = [rms(getattr(draw, name)[first]) ** 2 for draw in many]
        uncertain = np.std(values) / np.sqrt(len(many) - 1)
        assert np.mean(values) == pytest.approx(wanted[name] ** 2, abs=4 * uncertain), name
    own = np.concatenate([d.star[stars] for d in many]) / np.tile(spread.star_mag(sample), 10)
    assert rms(own) == pytest.approx(1.0, rel=0.02)
    scaled = np.concatenate([d.noise for d in many]) / np.tile(spread.noise_mag(sample), 10)
    assert rms(scaled) == pytest.approx(1.0, rel=0.02)
