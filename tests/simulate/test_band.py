"""A band that a passband describes: drawn from the spectra themselves."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from scrframe.config import SimulationSettings
from scrframe.config.simulation import BandSettings
from scrframe.simulate.cache import sample_key
from scrframe.simulate.coefficients import stacked
from scrframe.simulate.survey import make_spectroscope
from scrframe.spectra.passband import synthetic_magnitudes

PASSBAND = ((395.0, 0.0), (415.0, 1.0), (535.0, 1.0), (555.0, 0.0))


@pytest.fixture(scope="module")
def drawn(curve):
    """Stars with their colours in a band like g, and the spectroscope that made them."""
    spectroscope = make_spectroscope(curve, BandSettings(passband=PASSBAND))
    rng = np.random.default_rng(3)
    scores, _ = spectroscope.library.mixtures(np.arange(200), rng)
    extinction, bp = rng.uniform(0.05, 1.5, 200), rng.uniform(12, 16, 200)
    coefficients, colour0, _ = spectroscope.observe(scores, extinction, bp, 0.03)
    slope = spectroscope.slope(coefficients, colour0, extinction, bp, 0.03)
    return spectroscope, coefficients, extinction, bp, colour0, slope


def test_true_magnitude_is_that_of_the_spectrum(drawn):
    spectroscope, coefficients, extinction, bp, colour0, slope = drawn
    operator = spectroscope.fit.sampled
    band_nm, through = np.array(PASSBAND).T
    flux = coefficients @ stacked(operator)
    expected = synthetic_magnitudes(flux, operator.wavelength_nm, band_nm, through, "AB")
    assert bp + colour0 + slope * extinction == pytest.approx(expected, abs=1e-10)


def test_band_next_to_the_reference_band_is_reddened_little(drawn):
    *_, colour0, slope = drawn
    # The band's middle, 475 nm, is bluer than G_BP's 511 nm: 0.2 to 0.7 mag per unit of E.
    assert np.all((slope > 0.0) & (slope < 1.0))
    assert 0.1 < np.median(slope) < 0.7
    assert np.all(np.abs(colour0) < 1.5)


@pytest.mark.parametrize(
    ("passband", "words"),
    [
        (((500.0, 0.0),), "at least 2"),
        (((500.0, 0.0), (450.0, 1.0)), "ascending"),
        (((300.0, 0.0), (450.0, 1.0)), "336 to 1020"),
        (((400.0, 0.0), (450.0, -1.0)), "transmissions"),
        (((400.0, 0.0), (450.0, 0.0)), "transmissions"),
    ],
)
def test_wrong_passband_is_refused(passband, words):
    with pytest.raises(ValidationError, match=words):
        BandSettings(passband=passband)


def test_sample_goes_by_all_that_its_files_depend_on():
    plain = SimulationSettings()
    other = SimulationSettings(band=BandSettings(passband=PASSBAND))
    keys = {
        sample_key(plain, "toy", "spectra", "dust"),
        sample_key(plain, "toy", "parameters", "dust"),
        sample_key(plain, "toy", "spectra", "other"),
        sample_key(other, "toy", "spectra", "dust"),
    }
    assert len(keys) == 4
