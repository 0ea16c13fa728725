"""Robust weights: exact posteriors, what is off loses its weight, what is clean keeps it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from scrframe.errors import CalibrationError
from scrframe.offsets.noise.model import NoiseModel, initial_noise
from scrframe.offsets.noise.update import NoiseSettings, update_noise
from scrframe.offsets.outliers.states import OutlierRates, fit_rates, state_likelihoods
from scrframe.offsets.outliers.weights import OutlierSettings, mixture_weights, require_kept

SETTINGS = OutlierSettings()
#: Rates stay where they start.
FIXED = OutlierSettings(rounds=0, min_kept=0.0)
RATES = OutlierRates(0.03, 0.02, 0.01)
FLAT = 1 / (2 * SETTINGS.span)


def weights_of(residual, star, sd=0.02, own=0.06, rates=RATES, settings=FIXED):
    residual, star = np.asarray(residual, dtype=float), np.asarray(star)
    variance = np.broadcast_to(np.square(sd), residual.shape).astype(float)
    star_variance = np.full(star.max() + 1, own**2)
    return mixture_weights(residual, star, variance, star_variance, rates, settings)


# --- exact ---------------------------------------------------------------------------------


def enumerated(r, sd, own, rates):
    """Return detection, star and clean probabilities by going through the states one by one."""
    n = len(r)

    def normal(use):
        use = list(use)
        if not use:
            return 1.0
        spread = np.diag(sd[use] ** 2) + own**2
        return stats.multivariate_normal(np.zeros(len(use)), spread).pdf(r[use])

    def anywhere():
        def density(s):
            return np.prod(stats.norm.pdf(r, s, sd)) * FLAT

        middle = np.average(r, weights=sd**-2)
        limits = middle - 10 * sd.max(), middle + 10 * sd.max()
        return integrate.quad(density, *limits, epsabs=0, epsrel=1e-10, limit=200)[0]

    fine = (1 - rates.several) * (1 - rates.star)
    good = fine * (1 - rates.detection) ** n * normal(range(n))
    if n == 1:
        bad = (1 - fine * (1 - rates.detection)) * FLAT
        return np.array([good / (good + bad)]), good / (good + bad), good / (good + bad)
    prior_one = fine * rates.detection * (1 - rates.detection) ** (n - 1)
    prior_star = (1 - rates.several) * rates.star * (1 - rates.detection) ** n
    one = np.array([prior_one * FLAT * normal(set(range(n)) - {d}) for d in range(n)])
    prior_several = 1 - fine * (1 - rates.detection) ** n - prior_star - n * prior_one
    star, several = prior_star * anywhere(), prior_several * FLAT**n
    total = good + one.sum() + star + several
    return 1 - (one + several) / total, (good + one.sum()) / total, good / total


def test_posteriors_are_those_of_enumeration():
    rng = np.random.default_rng(1)
    sizes = np.array([*range(1, 4)] * 12)
    star = np.repeat(np.arange(len(sizes)), sizes)
    sd = rng.uniform(0.01, 0.05, len(star))
    own = rng.uniform(0.03, 0.1, len(sizes))
    residual = rng.normal(0, 0.08, len(star)) * rng.choice([1, 1, 4], len(star))
    order = rng.permutation(len(star))
    found = mixture_weights(residual[order], star[order], sd[order] ** 2, own**2, RATES, FIXED)
    detection = np.empty(len(star))
    detection[order] = found.detection
    seen = []
    for m in range(len(sizes)):
        rows = star == m
        expected = enumerated(residual[rows], sd[rows], own[m], RATES)
        np.testing.assert_allclose(detection[rows], expected[0], rtol=1e-7, atol=1e-12)
        assert found.star[m] == pytest.approx(expected[1], rel=1e-7, abs=1e-12)
        assert found.clean[m] == pytest.approx(expected[2], rel=1e-7, abs=1e-12)
        seen += list(expected[0])
    # The comparison covers good, bad and doubtful ones.
    assert min(seen) < 0.05
    assert max(seen) > 0.95
    assert any(0.2 < value < 0.8 for value in seen)
    assert found.rates == RATES


def test_prior_probabilities_add_up_whatever_the_number():
    states = state_likelihoods(
        np.zeros(7), np.repeat([0, 1], [1, 6]), np.ones(7), np.ones(2), SETTINGS.span
    )
    # A single detection cannot say whether it or its star is bad: one state, not two.
    assert states.bad[0] == states.one[0] == 0.0
    assert states.bad[1] > 0
    assert states.one[1] == pytest.approx(states.each[1:].sum())


@pytest.mark.parametrize("residual", [0.0, 0.12, 0.19, 0.4])
def test_the_doubt_of_a_single_detection_counts_once(residual):
    pair, alone = np.array([0.05, 0.3]), np.array([residual])
    found = weights_of([*pair, *alone], [0, 0, 1])
    together = found.together(np.array([0, 0, 1]))
    good = enumerated(alone, np.array([0.02]), 0.06, RATES)[2]
    assert together[2] == pytest.approx(good, rel=1e-9)
    detection, star, _ = enumerated(pair, np.full(2, 0.02), 0.06, RATES)
    np.testing.assert_allclose(together[:2], detection * star, rtol=1e-6)


# --- what is off ---------------------------------------------------------------------------


@pytest.mark.parametrize("off", [0.12, -0.2, 1.4])
def test_of_a_pair_the_one_that_is_off_loses(off):
    found = weights_of([0.01, off + 0.01], [0, 0], sd=0.01, own=0.03)
    assert found.detection[0] > 0.95
    assert found.detection[1] < 0.05
    assert found.star[0] > 0.95
    assert found.clean[0] < 0.05


def test_a_blend_loses_its_star_and_keeps_its_detections():
    found = weights_of([0.5, 0.51, 0.49], [0, 0, 0])
    assert np.all(found.detection > 0.95)
    assert found.star[0] < 1e-6
    assert found.clean[0] < 1e-6


def test_a_strong_variable_loses_all():
    found = weights_of([-0.6, 0.1, 0.7, -0.2], [0] * 4)
    assert np.all(found.detection < 0.01)
    assert found.star[0] < 0.01


def test_single_detections_lose_all_that_they_have():
    found = weights_of([0.0, 0.5], [0, 1])
    assert found.detection[0] > 0.95
    assert found.detection[1] < 1e-6
    np.testing.assert_allclose(found.detection, found.star, atol=1e-15)
    np.testing.assert_array_equal(found.star, found.clean)


@pytest.mark.parametrize("others", [0, 1, 3, 30])
def test_influence_redescends(others):
    """However far off, a detection pulls less the farther it is, and nothing overflows."""
    pulls = []
    for off in [0.3, 1.0, 10.0, 1e4, 1e8]:
        found = weights_of([off] + [0.0] * others, [0] * (others + 1))
        assert np.all(np.isfinite(found.detection))
        pulls.append(found.detection[0] * off)
    # A weight is 1 less a probability, so it is 0 within rounding only.
    rounding = 4 * np.finfo(float).eps * 1e8
    assert all(b <= a + rounding for a, b in itertools.pairwise(pulls))
    assert pulls[-1] <= rounding


@pytest.mark.parametrize("count", [2, 3, 12])
def test_outliers_that_hide_behind_each_other_are_found(count):
    rng = np.random.default_rng(2)
    n = 10 * count
    residual = rng.normal(0, 0.02, n)
    bad = np.arange(n) < count
    residual[bad] += np.where(np.arange(count) % 2, 0.4, -0.4)
    found = weights_of(residual, np.zeros(n, dtype=int))
    assert np.all(found.detection[bad] < 0.01)
    assert np.all(found.detection[~bad] > 0.9)
    assert found.star[0] > 0.9


def test_one_set_aside_wrongly_gets_its_weight_back():
    """Of 40 detections four go at a time; here but one is bad."""
    rng = np.random.default_rng(3)
    residual = rng.normal(0, 0.02, 40)
    residual[7] = 0.5
    # Bad ones are anywhere within 1.5 mag: of those, few are as near as the worst of the 39
    # normal ones, 3.5 sd off.
    wide = replace(FIXED, span=1.5)
    found = weights_of(residual, np.zeros(40, dtype=int), settings=wide)
    assert found.detection[7] < 1e-6
    assert np.delete(found.detection, 7).min() > 0.8


# --- many stars ----------------------------------------------------------------------------


def population(seed, stars, share, repeats=(1, 5)):
    """Return residuals of which a share of detections and of stars is off, and the truth."""
    rng = np.random.default_rng(seed)
    star = np.repeat(np.arange(stars), rng.integers(*repeats, stars))
    n = len(star)
    error = np.exp(rng.normal(np.log(0.012), 0.5, n))
    truth = NoiseModel(1.2, 0.006, np.array([np.log(0.06)]))
    noise = np.sqrt(truth.variance(error))
    residual = rng.normal(0, 0.06, stars)[star] + noise * rng.normal(size=n)
    off = np.where(rng.random(n) < share, rng.uniform(-1, 1, n), 0.0)
    variable = rng.random(stars) < share
    residual += off + np.where(variable[star], rng.normal(0, 0.3, n), 0.0)
    return residual, star, error, truth, off, variable, noise


def fitted(residual, star, error, rounds=8):
    stars = star.max() + 1
    x, rates = np.ones((stars, 1)), OutlierRates()
    model = initial_noise(residual, star, error, x.shape)
    for _ in range(rounds):
        found = mixture_weights(
            residual, star, model.variance(error), model.star_variance(x), rates, SETTINGS
        )
        rates = found.rates
        settings = NoiseSettings()
        update = update_noise(residual, star, error, x, found.clean, [], model, settings)
        model = update.model
    return found, model


def test_5_per_cent_of_outliers_and_variables_do_little():
    residual, star, error, truth, off, variable, noise = population(4, 40_000, 0.05)
    found, model = fitted(residual, star, error)
    assert model.scale == pytest.approx(truth.scale, rel=0.03)
    assert model.floor_mag == pytest.approx(truth.floor_mag, rel=0.05)
    assert np.exp(model.scatter[0]) == pytest.approx(0.06, rel=0.03)
    many = np.bincount(star)[star] > 2
    normal = ~variable[star]
    # One detection's offset shows against the others of its star, two at least.
    far = many & normal & (np.abs(off) > 10 * noise)
    assert far.sum() > 1_000
    assert found.detection[far].mean() < 0.05
    dirty = np.bincount(star, off != 0) > 0
    clean = ~dirty & ~variable
    assert found.detection[clean[star]].mean() > 0.98
    assert found.star[clean].mean() > 0.98
    assert found.rates.detection == pytest.approx(0.05, rel=0.2)


def test_clean_data_lose_next_to_nothing():
    residual, star, error, *_ = population(5, 40_000, 0.0)
    found, _ = fitted(residual, star, error, rounds=4)
    assert max(found.rates.detection, found.rates.star, found.rates.several) < 3e-4
    assert found.kept > 0.9995
    assert found.star.mean() > 0.9995


def test_rates_are_recovered_from_the_model_itself():
    """Residuals drawn from the states; shares are known to a binomial's error at best."""
    rng = np.random.default_rng(6)
    stars, n = 30_000, 3
    true = OutlierRates(0.04, 0.03, 0.02)
    several = rng.random(stars) < true.several
    star_bad = rng.random(stars) < true.star
    flat = rng.uniform(-1.5, 1.5, (stars, n + 1))
    own = np.where(star_bad, flat[:, n], rng.normal(0, 0.06, stars))
    bad = rng.random((stars, n)) < true.detection
    # The states know of one bad detection, of a good star: others are not drawn.
    bad &= (bad.sum(axis=1) == 1)[:, None] & ~star_bad[:, None]
    residual = own[:, None] + rng.normal(0, 0.02, (stars, n))
    residual = np.where(bad | several[:, None], flat[:, :n], residual)
    star = np.repeat(np.arange(stars), n)
    states = state_likelihoods(
        residual.ravel(), star, np.full(stars * n, 0.02**2), np.full(stars, 0.06**2), 1.5
    )
    found = fit_rates(states, OutlierRates(), 50, 100.0)
    drawn = bad[~several].sum() / (n * (~several).sum())
    for rate, expected, trials in [
        (found.detection, drawn, stars * n),
        (found.star, true.star, stars),
        (found.several, true.several, stars),
    ]:
        # Doubtful cases (flat values near the normal ones) widen the error by a tenth.
        assert rate == pytest.approx(expected, abs=3.3 * np.sqrt(expected / trials))


def test_too_few_kept_is_an_error():
    residual, star, *_ = population(7, 2_000, 0.0)
    wrong = residual + np.random.default_rng(8).uniform(-1, 1, len(residual))
    require_kept(weights_of(residual, star, settings=SETTINGS).kept, SETTINGS)
    with pytest.raises(
        CalibrationError, match=r"would keep \d+ per cent of the detections, of which it needs 70"
    ):
        require_kept(weights_of(wrong, star, settings=SETTINGS).kept, SETTINGS)


def test_rates_never_run_away():
    rng = np.random.default_rng(9)
    star = np.repeat(np.arange(1_000), 2)
    settings = OutlierSettings(min_kept=0.0)
    found = weights_of(rng.uniform(-1, 1, 2_000), star, settings=settings)
    assert max(found.rates.detection, found.rates.star, found.rates.several) <= 0.2


def test_same_input_same_bits():
    residual, star, error, *_ = population(10, 2_000, 0.05)
    one, other = (fitted(residual, star, error, rounds=2) for _ in range(2))
    np.testing.assert_array_equal(one[0].detection, other[0].detection)
    assert one[1].scale == other[1].scale
