"""Errors that the model shares: what mag_cal_sys states covers them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from . import drawn, joint_fit
from .conftest import closure_seeds
from .drawn import Sample, Spread
from .pulls import judge

SPREAD = Spread(slope=0.02)
FIELDS, DENSITY, CCDS = 24, 2100, 4
LEAST_DRAWS = 10
#: Largest root mean square of errors over the quadratic sum of stated error and sys.
LARGEST = 1.05


def patterns(sample: Sample) -> list[np.ndarray]:
    """Return changes of the model magnitude by star, in mag: what second opinions shift.

    A law that bends more with the colour, extinctions with another scale (of which
    dereddening leaves a tenth), and a colour model that is off by colour.
    """
    extinction, colour = sample.extinction, sample.colour0 - sample.colour0.mean()
    return [
        0.10 * extinction * (colour**2 - np.mean(colour**2)),
        0.1 * 0.10 * extinction * (1 + 2 * colour),
        0.06 * np.tanh(3 * colour),
    ]


@pytest.fixture(scope="module")
def pulls() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pulls over the error alone, over its quadratic sum with sys, and their fields.

    A field counts anew in each draw.
    """
    whole = drawn.pointings(0, FIELDS, DENSITY, seed=1)
    sample = whole.take(np.flatnonzero(whole.ccd < CCDS))
    # Fields of other populations and extinctions, or a common error would be no error.
    sample = replace(sample, colour0=sample.colour0 + by_field(sample, 0.15, 1))
    sample = replace(sample, extinction=sample.extinction * (1 + by_field(sample, 0.4, 2)))
    alone, both, field = [], [], []
    for seed in seeds():
        truth = drawn.draw(sample, SPREAD, seed)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 3)
        changes = patterns(sample)
        wrong = sum(sign * change for sign, change in zip(signs, changes, strict=True))
        moved = replace(truth, nuisance=truth.nuisance + wrong[sample.star])
        answer = joint_fit.solve(sample, moved, SPREAD)
        error = answer.errors(truth).total
        stated = answer.own.error["total"]
        of = answer.fit.design.exposures.of_detection
        shifts = [answer.shift(change[sample.star])[of] for change in changes]
        alone.append(error / stated)
        both.append(error / np.sqrt(stated**2 + np.sum(np.square(shifts), axis=0)))
        field.append(units(sample, seed))
    return np.concatenate(alone), np.concatenate(both), np.concatenate(field)


def seeds() -> range:
    """Return the draws: ten or more, for fewer scatter by as much as is allowed."""
    return range(1, 1 + max(len(closure_seeds()), LEAST_DRAWS))


def units(sample: Sample, seed: int) -> np.ndarray:
    """Return a number by detection for its field and draw, shape (n,)."""
    return seed * FIELDS + sample.field[sample.visit]


def by_field(sample: Sample, sd: float, seed: int) -> np.ndarray:
    """Return a random number by star, the same for all stars of a field."""
    field = np.zeros(sample.stars, dtype=int)
    field[sample.star] = sample.field[sample.visit]
    return np.clip(np.random.default_rng(seed).normal(0, sd, field.max() + 1), -0.8, 0.8)[field]


def test_what_is_shared_is_covered(pulls, record_property, capsys):
    over_error, over_both, field = pulls
    alone = float(np.sqrt(np.mean(over_error**2)))
    figure = judge("pulls over error and systematics", over_both, field)[0]
    record_property("pull", float(figure.value))
    with capsys.disabled():
        print(
            f"\n  systematics injected: sd of pulls {alone:.3f} over the error alone,"
            f" {figure.value:.3f} over both (SE {figure.error:.3f}), at most {LARGEST},"
            f" {len(seeds())} seeds"
        )
    # Something was injected that the error alone does not cover.
    assert alone > 1.1
    assert figure.value <= LARGEST
