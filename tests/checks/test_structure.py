"""Tests of structure: silent on drawn clean arrays, and as large as what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.checks.null_tests.structure import (
    repeat_surfaces,
    shared_across,
    shared_means,
    shared_slopes,
)
from scrframe.checks.verdict import Limit, NullTest

TEST, LIMIT = NullTest("test", "Test"), Limit(0.003)
#: Scatter of stars and of a detection in mag, and how the former grows with E.
STAR, NOISE, GROWTH = 0.06, 0.016, 1.0
#: Units, stars in each, and detectors along an axis of the camera.
UNITS, EACH, SIDE = 60, 60, 4


def slopes(rng, sd=0.0):
    """Return the test of a law that changes from unit to unit; the scatter grows with E."""
    unit = np.repeat(np.arange(UNITS), EACH)
    extinction = rng.exponential(0.3, len(unit)) + rng.uniform(0.1, 0.5, UNITS)[unit]
    scatter = STAR * (0.5 + GROWTH * np.minimum(extinction, 1.5))
    residual = scatter * rng.standard_t(5, len(unit)) / np.sqrt(5 / 3)
    residual += sd * rng.normal(size=UNITS)[unit] * extinction
    return shared_slopes(TEST, extinction, residual, unit, LIMIT)


def means(rng, sd=0.0):
    unit = np.repeat(np.arange(400), 15)
    residual = STAR * rng.standard_t(5, len(unit)) + sd * rng.normal(size=400)[unit]
    return shared_means(TEST, residual - residual.mean(), unit, LIMIT)


def places(rng, sd=0.0):
    """Return the test of places that 60 fields have in two visits, whose detectors jitter."""
    star = np.repeat(np.arange(60 * 9 * 12), 2)
    visit = 2 * (star // 108) + np.arange(len(star)) % 2
    cell = star // 12
    ccd = visit * 4 + cell % 9 // 3
    residual = STAR * rng.normal(size=star.max() + 1)[star] + NOISE * rng.normal(size=len(star))
    residual += 0.014 * rng.normal(size=ccd.max() + 1)[ccd] + sd * rng.normal(size=600)[cell]
    return shared_across(TEST, residual, star, visit, cell, star // 108, LIMIT)


def surfaces(rng, gradient=0.0, orders=(1, 0)):
    """Return the test of 40 pairs of visits that are moved by one and a half detectors."""
    number, move = 400, np.array([0.35, 0.3])
    two = np.repeat(np.arange(40), number)
    place = rng.uniform(-1, 1, (len(two), 2))

    def exposure(at):
        column, row = (np.clip((at + 1.5) / 3 * SIDE, 0, SIDE - 1).astype(int)).T
        return (two * SIDE + column) * SIDE + row

    one, other = exposure(place), exposure(place + move)
    jitter = 0.014 * rng.normal(size=(2, 40 * SIDE**2))
    slope = gradient * rng.normal(size=(40, 2))[two]
    difference = jitter[0][one] - jitter[1][other] + np.sum(slope * place, axis=1)
    difference += NOISE * np.sqrt(2) * rng.standard_t(5, len(two)) / np.sqrt(5 / 3)
    exposures = one * 40 * SIDE**2 + other
    return repeat_surfaces(TEST, difference, two, exposures, place, orders, LIMIT)


CASES = (slopes, means, places, surfaces)


def alarms(seeds):
    return [
        draw(np.random.default_rng(seed)).detail["probability"] < LIMIT.probability
        for seed in seeds
        for draw in CASES
    ]


def test_clean_draws_alarm_in_fewer_than_one_of_a_hundred():
    assert np.mean(alarms(range(25))) <= 0.01


@pytest.mark.slow
def test_many_clean_draws_alarm_in_fewer_than_one_of_a_hundred():
    assert np.mean(alarms(range(100, 400))) <= 0.01


@pytest.mark.parametrize(
    ("draw", "sd", "size"),
    [
        # Slopes count at the median of E, some 0.5 mag in these draws.
        (slopes, 0.08, None),
        (means, 0.015, 0.015),
        (places, 0.02, 0.02),
    ],
)
def test_structure_is_named_at_its_size(draw, sd, size):
    found = [draw(np.random.default_rng(seed), sd) for seed in range(5)]
    assert {one.verdict for one in found} == {"failed"}
    wanted = [sd * one.detail["at"] if size is None else size for one in found]
    # Variances of 60 units scatter by a sixth, in each draw; outer values of E are bounded.
    mean = np.sqrt(
        np.mean([(one.value / each) ** 2 for one, each in zip(found, wanted, strict=True)])
    )
    assert mean == pytest.approx(1.0, rel=0.25)


def test_gradients_of_visits_are_named_at_their_size_and_are_no_surface():
    gradient = 0.02
    found = [surfaces(np.random.default_rng(seed), gradient) for seed in range(5)]
    assert {one.verdict for one in found} == {"failed"}
    # A plane of that slope along both axes, from -1 to 1, of a difference; half of it is a visit's.
    size = gradient * np.sqrt(2 / 3) / np.sqrt(2)
    assert np.mean([one.value for one in found]) == pytest.approx(size, rel=0.25)
    others = [surfaces(np.random.default_rng(seed), gradient, (3, 1)) for seed in range(5)]
    assert "failed" not in {one.verdict for one in others}


def test_stars_that_scatter_more_in_one_unit_are_no_structure():
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(UNITS), EACH)
    scatter = rng.uniform(0.02, 0.3, UNITS)[unit]
    found = shared_means(TEST, scatter * rng.normal(size=len(unit)), unit, LIMIT)
    assert found.verdict != "failed"


def test_too_few_places_are_not_testable():
    few = np.zeros(100, dtype=np.int64)
    noise = np.random.default_rng(1).normal(size=100)
    assert "needed" in shared_means(TEST, noise, few, LIMIT).reason
    assert "needed" in shared_slopes(TEST, noise, noise, few, LIMIT).reason
    assert (
        "needed"
        in repeat_surfaces(
            TEST, noise, few, few, np.stack([noise, noise**2], 1), (1, 0), LIMIT
        ).reason
    )
