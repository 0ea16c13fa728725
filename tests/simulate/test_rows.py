"""Matrices of many stars on disk are the same as in memory."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.simulate import rows
from scrframe.simulate.coefficients import load_noise_model


@pytest.fixture
def on_disk(monkeypatch):
    """Return a function that says from how many rows on matrices are on disk."""
    return lambda most: monkeypatch.setattr(rows, "MOST_IN_MEMORY", most)


def matrix(blocks: list[np.ndarray]) -> rows.Rows:
    store = rows.RowStore(3)
    for block in blocks:
        store.add(block)
    return store.rows()


def test_rows_on_disk_are_indexed_as_an_array_is(on_disk):
    blocks = list(np.random.default_rng(1).normal(size=(4, 5, 3)))
    whole = np.concatenate(blocks)
    on_disk(6)  # passed in the second block
    stored = matrix(blocks)
    assert isinstance(stored, rows.RowsOnDisk)
    assert (len(stored), stored.shape, stored.dtype) == (20, (20, 3), whole.dtype)
    kept = np.arange(20) % 3 == 1
    for one, all_rows in ((stored, whole), (stored.take(kept), whole[kept])):
        assert np.array_equal(np.asarray(one), all_rows)
        for key in (slice(2, 5), np.array([4, 0, 4]), 3, (slice(1, 4), slice(1, None))):
            assert np.array_equal(one[key], all_rows[key])
    twice = stored.take(kept).take(np.arange(kept.sum()) > 2)
    assert np.array_equal(twice[:], whole[kept][3:])


def test_few_rows_stay_in_memory_and_none_is_a_matrix(on_disk):
    assert np.array_equal(matrix([np.ones((2, 3))]), np.ones((2, 3)))
    assert matrix([]).shape == (0, 3)
    on_disk(-1)
    empty = matrix([np.empty((0, 3))])
    assert empty[:].shape == (0, 3)


def test_noise_does_not_depend_on_where_it_is_kept(on_disk, monkeypatch):
    model, bp = load_noise_model(), np.linspace(12.0, 16.0, 50)
    first = model.draw(bp, bp - 1, np.random.default_rng(2))
    on_disk(10)
    monkeypatch.setattr(rows, "AT_ONCE", 7)
    second = model.draw(bp, bp - 1, np.random.default_rng(2))
    assert isinstance(second.noise, rows.RowsOnDisk)
    # Products of other shapes differ by rounding.
    np.testing.assert_allclose(second.noise[:], first.noise, rtol=1e-9)
    assert np.array_equal(second.errors[:], first.errors)
    assert np.array_equal(second.correlation_of, first.correlation_of)
