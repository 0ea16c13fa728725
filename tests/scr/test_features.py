"""Dereddening and standardisation against the definitions of the paper."""

import numpy as np
import pytest

from scrframe.errors import CalibrationError
from scrframe.scr.features import deredden, intrinsic_features, standardise_rows


def test_deredden_undoes_an_extinction_in_magnitudes():
    rng = np.random.default_rng(1)
    intrinsic = rng.uniform(1, 2, (50, 7))
    k, extinction = np.linspace(4, 1, 7), rng.uniform(0, 2, 50)
    observed_mag = -2.5 * np.log10(intrinsic) + extinction[:, None] * k
    observed = 10 ** (-0.4 * observed_mag)
    np.testing.assert_allclose(deredden(observed, k, extinction), intrinsic, rtol=1e-12)


def test_rows_have_zero_mean_and_unit_deviation_and_forget_brightness():
    flux = np.random.default_rng(2).uniform(1, 5, (20, 61))
    rows = standardise_rows(flux)
    np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.std(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(standardise_rows(flux * 1e-17), rows, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["per_star", "per_wavelength", "none"])
def test_features_do_not_depend_on_brightness(mode):
    flux = np.random.default_rng(3).uniform(1, 5, (200, 61)).astype(np.float32)
    k, extinction = np.linspace(4, 1, 61), np.full(200, 0.3)
    brightness = np.geomspace(1, 1e3, 200)[:, None].astype(np.float32)
    first = intrinsic_features(flux, k, extinction, mode)
    second = intrinsic_features(flux * brightness, k, extinction, mode)
    # Features are float32: a few units of its last place.
    np.testing.assert_allclose(first, second, rtol=0, atol=2e-5)


def test_per_wavelength_standardises_columns():
    flux = np.random.default_rng(4).uniform(1, 5, (500, 9)).astype(np.float32)
    features = intrinsic_features(flux, np.zeros(9), np.zeros(500), "per_wavelength")
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=0), 1, rtol=1e-5)


def test_a_spectrum_without_contrast_is_refused():
    flux = np.ones((3, 5), dtype=np.float32)
    message = "3 stars have spectra that are not finite"
    with pytest.raises(CalibrationError, match=message), np.errstate(invalid="ignore"):
        intrinsic_features(flux, np.zeros(5), np.zeros(3), "per_star")
