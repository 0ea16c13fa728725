"""Intervals hold the true difference as often as they say; rankings follow from them."""

import numpy as np
import pytest
from scipy import stats

from scrframe.analysis.compare.ranking import paired, rank
from scrframe.statistics.robust import drawn, statistic_of

TRIALS = 300
LEVEL = 0.95


def slack(trials=TRIALS):
    """Return three standard errors of a share of trials."""
    return 3 * np.sqrt(LEVEL * (1 - LEVEL) / trials)


def correlated(rng, groups=60, size=20, spread=0.03):
    """Return residuals of two backends that share most of their noise, and shared by cell."""
    group = np.repeat(np.arange(groups), size)
    common = rng.normal(0, spread, groups)[group] + rng.normal(0, 0.05, len(group))
    own = rng.normal(0, spread, groups)[group] + rng.normal(0, 0.02, len(group))
    return common, common + own, group, np.hypot(spread, 0.05), np.hypot(spread, 0.02)


@pytest.mark.parametrize(
    ("statistic", "spread"), [("sd", 0.0), ("sd", 0.03), ("rms", 0.03), ("mad", 0.03)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(statistic, spread):
    rng = np.random.default_rng(7)
    held, trials = [], TRIALS if statistic != "mad" else TRIALS // 2
    for _ in range(trials):
        first, second, group, common, own = correlated(rng, spread=spread)
        # 1.4826 MAD of a normal distribution is its standard deviation.
        true = common - np.hypot(common, own)
        found = paired(first, second, group, statistic, draws=100, level=LEVEL)
        held.append(found.low <= true <= found.high)
    assert abs(np.mean(held) - LEVEL) < slack(trials)


def test_the_interval_of_a_mean_is_that_of_students_test():
    # The rms of numbers near 1 is their mean, to first order in their scatter.
    first = 1 + 1e-4 * np.random.default_rng(1).standard_normal(5)
    found = paired(first, np.ones(5), np.arange(5), "rms", draws=40_000)
    expected = stats.ttest_1samp(first - 1, 0).confidence_interval(LEVEL)
    half = (expected.high - expected.low) / 2
    # Three standard errors of a standard deviation of 40,000 draws.
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=3 / np.sqrt(2 * 40_000))
    assert (found.high + found.low) / 2 == pytest.approx(np.mean(first) - 1, abs=1e-3 * half)


def test_intervals_that_ignore_groups_hold_the_truth_too_seldom():
    rng = np.random.default_rng(7)
    held = []
    for _ in range(100):
        first, second, group, common, own = correlated(rng, groups=20, size=60)
        found = paired(first, second, np.arange(len(group)), draws=100, level=LEVEL)
        held.append(found.low <= common - np.hypot(common, own) <= found.high)
    assert np.mean(held) < 0.7


def test_intervals_count_what_differs_between_seeds():
    # Each training of the second backend scales its residuals by a factor of its own.
    rng = np.random.default_rng(7)
    held, alone = [], []
    for _ in range(TRIALS):
        first = rng.normal(0, 0.05, 1000)
        scale = 1 + rng.normal(0, 0.05, 4)
        second = first * scale[:, None]
        one, group = np.broadcast_to(first, second.shape), np.arange(1000) // 20
        found = paired(one, second, group, draws=200, level=LEVEL)
        held.append(found.low <= 0 <= found.high)
        found = paired(one[:1], second[:1], group, draws=200, level=LEVEL)
        alone.append(found.low <= 0 <= found.high)
    # The scatter within groups counts twice, so never too seldom and seldom too often.
    assert LEVEL - slack() < np.mean(held) < 0.99
    assert np.mean(alone) < 0.5


def test_value_and_verdict_follow_from_the_residuals():
    rng = np.random.default_rng(1)
    good, bad = rng.normal(0, 0.05, (3, 2000)), rng.normal(0, 0.08, (3, 2000))
    group = np.arange(2000) // 40
    found = paired(good, bad, group)
    assert found.value == pytest.approx(np.mean(good.std(axis=1) - bad.std(axis=1)), rel=1e-12)
    assert found.verdict == "better"
    mirrored = paired(bad, good, group)
    assert mirrored.verdict == "worse"
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), rel=1e-12)
    same = paired(good, good, group)
    assert (same.value, same.low, same.high, same.verdict) == (0, 0, 0, "not told apart")


def test_a_constant_shift_counts_in_rms_and_not_in_sd():
    rng = np.random.default_rng(1)
    one, group = rng.normal(0, 0.05, 1000), np.arange(1000) // 20
    assert paired(one + 100, one, group, "sd").value == pytest.approx(0, abs=1e-12)
    assert paired(one + 0.1, one, group, "rms").verdict == "worse"


def test_one_group_tells_nothing_apart():
    found = paired(np.arange(9.0), np.arange(9.0) * 2, np.zeros(9, dtype=int))
    assert np.isnan(found.low)
    assert found.verdict == "not told apart"


def test_residuals_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        paired(np.array([0.0, np.nan]), np.zeros(2), np.arange(2))


@pytest.mark.parametrize("statistic", ["sd", "rms", "mad"])
def test_draws_are_those_of_repeated_groups(statistic):
    rng = np.random.default_rng(3)
    residual, index = rng.normal(0.02, 0.05, (1, 20_000)), rng.integers(30, size=20_000)
    found = drawn(residual, index, statistic, draws=40, seed=5)
    rng, ratios = np.random.default_rng(5), []
    for value, chosen in zip(found, rng.integers(30, size=(40, 30)), strict=True):
        rows = np.concatenate([np.flatnonzero(index == one) for one in chosen])
        ratios.append(value / statistic_of(residual[:, rows], statistic)[0])
    if statistic != "mad":
        np.testing.assert_allclose(ratios, 1, rtol=1e-9)
        return
    # Medians are read off a grid with a straight line inside a cell of 0.0078 MAD: a median and
    # a deviation are off by a cell at most, and neither way on average.
    np.testing.assert_allclose(ratios, 1, rtol=2 * 0.0078)
    assert abs(np.mean(ratios) - 1) < 4 * np.std(ratios) / np.sqrt(len(ratios)) + 1e-4
    assert np.std(ratios) < 0.0078 / 4


def backends(seed=1, extra=()):
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.05, 4000)
    made = {
        name: np.array([common + rng.normal(0, own, 4000) for _ in range(3)])
        for name, own in [("far", 0.08), ("twin", 0.02), ("near", 0.02), *extra]
    }
    return made, np.arange(4000) // 50


def test_a_ranking_says_what_is_not_told_apart():
    made, group = backends()
    ranking, pairs = rank(made, group)
    assert [set(one) for one in ranking] == [{"twin", "near"}, {"far"}]
    assert len(pairs) == 3
    assert pairs[ranking[0][0], "far"].verdict == "better"
    assert pairs[ranking[0]].verdict == "not told apart"
    alone = paired(made[ranking[0][0]], made["far"], group)
    assert pairs[ranking[0][0], "far"] == alone


def test_no_pair_of_equal_backends_is_told_apart_as_often_as_the_level_says():
    rng = np.random.default_rng(7)
    group, told = np.arange(600) // 10, []
    for _ in range(200):
        common = rng.normal(0, 0.05, 600)
        made = {name: common + rng.normal(0, 0.03, 600) for name in "abcd"}
        _, pairs = rank(made, group, draws=200)
        told.append(any(one.verdict != "not told apart" for one in pairs.values()))
    assert np.mean(told) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_groups_are_cut_exactly_where_all_pairs_are_told_apart():
    group, chains = np.arange(400) // 10, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        low = rng.normal(0, 0.05, 400)
        middle = low + rng.normal(0, 0.012, 400)
        made = {"low": low, "middle": middle, "high": middle + rng.normal(0, 0.012, 400)}
        ranking, pairs = rank(made, group, draws=200)
        order = [name for one in ranking for name in one]
        cuts = np.cumsum([len(one) for one in ranking])[:-1]
        for i in range(1, 3):
            across = [pairs[one, two].verdict for one in order[:i] for two in order[i:]]
            assert (i in cuts) == (set(across) == {"better"})
        chains += len(ranking) == 1 and pairs[order[0], order[2]].verdict == "better"
    # A chain: the ends are told apart, but no order of the three is safe.
    assert chains > 0


def test_another_backend_changes_no_difference():
    made, group = backends()
    more, _ = backends(extra=[("new", 0.03)])
    _, pairs = rank(made, group)
    _, with_more = rank(more, group)
    for pair, one in pairs.items():
        assert with_more[pair] == one


def test_a_ranking_does_not_depend_on_the_order_of_backends():
    made, group = backends()
    turned = dict(reversed(made.items()))
    assert rank(made, group) == rank(turned, group)
    assert rank({}, group) == ((), {})
    assert rank({"far": made["far"]}, group) == ((("far",),), {})


@pytest.mark.parametrize("scatter", [0.02, 0.021, 0.023])
def test_a_ranking_never_turns_over_other_seeds(scatter):
    # The same stars, other folds and trainings: what is told apart may fade, never turn.
    rng = np.random.default_rng(5)
    common, group = rng.normal(0, 0.05, 2000), np.arange(2000) // 40
    found = set()
    for _ in range(40):
        one = common + rng.normal(0, 0.02, (3, 2000))
        two = common + rng.normal(0, scatter, (3, 2000))
        found.add(rank({"one": one, "two": two}, group, draws=200)[0])
    assert not {(("one",), ("two",)), (("two",), ("one",))} <= found
    if scatter == 0.023:
        assert (("one",), ("two",)) in found
