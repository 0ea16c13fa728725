"""Significances after many looks against probabilities."""

import numpy as np
import pytest
from scipy import stats

from scrframe.checks.statistics import (
    FALSE_ALARM,
    LIMIT,
    after_trials,
    normal_from_t,
    normal_scores,
)


def test_looks_make_large_values_less_surprising():
    one = 2 * stats.norm.sf(4.0)
    for trials in (1, 10, 1000):
        any_of = 1 - (1 - one) ** trials
        assert after_trials(4.0, trials) == pytest.approx(stats.norm.isf(any_of / 2), rel=1e-9)
    # Too far out for floats: the probabilities add up.
    expected = stats.norm.logsf(float(after_trials(40.0, 1e6))) - stats.norm.logsf(40.0)
    assert expected == pytest.approx(np.log(1e6), rel=1e-6)


def test_a_clean_search_alarms_as_rarely_as_said():
    assert 2 * stats.norm.sf(LIMIT) == pytest.approx(FALSE_ALARM)


def test_students_t_is_less_surprising_than_a_normal_distribution():
    z = normal_from_t(np.array([-5.0, 5.0]), 4.0)
    assert 2 * stats.norm.sf(z[1]) == pytest.approx(2 * stats.t.sf(5.0, 4))
    assert z[0] == -z[1]


def test_scores_by_rank_are_normal_whatever_the_tails():
    score = normal_scores(np.random.default_rng(1).standard_cauchy(2001))
    assert abs(score.mean()) < 1e-12 and score.std() == pytest.approx(1.0, abs=0.005)
