"""Agreement of two runs: errors of differences against draws, injected differences."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.analysis.crosscheck.differences import RunResiduals, agree, paired_errors, ratio

GROUPS, STARS = 200, 120


def draws(seed, shared_sd=0.06, own_sd=0.02, share=1.0):
    """Return residuals of two runs and the true differences of their means.

    Each star deviates from both models alike (`shared_sd`), and from each by itself; of run
    B's stars a `share` is in run A as well.
    """
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), STARS)
    star = np.arange(len(group))
    common = random.normal(0, shared_sd, len(group))
    other = np.where(random.random(len(group)) < share, star, star + len(group))
    fresh = np.where(other == star, common, random.normal(0, shared_sd, len(group)))
    values = [each + random.normal(0, own_sd, len(group)) for each in (common, fresh)]
    runs = [
        RunResiduals(group, identity, value, np.ones(len(group)))
        for identity, value in zip((star, other), values, strict=True)
    ]
    means = [np.bincount(group, value) / STARS for value in values]
    return runs, means[1] - means[0]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_errors_are_those_of_the_differences_whatever_is_shared(share):
    (a, b), difference = draws(3, share=share)
    found = paired_errors(GROUPS, a, b)
    own = 2 * 0.02**2 + 2 * (1 - share) * 0.06**2
    assert np.mean(found.err_mag**2) == pytest.approx(own / STARS, rel=0.05)
    # Five standard errors of a variance from as many differences as there are groups.
    assert np.mean((difference / found.err_mag) ** 2) == pytest.approx(1, abs=5 * np.sqrt(2 / 200))
    assert found.stars_a.tolist() == [STARS] * GROUPS == found.stars_b.tolist()
    assert found.shared.sum() == (b.source_id == a.source_id).sum()


def test_repeats_of_a_star_count_once():
    (a, b), _ = draws(5)
    twice = [
        RunResiduals(*(np.repeat(column, 2) for column in vars(run).values())) for run in (a, b)
    ]
    assert np.allclose(
        paired_errors(GROUPS, *twice).err_mag, paired_errors(GROUPS, a, b).err_mag, rtol=1e-12
    )


def test_weights_and_detections_without_part():
    value = np.array([0.1, -0.2, 0.4, 9.0, np.nan])
    weight = np.array([1.0, 2.0, 1.0, 0.0, 1.0])
    a = RunResiduals(np.zeros(5, dtype=np.int64), np.arange(5), value, weight)
    none = RunResiduals(np.full(1, -1), np.zeros(1, dtype=np.int64), np.zeros(1), np.ones(1))
    found = paired_errors(1, a, none)
    mean = (0.1 - 0.4 + 0.4) / 4
    parts = np.array([0.1 - mean, 2 * (-0.2 - mean), 0.4 - mean]) / 4
    assert found.err_mag[0] == pytest.approx(np.sqrt(1.5 * np.sum(parts**2)), rel=1e-12)
    assert (found.stars_a[0], found.stars_b[0], found.shared[0]) == (3, 0, 0)


def test_one_star_has_no_error():
    one = RunResiduals(
        np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.ones(1), np.ones(1)
    )
    assert np.isnan(paired_errors(2, one, one).err_mag).all()


def test_a_run_against_itself():
    (a, _), _ = draws(6)
    error = paired_errors(GROUPS, a, a).err_mag
    found = agree(np.zeros(GROUPS), error, np.ones(GROUPS, dtype=bool))
    assert not error.any() and not found.difference_mag.any() and not found.significance.any()
    assert not found.disagrees.any() and not found.outlying.any()
    assert (found.sd_mag, found.mad_mag, found.excess_mag, found.constant_mag) == (0, 0, 0, 0)


def test_injected_differences_are_recovered_and_named():
    (a, b), noise = draws(7)
    injected = np.zeros(GROUPS)
    injected[[17, 120]] = 0.030, -0.020
    error = paired_errors(GROUPS, a, b).err_mag
    found = agree(noise + injected + 0.3, error, np.ones(GROUPS, dtype=bool))
    assert np.flatnonzero(found.disagrees).tolist() == [17, 120]
    assert np.flatnonzero(found.outlying).tolist() == [17, 120]
    assert found.constant_mag == pytest.approx(0.3, abs=5 * found.constant_err_mag)
    pull = (found.difference_mag - injected) / error
    assert np.mean(pull**2) == pytest.approx(1, abs=5 * np.sqrt(2 / GROUPS))
    assert found.significance[17] == pytest.approx(0.030 / error[17], abs=5)


def test_a_common_scatter_makes_groups_disagree_but_not_outlying():
    (a, b), noise = draws(8)
    beyond = np.random.default_rng(9).normal(0, 0.036, GROUPS)
    error = paired_errors(GROUPS, a, b).err_mag
    found = agree(noise + beyond, error, np.ones(GROUPS, dtype=bool))
    # Standard error of a MAD: 1.17 sigma / sqrt(n); five of them.
    assert found.excess_mag == pytest.approx(0.036, rel=5 * 1.17 / np.sqrt(GROUPS))
    assert found.disagrees.mean() > 0.5
    assert not found.outlying.any()


def test_groups_with_few_stars_are_not_judged():
    difference, error = np.array([0.0, 0.0, 0.0, 5.0]), np.full(4, 0.001)
    found = agree(difference, error, np.array([True, True, True, False]))
    assert not found.disagrees.any()
    assert found.sd_mag == 0
    assert found.significance[3] == 5000


def test_nothing_to_judge():
    found = agree(np.full(3, np.nan), np.full(3, np.nan), np.ones(3, dtype=bool))
    assert not found.judged.any()
    assert np.isnan(found.sd_mag) and np.isnan(found.constant_mag)


def test_no_difference_is_no_significance():
    assert ratio(np.array([0.0, 1.0, 1.0]), np.array([0.0, 2.0, 0.0])).tolist() == [0, 0.5, np.inf]
