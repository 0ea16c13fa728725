"""Corrections of G_BP and of spectra, from tables and a toy package on disk."""

import numpy as np
import pytest
from astropy.table import Table
from pydantic import ValidationError

from scrframe.builtin.reference_catalogues.gaia.corrections import (
    MAGNITUDE_TABLE,
    SPECTRUM_PACKAGE,
    SPECTRUM_TABLE,
)
from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.builtin.reference_catalogues.gaia.products import SAMPLES_NM, at_grid
from scrframe.errors import DataError
from scrframe.plugin import ChosenCorrection
from scrframe.spectra import load_operator
from scrframe.tables import SPECTRUM_ERRORS_DIAGONAL, SPECTRUM_OUTSIDE_CORRECTION

GRID_NM = np.arange(392.0, 1002, 10)


def chosen(which, root, **settings):
    return (ChosenCorrection(which, which.config(**settings), root),)


def samples_of(stars):
    return load_operator("sampled").flux(stars.coefficients[:, :55], stars.coefficients[:, 55:])


# --- G_BP -----------------------------------------------------------------------------------


def test_magnitude_table_is_interpolated_in_g(tree, stars, read_sources):
    # Not in order: the reader sorts. Between 15 and 16 mag the correction rises linearly.
    (tree / "dbp.csv").write_text("G,dBP\n16,0.030\n15,0.010\n14,0.010\n")
    plain = read_sources(tree)
    found = read_sources(tree, corrections=chosen(MAGNITUDE_TABLE, tree, file="dbp.csv"))
    g = plain["g_mag"]
    inside = (g >= 14) & (g <= 16)
    change = np.where(g < 15, 0.010, 0.010 + 0.020 * (g - 15))
    assert 0 < inside.sum() < len(g)
    np.testing.assert_allclose(
        found["reference_mag"] - plain["reference_mag"], np.where(inside, change, 0), atol=1e-14
    )
    np.testing.assert_array_equal(found["bp_mag"], plain["bp_mag"])
    np.testing.assert_array_equal(found["reference_outside_correction"], (~inside).astype(int))
    assert not plain["reference_outside_correction"].any()


def test_magnitude_table_with_other_names_and_sign(tree, read_sources):
    Table({"mag": [10.0, 20.0], "corr": [0.02, 0.02]}).write(tree / "dbp.ecsv")
    settings = {
        "file": "dbp.ecsv",
        "magnitude": "mag",
        "correction": "corr",
        "sign": "subtract",
        "against": "bp_mag",
    }
    plain = read_sources(tree)
    found = read_sources(tree, corrections=chosen(MAGNITUDE_TABLE, tree, **settings))
    np.testing.assert_allclose(
        found["reference_mag"], plain["reference_mag"] - 0.02, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("G,delta\n14,0.01\n", "has no column dBP; there are: G, delta"),
        ("G,dBP\n14,0.01\n14,0.02\n", "column G names a magnitude twice"),
        ("G,dBP\n14,\n15,0.02\n", "row 0: column dBP has no value"),
    ],
)
def test_bad_magnitude_tables(tree, read_sources, text, message):
    if text:
        (tree / "dbp.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_sources(tree, corrections=chosen(MAGNITUDE_TABLE, tree, file="dbp.csv"))
    assert str(tree / "dbp.csv") in str(caught.value)


# --- spectra --------------------------------------------------------------------------------

TOY = '''
import numpy as np


def tilt(wavelength_nm, flux, stars):
    """Corrects in proportion to wavelength; takes stars brighter than 14 to be out of range."""
    return flux * (wavelength_nm / 500), stars["g_mag"] < 14


def scale(wavelength_nm, flux, stars):
    return 1.5 * flux


def lost(wavelength_nm, flux, stars):
    flux = 2 * flux
    flux[3] = np.nan
    return flux


def narrow(wavelength_nm, flux, stars):
    return flux[:, :61]


def fails(wavelength_nm, flux, stars):
    raise KeyError("parameters.csv")


def correction(flux, g, error, Truncation=False, absolute_correction=True):
    """One spectrum, with the interface of the authors' package."""
    assert flux.shape == error.shape == (343,)
    caution = np.array([2, 0, 0]) if g > 17 else np.array([0, 0, 1])
    return [flux * (1 + 0.01 * g), caution, 0.1, 0.2]


def looked_up(flux, g, error, Truncation=False, absolute_correction=True):
    """Finds its row as the authors' package does, and knows nothing of one magnitude."""
    steps = np.round(np.arange(0, 25, 0.001), 3)
    row = int(np.where(abs(steps - np.round(g, 3)) < 0.0001)[0])
    caution = np.zeros([3], dtype=int)
    if g < 15:
        return flux * (1 + 0.01 * steps[row]), caution, 0.1, 0.2


answer = 42
'''
NO_RANGE = dict.fromkeys(("g_min", "g_max", "bp_rp_min", "bp_rp_max"))


@pytest.fixture
def toy(tree, request):
    # A module is imported once in a process: every test has its own.
    name = f"toy_{abs(hash(request.node.name))}"
    (tree / "packages").mkdir()
    (tree / "packages" / f"{name}.py").write_text(TOY)

    def choose(function, **settings):
        return chosen(
            SPECTRUM_PACKAGE,
            tree,
            function=f"{name}:{function}",
            folder="packages",
            **{**NO_RANGE, **settings},
        )

    return choose


def test_package_corrects_the_samples_before_they_are_at_gridd(
    tree, stars, toy, read_sources, read_features
):
    wanted = read_sources(tree)
    (plain,) = read_features(tree, wanted)
    (found,) = read_features(tree, wanted, toy("tilt"))
    expected = at_grid(samples_of(stars) * (SAMPLES_NM / 500), GRID_NM)
    np.testing.assert_allclose(found.flux, expected, rtol=2**-22)
    outside = wanted["g_mag"] < 14
    assert 0 < outside.sum() < len(wanted)
    np.testing.assert_array_equal(found.flags, np.where(outside, SPECTRUM_OUTSIDE_CORRECTION, 0))
    # The cut on S/N means the same with and without a correction.
    np.testing.assert_array_equal(found.snr, plain.snr)


def test_stated_range_is_flagged(tree, toy, read_sources, read_features):
    wanted = read_sources(tree)
    corrections = toy("scale", g_min=14.0, g_max=17.0, bp_rp_min=-0.5, bp_rp_max=1.0)
    (found,) = read_features(tree, wanted, corrections)
    g, colour = wanted["g_mag"], wanted["bp_mag"] - wanted["rp_mag"]
    inside = (g >= 14) & (g <= 17) & (colour >= -0.5) & (colour <= 1)
    assert 0 < inside.sum() < len(wanted)
    np.testing.assert_array_equal(found.flags, np.where(inside, 0, SPECTRUM_OUTSIDE_CORRECTION))


def test_default_range_is_that_of_huang_et_al():
    config = SPECTRUM_PACKAGE.config(function="a:b")
    assert (config.g_min, config.g_max, config.bp_rp_min, config.bp_rp_max) == (3, 17.5, -0.5, 2)


def test_interface_of_the_authors_package(tree, stars, toy, read_sources, read_features):
    wanted = read_sources(tree)
    (found,) = read_features(tree, wanted, toy("correction", interface="huang2024"))
    g = wanted["g_mag"]
    expected = at_grid(samples_of(stars) * (1 + 0.01 * g[:, None]), GRID_NM)
    np.testing.assert_allclose(found.flux, expected, rtol=2**-22)
    np.testing.assert_array_equal(found.flags, np.where(g > 17, SPECTRUM_OUTSIDE_CORRECTION, 0))


def test_whole_numbers_of_arrays_as_the_authors_package_takes_them(
    tree, stars, toy, read_sources, read_features
):
    wanted = read_sources(tree)
    (found,) = read_features(tree, wanted, toy("looked_up", interface="huang2024"))
    g = wanted["g_mag"]
    factor = np.where(g < 15, 1 + 0.01 * np.round(g, 3), 1.0)
    expected = at_grid(samples_of(stars) * factor[:, None], GRID_NM)
    np.testing.assert_allclose(found.flux, expected, rtol=2**-22)
    assert 0 < (g >= 15).sum() < len(g)
    np.testing.assert_array_equal(found.flags, np.where(g >= 15, SPECTRUM_OUTSIDE_CORRECTION, 0))


def test_a_spectrum_that_the_package_loses_stays_and_is_flagged(
    tree, stars, toy, read_sources, read_features
):
    (found,) = read_features(tree, read_sources(tree), toy("lost"))
    factor = np.full((len(found), 1), 2.0)
    factor[3] = 1.0
    np.testing.assert_allclose(
        found.flux, at_grid(factor * samples_of(stars), GRID_NM), rtol=2**-22
    )
    np.testing.assert_array_equal(np.flatnonzero(found.flags), [3])


def test_sampled_spectra_are_corrected_too(tree, stars, toy, read_sources, read_features):
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = read_sources(tree)
    flux = samples_of(stars)
    table = pa.table(
        {
            "source_id": wanted["source_id"],
            "flux": pa.array(list(flux)),
            "flux_error": pa.array(list(0.01 * flux)),
        }
    )
    pq.write_table(table, tree / "gaia_xp" / "sampled.parquet")
    (found,) = read_features(tree, wanted, toy("scale"), product="sampled")
    np.testing.assert_allclose(found.flux, at_grid(1.5 * flux, GRID_NM), rtol=2**-22)
    assert (found.flags == SPECTRUM_ERRORS_DIAGONAL).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("narrow", r"spectra of shape \(36, 61\); expected \(36, 343\)"),
        ("fails", r"failed: KeyError: 'parameters.csv'"),
        ("absent", r"cannot be imported \(looked also in .*packages\): AttributeError"),
        ("answer", r"is no function"),
    ],
)
def test_packages_that_break_the_contract(
    tree, toy, read_sources, read_features, function, message
):
    with pytest.raises(DataError, match=message):
        read_features(tree, read_sources(tree), toy(function))


def test_package_that_is_not_there(tree, read_sources, read_features):
    missing = chosen(SPECTRUM_PACKAGE, tree, function="no_such_module_here:f")
    with pytest.raises(DataError, match="cannot be imported: ModuleNotFoundError"):
        read_features(tree, read_sources(tree), missing)


def test_function_must_name_module_and_function():
    with pytest.raises(ValidationError, match='expected "module:function"'):
        SPECTRUM_PACKAGE.config(function="module.function")


def factor_table(path, magnitudes):
    wavelength, g = np.meshgrid([300.0, 1100.0], magnitudes)
    factor = (1 + wavelength / 1000) * (g / 10)
    Table({"nm": wavelength.ravel(), "G": g.ravel(), "f": factor.ravel()}).write(path)


def test_spectrum_table_by_wavelength_and_magnitude(tree, stars, read_sources, read_features):
    factor_table(tree / "factors.ecsv", [14.0, 17.0])
    wanted = read_sources(tree)
    settings = {"file": "factors.ecsv", "wavelength": "nm", "factor": "f", "g_mag": "G"}
    (found,) = read_features(tree, wanted, chosen(SPECTRUM_TABLE, tree, **settings))
    g = wanted["g_mag"][:, None]
    inside = ((g >= 14) & (g <= 17))[:, 0]
    factor = np.where(inside[:, None], (1 + SAMPLES_NM / 1000) * (g / 10), 1.0)
    assert 0 < inside.sum() < len(wanted)
    np.testing.assert_allclose(
        found.flux, at_grid(factor * samples_of(stars), GRID_NM), rtol=2**-22
    )
    np.testing.assert_array_equal(found.flags == 0, inside)


def test_spectrum_table_by_wavelength_alone(tree, stars, read_sources, read_features):
    """Beyond the table's wavelengths the spectrum stays."""
    (tree / "factors.csv").write_text("wavelength_nm,factor\n300,1.2\n700,1.2\n")
    (found,) = read_features(
        tree, read_sources(tree), chosen(SPECTRUM_TABLE, tree, file="factors.csv")
    )
    factor = np.where(SAMPLES_NM <= 700, 1.2, 1.0)
    np.testing.assert_allclose(
        found.flux, at_grid(factor * samples_of(stars), GRID_NM), rtol=2**-22
    )
    assert not found.flags.any()


def test_spectrum_table_must_be_a_grid(tree, read_sources, read_features):
    (tree / "factors.csv").write_text("wavelength_nm,G,factor\n300,14,1\n700,14,1\n300,15,1\n")
    broken = chosen(SPECTRUM_TABLE, tree, file="factors.csv", g_mag="G")
    with pytest.raises(DataError, match="G, wavelength_nm are no complete grid"):
        read_features(tree, read_sources(tree), broken)


def test_catalogue_offers_them():
    assert {item.name for item in GAIA_XP.corrections} == {
        "magnitude_table",
        "spectrum_package",
        "spectrum_table",
    }


def test_files_of_a_package_are_its_own_below_the_folder(tmp_path):
    package = tmp_path / "mine" / "toy_package_of_files"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def correct(wavelength, flux, stars):\n    return flux\n")
    (package / "table.npy").write_bytes(b"numbers")
    (tmp_path / "mine" / "notes.txt").write_text("no part of it")
    config = SPECTRUM_PACKAGE.config(function="toy_package_of_files:correct", folder="mine")
    found = SPECTRUM_PACKAGE.files(config, tmp_path)
    assert found == [package / "__init__.py", package / "table.npy"]
    assert SPECTRUM_PACKAGE.files(SPECTRUM_PACKAGE.config(function="math:sqrt"), tmp_path) == []
