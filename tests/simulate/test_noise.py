"""The noise of spectra against the errors given, and against real stars."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.simulate.coefficients import (
    extinction_errors,
    extinction_noise,
    load_noise_model,
    stacked,
)
from scrframe.simulate.stars import Spectroscope
from scrframe.simulate.survey import SimulatedSurvey
from scrframe.spectra.xp_operator import load_operator

#: Median S/N of real stars of 0.8 < BP-RP < 1.3, by wavelength in nm and G_BP.
WAVELENGTHS = (392, 402, 412, 432, 452, 502, 602, 702, 802, 902, 992)
MEASURED = {
    13: (19, 43, 53, 54, 71, 110, 191, 165, 197, 151, 57),
    14: (13, 28, 36, 37, 52, 79, 144, 108, 128, 101, 38),
    15: (8, 19, 24, 26, 37, 58, 105, 66, 83, 63, 22),
}


def signal_to_noise(survey: SimulatedSurvey, rows: np.ndarray) -> np.ndarray:
    catalogue, operator = survey.catalogue, load_operator("paper")
    packed = catalogue.correlations[catalogue.correlation_of[rows]]
    errors, coefficients = catalogue.coefficient_errors[rows], catalogue.coefficients[rows]
    error = operator.flux_error_exact(
        errors[:, :55], packed[:, :1485], errors[:, 55:], packed[:, 1485:]
    )
    return (coefficients @ stacked(operator)) / error


@pytest.mark.parametrize("magnitude", [13, 14, 15])
def test_signal_to_noise_is_that_of_real_stars(survey: SimulatedSurvey, magnitude: int) -> None:
    stars = survey.stars
    bp = stars.bp_mag[stars.has_spectrum]
    colour = bp - stars.rp_mag[stars.has_spectrum]
    rows = np.flatnonzero((np.abs(bp - magnitude) < 0.4) & (colour > 0.8) & (colour < 1.3))
    assert len(rows) > 50
    found = np.median(signal_to_noise(survey, rows), axis=0)
    at = np.searchsorted(load_operator("paper").wavelength_nm, WAVELENGTHS)
    ratio = found[at] / np.array(MEASURED[magnitude])
    assert (ratio > 0.7).all()
    assert (ratio < 1.35).all()


def test_noise_has_the_errors_and_correlations_given() -> None:
    model = load_noise_model()
    number = 30000
    drawn = model.draw(np.full(number, 13.0), np.full(number, 11.95), np.random.default_rng(6))
    unit = drawn.noise / drawn.errors
    # Scatter of a standard deviation from 30,000 draws: 0.004; of 110, five sigma.
    np.testing.assert_allclose(unit.std(axis=0), 1, atol=0.02)
    rows = drawn.correlation_of == 0
    found = np.corrcoef(unit[rows, :55].T)
    row, column = np.tril_indices(55, -1)
    # Of 10,000 draws a correlation is known to 0.01.
    np.testing.assert_allclose(found[row, column], model.correlations[0, :1485], atol=0.06)
    assert np.abs(np.corrcoef(unit[rows].T)[:55, 55:]).max() < 0.06


def test_fainter_stars_have_larger_relative_errors() -> None:
    model = load_noise_model()
    bp = np.array([11.0, 13.0, 15.0, 17.0])
    errors = model.draw(bp, bp - 1, np.random.default_rng(7)).errors
    relative = errors / 10 ** (-0.4 * bp)[:, None]
    assert (np.diff(relative, axis=0) > 0).all()


def test_noise_of_e_follows_from_that_of_the_spectrum(spectroscope: Spectroscope) -> None:
    rng = np.random.default_rng(8)
    base = rng.integers(0, len(spectroscope.library.colour0), 4000)
    scores = spectroscope.library.mixtures(base, rng)[0]
    bp = np.full(4000, 14.5)
    coefficients = spectroscope.observe(scores, np.full(4000, 0.4), bp, 0.0)[0]
    model, paper = load_noise_model(), spectroscope.fit.paper
    drawn = model.draw(bp, bp - 1.2, rng)
    k = spectroscope.law(0.0)[1]
    unit = extinction_noise(model, drawn, coefficients, paper, k)
    # Scatter of a standard deviation of 4,000 draws: 0.011.
    assert unit.std() == pytest.approx(1, abs=0.05)
    # What a fit of the curve to the noisy spectrum finds beyond the true E.
    operator = stacked(paper)
    relative = (drawn.noise @ operator) / (coefficients @ operator)
    weight = 1 / relative.std(axis=0)
    design = np.stack([-0.4 * np.log(10) * k, np.ones_like(k)], axis=1) * weight[:, None]
    fitted = np.linalg.lstsq(design, (relative * weight).T, rcond=None)[0][0]
    # They differ by each star's own standard deviation only, which these stars have alike.
    assert np.corrcoef(fitted, unit)[0, 1] > 0.95


def test_errors_of_e_are_the_papers(survey: SimulatedSurvey) -> None:
    bp = np.random.default_rng(9).normal(13.6, 1.1, 100000)
    error = extinction_errors(bp, np.random.default_rng(10))
    kept = error[error < 0.02]
    assert 0.02 < (error >= 0.02).mean() < 0.15
    assert np.median(kept) == pytest.approx(0.014, abs=0.0005)
    assert np.quantile(kept, 0.9) == pytest.approx(0.019, abs=0.0015)
    table = survey.catalogue.table
    miss = table["extinction"].to_numpy() - survey.stars.extinction
    assert (miss / table["extinction_err"].to_numpy()).std() == pytest.approx(1, abs=0.04)
