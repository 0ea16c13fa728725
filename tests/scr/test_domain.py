"""The domain guard: few of those like the training stars, most of those unlike them."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scrframe.errors import CalibrationError
from scrframe.scr.domain import (
    OUTSIDE_SHAPE,
    OUTSIDE_SNR,
    OUTSIDE_SPECTRUM,
    DomainGuard,
    DomainGuardSettings,
    upper_threshold,
)

WAVELENGTH = np.linspace(-1, 1, 61)
SETTINGS = DomainGuardSettings()


def spectra(seed, count, temperature=(0.5, 1.5), line=0.0, snr=(20, 400)):
    """Return standardised spectra of two parameters, with noise, and their S/N."""
    rng = np.random.default_rng(seed)
    warmth, depth = rng.uniform(*temperature, count), rng.normal(0, 0.15, count)
    continuum = np.exp(warmth[:, None] * WAVELENGTH + 0.3 * warmth[:, None] ** 2 * WAVELENGTH**2)
    flux = continuum * (1 - (0.3 + depth[:, None]) * np.exp(-(((WAVELENGTH + 0.6) / 0.1) ** 2)))
    flux *= 1 - line * np.exp(-(((WAVELENGTH - 0.3) / 0.1) ** 2))
    ratio = np.exp(rng.uniform(*np.log(snr), count))
    flux *= 1 + rng.normal(0, 1, flux.shape) / ratio[:, None]
    centred = flux - flux.mean(axis=1, keepdims=True)
    return (centred / centred.std(axis=1, keepdims=True)).astype(np.float32), ratio


@pytest.fixture(scope="module")
def guard():
    return DomainGuard.fit(*spectra(1, 15_000), SETTINGS)


def share(guard, seed, bit=None, **kind):
    reason = guard.judge(*spectra(seed, 2000, **kind)).reason
    return np.mean(reason > 0 if bit is None else (reason & bit) > 0)


@pytest.mark.parametrize("training", [300, 2000, 15_000])
def test_few_stars_like_the_training_stars_are_flagged(training):
    flagged = []
    for seed in range(5):
        guard = DomainGuard.fit(*spectra(seed, training), SETTINGS)
        flagged.append(np.mean(guard.judge(*spectra(seed + 100, 20_000)).reason > 0))
    # The threshold of one reason is itself uncertain: of quantile / 2 times 15,000 stars, about
    # 37 are beyond it, which is uncertain by a sixth. With 300 stars the tail is extrapolated.
    limit = {300: 3, 2000: 2, 15_000: 1.2}[training] * SETTINGS.quantile
    assert np.mean(flagged) < limit
    assert np.mean(flagged) > 0


def test_hotter_stars_are_flagged(guard):
    assert share(guard, 2, OUTSIDE_SPECTRUM, temperature=(2.2, 2.6)) > 0.95
    assert share(guard, 2, OUTSIDE_SPECTRUM, temperature=(-0.5, 0.2)) > 0.95
    assert share(guard, 2, temperature=(0.6, 1.4)) < 0.01


def test_a_line_that_no_training_star_has_is_a_shape(guard):
    odd = spectra(3, 2000, line=0.5, snr=(60, 400))
    domain = guard.judge(*odd)
    assert np.mean((domain.reason & OUTSIDE_SHAPE) > 0) > 0.95
    assert np.all(domain.distance[domain.reason > 0] > 1)
    assert np.all(domain.distance[domain.reason == 0] <= 1)
    # The same star stands farther out the deeper the line.
    deeper = guard.judge(*spectra(3, 2000, line=0.7, snr=(60, 400)))
    assert np.median(deeper.distance) > 1.2 * np.median(domain.distance)


def test_spectra_of_another_kind_lie_far_from_all_others(guard):
    features, snr = spectra(4, 500)
    mirrored = guard.judge(np.ascontiguousarray(features[:, ::-1]), snr)
    assert np.mean(mirrored.reason > 0) > 0.95
    assert np.mean((mirrored.reason & OUTSIDE_SPECTRUM) > 0) > 0.5


def test_noisier_than_any_training_star(guard):
    assert share(guard, 5, OUTSIDE_SNR, snr=(5, 15)) == 1.0
    assert share(guard, 5, snr=(400, 2000)) < 0.01  # brighter is no reason


def test_noise_of_a_good_spectrum_is_not_taken_for_that_of_a_bad_one(guard):
    """The same scatter is usual at low S/N, and unheard of at high S/N."""
    features, snr = spectra(6, 2000, snr=(20, 25))
    as_it_is = np.mean(guard.judge(features, snr).reason > 0)
    as_if_good = np.mean(guard.judge(features, np.full(len(snr), 400.0)).reason > 0)
    assert as_it_is < 0.05
    assert as_if_good > 4 * as_it_is


def test_what_is_missing_is_outside_and_harms_no_other(guard):
    features, snr = spectra(7, 100)
    expected = guard.judge(features, snr)
    features, snr = features.copy(), snr.copy()
    features[3, 10], features[4] = np.nan, np.inf
    snr[[5, 6, 7]] = np.nan, 0.0, -1.0
    domain = guard.judge(features, snr)
    assert np.all(domain.reason[[3, 4]] & (OUTSIDE_SPECTRUM | OUTSIDE_SHAPE) == 3)
    assert np.all(domain.reason[[5, 6, 7]] & OUTSIDE_SNR)
    assert np.all(domain.distance[3:8] == np.inf)
    others = np.setdiff1d(np.arange(100), np.arange(3, 8))
    np.testing.assert_allclose(domain.distance[others], expected.distance[others], rtol=1e-12)
    damaged, noise = (values.copy() for values in spectra(1, 15_000))
    damaged[::1000, 5], noise[1::1000] = np.nan, np.nan
    assert share(DomainGuard.fit(damaged, noise, SETTINGS), 8) < 0.02


def test_the_distance_is_that_of_the_nearest_others_in_whitened_space():
    features, snr = spectra(9, 400)
    settings = DomainGuardSettings(reference_stars=400, neighbours=3, quantile=0.8)
    guard = DomainGuard.fit(features, snr, settings)
    centred = features.astype(float) - features.astype(float).mean(axis=0)
    left = np.linalg.svd(centred, full_matrices=False)[0]
    kept = guard.space.axes.shape[1]
    log = np.log10(snr)
    place = np.column_stack([np.sqrt(400) * left[:, :kept], (log - np.median(log)) / log.std()])
    own = cKDTree(place).query(place, k=4)[0][:, 3]
    assert guard.farthest == pytest.approx(np.quantile(own, 0.9), rel=1e-6)
    assert 10**guard.lowest == pytest.approx(1 / np.quantile(1 / snr, 0.95), rel=1e-9)
    far = guard.judge(features[:5] + np.float32(3), snr[:5])
    for row in range(5):
        at = np.append(
            (features[row] + 3 - features.astype(float).mean(axis=0)) @ guard.space.axes,
            place[row, -1],
        )
        # The sign of an axis is arbitrary: the tree of the guard has its own.
        distance = np.sort(np.linalg.norm(guard.reference.data - at, axis=1))[2]
        assert far.distance[row] >= distance / guard.farthest * (1 - 1e-6)


def test_the_remainder_is_one_on_average_at_any_snr(guard):
    features, snr = spectra(11, 20_000)
    remainder = guard.space.remainder(features, np.log10(snr))
    for low, high in ((20, 40), (40, 80), (80, 160), (160, 400)):
        inside = (snr >= low) & (snr < high)
        assert np.sqrt(np.mean(remainder[inside] ** 2)) == pytest.approx(1, abs=0.1)


def test_same_seed_same_bits_and_the_blocks_do_not_matter(monkeypatch):
    features, snr = spectra(10, 15_000)
    first, second = (DomainGuard.fit(features, snr, SETTINGS) for _ in range(2))
    one, two = first.judge(features, snr), second.judge(features, snr)
    np.testing.assert_array_equal(one.distance, two.distance)
    monkeypatch.setattr("scrframe.scr.domain.BLOCK", 1000)
    blocks = first.judge(features, snr)
    np.testing.assert_array_equal(blocks.reason, one.reason)
    np.testing.assert_allclose(blocks.distance, one.distance, rtol=1e-12)
    other = DomainGuard.fit(features, snr, DomainGuardSettings(seed=2))
    assert other.farthest != first.farthest


def test_few_features_leave_no_remainder():
    rng = np.random.default_rng(1)
    parameters = rng.normal(size=(5000, 3)).astype(np.float32)
    guard = DomainGuard.fit(parameters, rng.uniform(20, 200, 5000), SETTINGS)
    far = guard.judge(parameters[:100] + np.float32(8), np.full(100, 50.0))
    assert np.all(far.reason == OUTSIDE_SPECTRUM)
    near = guard.judge(rng.normal(size=(5000, 3)), rng.uniform(20, 200, 5000))
    assert np.mean(near.reason > 0) < 0.01


def test_a_threshold_is_extrapolated_where_the_sample_is_small():
    rng = np.random.default_rng(2)
    large = upper_threshold(1 + rng.pareto(4.0, 200_000), 0.001)
    assert large == pytest.approx(0.001**-0.25, rel=0.05)
    small = [upper_threshold(1 + rng.pareto(4.0, 500), 0.001) for _ in range(200)]
    assert np.median(small) == pytest.approx(0.001**-0.25, rel=0.1)


def test_too_few_or_equal_training_stars_are_errors():
    features, snr = spectra(1, 100)
    with pytest.raises(CalibrationError, match=r"10 training stars .* are too few"):
        DomainGuard.fit(features[:10], snr[:10], SETTINGS)
    with pytest.raises(CalibrationError, match="do not differ"):
        DomainGuard.fit(np.ones_like(features), snr, SETTINGS)
