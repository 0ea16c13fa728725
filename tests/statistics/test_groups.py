"""Medians by group against numpy's, one group at a time."""

import numpy as np

from scrframe.statistics.groups import group_medians


def test_each_group_has_the_median_that_numpy_finds():
    """Same bits: both take the mean of the same middle values."""
    rng = np.random.default_rng(1)
    group = rng.integers(0, 40, 999)
    group[group == 17] = 18  # nobody is in group 17, nor in the last two
    values = np.round(rng.normal(0, 3, len(group)), 1)  # with ties
    found = group_medians(values, group, 42)
    for number in range(42):
        own = values[group == number]
        assert np.isnan(found[number]) if len(own) == 0 else found[number] == np.median(own)
    sizes = np.bincount(group)
    assert set(sizes[sizes > 0] % 2) == {0, 1}


def test_nothing_but_empty_groups():
    none = np.zeros(0)
    np.testing.assert_array_equal(group_medians(none, none.astype(int), 2), [np.nan, np.nan])
    assert len(group_medians(none, none.astype(int), 0)) == 0
