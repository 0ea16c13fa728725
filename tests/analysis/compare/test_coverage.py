"""Conformal errors cover what they should, for every kind of star and any distribution."""

import numpy as np
import pytest
from scipy import stats

from scrframe.analysis.compare.scores import CURVE, WITHIN_1, conformal_errors, coverage
from scrframe.analysis.compare.training_set import random_folds

STARS = 12_000


def uneven(seed=1, tails=None):
    """Return residuals whose scatter depends on two columns, with the scatter and the columns."""
    rng = np.random.default_rng(seed)
    columns = np.column_stack([rng.uniform(12, 21, STARS), rng.normal(1, 0.5, STARS)])
    spread = 0.02 + 0.1 * 10 ** (0.4 * (columns[:, 0] - 21)) + 0.03 * np.abs(columns[:, 1] - 1)
    shape = rng.standard_normal(STARS) if tails is None else rng.standard_t(tails, STARS)
    return spread * shape, spread, columns


@pytest.mark.parametrize("tails", [None, 3])
def test_errors_cover_two_thirds_of_any_distribution_and_kind_of_star(tails):
    residual, _, columns = uneven(tails=tails)
    err = conformal_errors(residual, random_folds(STARS, 5, 1), columns)
    inside = np.abs(residual) <= err
    # Thresholds and stars are of the same sample, each star held out: binomial to first order.
    assert abs(inside.mean() - WITHIN_1) < 3 * np.sqrt(WITHIN_1 * (1 - WITHIN_1) / STARS)
    for column in columns.T:
        for part in np.array_split(np.argsort(column), 6):
            # Four standard errors, thresholds counted, and 1 per cent for stars unlike in a cell.
            allowed = 4 * np.sqrt(2 * WITHIN_1 * (1 - WITHIN_1) / len(part)) + 0.01
            assert abs(inside[part].mean() - WITHIN_1) < allowed


def test_one_error_for_all_stars_fails_where_conformal_errors_do_not():
    residual, _, columns = uneven()
    same = conformal_errors(residual, random_folds(STARS, 5, 1), columns, least=STARS)
    faint = columns[:, 0] > 20
    assert np.mean(np.abs(residual[faint]) <= same[faint]) < 0.55


def test_errors_follow_the_true_scatter():
    residual, spread, columns = uneven()
    err = conformal_errors(residual, random_folds(STARS, 5, 1), columns)
    assert np.corrcoef(np.log(err), np.log(spread))[0, 1] > 0.9
    assert np.median(err / spread) == pytest.approx(1, abs=0.05)


def test_an_error_knows_no_residual_of_its_own_fold():
    residual, _, columns = uneven()
    fold = random_folds(STARS, 5, 1)
    err = conformal_errors(residual, fold, columns)
    changed = np.where(fold == 2, 10 * residual, residual)
    again = conformal_errors(changed, fold, columns)
    assert np.array_equal(err[fold == 2], again[fold == 2])
    assert not np.array_equal(err[fold != 2], again[fold != 2])


def test_the_correction_for_few_residuals_is_exact():
    # One cell, 10 residuals for each: P(|new| <= 8th smallest of 10) = 8/11 >= 0.683.
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(4000):
        residual = rng.standard_normal(20)
        err = conformal_errors(residual, np.arange(20) % 2, np.zeros((20, 1)))
        inside.append(np.abs(residual[0]) <= err[0])
    share = 8 / 11
    assert abs(np.mean(inside) - share) < 4 * np.sqrt(share * (1 - share) / 4000)


def test_too_few_residuals_give_no_error():
    assert np.isnan(conformal_errors(np.ones(2), np.array([0, 1]), np.zeros((2, 1)))).all()


def test_coverage_of_true_errors_is_that_of_a_normal_distribution():
    rng = np.random.default_rng(1)
    err = rng.uniform(0.01, 0.1, (2, 20_000))
    found = coverage(err * rng.standard_normal(err.shape), err)
    assert found.count == 40_000
    assert abs(found.within_1 - stats.chi2.cdf(1, 1)) < 4 * np.sqrt(0.22 / 40_000)
    assert abs(found.within_2 - stats.chi2.cdf(4, 1)) < 4 * np.sqrt(0.044 / 40_000)
    assert (found.expected_1, found.expected_2) == pytest.approx(stats.chi2.cdf([1, 4], 1))
    assert abs(found.pull_sd - 1) < 4 / np.sqrt(2 * 40_000)
    assert np.all(np.abs(found.found - found.expected) < 4 * np.sqrt(0.25 / 40_000))


def test_coverage_of_errors_too_small_by_two_is_seen():
    rng = np.random.default_rng(1)
    found = coverage(2 * rng.standard_normal(20_000), np.ones(20_000))
    assert found.pull_sd == pytest.approx(2, abs=0.05)
    expected = stats.chi2.cdf(stats.chi2.ppf(CURVE, 1) / 4, 1)
    assert np.all(np.abs(found.found - expected) < 4 * np.sqrt(0.25 / 20_000))


def test_stars_without_an_error_are_left_out():
    found = coverage(np.array([1.0, np.nan, 0.5, 0.5]), np.array([2.0, 1.0, np.nan, 0.0]))
    assert (found.count, found.within_1) == (1, 1.0)
    assert np.isnan(coverage(np.ones(1), np.zeros(1)).within_1)
