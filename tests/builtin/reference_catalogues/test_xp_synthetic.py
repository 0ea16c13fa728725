"""Synthetic photometry of XP spectra against closed forms and true magnitudes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import constants

from scrframe.builtin.reference_catalogues.gaia.products import SAMPLES_NM
from scrframe.builtin.reference_catalogues.xp_synthetic.plugin import (
    XP_SYNTHETIC,
    XpSyntheticConfig,
    sample_weights,
    through,
)
from scrframe.errors import DataError
from scrframe.spectra import BASES, PACKED, load_operator, packed_indices
from scrframe.tables import ReferenceStars

LOW, HIGH = 400.0, 550.0
BOX = f"wavelength,transmission\n{LOW},0.5\n{HIGH},0.5\n"
TRAPEZIUM = "wavelength,transmission\n395,0\n415,1\n535,1\n555,0\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "passband.csv").write_text(BOX)
    return tmp_path


def config(**settings) -> XpSyntheticConfig:
    return XpSyntheticConfig.model_validate(settings)


def magnitude(root, flux, **settings):
    return -2.5 * np.log10(flux @ sample_weights(config(**settings), root))


def test_flat_spectrum_in_frequency_has_its_ab_magnitude(root):
    # 3631 Jy times 10^(-0.4 * 15), per unit wavelength: F_nu c / lambda^2.
    (root / "passband.csv").write_text(TRAPEZIUM)
    flux = 10**-6 * 3631e-26 * constants.c * 1e9 / SAMPLES_NM**2
    # Spectra are linear between samples 2 nm apart: (2 / 400)^2 / 4, or 7 micromag.
    assert magnitude(root, flux) == pytest.approx(15.0, abs=1e-5)


@pytest.mark.parametrize("power", [0, 1])
def test_power_laws_through_a_box_have_closed_forms(root, power):
    """A box counts the integral of F lambda; magnitude 0 that of F_nu c / lambda."""
    flux = 1e-17 * (SAMPLES_NM / 500) ** power
    photons = 1e-17 / 500**power * (HIGH ** (power + 2) - LOW ** (power + 2)) / (power + 2)
    zero = 3631e-26 * constants.c * 1e9 * np.log(HIGH / LOW)
    assert magnitude(root, flux) == pytest.approx(-2.5 * np.log10(photons / zero), abs=1e-9)


def test_vega_has_the_magnitude_that_it_is_given(root):
    grid = np.arange(3000.0, 11000.0, 20.0)
    flux = 3e-9 * (grid / 5000) ** -2.5  # erg / (s cm2 Angstrom); 1e-2 of it in W / (m2 nm)
    np.savetxt(
        root / "vega.csv", np.c_[grid, flux], header="WAVELENGTH,FLUX", delimiter=",", comments=""
    )
    of_vega = 1e-2 * np.interp(SAMPLES_NM, grid / 10, flux)
    given = {"system": "Vega", "vega": {"file": "vega.csv"}}
    assert magnitude(root, 1e-4 * of_vega, **given) == pytest.approx(10.0, abs=1e-5)


def stars_and_spectra(root, count=40):
    """Write spectra of known coefficients and errors, and return the stars that have them."""
    rng = np.random.default_rng(8)
    operator = load_operator("sampled")
    stacked = np.concatenate([operator.bp, operator.rp])
    slope = rng.uniform(-2, 1, count)
    flux = 1e-16 * (SAMPLES_NM / 500) ** slope[:, None]
    coefficients = np.linalg.lstsq(stacked.T, flux.T, rcond=1e-6)[0].T
    errors = 0.01 * np.abs(coefficients) + 1e-3
    root_of = rng.normal(0, 1, (BASES, 4))
    covariance = root_of @ root_of.T + np.eye(BASES)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    packed = np.tile(correlation[packed_indices()], (count, 1))
    ids = np.arange(count, dtype=np.int64) + 1000
    columns = {"source_id": ids}
    for band, at in (("bp", slice(0, BASES)), ("rp", slice(BASES, None))):
        columns[f"{band}_coefficients"] = list(coefficients[:, at])
        columns[f"{band}_coefficient_errors"] = list(errors[:, at])
        columns[f"{band}_coefficient_correlations"] = list(packed)
    (root / "gaia_xp").mkdir()
    pq.write_table(pa.table(columns), root / "gaia_xp" / "continuous.parquet")
    zeros = np.zeros(count)
    stars = ReferenceStars.from_columns(
        {
            "source_id": ids,
            "ref_ra": zeros,
            "ref_dec": zeros,
            "ref_epoch": zeros + 2016,
            "pmra": zeros,
            "pmdec": zeros,
            "reference_mag": rng.uniform(13, 16, count),
            "reference_mag_err": zeros + 0.003,
            "g_mag": zeros,
            "bp_mag": zeros,
            "rp_mag": zeros,
        }
    )
    return stars, coefficients, errors, correlation


def read(root, stars, **settings):
    part, *_ = XP_SYNTHETIC.feature_parts(config(**settings), root)
    return XP_SYNTHETIC.read_features(part, config(**settings), stars, ())


def test_colour_is_that_of_the_spectrum_from_its_coefficients(root):
    stars, coefficients, _, _ = stars_and_spectra(root)
    operator = load_operator("sampled")
    flux = coefficients[:, :BASES] @ operator.bp + coefficients[:, BASES:] @ operator.rp
    # An independent integral: 20 points to a sample, by the trapezium rule.
    fine = np.linspace(LOW, HIGH, 1501)
    photons = [np.trapezoid(np.interp(fine, SAMPLES_NM, row) * fine, fine) for row in flux]
    zero = 3631e-26 * constants.c * 1e9 * np.log(HIGH / LOW)
    found = read(root, stars)
    mag = found.values[:, 0] + stars["reference_mag"]
    assert mag == pytest.approx(-2.5 * np.log10(np.array(photons) / zero), abs=1e-6)
    assert found.names == ("colour",)


def test_error_is_that_of_the_coefficients_with_their_correlations(root):
    stars, coefficients, errors, correlation = stars_and_spectra(root, 3)
    operator = load_operator("sampled")
    weights = sample_weights(config(), root)
    variance = np.zeros(3)
    for at, band in ((slice(0, BASES), operator.bp), (slice(BASES, None), operator.rp)):
        kernel = band @ weights
        for star in range(3):
            covariance = correlation * np.outer(errors[star, at], errors[star, at])
            variance[star] += kernel @ covariance @ kernel
    flux = coefficients @ np.concatenate([operator.bp, operator.rp]) @ weights
    found = read(root, stars)
    expected = 2.5 / np.log(10) * np.sqrt(variance) / flux
    assert found.errors[:, 0] == pytest.approx(expected, rel=1e-6)
    assert found.snr == pytest.approx(flux / np.sqrt(variance), rel=1e-6)


def test_band_that_one_half_of_the_spectrum_covers_needs_no_other():
    weights = np.zeros(len(SAMPLES_NM))
    weights[SAMPLES_NM < 500] = 1.0
    operator = through(weights).operator
    errors, correlations = np.ones((2, BASES)), np.zeros((2, PACKED))
    expected = np.linalg.norm(operator.bp)
    found = operator.flux_error_exact(errors, correlations, errors, correlations)
    assert found[:, 0] == pytest.approx(np.hypot(expected, np.linalg.norm(operator.rp)))


def test_a_changed_passband_is_another_input(root):
    stars_and_spectra(root)
    (first, *_) = XP_SYNTHETIC.feature_parts(config(), root)
    (root / "passband.csv").write_text(TRAPEZIUM)
    (second, supplied) = XP_SYNTHETIC.feature_parts(config(), root)
    assert first.fingerprint != second.fingerprint
    assert supplied.path == root / "passband.csv"  # is hashed with the other inputs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no such file", "xp_synthetic.passband.file"]),
        ("wavelength,other\n400,1\n500,1\n", ["transmission"]),
        ("wavelength,transmission\n400,-1\n500,1\n", ["0 or more"]),
        ("wavelength,transmission\n400,1\n400,1\n", ["different, positive wavelengths"]),
        ("wavelength,transmission\n300,1\n400,1\n", ["per cent of the passband's area"]),
    ],
)
def test_a_wrong_passband_is_refused_in_one_line(root, content, words):
    path = root / "passband.csv"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught:
        XP_SYNTHETIC.feature_parts(config(), root)
    message = str(caught.value)
    assert "passband.csv" in message and "\n" not in message
    assert all(word in message for word in words)


def test_vega_wants_its_spectrum():
    with pytest.raises(ValueError, match="spectrum of Vega"):
        config(system="Vega")
