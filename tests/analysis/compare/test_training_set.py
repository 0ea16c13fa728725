"""Folds hold each star once, alike in size, and cells of the sky are never split."""

import numpy as np
import pytest

from scrframe.analysis.compare.training_set import blocked_folds, random_folds
from scrframe.errors import CalibrationError


def sky(count, seed=1):
    """Return positions in a region across the seam of right ascension, dense on one side."""
    rng = np.random.default_rng(seed)
    return (358 + 5 * rng.beta(1, 3, count)) % 360, rng.uniform(-3, 3.5, count)


def test_random_folds_are_alike_in_size_and_differ_by_seed():
    fold = random_folds(1003, 5, seed=1)
    assert sorted(np.bincount(fold)) == [200, 200, 201, 201, 201]
    assert np.array_equal(fold, random_folds(1003, 5, seed=1))
    # Two independent deals into five agree for a fifth of the stars, within 4 standard errors.
    agree = np.mean(fold == random_folds(1003, 5, seed=2))
    assert abs(agree - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 1003)


@pytest.mark.parametrize(("stars", "folds"), [(18_000, 5), (3001, 4), (57, 5), (10, 10)])
def test_blocked_folds_never_split_a_cell(stars, folds):
    block, fold = blocked_folds(*sky(stars), folds, seed=3)
    pairs = np.unique(np.column_stack([block, fold]), axis=0)
    assert len(pairs) == len(np.unique(block)) == block.max() + 1
    # Cells differ by one star, so folds by no more than the number of their cells.
    assert np.ptp(np.bincount(block)) <= 1
    assert np.ptp(np.bincount(fold, minlength=folds)) <= len(pairs) // folds
    assert np.bincount(fold, minlength=folds).min() > 0


def test_cells_do_not_depend_on_the_seed_but_folds_do():
    first, second = (blocked_folds(*sky(4000), 5, seed) for seed in (1, 2))
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])
    assert np.array_equal(first[1], blocked_folds(*sky(4000), 5, seed=1)[1])


def test_cells_are_compact_across_the_seam_of_right_ascension():
    ra, dec = sky(5000)
    block = blocked_folds(ra, dec, 5, seed=1)[0]
    # Of 50 cells of a region 5 by 6.5 degrees none reaches across half of it.
    east = (ra + 10) % 360
    for one in range(block.max() + 1):
        assert np.ptp(east[block == one]) < 3
        assert np.ptp(dec[block == one]) < 3


def test_neighbours_of_a_star_are_in_its_blocked_fold_and_not_in_its_random_one():
    ra, dec = sky(2000)
    _, fold = blocked_folds(ra, dec, 5, seed=1)
    east = (ra + 10) % 360
    squared = (east[:, None] - east) ** 2 + (dec[:, None] - dec) ** 2
    np.fill_diagonal(squared, np.inf)
    nearest = np.argmin(squared, axis=1)
    assert np.mean(fold == fold[nearest]) > 0.7
    at_random = random_folds(2000, 5, seed=1)
    assert abs(np.mean(at_random == at_random[nearest]) - 0.2) < 4 * np.sqrt(0.16 / 2000)


@pytest.mark.parametrize(("stars", "folds"), [(3, 5), (100, 1)])
def test_folds_that_cannot_be_are_refused(stars, folds):
    with pytest.raises(CalibrationError, match="folds"):
        random_folds(stars, folds, seed=1)
    with pytest.raises(CalibrationError, match="folds"):
        blocked_folds(np.arange(stars), np.arange(stars) / 10, folds, seed=1)
