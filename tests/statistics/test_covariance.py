"""A sparse covariance answers as the whole one does, 0 where it tells nothing."""

import numpy as np
import pytest
from scipy import sparse

from scrframe.statistics import covariance as of

RNG = np.random.default_rng(4)


@pytest.fixture
def both():
    root = RNG.normal(size=(6, 6)) * (RNG.random((6, 6)) < 0.4)
    whole = root @ root.T + np.eye(6)
    return whole, sparse.csr_array(whole)


def test_variances_and_entries(both):
    row, column = RNG.integers(0, 6, (2, 50))
    for each in both:
        np.testing.assert_array_equal(of.variances(each), np.diag(both[0]))
        np.testing.assert_array_equal(of.entries(each, row, column), both[0][row, column])
    nothing = sparse.csr_array((6, 6))
    np.testing.assert_array_equal(of.entries(nothing, row, column), 0)


def test_some_take_their_places_among_more(both, monkeypatch):
    rows, others = np.array([7, 0, 3, 2, 5, 1]), np.arange(8.0)
    expected = np.diag(others)
    expected[np.ix_(rows, rows)] = both[0]
    np.testing.assert_array_equal(of.placed(both[0], rows, others), expected)
    np.testing.assert_array_equal(of.placed(both[1], rows, others).toarray(), expected)
    monkeypatch.setattr(of, "WHOLE", 3)
    np.testing.assert_array_equal(of.placed(both[0], rows, others).toarray(), expected)
    np.testing.assert_array_equal(of.independent(others).toarray(), np.diag(others))


def test_what_is_not_known_becomes_0(both):
    for each in both:
        broken = each.copy()
        broken[2, 2] = np.nan
        found = of.without_nan(broken)
        assert found[2, 2] == 0 and found[1, 1] == both[0][1, 1]
