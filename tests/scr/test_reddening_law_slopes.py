"""Slopes by field: variances, errors and shrinkage, by truth and by dense linear algebra."""

import numpy as np
import pytest
from law_draws import draw, fit_arguments
from scipy.optimize import minimize_scalar

from scrframe.errors import CalibrationError
from scrframe.scr.law_design import Fields, LawData, Sums, terms_of
from scrframe.scr.reddening_law import SlopeModel, fit_law
from scrframe.tables.settings import ReddeningSettings

#: 2 per cent of R = 1.42.
SD = 0.028
SLOPES = ReddeningSettings(field_slopes=True, clip_sigma=10)
GRID, MIDDLE = np.array([0.8, 1.6, 2.5]), np.full(3, 0.7)
TRUE = np.polyval([0.042, 0.027, 1.42], GRID)
SEEDS = 60


@pytest.fixture(scope="module")
def draws():
    return [draw(seed, stars=12_000, slope_sd=SD) for seed in range(SEEDS)]


@pytest.fixture(scope="module")
def laws(draws):
    return [fit_law(**fit_arguments(drawn), settings=SLOPES) for drawn in draws]


def pulls(laws):
    return np.array(
        [(law.ratio(GRID, MIDDLE) - TRUE) / np.sqrt(law.variance(GRID, MIDDLE)) for law in laws]
    )


def test_errors_of_the_law_hold_where_fields_differ(draws, laws):
    # The standard deviation of N normal pulls is uncertain by 1 / sqrt(2 N).
    tolerance = 3 / np.sqrt(2 * SEEDS)
    assert np.all(np.abs(pulls(laws).std(axis=0) - 1) < tolerance)
    assert np.all(np.abs(pulls(laws).mean(axis=0)) < 3 / np.sqrt(SEEDS))
    plain = [fit_law(**fit_arguments(d), settings=ReddeningSettings(clip_sigma=10)) for d in draws]
    assert np.all(pulls(plain).std(axis=0) > 1 + 2 * tolerance)


def test_the_standard_deviation_of_the_slopes_is_recovered(laws):
    sd = np.array([law.slopes.sd for law in laws])
    assert abs(sd.mean() - SD) < 3 * sd.std() / np.sqrt(SEEDS)
    # 24 fields tell a standard deviation to one in sqrt(48) at best.
    assert sd.std() < 1.5 * SD / np.sqrt(48)


def test_shrunken_slopes_are_nearer_the_truth_and_their_errors_hold(draws, laws):
    truth = np.array([drawn["slope"] for drawn in draws])
    shrunken = np.array([law.slopes.slope for law in laws]) - truth
    free = np.array([law.slopes.free for law in laws]) - truth
    assert np.sqrt(np.mean(shrunken**2)) < np.sqrt(np.mean(free**2))
    pull = shrunken / np.array([law.slopes.err for law in laws])
    # Fields of one draw share the law's error: draws are counted, not fields.
    spread = pull.std(axis=1)
    assert abs(np.sqrt(np.mean(pull**2)) - 1) < 3 * spread.std() / np.sqrt(SEEDS) + 1 / SEEDS


def test_few_stars_shrink_more(draws):
    drawn = fit_arguments(draws[0])
    few = (drawn["fields"].code != 3) | (np.arange(len(drawn["visit"])) % 40 == 0)
    part = {
        name: value.take(few) if name == "fields" else value[few] for name, value in drawn.items()
    }
    all_of_it = fit_law(**drawn, settings=SLOPES).slopes
    slopes = fit_law(**part, settings=SLOPES).slopes
    assert abs(slopes.slope[3]) < abs(slopes.free[3])
    assert slopes.free_err[3] > 4 * all_of_it.free_err[3]
    assert slopes.err[3] < slopes.free_err[3]


def test_no_variation_gives_the_plain_fit():
    drawn = fit_arguments(draw(5, stars=20_000))
    plain = fit_law(**drawn, settings=ReddeningSettings(clip_sigma=10))
    law = fit_law(**drawn, settings=SLOPES)
    # 0 is the most likely value in about half of all draws, and is in this one.
    assert law.slopes.sd == 0.0
    assert np.all(law.slopes.slope == 0.0)
    np.testing.assert_allclose(law.coefficients, plain.coefficients, rtol=1e-8)
    np.testing.assert_allclose(law.covariance, plain.covariance, rtol=1e-6)


def test_solution_and_likelihood_are_those_of_dense_matrices():
    drawn = draw(7, stars=300, fields=5, slope_sd=0.2)
    field, visit = drawn["fields"].code, drawn["visit"]
    data = LawData.of(
        drawn["colour0_mag"], drawn["extinction"], drawn["excess_mag"], visit, terms_of(2, 0)
    )
    sums = Sums.over(*data.centred(data.finite), field, 5)
    model = SlopeModel(sums, 2, data.freedom(data.finite))
    fit = model.solve()
    seen = np.unique(visit)
    fixed = np.hstack([data.design, (visit[:, None] == seen).astype(float)])
    random = (field[:, None] == np.arange(5)) * drawn["extinction"][:, None]

    def dense(ratio):
        weight = np.linalg.inv(np.eye(300) + ratio**2 * random @ random.T)
        normal = fixed.T @ weight @ fixed
        found = np.linalg.solve(normal, fixed.T @ weight @ drawn["excess_mag"])
        left = drawn["excess_mag"] - fixed @ found
        freedom = 300 - fixed.shape[1]
        noise = left @ weight @ left / freedom
        deviance = freedom * np.log(noise) - np.linalg.slogdet(weight)[1]
        return deviance + np.linalg.slogdet(normal)[1], noise, normal, found, weight @ left

    best = minimize_scalar(
        lambda ratio: dense(ratio)[0], bounds=(0.01, 30), method="bounded", options={"xatol": 1e-8}
    )
    ratio = fit.sd / fit.noise_mag
    assert ratio == pytest.approx(best.x, rel=1e-3)
    _, noise, normal, found, weighted = dense(ratio)
    assert fit.noise_mag**2 == pytest.approx(noise, rel=1e-8)
    np.testing.assert_allclose(fit.coefficients, found[:3], rtol=1e-7)
    np.testing.assert_allclose(fit.covariance, noise * np.linalg.inv(normal)[:3, :3], rtol=1e-6)
    np.testing.assert_allclose(fit.slope, ratio**2 * random.T @ weighted, rtol=1e-6)
    # Henderson's equations give the errors of the slopes.
    both = np.hstack([fixed, random])
    penalty = np.diag([0.0] * fixed.shape[1] + [ratio**-2] * 5)
    err = np.sqrt(noise * np.diag(np.linalg.inv(both.T @ both + penalty))[-5:])
    np.testing.assert_allclose(fit.err, err, rtol=1e-6)


def test_repeats_of_a_star_are_not_independent():
    """Each star twice, its own deviation the same in both: errors must not shrink."""
    for field_slopes in (False, True):
        found, once = [], []
        settings = ReddeningSettings(field_slopes=field_slopes, clip_sigma=10)
        for seed in range(SEEDS):
            drawn = fit_arguments(draw(1000 + seed, slope_sd=SD * field_slopes))
            rows = np.arange(len(drawn["visit"]))
            twice = np.concatenate([rows, rows])
            again = {
                name: value.take(twice) if name == "fields" else value[twice]
                for name, value in drawn.items()
            }
            found.append(fit_law(**again, settings=settings, star=twice))
            once.append(fit_law(**drawn, settings=settings))
        tolerance = 3 / np.sqrt(2 * SEEDS)
        assert np.all(np.abs(pulls(found).std(axis=0) - 1) < tolerance)
        errors = [np.mean([law.variance(GRID, MIDDLE) for law in each]) for each in (found, once)]
        # Equal up to the degrees of freedom, of which repeats seem to add.
        assert errors[0] == pytest.approx(errors[1], rel=0.02)


def test_outliers_are_clipped():
    drawn = fit_arguments(draw(2, stars=20_000, slope_sd=SD))
    drawn["excess_mag"][::50] += 2.0
    law = fit_law(**drawn, settings=ReddeningSettings(field_slopes=True))
    assert np.all(np.abs(law.ratio(GRID) - TRUE) < 3 * np.sqrt(law.variance(GRID, MIDDLE)))
    assert law.slopes.sd == pytest.approx(SD, rel=3 / np.sqrt(48))


def test_names_of_fields_go_with_the_slopes_and_empty_fields_drop_out():
    drawn = fit_arguments(draw(2, fields=5))
    names = ("a", "b", "empty", "c", "d", "e")
    code = np.where(drawn["fields"].code >= 2, drawn["fields"].code + 1, drawn["fields"].code)
    law = fit_law(**{**drawn, "fields": Fields(code, names)}, settings=SLOPES)
    assert law.slopes.field == ("a", "b", "c", "d", "e")
    assert len(law.slopes.slope) == len(law.slopes.free_err) == 5


def test_what_slopes_need():
    drawn = fit_arguments(draw(2))
    with pytest.raises(CalibrationError, match="needs the field of each visit"):
        fit_law(**{**drawn, "fields": None}, settings=SLOPES)
    with pytest.raises(CalibrationError, match="needs a constant for each visit"):
        fit_law(**drawn, settings=ReddeningSettings(field_slopes=True, visit_constants=False))
    code = drawn["fields"].code.copy()
    code[drawn["visit"] == 0] = np.arange(np.sum(drawn["visit"] == 0)) % 2
    with pytest.raises(CalibrationError, match="1 visits have detections in more than one"):
        fit_law(**{**drawn, "fields": Fields(code, drawn["fields"].name)}, settings=SLOPES)
