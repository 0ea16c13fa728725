"""Groups of values against numpy, one group at a time."""

import numpy as np
import pytest

from scrframe.statistics.groups import (
    codes,
    find_sorted,
    first_rows,
    group_counts,
    group_means,
    group_medians,
    group_spreads,
    less_group_mean,
)
from scrframe.statistics.robust import robust_sd


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("groups", [42, 700])
def test_each_group_has_the_median_and_the_spread_that_numpy_finds(rng, groups):
    """Same bits: both take the mean of the same middle values."""
    group = rng.integers(-1, groups - 2, 3999)  # negative: in none
    group[group == 17] = 18  # nobody is in group 17, nor in the last two
    values = np.round(rng.normal(0, 3, len(group)), 1)  # with ties
    values[rng.random(len(group)) < 0.1] = np.nan
    middle, count = group_medians(values, group, groups), group_counts(values, group, groups)
    spread = group_spreads(values, group, middle)
    for number in range(groups):
        own = values[(group == number) & np.isfinite(values)]
        assert count[number] == len(own)
        if len(own) == 0:
            assert np.isnan(middle[number]) and np.isnan(spread[number])
            continue
        assert middle[number] == np.median(own)
        assert spread[number] == robust_sd(own)
    assert set(count[count > 0] % 2) == {0, 1}


def test_nothing_but_empty_groups():
    none = np.zeros(0)
    np.testing.assert_array_equal(group_medians(none, none.astype(int), 2), [np.nan, np.nan])
    assert len(group_medians(none, none.astype(int), 0)) == 0
    assert np.isnan(group_medians(np.full(2, np.nan), np.zeros(2, int), 3)).all()


def test_means_are_those_of_numpy(rng):
    group, values, weight = rng.integers(0, 5, 200), rng.normal(size=200), rng.random(200)
    means, weighted = group_means(values, group, 6), group_means(values, group, 6, weight)
    for number in range(5):
        own = group == number
        assert means[number] == pytest.approx(values[own].mean())
        assert weighted[number] == pytest.approx(np.average(values[own], weights=weight[own]))
    assert np.isnan(means[5]) and np.isnan(weighted[5])


def test_group_means_are_taken_out():
    group = np.array([0, 0, 2, 2])
    out = less_group_mean(np.array([1.0, 3.0, 5.0, 6.0]), group)
    assert out.tolist() == [-1.0, 1.0, -0.5, 0.5]


def test_columns_lose_the_means_of_their_groups():
    values = np.array([[1.0, 10.0], [3.0, 30.0]])
    assert less_group_mean(values, np.array([0, 0])).tolist() == [[-1.0, -10.0], [1.0, 10.0]]


def test_labels_get_numbers_in_their_order():
    assert codes(np.array(["b", "a", "b"])).tolist() == [1, 0, 1]


def test_sorted_values_are_found():
    known = np.array([2, 5, 9])
    wanted = np.array([[9, 1], [5, 100]])
    assert find_sorted(known, wanted).tolist() == [[2, -1], [1, -1]]
    assert find_sorted(known[:0], wanted).tolist() == [[-1, -1], [-1, -1]]


def test_identifiers_are_read_once():
    wanted, read = np.array([2, 5, 9]), np.zeros(3, bool)
    rows, position = first_rows(np.array([7, 9, 2, 9]), wanted, read)
    assert rows.tolist() == [1, 2] and position.tolist() == [2, 0]
    rows, position = first_rows(np.array([9, 5, 5]), wanted, read)
    assert rows.tolist() == [1] and position.tolist() == [1] and read.all()
