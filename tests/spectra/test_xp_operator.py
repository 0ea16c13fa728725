"""The XP operator against GaiaXPy, frozen and live."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.csv as pacsv
import pytest

from scrframe.errors import DataError
from scrframe.spectra import BASES, PACKED, load_operator, packed_indices

FIXTURES = Path(__file__).parents[1] / "fixtures" / "gaia"
GRIDS = ("paper", "sampled")
# Agreement asked of every flux and error.
RELATIVE = 1e-12


@cache
def real_sources():
    table = pacsv.read_csv(FIXTURES / "xp_continuous_raw.csv")
    return {
        f"{band}_{what}": np.array(
            [
                np.array(text.strip("()").split(","), dtype=float)
                for text in table[f"{band}_{what}"].to_pylist()
            ]
        )
        for band in ("bp", "rp")
        for what in ("coefficients", "coefficient_errors", "coefficient_correlations")
    }


def exact_errors(operator, sources, threads=1):
    return operator.flux_error_exact(
        sources["bp_coefficient_errors"],
        sources["bp_coefficient_correlations"],
        sources["rp_coefficient_errors"],
        sources["rp_coefficient_correlations"],
        threads=threads,
    )


def made_up(rows):
    rng = np.random.default_rng(3)
    sources = {}
    for band in ("bp", "rp"):
        sources[f"{band}_coefficients"] = rng.normal(size=(rows, BASES)).astype(np.float32)
        sources[f"{band}_coefficient_errors"] = rng.uniform(0.1, 1, (rows, BASES))
        sources[f"{band}_coefficient_correlations"] = rng.uniform(
            -0.01, 0.01, (rows, PACKED)
        ).astype(np.float32)
    return sources


@pytest.mark.parametrize("grid", GRIDS)
def test_real_sources_agree_with_frozen_gaiaxpy(grid):
    sources, operator = real_sources(), load_operator(grid)
    with np.load(FIXTURES / "gaiaxpy_answers.npz") as answers:
        flux, error = answers[f"{grid}_flux"], answers[f"{grid}_flux_error"]
    ours = operator.flux(sources["bp_coefficients"], sources["rp_coefficients"])
    np.testing.assert_allclose(ours, flux, rtol=RELATIVE, atol=0)
    np.testing.assert_allclose(exact_errors(operator, sources), error, rtol=RELATIVE, atol=0)


def gaiaxpy_frame(sources):
    import pandas as pd

    rows = len(sources["bp_coefficients"])
    columns = {"source_id": np.arange(1, rows + 1)}
    for band in ("bp", "rp"):
        columns[f"{band}_n_parameters"] = np.full(rows, BASES)
        columns[f"{band}_standard_deviation"] = np.linspace(0.9, 1.3, rows)
        for what in ("coefficients", "coefficient_errors", "coefficient_correlations"):
            columns[f"{band}_{what}"] = list(sources[f"{band}_{what}"].astype(np.float64))
    return pd.DataFrame(columns)


def assert_agrees_with_gaiaxpy(sources, grid):
    gaiaxpy = pytest.importorskip("gaiaxpy")
    sampling = np.arange(392, 1002, 10) if grid == "paper" else None
    theirs, wavelength = gaiaxpy.calibrate(
        gaiaxpy_frame(sources), sampling=sampling, truncation=False, save_file=False
    )
    operator = load_operator(grid)
    np.testing.assert_array_equal(operator.wavelength_nm, wavelength)
    ours = operator.flux(sources["bp_coefficients"], sources["rp_coefficients"])
    flux = np.stack(theirs["flux"].to_list())
    # A flux near zero is a small difference of large terms: there 1e-12 of the largest.
    floor = 1e-15 * np.abs(flux).max(axis=1, keepdims=True)
    assert (np.abs(ours - flux) <= RELATIVE * np.abs(flux) + floor).all()
    np.testing.assert_allclose(
        exact_errors(operator, sources),
        np.stack(theirs["flux_error"].to_list()),
        rtol=RELATIVE,
        atol=0,
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_live_gaiaxpy_agrees(grid):
    assert_agrees_with_gaiaxpy(made_up(20), grid)


@pytest.mark.parametrize("grid", GRIDS)
def test_two_thousand_real_sources_agree_with_gaiaxpy(grid):
    folder = os.environ.get("SCRFRAME_EXTRA_DATA")
    if not folder:
        pytest.skip("SCRFRAME_EXTRA_DATA does not name the folder of xp_coefficients_2000.fits")
    from astropy.table import Table

    table = Table.read(Path(folder) / "xp_coefficients_2000.fits")
    sources = {}
    for band in ("bp", "rp"):
        for what, prefix in (("coefficients", ""), ("coefficient_errors", "e_")):
            sources[f"{band}_{what}"] = np.stack(
                [np.asarray(table[f"{prefix}{band}_coeff_{i}"], float) for i in range(BASES)], 1
            )
        # That file holds no correlations.
        sources[f"{band}_coefficient_correlations"] = np.zeros((len(table), PACKED))
    assert_agrees_with_gaiaxpy(sources, grid)


def test_packing_is_the_archive_order():
    row, column = packed_indices()
    assert list(zip(row[:6], column[:6], strict=True)) == [
        (1, 0),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
        (3, 2),
    ]
    # One element, off the diagonal, tells any other order apart.
    operator = load_operator("paper")
    errors, correlations = np.ones((1, BASES)), np.zeros((1, PACKED))
    correlations[0, 7] = 0.5  # (4, 1)
    base = operator.flux_error_diagonal(errors, errors) ** 2
    got = operator.flux_error_exact(errors, correlations, errors, np.zeros((1, PACKED))) ** 2
    np.testing.assert_allclose(
        got - base, (operator.bp[4] * operator.bp[1])[None], rtol=0, atol=1e-14 * base.max()
    )


def test_errors_are_the_scatter_of_drawn_coefficients():
    """Draws from the stated covariance scatter by the stated errors: sd to 1 / sqrt(2 n)."""
    sources, operator = real_sources(), load_operator("paper")
    rng, draws = np.random.default_rng(1), 4000
    drawn = {}
    for band in ("bp", "rp"):
        correlation = np.eye(BASES)
        row, column = packed_indices()
        correlation[row, column] = sources[f"{band}_coefficient_correlations"][0]
        correlation[column, row] = correlation[row, column]
        error = sources[f"{band}_coefficient_errors"][0]
        factor = np.linalg.cholesky(correlation) * error[:, None]
        drawn[band] = rng.normal(size=(draws, BASES)) @ factor.T
    scatter = operator.flux(drawn["bp"], drawn["rp"]).std(axis=0)
    stated = exact_errors(operator, sources)[0]
    assert np.abs(scatter / stated - 1).max() < 5 / np.sqrt(2 * draws)


@pytest.mark.parametrize("rows", [1, 255, 256, 600])
def test_same_bits_for_any_number_of_threads(rows):
    sources, operator = made_up(rows), load_operator("paper")
    bp, rp = sources["bp_coefficients"], sources["rp_coefficients"]
    np.testing.assert_array_equal(
        operator.flux(bp, rp, threads=1), operator.flux(bp, rp, threads=2)
    )
    np.testing.assert_array_equal(
        exact_errors(operator, sources, 1), exact_errors(operator, sources, 2)
    )


def test_missing_band_is_missing_throughout():
    sources, operator = made_up(3), load_operator("paper")
    sources["bp_coefficients"][1] = np.nan
    flux = operator.flux(sources["bp_coefficients"], sources["rp_coefficients"])
    assert np.isnan(flux[1]).all()
    assert np.isfinite(flux[[0, 2]]).all()


def test_wrong_width_is_refused():
    operator = load_operator("paper")
    with pytest.raises(DataError, match=r"BP coefficients have shape \(2, 54\)"):
        operator.flux(np.zeros((2, 54)), np.zeros((2, 55)))


def test_operators_say_what_they_were_derived_from():
    for grid in GRIDS:
        operator = load_operator(grid)
        assert operator.provenance["derived_from"].startswith("GaiaXPy ")
        assert operator.provenance["release"] == "DR3"
        assert load_operator(grid) is operator
