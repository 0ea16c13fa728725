"""Synthetic magnitudes: against definitions and against another integration."""

from itertools import pairwise

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from scipy.integrate import quad

from scrframe.errors import CalibrationError
from scrframe.spectra.passband import (
    covered_fraction,
    read_passband,
    require_coverage,
    synthetic_magnitudes,
)

GRID = np.arange(392.0, 993.0, 10.0)
BAND = np.array([480.0, 500.0, 513.0, 560.0, 600.0, 640.0])
THROUGH = np.array([0.0, 0.4, 0.9, 0.8, 0.5, 0.0])


def flat_frequency(wavelength_nm, mag):
    """Return F_lambda of a source of one AB magnitude at all wavelengths, by astropy."""
    density = 10 ** (-0.4 * mag) * 3631 * u.Jy
    flux = density.to(u.W / u.m**2 / u.nm, u.spectral_density(wavelength_nm * u.nm))
    return flux.value


def integral(spectrum, low=BAND[0], high=BAND[-1]):
    """Return the integral of F T lambda over a range, by adaptive quadrature."""

    def inside(wavelength):
        return spectrum(wavelength) * np.interp(wavelength, BAND, THROUGH) * wavelength

    edges = np.unique(np.clip(np.concatenate([BAND, GRID]), low, high))
    return sum(quad(inside, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(edges))


@pytest.mark.parametrize("mag", [0.0, 15.0, 21.3])
def test_a_flat_source_has_its_ab_magnitude(mag):
    fine = np.arange(390.0, 1000.1, 0.5)
    found = synthetic_magnitudes(flat_frequency(fine, mag)[None], fine, BAND, THROUGH, "AB")
    # Between samples F_lambda is taken linear: off by F'' h^2 / 8 = (h / lambda)^2 * 6 / 8.
    assert found[0] == pytest.approx(mag, abs=1.1 * 0.75 * (0.5 / 500) ** 2)


def test_magnitudes_agree_with_adaptive_quadrature():
    rng = np.random.default_rng(1)
    flux = rng.uniform(1, 3, (4, len(GRID))) * 1e-17
    found = synthetic_magnitudes(flux, GRID, BAND, THROUGH, "AB")
    speed = constants.c.to(u.nm / u.s).value
    zero = integral(lambda wavelength: (3631 * u.Jy).si.value * speed / wavelength**2)
    for row, mag in zip(flux, found, strict=True):
        ratio = integral(lambda wavelength, row=row: np.interp(wavelength, GRID, row)) / zero
        assert mag == pytest.approx(-2.5 * np.log10(ratio), abs=1e-9)


def test_vega_has_magnitude_zero_on_any_grid():
    rng = np.random.default_rng(2)
    vega = rng.uniform(1, 2, len(GRID)) * 1e-11
    same = synthetic_magnitudes(vega[None] * 1e-4, GRID, BAND, THROUGH, "Vega", (GRID, vega))
    assert same[0] == pytest.approx(10.0, abs=1e-12)
    fine = np.arange(392.0, 992.1, 0.25)
    on_fine = (fine, np.interp(fine, GRID, vega))
    other = synthetic_magnitudes(vega[None] * 1e-4, GRID, BAND, THROUGH, "Vega", on_fine)
    assert other[0] == pytest.approx(10.0, abs=1e-9)


def test_the_scale_of_a_passband_does_not_matter():
    flux = np.full((1, len(GRID)), 1e-17)
    one = synthetic_magnitudes(flux, GRID, BAND, THROUGH, "AB")
    other = synthetic_magnitudes(flux, GRID, BAND, 100 * THROUGH, "AB")
    assert one[0] == pytest.approx(other[0], abs=1e-12)


def test_single_precision_and_no_light():
    flux = np.full((3, len(GRID)), 1e-17, dtype=np.float32)
    flux[1], flux[2, 20] = -1e-17, np.nan
    found = synthetic_magnitudes(flux, GRID, BAND, THROUGH, "AB")
    assert np.isfinite(found).tolist() == [True, False, False]
    assert len(synthetic_magnitudes(flux[:0], GRID, BAND, THROUGH, "AB")) == 0


def test_share_of_a_triangle():
    band, through = np.array([300.0, 400.0, 500.0]), np.array([0.0, 1.0, 0.0])
    assert covered_fraction(band, through, 200, 600) == pytest.approx(1)
    assert covered_fraction(band, through, 400, 600) == pytest.approx(0.5)
    assert covered_fraction(band, through, 350, 420) == pytest.approx(0.5 - 0.125 + 0.18)
    assert covered_fraction(band, through, 600, 700) == 0


def test_a_passband_that_spectra_do_not_cover_is_refused():
    ultraviolet = np.array([330.0, 360.0, 400.0])
    with pytest.raises(CalibrationError, match=r"per cent .* \(392 to 992 nm\), and 99 are needed"):
        require_coverage(GRID, ultraviolet, np.array([0.0, 1.0, 0.0]))
    # 0.5 per cent of the area is missing: taken, and integrated where spectra are.
    edge = np.array([392 - 2.0, 392 + 398.0])
    require_coverage(GRID, edge, np.ones(2))
    with pytest.raises(CalibrationError):
        require_coverage(GRID, edge - 4, np.ones(2))


def test_a_spectrum_of_vega_that_ends_inside_the_passband_is_refused():
    flux, vega = np.ones((1, len(GRID))), (GRID[12:], np.ones(len(GRID) - 12))
    with pytest.raises(CalibrationError, match=r"Vega goes from 512 to 992 nm .* \(480 to 640 nm"):
        synthetic_magnitudes(flux, GRID, BAND, THROUGH, "Vega", vega)
    with pytest.raises(CalibrationError, match="needs a spectrum of Vega"):
        synthetic_magnitudes(flux, GRID, BAND, THROUGH, "Vega")


@pytest.mark.parametrize("text", ["500 0.1\n600 0.9\n", "# a comment\n600,0.9\n500,0.1\n"])
def test_a_passband_may_be_two_columns_without_names(text, tmp_path):
    (tmp_path / "band.dat").write_text(text)
    for names in (("wavelength", "transmission"), ("col1", "col2")):
        nm, through = read_passband(tmp_path / "band.dat", *names, "nm")
        assert nm.tolist() == [500, 600] and through.tolist() == [0.1, 0.9]
