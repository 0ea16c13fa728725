"""Several surveys in one solve: against dense matrices, and against the truth of draws."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from joint_cases import SCATTER, TRUE, dense_design, dense_prior, draw_case, flat_columns

from scrframe.errors import CalibrationError
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.problem import Estimate
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.noise.model import NoiseModel
from scrframe.offsets.outliers.states import OutlierRates
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.offsets.shared.correlation import (
    Correlation,
    StarResiduals,
    common_stars,
    correlate,
    one_factor,
)
from scrframe.offsets.shared.layout import Member, SharedTerm
from scrframe.offsets.shared.solve import solve_surveys

#: Of the stars' deviations in the drawn surveys.
RHO = -0.8
FOLLOW = np.array([np.sqrt(-RHO), -np.sqrt(-RHO)])
FIELDS = ("f0", "f1")
SHARED = (SharedTerm("slope", (FIELDS, FIELDS)),)
#: Draws of both surveys.
DRAWS = 14


def at_truth(problem, *, robust=False):
    """Return one solve with the true variances."""
    held = replace(
        problem.settings, move_variances=False, outliers=OutlierSettings(robust), max_rounds=0
    )
    noise = NoiseModel(1.0, 1e-6, np.array([np.log(SCATTER)]))
    start = Estimate(np.zeros(0), TRUE, noise, OutlierRates())
    return fit_joint(replace(problem, settings=replace(held, exact_rounds=0)), start)


class Pair:
    """Two surveys of which most stars are the same, drawn from the model of both."""

    def __init__(self, seed: int = 1, stars: tuple[int, int] = (150, 130)) -> None:
        kinds = ("visit", "static", "jitter", "slope")
        self.cases = [draw_case(seed + 7 * n, kinds, stars=stars[n]) for n in range(2)]
        counts = [case.model.stars for case in self.cases]
        self.source = [np.arange(counts[0]), 20 + np.arange(counts[1])]

    def drawn(self, seed: int):
        """Return problems with differences drawn anew, and the true parameters."""
        rng = np.random.default_rng([seed, 5])
        common = rng.standard_normal(1000)
        slope = rng.standard_normal(len(FIELDS))
        problems, truth = [], []
        for case, follow, source in zip(self.cases, FOLLOW, self.source, strict=True):
            model = case.model
            found = np.zeros(model.width)
            for term in model.terms[1:]:
                found[term.columns] = TRUE[term.name] * rng.standard_normal(term.width)
            found[case.design.term("slope").columns] = TRUE["slope"] * slope
            own = np.sqrt(1 - follow**2) * rng.standard_normal(len(source))
            star = SCATTER * (follow * common[source] + own)
            noise = case.problem.error_mag * rng.standard_normal(len(model.star))
            problems.append(case.using(model.values(found) + star[model.star] + noise))
            truth.append(found)
        return problems, truth

    def members(self, problems, **settings):
        return [
            Member(name, at_truth(problem, **settings), source)
            for name, problem, source in zip("ab", problems, self.source, strict=True)
        ]


@pytest.fixture(scope="module")
def pair():
    return Pair()


@pytest.fixture(scope="module")
def members(pair):
    return pair.members(pair.drawn(1)[0], robust=True)


def dense(members, follow, shared):
    """Return Z, V and the prior of both, from the fits' weights, and the differences.

    Parameters are those of the surveys one after the other.
    """
    models = [member.fit.design.model for member in members]
    width = [model.width for model in models]
    z = np.zeros((sum(len(m.star) for m in models), sum(width)))
    n = len(models[0].star)
    z[:n, : width[0]], z[n:, width[0] :] = (dense_design(model) for model in models)
    prior = np.zeros((sum(width),) * 2)
    prior[: width[0], : width[0]], prior[width[0] :, width[0] :] = (
        dense_prior(model, TRUE) for model in models
    )
    if shared:
        first, second = (m.fit.design.term("slope").columns for m in members)
        second = slice(width[0] + second.start, width[0] + second.stop)
        prior[first, second] = prior[second, first] = TRUE["slope"] ** 2 * np.eye(2)
    source = np.concatenate([m.source[k.star] for m, k in zip(members, models, strict=True)])
    survey = np.repeat([0, 1], [len(model.star) for model in models])
    good = np.concatenate([m.fit.robust.star[k.star] for m, k in zip(members, models, strict=True)])
    # A doubtful star has more deviation of its own, in common with the others it has what it had.
    known = np.isin(source, np.intersect1d(members[0].source, members[1].source))
    part = np.where(known, follow[survey] ** 2, 0.0)
    same = (source[:, None] == source) * SCATTER**2
    both = same * (
        np.sqrt(part[:, None] * part) * np.sign(follow[survey][:, None] * follow[survey])
    )
    own = same * (survey[:, None] == survey) * ((1 - part) / good)
    noise = np.concatenate([1 / member.fit.weights.detection for member in members])
    flat = np.concatenate([flat_columns(models[0]), width[0] + flat_columns(models[1])])
    return z, np.diag(noise) + own + both, prior, flat


@pytest.mark.parametrize("shared", [(), SHARED], ids=["stars", "stars and slopes"])
def test_the_solve_is_the_best_predictor_of_all_detections(pair, members, shared):
    fits = solve_surveys(members, FOLLOW, shared)
    z, v, prior, flat = dense(members, FOLLOW, shared)
    problems = pair.drawn(1)[0]
    delta = np.concatenate([problem.delta_mag for problem in problems])
    total = np.linalg.inv(v + z @ prior @ z.T)
    x = z[:, flat]
    fixed = np.linalg.solve(x.T @ total @ x, x.T @ total @ delta)
    expected = prior @ z.T @ total @ (delta - x @ fixed)
    expected[flat] = fixed
    found = np.concatenate([fit.estimate.parameters for fit in fits])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    residual = np.concatenate([fit.residual_mag for fit in fits])
    np.testing.assert_allclose(residual, delta - z @ expected, atol=1e-9)
    # What is not known: the prior less what the detections tell of it, flat columns included.
    gain = prior @ z.T @ total
    gain[flat] = 0
    lift = np.zeros((len(found), len(flat)))
    lift[flat] = np.eye(len(flat))
    lift = lift - gain @ x
    covariance = prior - gain @ z @ prior + lift @ np.linalg.inv(x.T @ total @ x) @ lift.T
    start = 0
    for fit in fits:
        size = fit.design.model.width
        own = covariance[start : start + size, start : start + size]
        np.testing.assert_allclose(fit.factor.solve(np.eye(size)), own, atol=1e-9)
        np.testing.assert_allclose(fit.factor.diagonal(), np.diag(own), atol=1e-9)
        rows = fit.design.model.by_exposure
        padded = np.hstack([rows.toarray(), np.zeros((rows.shape[0], size - rows.shape[1]))])
        shape = (rows.shape[0], size)
        np.testing.assert_allclose(
            fit.factor.row_variances(type(rows)((rows.data, rows.indices, rows.indptr), shape)),
            np.einsum("ij,jk,ik->i", padded, own, padded),
            atol=1e-9,
        )
        start += size


def test_likelihoods_are_those_of_all_detections(pair, members):
    """Up to a constant that is the same for both: by their definition, from all covariances."""
    found, expected = [], []
    problems = pair.drawn(1)[0]
    delta = np.concatenate([problem.delta_mag for problem in problems])
    for shared in ((), SHARED):
        found.append(solve_surveys(members, FOLLOW, shared)[0].whole.log_likelihood)
        z, v, prior, flat = dense(members, FOLLOW, shared)
        whole, x = v + z @ prior @ z.T, z[:, flat]
        total = np.linalg.inv(whole)
        fixed = x.T @ total @ x
        left = delta @ total @ (delta - x @ np.linalg.solve(fixed, x.T @ total @ delta))
        expected.append(-0.5 * (left + np.linalg.slogdet(whole)[1] + np.linalg.slogdet(fixed)[1]))
    assert np.diff(found) == pytest.approx(np.diff(expected), abs=1e-7)


def test_a_change_of_one_surveys_differences_moves_both_as_solving_anew_does(pair, members):
    fits = solve_surveys(members, FOLLOW, SHARED)
    change = np.random.default_rng(3).normal(0, 0.01, len(fits[0].residual_mag))
    moved = [
        replace(
            members[0],
            fit=replace(members[0].fit, residual_mag=members[0].fit.residual_mag + change),
        ),
        members[1],
    ]
    again = solve_surveys(moved, FOLLOW, SHARED)
    np.testing.assert_allclose(
        fits[0].estimate.parameters + fits[0].response(change),
        again[0].estimate.parameters,
        atol=1e-10,
    )


def test_with_nothing_shared_each_is_as_alone(members):
    for member, fit in zip(members, solve_surveys(members, np.zeros(2)), strict=True):
        alone = member.fit
        np.testing.assert_allclose(fit.estimate.parameters, alone.estimate.parameters, atol=1e-10)
        np.testing.assert_allclose(fit.factor.diagonal(), alone.factor.diagonal(), rtol=1e-8)
        for found, expected in zip(fit.star_deviations(), alone.star_deviations(), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-10)
        np.testing.assert_allclose(
            JointResults(fit).exposures.err_mag, JointResults(alone).exposures.err_mag, rtol=1e-7
        )


def test_no_error_grows_and_those_that_share_shrink(members):
    for member, fit in zip(members, solve_surveys(members, FOLLOW, SHARED), strict=True):
        alone, whole = JointResults(member.fit).exposures, JointResults(fit).exposures
        assert np.all(whole.err_mag <= alone.err_mag * (1 + 1e-9))
        assert np.mean(whole.err_mag) < 0.98 * np.mean(alone.err_mag)


def test_errors_and_changes_of_draws_are_as_large_as_stated(pair):
    """Of errors, and of changes, whose variance is that of the errors' difference."""
    pulls, changes, ratio = [], [], []
    for seed in range(DRAWS):
        problems, truth = pair.drawn(seed)
        members = pair.members(problems)
        for number, fit in enumerate(solve_surveys(members, FOLLOW, SHARED)):
            term = fit.design.term("visit").columns
            error = np.sqrt(fit.factor.diagonal()[term])
            alone = np.sqrt(members[number].fit.factor.diagonal()[term])
            found = fit.estimate.parameters[term]
            pulls.append((found - truth[number][term]) / error)
            change = found - members[number].fit.estimate.parameters[term]
            changes.append(change / np.sqrt(alone**2 - error**2))
            ratio.append(
                np.sum((found - truth[number][term]) ** 2)
                - np.sum((found - change - truth[number][term]) ** 2)
            )
    # Draws of 2 x 8 visits, whose errors have much in common within a draw.
    for values in (pulls, changes):
        squares = np.mean(np.square(values).reshape(DRAWS, -1), axis=1)
        assert np.mean(squares) == pytest.approx(1.0, abs=3 * np.std(squares) / np.sqrt(DRAWS))
    assert np.mean(ratio) < 0


def test_terms_without_a_prior_or_with_dependent_columns_are_not_shared():
    kinds = ("visit", "drift", "free")
    fits = [at_truth(draw_case(seed, kinds, stars=100).problem) for seed in (1, 2)]
    members = [
        Member(name, fit, np.arange(200)[: fit.design.model.stars])
        for name, fit in zip("ab", fits, strict=True)
    ]
    for name, why in (("free", "no prior"), ("drift", "columns that depend on each other")):
        labels = tuple([str(n) for n in range(fit.design.term(name).width)] for fit in fits)
        with pytest.raises(CalibrationError, match=rf"share.terms: '{name}' of a has {why}"):
            solve_surveys(members, np.zeros(2), [SharedTerm(name, labels)])


class TestCorrelation:
    def residuals(self, pair, seed):
        problems, _ = pair.drawn(seed)
        return [
            StarResiduals.of(m.fit, np.arange(len(m.fit.design.exposures)))
            for m in pair.members(problems)
        ]

    def test_it_is_that_of_the_draw(self):
        pair = Pair(2, (900, 950))
        rows = common_stars(pair.source, 0, 1)
        found = [correlate(*self.residuals(pair, seed), rows, 1) for seed in range(8)]
        assert all(each.significant for each in found)
        assert all(each.common == len(rows[0]) > 850 for each in found)
        pulls = [(each.value - RHO) / each.error for each in found]
        # The fit of the terms takes a few per cent of what stars of an exposure share.
        assert np.sqrt(np.mean(np.square(pulls))) < 2
        assert abs(np.mean([each.value for each in found]) - RHO) < 0.08

    def test_stars_that_are_not_the_same_have_none(self):
        pair = Pair(2, (900, 950))
        rows = common_stars(pair.source, 0, 1)
        mixed = rows[0], np.random.default_rng(1).permutation(rows[1])
        values = [correlate(*self.residuals(pair, seed), mixed, 1) for seed in range(8)]
        pulls = np.array([each.value / each.error for each in values])
        assert np.sqrt(np.mean(pulls**2)) < 2
        assert sum(each.significant for each in values) <= 1

    def test_few_stars_in_common_tell_none(self):
        few = tuple(rows[:60] for rows in common_stars(Pair().source, 0, 1))
        assert not correlate(*self.residuals(Pair(), 1), few, 1).significant
        nobody = (np.zeros(0, dtype=np.int64),) * 2
        assert correlate(*self.residuals(Pair(), 1), nobody, 1) == Correlation(0.0, np.inf, 0)

    @pytest.mark.parametrize("factor", [[0.9, 0.6, 0.7], [0.8, -0.5, 0.9], [-0.9, 0.8, 0.7, 0.5]])
    def test_products_of_the_factor_are_the_correlations(self, factor):
        found = {
            (i, j): Correlation(factor[i] * factor[j], 0.01, 1000)
            for i, j in combinations(range(len(factor)), 2)
        }
        answer = one_factor(found, len(factor))
        for (i, j), each in found.items():
            assert answer[i] * answer[j] == pytest.approx(each.value, abs=1e-4)

    def test_a_survey_that_goes_with_no_other_is_left_alone(self):
        found = {
            (0, 1): Correlation(0.5, 0.02, 1000),
            (0, 2): Correlation(0.02, 0.02, 1000),
            (1, 2): Correlation(0.01, 0.02, 1000),
        }
        answer = one_factor(found, 3)
        assert answer[2] == 0
        assert answer[0] * answer[1] == pytest.approx(0.5)
        assert np.all(one_factor({(0, 1): Correlation(0.9, 0.1, 50)}, 2) == 0)
